"""Whatever is written in a question, Slack takes what we draw of it and finds no markup but ours."""

import html

from hypothesis import given, settings
from hypothesis import strategies as st

from activities.backends.chat_cards import Card
from activities.backends.slack_blocks import MAX_ROWS, message
from activities.backends.slack_forms import answer_form, details_form
from activities.backends.slack_words import fit
from leverframe.model.untrusted import Untrusted
from policies.question import VoteLine
from tests.fakes.asks import NOON
from tests.fakes.slack_desk import APPROVED, DIFFERENCE, REVERT, asked
from tests.fakes.slack_rules import controls, texts, wrong_blocks, wrong_view

GROUP = "sre-oncall"


def card(number: int = 1, **changes: object) -> Card:
    """A card as the store gives it."""
    fields = {"id": f"{number:024x}", "group": GROUP, "held": False, "message": "m", "ending": None}
    return Card.model_validate({**fields, "question": asked(number), "kept_at": NOON, **changes})


@settings(max_examples=20, deadline=None)
@given(
    text=st.text(st.characters(codec="utf-8"), max_size=1200)
    | st.text("&<>!|`*_@#\n", min_size=100, max_size=1500),
    ended=st.booleans(),
    several=st.booleans(),
    mode=st.sampled_from(["act", "notify"]),
)
def test_whatever_is_written_slack_takes_the_blocks_and_finds_no_markup_of_others(
    text: str, ended: bool, several: bool, mode: str
) -> None:
    finding = asked().findings[0].model_copy(update={"observed": text, "remedy": text})
    delta = DIFFERENCE.files[0].model_copy(update={"path": text})
    hostile = asked(
        title=text,
        why=text,
        reversibility=text,
        run_url=text,
        subject=text,
        error=Untrusted(text),
        findings=(finding,) * 20,
        effect=REVERT,
        difference=DIFFERENCE.model_copy(update={"files": (delta,) * 45}),
    )
    vote = VoteLine(name=text, approve=False, reason=text, via="slack", at=NOON)
    ending = APPROVED.model_copy(update={"text": text, "votes": (vote,) * 9}) if ended else None
    cards = [card(number, question=hostile, ending=ending) for number in range(MAX_ROWS if several else 1)]
    blocks = message(cards, mode)  # type: ignore[arg-type]
    assert wrong_blocks(blocks) is None
    views = [
        answer_form(cards[0], approve=True),
        answer_form(cards[0], approve=False),
        details_form(cards[0]),
    ]
    assert [wrong_view(view) for view in views] == [None, None, None]
    for shown in (blocks, views):
        assert all(found.startswith("!date^") for found in controls(shown))
        assert all(not each.get("emoji") for each in texts(shown))


@settings(max_examples=60, deadline=None)
@given(text=st.text("&<>;abc \n", max_size=60), limit=st.integers(1, 40))
def test_text_is_cut_between_its_escapes(text: str, limit: int) -> None:
    shown = fit(text, limit)
    assert 0 < len(shown) <= limit
    assert html.escape(html.unescape(shown), quote=False) == shown
    assert len(html.escape(text, quote=False)) > limit or html.unescape(shown) == (
        " ".join(text.split("\n")).strip() or "–"
    )
