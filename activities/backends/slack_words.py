"""Text for Slack, each piece within Slack's limits. What others wrote goes into `plain_text` only.

Slack gives `<…>` and `&` a meaning even in plain text, so they are escaped; its limits count the escapes.
Formatting: https://docs.slack.dev/messaging/formatting-message-text
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from leverframe.model.differences import TreeDifference
from leverframe.model.proposals import ChangeQuarantine, FlipFlag, RevertChange, RollBack
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Verdict
from policies.explain import amended_words, effect_words
from policies.question import Question

Block = dict[str, Any]

SECTION = 2900
"""Characters of one section; Slack takes 3,000."""
LINE = 300
HEADER = 150
MAX_PATHS = 5

_ADDRESS = re.compile(r"https?://[^\s<>|]{1,2000}")
_VERBS = {Verdict.ALLOW: "passes", Verdict.ESCALATE: "asks people", Verdict.DENY: "denies"}


def fit(text: str, limit: int = LINE) -> str:
    """One line in which nothing has a meaning for Slack, at most `limit` characters with its escapes."""
    shown = Untrusted(text).for_slack(limit)
    if len(shown) > limit:
        shown = shown[: limit - 1]
        # Every & begins an escape: one that was cut would show its letters, or eat what follows.
        escape = shown.rfind("&")
        shown = (shown[:escape] if escape >= 0 and ";" not in shown[escape:] else shown) + "…"
    return shown.strip() or "–"


def fit_lines(lines: Sequence[str], limit: int = SECTION) -> str:
    """Lines that are safe already, cut after the last one that fits."""
    kept: list[str] = []
    room = limit - len("\n… and 9999 more")
    for line in lines:
        room -= len(line) + 1
        if room < 0:
            return "\n".join([*kept, f"… and {len(lines) - len(kept)} more"])
        kept.append(line)
    return "\n".join(kept)


def plain(text: str) -> Block:
    """A `plain_text` object of text that is safe and short already. No emoji of anybody's making."""
    return {"type": "plain_text", "text": text, "emoji": False}


def section(*lines: str, limit: int = SECTION) -> Block:
    """A section of plain text, of lines that are safe already."""
    return {"type": "section", "text": plain(fit_lines(lines, limit))}


def header(text: str) -> Block:
    """The title."""
    return {"type": "header", "text": plain(fit(text, HEADER))}


def ours(markup: str) -> Block:
    """A context line in Slack's markup. Only for what we made: names from outside can't be in it."""
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": markup, "verbatim": True}]}


def moment(instant: datetime) -> str:
    """A time in the reader's own zone, as markup."""
    fallback = f"{instant:%Y-%m-%d %H:%M} {instant.tzname() or 'UTC'}"
    return f"<!date^{int(instant.timestamp())}^{{date_short_pretty}} {{time}}|{fallback}>"


def link(address: str, words: str) -> str:
    """A link of ours as markup; empty for what is no plain web address."""
    return f"<{address.replace('&', '&amp;')}|{words}>" if _ADDRESS.fullmatch(address) else ""


def group_name(group: str) -> str:
    """A group as markup: slugs can't carry any."""
    return f"`{fit(group, 70)}`"


def what_changes(question: Question) -> list[str]:
    """The exact flag delta, or the exact size of the difference with its first paths."""
    match question.effect:
        case FlipFlag() as flip:
            lines = [f"Flag {fit(flip.flag)}: becomes {'on' if flip.on else 'off'} for everybody"]
        case RollBack() as back:
            lines = [f"Service {fit(back.service)}: production goes back to {back.to[:12]}"]
        case RevertChange() as revert:
            lines = [f"Repository {fit(revert.repository)}: commit {revert.commit[:12]} is undone"]
        case ChangeQuarantine() as change:
            share = f"{change.quarantined:,} of {change.tests:,} tests are then quarantined"
            lines = [f"Repository {fit(change.repository)}: {share}"]
            lines += [f"• enters: {fit(one.entry.test.stored(), 150)}" for one in change.enter[:MAX_PATHS]]
            lines += [f"• leaves: {fit(test.stored(), 150)}" for test in change.leave[:MAX_PATHS]]
            lines += [f"• changes: {fit(amended_words(one), 600)}" for one in change.amend[:MAX_PATHS]]
    return [*lines, *(difference_lines(question.difference, MAX_PATHS) if question.difference else [])]


def difference_lines(difference: TreeDifference, paths: int) -> list[str]:
    """The size of a difference, and its first paths."""
    added = sum(file.added for file in difference.files)
    removed = sum(file.removed for file in difference.files)
    total = difference.total_files
    lines = [f"{total} {'file' if total == 1 else 'files'}, +{added} −{removed} lines"]
    for file in difference.files[:paths]:
        size = "binary" if file.binary else f"+{file.added} −{file.removed}"
        lines.append(f"• {fit(file.path, 150)} ({file.change}, {size})")
    more = total - min(paths, len(difference.files))
    return [*lines, *([f"… and {more} more"] if more else [])]


def why_asked(finding: Finding) -> str:
    """`org.limits.flips asks people: 3 in 1h; required: at most 2 (org.yaml:14)`"""
    return fit(
        f"• {finding.rule} {_VERBS[finding.verdict]}: {finding.observed}; "
        f"required: {finding.limit} ({finding.source})",
        400,
    )


def evidence(question: Question) -> list[str]:
    """What was measured, and what the error says of itself."""
    measured = [
        fit(f"• {each.name}: {each.observed} {each.unit}, threshold {each.threshold}")
        for each in question.evidence
    ]
    return [*measured, f"In its own words: {fit(question.error.stored(), 500)}"]


def will(question: Question) -> str:
    """What a yes does, in plain words."""
    return f"If you say yes, Leverframe will {fit(effect_words(question.effect))}."


def object_of(question: Question) -> str:
    """The name that somebody types to show that they know what they approve."""
    match question.effect:
        case FlipFlag() as flip:
            return flip.flag
        case RollBack() as back:
            return back.service
        case RevertChange() as revert:
            return revert.repository
        case ChangeQuarantine() as change:
            return change.repository


def people_needed(question: Question) -> str:
    """How many must say yes."""
    quorum = question.terms.quorum
    return "1 yes is enough" if quorum == 1 else f"{quorum} different people must say yes"
