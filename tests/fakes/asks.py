"""Requests and policies in few words, for tests of the policy and what stands on it."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import EllipsisType

from leverframe.model.differences import FileDelta, TreeDifference
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import (
    Affected,
    ChangeQuarantine,
    Cost,
    Effect,
    FlipFlag,
    Measurement,
    RevertChange,
    RollBack,
)
from policies.decision import Approval, ReserveRequest
from policies.documents import PolicySnapshot, parse
from policies.evaluate import Evaluation, evaluate
from policies.intent import Intent
from policies.rules import Autonomy
from policies.usage import Usage, UsageDocument, Use

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

OFF = FlipFlag(flag="new-checkout", on=False)
ON = FlipFlag(flag="new-checkout", on=True)
REVERT = RevertChange(repository="shop", commit="a" * 40, title="Revert", body="Because.")
BACK = RollBack(service="shop", to="b" * 40)

PEOPLE = """version: 1
people:
  ada: {name: Ada, slack: [T0123/U0001], logins: [ada], git: [ada@example.com]}
  grace: {name: Grace, slack: [T0123/U0002], logins: [grace], git: [grace@example.com]}
  edsger: {name: Edsger, slack: [T0123/U0003], logins: [edsger], git: [edsger@example.com]}
groups: {sre-oncall: [ada, grace], sre-leads: [edsger, grace]}
"""

ESCALATION = "escalation: {approvers: [sre-oncall, sre-leads], quorum: 1, expires_after: 1h}"

LEVERS = (
    "levers: {flip_flag: {direction: {to_off: act, to_on: act_with_approval}, flags: {allow: ['*']}},"
    " roll_back: {}, open_merge_request: {paths: {allow: ['**']},"
    " diff: {max_files: unlimited, max_lines: unlimited}}}"
)


def delta(path: str = "shop/checkout.py", *, added: int = 2, removed: int = 1) -> FileDelta:
    """One modified file."""
    return FileDelta(
        path=path, change="modified", old_mode="100644", new_mode="100644", added=added, removed=removed
    )


def difference(*files: FileDelta | str, patch: str = "d" * 40, omitted: int = 0) -> TreeDifference:
    """A difference of these files, or of one small one."""
    deltas = [delta(file) if isinstance(file, str) else file for file in files] or [delta()]
    return TreeDifference(
        base="1" * 40,
        head="2" * 40,
        patch=patch,
        files=tuple(sorted(deltas, key=lambda each: each.path)),
        omitted=omitted,
    )


def ask(
    reservation: str = "run/1",
    effect: Effect = OFF,
    *,
    agent: str = "sentry_spike",
    repository: str = "shop",
    subject: str = "SHOP-1",
    difference: TreeDifference | EllipsisType | None = ...,
    cost: Cost | None = None,
    evidence: Sequence[Measurement] = (),
    affected: Affected | None = None,
    lineage: Sequence[str] = (),
    requesters: Sequence[str] = (),
    approval: Approval | None = None,
) -> ReserveRequest:
    """One request; the repository's service has its name. A merge request changes little unless told."""
    if isinstance(difference, EllipsisType):
        difference = SMALL if isinstance(effect, RevertChange) else None
        if isinstance(effect, ChangeQuarantine):
            difference = QUARANTINED
    return ReserveRequest(
        reservation=reservation,
        agent=agent,
        repository=repository,
        service=repository,
        subject=subject,
        effect=effect,
        difference=difference,
        cost=cost,
        evidence=tuple(evidence),
        affected=affected,
        lineage=tuple(lineage),
        requesters=tuple(requesters),
        approval=approval,
    )


def use(
    request: ReserveRequest,
    minutes_ago: int = 0,
    *,
    outcome: Outcome | None = None,
    ended_minutes_ago: int | None = None,
    overrun: bool = False,
) -> Use:
    """The request, granted so long before noon; settled when it has an outcome."""
    at = NOON - timedelta(minutes=minutes_ago)
    ended = at if ended_minutes_ago is None else NOON - timedelta(minutes=ended_minutes_ago)
    return Use(
        agent=request.agent,
        repository=request.repository,
        service=request.service,
        subject=request.subject,
        lever=request.lever,
        at=at,
        held=outcome is None,
        cost=request.cost or Cost(),
        tests=Intent.of(request).tests,
        outcome=outcome,
        ended_at=ended if outcome else None,
        overrun=overrun,
    )


def judge(
    snapshot: PolicySnapshot,
    request: ReserveRequest,
    *uses: Use,
    known: UsageDocument | None = None,
    at: datetime = NOON,
    as_if: Autonomy | None = None,
) -> Evaluation:
    """What the policy says at noon beside these uses and what else is known."""
    document = (known or UsageDocument()).model_copy(update={"uses": uses})
    return evaluate(snapshot, Intent.of(request), Usage(snapshot, document), at, as_if=as_if)


def policy(
    limits: Sequence[str] = (),
    *,
    autonomy: str = "act",
    kill_switch: bool = False,
    levers: str = LEVERS,
    escalation: str = ESCALATION,
    org: str = "",
    agent: str = "",
    repos: Mapping[str, str] | None = None,
    people: str = PEOPLE,
) -> PolicySnapshot:
    """The organisation's file with these limits (flow mappings), and a permissive agent's file.

    `org` and `agent` are more lines for those files; `repos` has, by repository, the lines that a permissive
    file of the repository's adds. The first limit stands in line 8 of org.yaml.
    """
    rows = "".join(f"  - {limit}\n" for limit in limits)
    head = f"autonomy: {autonomy}\nkill_switch: {str(kill_switch).lower()}\n{levers}\n{escalation}\n"
    files = {
        "org.yaml": f"version: 1\nlayer: org\n{head}" + (f"limits:\n{rows}" if rows else "") + org,
        "agents/sentry_spike.yaml": document("agent") + agent,
        "people.yaml": people,
    }
    for name, lines in (repos or {}).items():
        files[f"repos/{name}.yaml"] = document("repo") + lines
    return parse(files)


def document(layer: str, *, autonomy: str = "act") -> str:
    """A permissive file of that layer."""
    return f"version: 1\nlayer: {layer}\nautonomy: {autonomy}\nkill_switch: false\n{LEVERS}\n"


SMALL = difference()
QUARANTINED = difference(".leverframe/quarantine.yaml")
