"""What every chat promises: a question is shown once, held and digested once, and its first ending stands."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import structlog
from sqlalchemy import Engine

from activities.backends.chat_cards import Cards
from activities.backends.chat_store import StoreChat
from activities.ports import Chat
from leverframe.model.errors import NotFound
from tests.fakes.approval_world import ADA
from tests.fakes.slack import NOTICES, TEAM, FakeSlack, running
from tests.fakes.slack_desk import APPROVED, asked, slack_chat

GROUP = "sre-oncall"


@pytest.fixture(scope="module")
def slack() -> Iterator[FakeSlack]:
    with running() as workspace:
        yield workspace


@dataclass
class Room:
    """A chat, what it keeps, and how much it has said so far."""

    chat: Chat
    cards: Cards
    slack: FakeSlack
    logged: list[structlog.typing.EventDict]

    def said(self) -> int:
        return len(self.slack.messages) + len(self.logged)


@pytest.fixture(params=["terminal", "slack"])
def room(request: pytest.FixtureRequest, engine: Engine, slack: FakeSlack) -> Iterator[Room]:
    slack.messages.clear()
    with structlog.testing.capture_logs() as logged:
        if request.param == "terminal":
            yield Room(StoreChat(engine), Cards(engine, "terminal"), slack, logged)
        else:
            yield Room(slack_chat(engine, slack), Cards(engine, f"slack/{TEAM}"), slack, logged)


def test_a_question_is_shown_once_to_each_group_and_says_where(room: Room) -> None:
    first = room.chat.ask(asked(), GROUP)
    said = room.said()
    assert first
    assert room.chat.ask(asked(), GROUP) == first
    assert room.said() == said
    room.chat.ask(asked(), "platform")
    assert room.said() > said


def test_a_reminder_needs_a_question_that_was_shown_to_the_group(room: Room) -> None:
    with pytest.raises(NotFound):
        room.chat.remind("approval/run/1", GROUP, missing=(ADA,), text="it still waits")
    room.chat.ask(asked(), GROUP)
    said = room.said()
    room.chat.remind("approval/run/1", GROUP, missing=(ADA,), text="it still waits")
    assert room.said() == said + 1
    with pytest.raises(NotFound):
        room.chat.remind("approval/run/1", "platform", missing=(ADA,), text="it still waits")


def test_the_first_ending_stands_and_is_told_once(room: Room) -> None:
    room.chat.ask(asked(), GROUP)
    room.chat.close("approval/run/1", APPROVED)
    said = room.said()
    room.chat.close("approval/run/1", APPROVED.model_copy(update={"state": "expired"}))
    room.chat.ask(asked(), GROUP)
    assert room.said() == said
    assert [card.ending for card in room.cards.all()] == [APPROVED]


def test_closing_a_question_that_was_never_shown_changes_nothing(room: Room) -> None:
    room.chat.close("approval/run/9", APPROVED)
    assert room.said() == 0


def test_a_held_question_is_shown_by_the_digest_once_a_day(room: Room) -> None:
    room.chat.hold(asked(1), GROUP)
    room.chat.hold(asked(1), GROUP)
    room.chat.hold(asked(2), GROUP)
    room.chat.hold(asked(3), "platform")
    room.chat.hold(asked(4), GROUP)
    room.chat.close("approval/run/4", APPROVED)
    said = room.said()
    assert room.chat.digest("2026-03-03") == 3
    assert room.said() == said + 2
    room.chat.hold(asked(5), GROUP)
    room.chat.digest("2026-03-03")
    assert room.said() == said + 2
    assert room.chat.digest("2026-03-04") == 1
    assert room.said() == said + 3


def test_a_held_question_can_be_asked_at_once_later(room: Room) -> None:
    room.chat.hold(asked(), GROUP)
    said = room.said()
    room.chat.ask(asked(), GROUP)
    assert room.said() == said + 1
    assert room.chat.digest("2026-03-03") == 0


def test_a_notice_is_told_once_by_its_key(room: Room) -> None:
    room.chat.tell("policy/abc", text="the policy was refused")
    said = room.said()
    room.chat.tell("policy/abc", text="the policy was refused")
    assert room.said() == said
    room.chat.tell("policy/def", text="the policy was refused")
    assert room.said() == said + 1
    assert all(each.channel == NOTICES for each in room.slack.messages)


def test_a_chat_that_works_says_so(room: Room) -> None:
    assert room.chat.health().ok


def test_the_terminal_tells_a_long_notice_whole_a_line_for_each_paragraph(engine: Engine) -> None:
    paragraphs = [f"repository {number}\n" + "\n".join(["x" * 70] * 20) for number in range(6)]
    with structlog.testing.capture_logs() as logged:
        StoreChat(engine).tell("report/2026-W09", text="\n\n".join(paragraphs))
    assert [line["part"] for line in logged] == [f"{number} of 6" for number in range(1, 7)]
    assert all(line["text"].endswith("x" * 70) for line in logged)
