"""Words for people: one sentence for a finding, one for an effect, one page for the ledger."""

from datetime import datetime
from typing import assert_never

from leverframe.model.proposals import Amending, ChangeQuarantine, Effect, FlipFlag, RevertChange, RollBack
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Verdict
from policies.overview import Headroom, LedgerOverview, OpenReservation, ShadowTally
from policies.reservations import ParkedRun
from policies.usage import Pause

MAX_ROWS = 40
"""Longer tables end with how many rows are left out."""

LOST = (
    "what was granted, paused or lowered before is only in the audit log, "
    "and what was open then may have happened"
)
"""What a ledger that began anew does not know."""

_VERBS = {Verdict.ALLOW: "passes", Verdict.ESCALATE: "asks people", Verdict.DENY: "denies"}


def sentence(finding: Finding) -> str:
    """`org.limits.flips (org.yaml:14) denies: 3 in 1h with this one; required: at most …`"""
    verb = _VERBS[finding.verdict]
    return (
        f"{finding.rule} ({finding.source}) {verb}: {finding.observed}; "
        f"required: {finding.limit}. {finding.remedy}"
    )


def effect_words(effect: Effect) -> str:
    """What would happen, verb first, in plain text without line breaks."""
    match effect:
        case FlipFlag():
            return f"switch the flag {effect.flag} {'on' if effect.on else 'off'} for everybody"
        case RollBack():
            return f"roll {effect.service} back to {effect.to[:12]}"
        case RevertChange():
            return f"open a merge request in {effect.repository} that reverts {effect.commit[:12]}"
        case ChangeQuarantine():
            parts = [
                *([f"quarantines {tests_words(len(effect.enter))}"] if effect.enter else []),
                *([f"releases {tests_words(len(effect.leave))}"] if effect.leave else []),
                *_amends(effect),
            ]
            return f"open a merge request in {effect.repository} that {' and '.join(parts)}"
        case _:
            assert_never(effect)


def _amends(effect: ChangeQuarantine) -> list[str]:
    renewed, hiding = effect.renewals, [one for one in effect.amend if one.hides]
    restored = len(effect.amend) - len(renewed) - len(hiding)
    until = max((one.entry.expires for one in renewed), default=None)
    return [
        *([f"renews the quarantine of {tests_words(len(renewed))} until {until}"] if renewed else []),
        *([f"hides more failures of {tests_words(len(hiding))}"] if hiding else []),
        *([f"restores the entries of {tests_words(restored)}"] if restored else []),
    ]


def amended_words(one: Amending) -> str:
    """One line of plain text on an entry that changes: what somebody needs who decides on it."""
    entry = one.entry
    what = (
        f"until {entry.expires}, not {one.was.expires}"
        if entry.expires != one.was.expires
        else f"hides {len(one.hides)} more failures until {entry.expires}"
        if one.hides
        else f"hides {len(one.was.masks)} failures no more, but {len(entry.masks)}"
    )
    age = f"quarantined since {entry.since}" + (f", renewed {one.renewed} times" if one.renewed else "")
    evidence = Untrusted(entry.evidence).for_terminal(300)
    told = (entry.test.for_terminal(150), what, entry.owner, age, evidence, entry.link)
    return "; ".join(part for part in told if part)


def tests_words(count: int) -> str:
    """`1 test`, `3 tests`."""
    return "1 test" if count == 1 else f"{count:,} tests"


def overview_markdown(overview: LedgerOverview) -> str:
    """The overview as Markdown: what is stopped, the room under each limit, what is open."""
    sections = [
        f"# Policy ledger of {Untrusted(overview.organisation).for_markdown()}",
        *_standing(overview),
        _bookkeeping(overview),
    ]
    if overview.parked:
        header = "| run | wants to | since |\n|---|---|---|"
        sections += [
            "## Waiting for a pause to end",
            _table(header, [_parked_row(p) for p in overview.parked]),
        ]
    if overview.headroom:
        header = "| limit | for | used | of | in |\n|---|---|---|---|---|"
        rows = [_limit_row(row) for row in overview.headroom]
        sections += ["## Room under each limit", _table(header, rows)]
    if overview.open:
        header = "| reservation | what | subject | phase | since |\n|---|---|---|---|---|"
        sections += ["## Open reservations", _table(header, [_open_row(row) for row in overview.open])]
    if overview.shadow:
        header = "| agent | asked | allowed | people asked | people did the same |\n|---|---|---|---|---|"
        sections += ["## Only observed", _table(header, [_shadow_row(row) for row in overview.shadow])]
    return "\n\n".join(sections)


def _standing(overview: LedgerOverview) -> list[str]:
    """What stops agents, most important first; with nothing of it, which policy decides."""
    lines = []
    if overview.began_anew is not None:
        lines.append(f"**The ledger began anew** at {_time(overview.began_anew)}: {LOST}.")
    for pause in overview.pauses:
        by, reason = (Untrusted(text).for_markdown() for text in (pause.by, pause.reason))
        lines.append(f"**Paused** {pause_scope(pause)} by {by}: {reason}. Nothing is granted there.")
    if not overview.files:
        lines.append("**No policy is installed**, so nothing is granted.")
    else:
        files = ", ".join(f"`{file}`" for file in overview.files)
        lines.append(f"Policy `{overview.policy_digest[:12]}` from {files}.")
    if overview.refused_policy is not None:
        revision = Untrusted(overview.refused_policy.revision).for_markdown()
        problems = "".join(
            f"\n- {Untrusted(problem).for_markdown()}" for problem in overview.refused_policy.problems
        )
        lines.append(
            f"**The policy of {revision} can't be installed**, and the one before stays:\n{problems}"
        )
    for demotion in overview.demotions:
        reason = Untrusted(demotion.reason).for_markdown()
        lines.append(f"**{demotion.agent} is lowered** to `{demotion.to.value}`: {reason}.")
    return lines


def pause_scope(pause: Pause) -> str:
    """`everything`, or `sentry_spike in shop`."""
    scope = [pause.agent or "", f"in {pause.repository}" if pause.repository else ""]
    return " ".join(part for part in scope if part) or "everything"


def _bookkeeping(overview: LedgerOverview) -> str:
    waiting = f", {overview.unwritten} of them not in the store yet" if overview.unwritten else ""
    return (
        f"{overview.remembered} of {overview.room} reservations are remembered; "
        f"{overview.audit_head.sequence} audit records{waiting}."
    )


def _table(header: str, rows: list[str]) -> str:
    left_out = len(rows) - MAX_ROWS
    more = [f"\n… and {left_out} more."] if left_out > 0 else []
    return "\n".join([header, *rows[:MAX_ROWS], *more])


def _limit_row(row: Headroom) -> str:
    scope = Untrusted(row.scope).for_markdown() or "everything"
    return f"| `{row.rule}` | {scope} | {row.used} | {row.max} | {row.span} |"


def _open_row(row: OpenReservation) -> str:
    name, words, subject = (Untrusted(text).for_markdown() for text in (row.id, row.words, row.subject))
    return f"| {name} | {words} | {subject} | {row.phase.value} | {_time(row.reserved_at)} |"


def _parked_row(row: ParkedRun) -> str:
    run, words = (Untrusted(text).for_markdown() for text in (row.run, row.words))
    return f"| {run} | {words} | {_time(row.since)} |"


def _shadow_row(row: ShadowTally) -> str:
    return (
        f"| {row.agent} | {row.asked} | {row.would_allow} | {row.would_escalate} "
        f"| {row.matched} of {row.scored} |"
    )


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S %Z}"
