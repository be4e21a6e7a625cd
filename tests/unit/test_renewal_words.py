"""What people see who are asked whether a quarantine goes on: in Slack, and on the question's page."""

from datetime import date, timedelta

import pytest

from activities.backends.chat_cards import Card
from activities.backends.slack_blocks import MAX_ROWS, message
from activities.backends.slack_forms import answer_form, details_form
from leverframe.model.proposals import Amending
from leverframe.model.untrusted import Untrusted
from tests.fakes.asks import NOON
from tests.fakes.quarantines import change
from tests.fakes.slack_desk import asked
from tests.fakes.slack_rules import texts, wrong_blocks, wrong_view
from tests.unit.agents.flaky_tests.proposals import entry
from tests.unit.agents.flaky_tests.test_proposing import HOSTILE
from workflows.approval_page import page
from workflows.messages import QuestionStanding

DAY = date(2026, 3, 2)
LINK = "https://git.example/acme/shop/issues/7"


def renewal(name: str) -> Amending:
    was = entry("x", test=Untrusted(name), since=DAY - timedelta(days=28), expires=DAY, link=LINK)
    later = was.model_copy(update={"expires": DAY + timedelta(days=30), "evidence": "in 9 of 400 runs"})
    return Amending(was=was, entry=later, on=DAY, strength=9, renewed=2)


TOLD = (
    "until 2026-04-01, not 2026-03-02",
    "since 2026-02-02",
    "renewed 2 times",
    "in 9 of 400 runs",
    "issues/7",
)


@pytest.mark.parametrize("name", ["tests/test_a.py::a", *HOSTILE, "x" * 1_000 + "&<>" * 300])
def test_whoever_is_asked_sees_what_the_decision_needs_and_no_markup_of_others(name: str) -> None:
    effect = change(amend=tuple(renewal(f"{name}{number}") for number in range(9)), staying=9)
    question = asked(effect=effect, title="Renew")
    fields = {"id": f"{1:024x}", "group": "sre-oncall", "held": False, "message": "m", "ending": None}
    card = Card.model_validate({**fields, "question": question, "kept_at": NOON})
    blocks = message([card], "act")
    several = [card.model_copy(update={"id": f"{number:024x}"}) for number in range(MAX_ROWS)]
    for made in (blocks, message(several, "act")):
        assert wrong_blocks(made) is None
    for view in (answer_form(card, approve=True), details_form(card)):
        assert wrong_view(view) is None
    shown = "\n".join(text["text"] for text in texts(blocks))
    assert all(words in shown for words in TOLD)
    told = page(QuestionStanding(question=question, state="open", standing="waiting"))
    (line, *_) = [line for line in told.splitlines() if line.startswith("- ") and "until 2026" in line]
    assert all(words in line.replace("\\", "") for words in TOLD)
    assert "[a](http" not in line
    assert "<script" not in line
