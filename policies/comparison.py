"""What one policy file says and another makes void, and what needs people where there are none."""

from collections.abc import Iterator

from leverframe.model.proposals import Lever
from policies import quarantine
from policies.decision import Verdict
from policies.documents import PolicyDocument, PolicySnapshot, Problem, warning
from policies.notation import Amount
from policies.rules import Autonomy, DiffCap, FlipFlagRule, Limit, OnExceed, Scope

_TWO = 2


def across(snapshot: PolicySnapshot) -> Iterator[Problem]:
    """Every remark that takes more than one file to make."""
    org = next((document for document in snapshot.documents if document.rules.layer == "org"), None)
    if org is None:
        return
    yield from _people(org, snapshot)
    for document in snapshot.documents:
        if document is org:
            continue
        yield from _levers(document, org)
        yield from _limits(document, org)
        yield from _escalation(document, org)
        if document.rules.layer == "agent":
            yield from _unbounded(document, org)
            yield from _quarantine(document, org)


def _people(org: PolicyDocument, snapshot: PolicySnapshot) -> Iterator[Problem]:
    """Whether those who are to be asked exist."""
    for document in snapshot.documents:
        said = document.rules.escalation
        for position, name in enumerate(said.approvers if said else ()):
            group = snapshot.people.group(name)
            if group is not None and not group.members:
                yield warning(document, f"nobody is in the group {name}", "escalation", "approvers", position)
    asks = any(_asks_people(document) for document in snapshot.documents)
    said = org.rules.escalation
    if said is None:
        if asks:
            yield warning(org, "nobody can be asked: without `escalation` what asks people is denied")
        return
    if not said.approvers:
        yield warning(org, "nobody can be asked: `approvers` names no group", "escalation")
        return
    there = len(snapshot.people.members(said.approvers))
    needed = max(said.quorum, _TWO if said.two_person_levers else 0)
    if there < needed:
        message = f"{there} can be asked, and it takes {needed}: nobody can lift what asks people"
        yield warning(org, message, "escalation", "quorum")


def _asks_people(document: PolicyDocument) -> bool:
    """Whether any rule of the file may escalate."""
    rules = document.rules
    listed = [rule for lever in Lever if (rule := rules.levers.rule(lever))]
    levels: list[Autonomy | None] = [rules.autonomy, *(rule.autonomy for rule in listed)]
    for rule in listed:
        if isinstance(rule, FlipFlagRule):
            levels.extend(rule.direction.values())
    exceeding: list[OnExceed] = [limit.on_exceed for limit in rules.limits if limit.unit != "escalations"]
    if rules.storm:
        exceeding.append(rules.storm.on_exceed)
    if rules.levers.open_merge_request and rules.levers.open_merge_request.diff:
        exceeding.append(rules.levers.open_merge_request.diff.on_exceed)
    if quarantine.rule_of(rules):
        exceeding.append("escalate")  # what is weaker than `by_itself`
    return (
        any(level is not None and level.verdict is Verdict.ESCALATE for level in levels)
        or "escalate" in exceeding
        or rules.breaker is not None
        or (rules.escalation is not None and bool(rules.escalation.two_person_levers))
    )


def _levers(document: PolicyDocument, org: PolicyDocument) -> Iterator[Problem]:
    """Levers and levels that the organisation does not give."""
    if document.rules.autonomy.rank > org.rules.autonomy.rank:
        message = f"{document.rules.autonomy.value} has no effect: {org.file} says {org.rules.autonomy.value}"
        yield warning(document, message, "autonomy")
    for lever in Lever:
        rule, above = document.rules.levers.rule(lever), org.rules.levers.rule(lever)
        if rule is not None and above is None:
            message = f"{lever.value} is denied anyway: {org.file} does not list it"
            yield warning(document, message, "levers", lever.value)
    own, above = document.rules.levers.flip_flag, org.rules.levers.flip_flag
    if own is not None and above is not None:
        for direction in own.direction:
            if above.direction and direction not in above.direction:
                message = f"{direction} is denied anyway: {org.file} does not list it"
                yield warning(document, message, "levers", "flip_flag", "direction", direction)


