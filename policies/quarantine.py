"""Rules on what a change of a quarantine file does: how many tests enter, which, for how long, on what proof.

They look at the request itself. An agent that stays within them by its own arithmetic is asked all the same.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from leverframe.model.proposals import Lever
from leverframe.model.quarantine import MOST_PER_CHANGE, Owner, QuarantineCaps
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Verdict
from policies.documents import PolicyDocument, PolicySnapshot
from policies.intent import Intent, QuarantineIntent
from policies.layering import applicable, required
from policies.paths import is_denied
from policies.rules import Limit, QuarantineRule, Rules

_RULE = ("levers", Lever.OPEN_MERGE_REQUEST.value, "quarantine")
_MILLION = 1_000_000


class _Place(NamedTuple):
    """An agent in a repository."""

    agent: str
    repository: str


def unspecified(documents: Sequence[PolicyDocument], intent: Intent) -> Iterator[Finding]:
    """What no more is hidden without: a required file's rule, and one's limit on how many tests a day."""
    if intent.quarantine is None or not intent.quarantine.loosens:
        return
    needed = required(documents)
    if not any(rule_of(rules) for rules in needed):
        yield _missing(documents, "no file says which tests may be quarantined", *_RULE)
    if not any(is_daily(limit) for rules in needed for limit in rules.limits):
        yield _missing(documents, "no file limits how many tests enter within a time", "limits")


def findings(document: PolicyDocument, intent: Intent) -> Iterator[Finding]:
    """What one file says about tests that enter, and entries of which more is hidden, or for longer.

    That tests leave, or failures count again, needs no rule's leave.
    """
    rule, asked = rule_of(document.rules), intent.quarantine
    if rule is None or asked is None or not asked.loosens:
        return
    yield from _numbers(document, rule, asked)
    yield from _denied(document, rule, asked)
    yield from _going_on(document, rule, asked)
    if asked.enter + asked.hide and asked.weakest < rule.by_itself:
        yield _finding(
            document,
            "by_itself",
            f"{asked.weakest:,} for the weakest",
            f"evidence of at least {rule.by_itself:,}",
            remedy="Ask a person to approve it, or wait for more runs.",
            verdict=Verdict.ESCALATE,
        )


def caps(snapshot: PolicySnapshot, *, agent: str, repository: str) -> QuarantineCaps:
    """What all files together allow the agent to quarantine there. Nothing, where something is not said."""
    documents = applicable(snapshot, _Place(agent=agent, repository=repository))
    rules = [rule for document in documents if (rule := rule_of(document.rules))]
    needed = required(documents)
    daily = [
        limit.max if isinstance(limit.max, int) else MOST_PER_CHANGE
        for document in documents
        for limit in document.rules.limits
        if is_daily(limit)
    ]
    bounded = any(is_daily(limit) for each in needed for limit in each.limits)
    if not bounded or not any(rule_of(each) for each in needed):
        return QuarantineCaps()
    return QuarantineCaps(
        share_ppm=min(rule.max_share_ppm for rule in rules),
        per_day=min(daily),
        per_change=min(rule.max_per_change for rule in rules),
        deny_paths=tuple(dict.fromkeys(glob for rule in rules for glob in rule.deny_paths)),
        deny_markers=tuple(dict.fromkeys(marker for rule in rules for marker in rule.deny_markers)),
        fallback_owner=_fallback(documents),
        days=min(rule.max_days for rule in rules),
        by_itself=max(rule.by_itself for rule in rules),
        executions_a_day=_executions(documents, rules),
        renewals=all(rule.renewals == "ask" for rule in rules),
    )


def _executions(documents: Sequence[PolicyDocument], rules: Sequence[QuarantineRule]) -> int:
    """What is switched off has nothing executed."""
    if any(document.rules.kill_switch or document.rules.autonomy.rank == 0 for document in documents):
        return 0
    return min(rule.max_executions_a_day for rule in rules)


def rule_of(rules: Rules) -> QuarantineRule | None:
    """What a file says of quarantines; None: it has no say."""
    lever = rules.levers.open_merge_request
    return lever.quarantine if lever else None


def is_daily(limit: Limit) -> bool:
    """Whether it bounds how many tests enter within a time."""
    return limit.unit == "tests" and limit.window is not None and limit.max != "unlimited"


def _fallback(documents: Sequence[PolicyDocument]) -> Owner | None:
    """The nearest file's word, if a required file names somebody at all: else adding a file would loosen."""
    named = {
        document.rules.layer: rule.fallback_owner
        for document in documents
        if (rule := rule_of(document.rules)) and rule.fallback_owner
    }
    if not {"org", "agent"} & set(named):
        return None
    return named.get("repo") or named.get("agent") or named.get("org")


