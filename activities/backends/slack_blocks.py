"""A message in Slack: one question in full, or several like ones with a row each, and how they ended.

Drawn from the cards alone and without a clock, so that the same cards always give the same blocks.
Limits of Block Kit: https://docs.slack.dev/reference/block-kit/blocks
"""

from collections.abc import Sequence
from typing import Literal

from activities.backends.chat_cards import Card
from activities.backends.slack_words import (
    SECTION,
    Block,
    evidence,
    fit,
    group_name,
    header,
    link,
    moment,
    ours,
    people_needed,
    plain,
    section,
    what_changes,
    why_asked,
    will,
)
from policies.question import Ending, Question, QuestionState

MAX_ROWS = 6
"""Questions in one message. Slack takes 50 blocks, and about 13,000 characters with what it adds to each
block (https://github.com/slackapi/bolt-js/issues/2509): a message past that can't even be ended."""

_MANY_LINES = 2000
_ROW = 700
_ROW_ENDING = 600

LONGEST_REASON = 500

Mode = Literal["notify", "act"]

_ENDED: dict[QuestionState, str] = {
    "open": "Ended",
    "approved": "Approved",
    "rejected": "Denied",
    "expired": "Expired",
    "withdrawn": "Withdrawn",
    "superseded": "Superseded",
}


def announcement(cards: Sequence[Card]) -> str:
    """The line that is posted first and read by notifications."""
    if len(cards) == 1:
        return f"Leverframe asks {fit(cards[0].group, 70)}: {fit(cards[0].question.title)}"
    return f"Leverframe asks {fit(cards[0].group, 70)}: {len(cards)} questions"


def message(cards: Sequence[Card], mode: Mode) -> list[Block]:
    """The blocks of a message with these cards, at least one."""
    if len(cards) == 1:
        return _single(cards[0], mode)
    waiting = sum(card.ending is None for card in cards)
    title = f"{waiting} of {len(cards)} questions wait for an answer" if waiting else "All are answered"
    rows = [block for card in cards[:MAX_ROWS] for block in _row(card, mode)]
    return [header(title), *rows, ours(f"You are asked because you are in {group_name(cards[0].group)}.")]


def ending_line(question: Question, ending: Ending) -> str:
    """The one line for the thread, because people miss edits."""
    return f"{_ENDED[ending.state]}: {fit(question.title, 150)}: {fit(ending.text, 600)}"


def _single(card: Card, mode: Mode) -> list[Block]:
    question = card.question
    told = [
        header(question.title),
        section(will(question), fit(question.why, 500)),
        section("Exactly:", *what_changes(question)),
        section(f"Undo: {fit(question.reversibility, 500)}"),
    ]
    if card.ending is not None:
        return [*told, *_ended(question, card.ending)]
    return [
        *told,
        section(
            "Why people are asked:", *(why_asked(finding) for finding in question.findings), limit=_MANY_LINES
        ),
        section("Evidence:", *evidence(question), limit=_MANY_LINES),
        ours(
            f"You are asked because you are in {group_name(card.group)} · {people_needed(question)}, "
            f"one no is enough to refuse · {_until(question)}"
        ),
        _answers(card, mode),
    ]


def _row(card: Card, mode: Mode) -> list[Block]:
    question = card.question
    told = section(
        fit(question.title, 200), *what_changes(question)[:3], why_asked(question.findings[0]), limit=_ROW
    )
    if card.ending is not None:
        return [told, *_ended(question, card.ending, limit=_ROW_ENDING)[:1]]
    return [told, ours(f"{people_needed(question)} · {_until(question)}"), _answers(card, mode)]


def _ended(question: Question, ending: Ending, *, limit: int = SECTION) -> list[Block]:
    votes = [
        fit(f"• {vote.name}: {'yes' if vote.approve else 'no'} by {vote.via}")
        + (f", {fit(vote.reason, LONGEST_REASON)}" if vote.reason else "")
        for vote in ending.votes
    ]
    minutes = max(0, int((ending.ended_at - question.asked_at).total_seconds()) // 60)
    run = link(question.run_url, "the run")
    return [
        section(f"{_ENDED[ending.state]}. {fit(ending.text, limit // 2)}", *votes, limit=limit),
        ours(f"{moment(ending.ended_at)}, after {minutes} min" + (f" · {run}" if run else "")),
    ]


def _until(question: Question) -> str:
    run = link(question.run_url, "the run")
    return f"open until {moment(question.expires_at)}, silence means no" + (f" · {run}" if run else "")


def _answers(card: Card, mode: Mode) -> Block:
    """The buttons, which carry nothing but the card's id; or, to notify, the command."""
    if mode == "notify":
        approval = fit(card.question.approval)
        commands = f"Answer with: leverframe approve {approval}  or: leverframe deny {approval}"
        return {"type": "context", "elements": [plain(commands)]}
    return {
        "type": "actions",
        "block_id": f"answers-{card.id}",
        "elements": [
            _button("form_yes", "Approve…", card, style="primary"),
            _button("form_no", "Deny…", card, style="danger"),
            _button("details", "Details", card),
        ],
    }


def _button(action: str, words: str, card: Card, **style: str) -> Block:
    return {"type": "button", "action_id": action, "text": plain(words), "value": card.id, **style}