def _unbounded(document: PolicyDocument, org: PolicyDocument) -> Iterator[Problem]:
    """Merge requests need a list of paths and a cap, in one of the two files that must exist."""
    own, above = document.rules.levers.open_merge_request, org.rules.levers.open_merge_request
    if own is None or above is None:
        return
    path = ("levers", Lever.OPEN_MERGE_REQUEST.value)
    if own.paths.allow is None and above.paths.allow is None:
        message = f"neither this file nor {org.file} has `paths.allow`, so every merge request is denied"
        yield warning(document, message, *path)
    if own.diff is None and above.diff is None:
        message = f"neither this file nor {org.file} has `diff`, so every merge request is denied"
        yield warning(document, message, *path)


def _quarantine(document: PolicyDocument, org: PolicyDocument) -> Iterator[Problem]:
    """A quarantine needs a limit on the tests that enter within a time; and the tighter number holds."""
    own, above = quarantine.rule_of(document.rules), quarantine.rule_of(org.rules)
    path = ("levers", Lever.OPEN_MERGE_REQUEST.value, "quarantine")
    if (own or above) and not any(map(quarantine.is_daily, (*document.rules.limits, *org.rules.limits))):
        message = f"neither this file nor {org.file} has a limit with `unit: tests`, so no test enters"
        yield warning(document, message, *path)
    if own is None or above is None:
        return
    for key in ("max_share_ppm", "max_per_change", "max_days", "max_executions_a_day"):
        if getattr(own, key) > getattr(above, key):
            message = f"{key} is looser than in {org.file}, which allows {getattr(above, key)}"
            yield warning(document, message, *path, key)
    if own.by_itself < above.by_itself:
        message = f"by_itself has no effect: {org.file} says {above.by_itself}"
        yield warning(document, message, *path, "by_itself")
    if own.renewals == "ask" and above.renewals == "never":
        yield warning(document, f"renewals has no effect: {org.file} says never", *path, "renewals")


def _limits(document: PolicyDocument, org: PolicyDocument) -> Iterator[Problem]:
    """Limits and caps that the organisation's reach first."""
    for position, limit in enumerate(document.rules.limits):
        first = next((above for above in org.rules.limits if _stops_first(above, limit, document)), None)
        if first is not None:
            message = f"the limit {limit.id} is looser than {first.id} of {org.file}, which counts the same"
            yield warning(document, message, "limits", position)
    own, cap = _cap(document), _cap(org)
    if own is None or cap is None:
        return
    for key, mine, theirs in (
        ("max_files", own.max_files, cap.max_files),
        ("max_lines", own.max_lines, cap.max_lines),
    ):
        if _looser(mine, own.on_exceed, theirs, cap.on_exceed):
            message = f"{key} is looser than in {org.file}, which allows {theirs}"
            yield warning(document, message, "levers", Lever.OPEN_MERGE_REQUEST.value, "diff", key)


def _cap(document: PolicyDocument) -> DiffCap | None:
    rule = document.rules.levers.open_merge_request
    return rule.diff if rule else None


def _stops_first(above: Limit, limit: Limit, document: PolicyDocument) -> bool:
    """Whether whatever fills `limit` fills the organisation's as well, and that one earlier."""
    about: Scope = "repo" if document.rules.layer == "repo" else "agent"
    if above.unit != limit.unit or not set(above.levers) >= set(limit.levers):
        return False
    if not set(above.scope) <= {*limit.scope, about}:
        return False
    if (above.window is None) != (limit.window is None):
        return False
    if above.window is not None and limit.window is not None and above.window < limit.window:
        return False
    return _looser(limit.max, limit.on_exceed, above.max, above.on_exceed)


def _looser(mine: Amount, exceeding: OnExceed, theirs: Amount, above: OnExceed) -> bool:
    """Whether theirs always stops first. A denial behind a question is no weaker for being further away."""
    if not isinstance(theirs, int) or (exceeding == "deny" and above == "escalate"):
        return False
    return not isinstance(mine, int) or mine > theirs


def _escalation(document: PolicyDocument, org: PolicyDocument) -> Iterator[Problem]:
    """A smaller quorum and a longer time than the organisation's."""
    own, above = document.rules.escalation, org.rules.escalation
    if own is None or above is None:
        return
    for key, void, value in (
        ("quorum", own.quorum < above.quorum, above.quorum),
        ("expires_after", own.expires_after > above.expires_after, "less time"),
    ):
        if void:
            yield warning(document, f"{key} has no effect: {org.file} says {value}", "escalation", key)
