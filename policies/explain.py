"""Words for people: one sentence for a finding, one for an effect, one page for the ledger."""

from typing import assert_never

from leverframe.model.proposals import Effect, FlipFlag, RevertChange, RollBack
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Verdict
from policies.overview import Headroom, LedgerOverview, OpenReservation

MAX_ROWS = 40
"""Longer tables end with how many rows are left out."""

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
        case _:
            assert_never(effect)


def overview_markdown(overview: LedgerOverview) -> str:
    """The overview as Markdown: paused or not, the room under each limit, what is open."""
    if overview.pause is not None:
        by, reason = (Untrusted(text).for_markdown() for text in (overview.pause.by, overview.pause.reason))
        standing = f"**Paused** by {by}: {reason}. Nothing is granted."
    elif not overview.files:
        standing = "**No policy is installed**, so nothing is granted."
    else:
        standing = (
            f"Policy `{overview.policy_digest[:12]}` from {', '.join(f'`{f}`' for f in overview.files)}."
        )
    sections = [f"# Policy ledger of {Untrusted(overview.organisation).for_markdown()}", standing]
    if overview.headroom:
        header = "| limit | for | used | of | in |\n|---|---|---|---|---|"
        sections += [
            "## Room under each limit",
            _table(header, [_limit_row(row) for row in overview.headroom]),
        ]
    if overview.open:
        header = "| reservation | lever | subject | phase | since |\n|---|---|---|---|---|"
        sections += ["## Open reservations", _table(header, [_open_row(row) for row in overview.open])]
    return "\n\n".join(sections)


def _table(header: str, rows: list[str]) -> str:
    left_out = len(rows) - MAX_ROWS
    more = [f"\n… and {left_out} more."] if left_out > 0 else []
    return "\n".join([header, *rows[:MAX_ROWS], *more])


def _limit_row(row: Headroom) -> str:
    scope = Untrusted(row.scope).for_markdown() or "everything"
    return f"| `{row.rule}` | {scope} | {row.used} | {row.max} | {row.span} |"


def _open_row(row: OpenReservation) -> str:
    name, subject = (Untrusted(text).for_markdown() for text in (row.id, row.subject))
    since = f"{row.reserved_at:%Y-%m-%d %H:%M:%S %Z}"
    return f"| {name} | `{row.lever.value}` | {subject} | {row.phase.value} | {since} |"