def _numbers(document: PolicyDocument, rule: QuarantineRule, asked: QuarantineIntent) -> Iterator[Finding]:
    if asked.enter + asked.renew and asked.standing * _MILLION > rule.max_share_ppm * asked.suite:
        yield _finding(
            document,
            "max_share_ppm",
            f"{asked.standing:,} of {asked.suite:,} tests with these",
            f"at most {rule.max_share_ppm * asked.suite // _MILLION:,} ({rule.max_share_ppm:,} in a million)",
            remedy="Repair or delete tests that are quarantined, or let a person quarantine these.",
        )
    if asked.loosens > rule.max_per_change:
        yield _finding(
            document,
            "max_per_change",
            f"{asked.loosens:,} tests enter, or more of them is hidden",
            f"at most {rule.max_per_change:,} in one change",
            remedy="Split the change.",
        )
    if asked.days > rule.max_days:
        yield _finding(
            document,
            "max_days",
            f"{asked.days:,} days",
            f"expires after at most {rule.max_days:,} days",
            remedy="Let the entries expire earlier.",
        )


def _going_on(document: PolicyDocument, rule: QuarantineRule, asked: QuarantineIntent) -> Iterator[Finding]:
    """A quarantine that goes on beyond the end that it was given: never without a person."""
    told = [
        *([f"{asked.renew:,} renewed for up to {asked.days:,} days"] if asked.renew else []),
        *([f"{asked.unhealed:,} begun again though not healed"] if asked.unhealed else []),
    ]
    if not told:
        return
    never = rule.renewals == "never"
    yield _finding(
        document,
        "renewals",
        "; ".join(told),
        "a quarantine ends on its day" if never else "a person's leave for each that goes on",
        remedy="Repair or delete the tests."
        if never
        else "Ask a person to approve it, or repair the tests, or let the quarantine end.",
        verdict=Verdict.DENY if never else Verdict.ESCALATE,
    )


def _denied(document: PolicyDocument, rule: QuarantineRule, asked: QuarantineIntent) -> Iterator[Finding]:
    caught = [path for path in asked.paths if not path or is_denied(path, rule.deny_paths)]
    if rule.deny_paths and caught:
        shown = ", ".join(
            Untrusted(path).for_terminal(80) or "a test whose file is not known" for path in caught[:3]
        )
        yield _finding(
            document,
            "deny_paths",
            shown,
            f"no test in {', '.join(rule.deny_paths)}",
            remedy="Let a person decide on these tests.",
        )
    marked = sorted(set(asked.markers) & set(rule.deny_markers))
    if marked:
        yield _finding(
            document,
            "deny_markers",
            ", ".join(marked),
            f"no test marked {', '.join(rule.deny_markers)}",
            remedy="Let a person decide on these tests.",
        )
    elif rule.deny_markers and asked.unmarked:
        yield _finding(
            document,
            "deny_markers",
            f"the marks of {asked.unmarked:,} tests are not known",
            f"no test marked {', '.join(rule.deny_markers)}",
            remedy="Ask a person to approve it, or send reports of the pytest plugin, which tell the marks.",
            verdict=Verdict.ESCALATE,
        )


def _finding(
    document: PolicyDocument,
    key: str,
    observed: str,
    limit: str,
    *,
    remedy: str,
    verdict: Verdict = Verdict.DENY,
) -> Finding:
    return Finding(
        rule=".".join((document.name, *_RULE, key)),
        verdict=verdict,
        observed=observed,
        limit=limit,
        remedy=remedy,
        source=document.source(*_RULE, key),
    )


def _missing(documents: Sequence[PolicyDocument], observed: str, *key: str) -> Finding:
    """What a required file must say. Told of the agent's, which is the nearest."""
    nearest = max(documents, key=lambda each: each.rules.layer == "agent", default=None)
    name, source = (nearest.name, nearest.source(*key)) if nearest else ("org", "org.yaml")
    words = ".".join(key)
    return Finding(
        rule=f"{name}.{words}",
        verdict=Verdict.DENY,
        observed=observed,
        limit=f"`{words}` says so in org.yaml or in the agent's file",
        remedy=f"Write `{words}` at {source}.",
        source=source,
    )
