"""The forms: a yes or a no with its reason, and everything there is to see about a question.

What a form carries is the card's id; what it says is checked against the card, never against itself.
Views: https://docs.slack.dev/reference/views/modal-views
"""

from collections.abc import Mapping

from activities.backends.chat_cards import Card
from activities.backends.slack_words import (
    Block,
    difference_lines,
    evidence,
    fit,
    header,
    link,
    object_of,
    ours,
    plain,
    section,
    what_changes,
    why_asked,
    will,
)
from leverframe.model.errors import BadInput

REASONS: Mapping[str, str] = {
    "wrong_cause": "The cause is another one",
    "too_risky": "Too risky",
    "not_now": "Not now",
    "by_hand": "Somebody does it by hand",
    "other": "Something else",
}
"""Why people say no, in few words that can be counted."""

_WORDS = 300
_SHOWN_PATHS = 40


def answer_form(card: Card, *, approve: bool) -> Block:
    """The form of a yes (reason optional) or a no (reason needed)."""
    question = card.question
    verb = "Approve" if approve else "Deny"
    blocks = [
        section(fit(question.title), *(will(question), *what_changes(question))),
        *([_typed_name(card)] if approve and _needs_name(card) else []),
        *([] if approve else [_why_not()]),
        _free_words(),
    ]
    return {
        "type": "modal",
        "callback_id": "yes" if approve else "no",
        "private_metadata": card.id,
        "title": plain(verb),
        "submit": plain(verb),
        "close": plain("Cancel"),
        "blocks": blocks,
    }


def details_form(card: Card) -> Block:
    """Everything, without an answer."""
    question = card.question
    run = link(question.run_url, "Open the run")
    blocks = [
        header(question.title),
        section(will(question), fit(question.why, 500), f"Undo: {fit(question.reversibility, 500)}"),
        section("Exactly:", *what_changes(question)[:1]),
        section("Why people are asked:", *(why_asked(finding) for finding in question.findings)),
        section("Evidence:", *evidence(question)),
        section(
            fit(f"Agent {question.agent}, service {question.service}, subject {question.subject}"),
            fit(f"Request {question.request_digest[:12]}, policy {question.policy_digest[:12]}"),
            fit(f"On the command line: leverframe approvals show {question.approval}"),
        ),
    ]
    if question.difference is not None:
        blocks.insert(3, section(*difference_lines(question.difference, _SHOWN_PATHS)))
    if run:
        blocks.append(ours(run))
    return {
        "type": "modal",
        "callback_id": "details",
        "private_metadata": card.id,
        "title": plain("Details"),
        "close": plain("Close"),
        "blocks": blocks,
    }


def reason_of(card: Card, *, approve: bool, values: Mapping[str, str]) -> str:
    """What a form says, as one line.

    Raises:
        BadInput: a no without a reason from the list, or another name than the one to type.
    """
    words = values.get("words", "").strip()[:_WORDS]
    if approve:
        if _needs_name(card) and values.get("name", "").strip() != object_of(card.question):
            raise BadInput(
                f"the name to type is {object_of(card.question)}; nothing was counted, so click again"
            )
        return words
    chosen = REASONS.get(values.get("why", ""))
    if chosen is None:
        raise BadInput("a no needs a reason from the list; nothing was counted, so click again")
    return f"{chosen}: {words}" if words else chosen


def _needs_name(card: Card) -> bool:
    """What takes two people is worth a second look by each."""
    return card.question.terms.quorum > 1


def _typed_name(card: Card) -> Block:
    return {
        "type": "input",
        "block_id": "name",
        "label": plain(fit(f"Two people decide this. Type {object_of(card.question)} to confirm.", 500)),
        "element": {"type": "plain_text_input", "action_id": "name", "max_length": 100},
    }


def _why_not() -> Block:
    options = [{"text": plain(words), "value": name} for name, words in REASONS.items()]
    return {
        "type": "input",
        "block_id": "why",
        "label": plain("Why not?"),
        "element": {"type": "static_select", "action_id": "why", "options": options},
    }


def _free_words() -> Block:
    return {
        "type": "input",
        "block_id": "words",
        "optional": True,
        "label": plain("In your words (everybody here will see them)"),
        "element": {
            "type": "plain_text_input",
            "action_id": "words",
            "multiline": True,
            "max_length": _WORDS,
        },
    }
