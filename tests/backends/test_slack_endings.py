"""No live buttons after the end: whatever Slack, another process or the approval did just then."""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from activities.backends.chat_cards import Cards
from activities.backends.chat_slack import SlackChat
from activities.backends.slack_api import SlackApi
from activities.backends.slack_messages import Messages
from leverframe.model.errors import Unavailable
from tests.fakes.slack import TEAM, FakeSlack, Fault, running
from tests.fakes.slack_desk import APPROVED, asked, slack_chat
from tests.fakes.stores import store_at

GROUP = "sre-oncall"


@pytest.fixture
def slack() -> Iterator[FakeSlack]:
    with running() as workspace:
        yield workspace


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    opened = store_at(tmp_path / "store.db")
    yield opened
    opened.dispose()


@pytest.fixture
def chat(engine: Engine, slack: FakeSlack) -> SlackChat:
    return slack_chat(engine, slack)


def test_an_ending_that_slack_was_down_for_is_shown_later_once(chat: SlackChat, slack: FakeSlack) -> None:
    just_now = APPROVED.model_copy(update={"ended_at": datetime.now(UTC)})
    for number, ending in ((1, APPROVED), (2, just_now), (3, APPROVED)):
        chat.ask(asked(number), GROUP)
        slack.faults["chat.update"] = [Fault(status=503)] * (number != 3)
        with nullcontext() if number == 3 else pytest.raises(Unavailable):
            chat.close(f"approval/run/{number}", ending)
    calls = len(slack.calls)
    chat.catch_up()
    assert [len(posted.buttons) for posted in slack.top()] == [0, 3, 0]
    assert [len(slack.thread(posted.ts)) for posted in slack.top()] == [1, 0, 1]
    assert slack.calls[calls:] == ["chat.update", "chat.postMessage"]
    chat.catch_up()
    assert len(slack.calls) == calls + 2


def test_a_question_whose_approval_left_without_a_word_loses_its_buttons(
    chat: SlackChat, slack: FakeSlack
) -> None:
    chat.ask(asked(), GROUP)
    (posted,) = slack.top()
    card = posted.buttons[0][1]
    chat.retire(card)
    assert posted.buttons == []
    assert "Ended. The approval is over: leverframe approvals show approval/run/1" in posted.words
    chat.close("approval/run/1", APPROVED)
    assert len(slack.thread(posted.ts)) == 1


def test_the_buttons_go_although_another_process_drew_them_at_the_same_time(
    chat: SlackChat, engine: Engine, slack: FakeSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat.ask(asked(), GROUP)
    (posted,) = slack.top()
    buttons, messages = posted.blocks, Messages(engine)
    update = SlackApi.update

    def overtaken(api: SlackApi, channel: str, ts: str, *, text: str, blocks: Any) -> None:
        monkeypatch.setattr(SlackApi, "update", update)
        (card,) = Cards(engine, f"slack/{TEAM}").all()
        assert card.message is not None
        before = messages.message(card.message).drawn
        update(api, channel, ts, text=text, blocks=blocks)
        update(api, channel, ts, text=text, blocks=buttons)
        messages.drew(card.message, "the buttons", over=before)

    monkeypatch.setattr(SlackApi, "update", overtaken)
    chat.close("approval/run/1", APPROVED)
    assert posted.buttons == []
