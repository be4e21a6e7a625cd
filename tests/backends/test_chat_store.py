"""The terminal as chat: questions are kept once and closed once."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends.chat_store import StoreChat
from activities.backends.store_sql import open_store
from tests.fakes.asks import NOON


@pytest.fixture
def chat(tmp_path: Path) -> Iterator[StoreChat]:
    engine = open_store(f"sqlite:///{tmp_path / 'store.db'}")
    yield StoreChat(engine)
    engine.dispose()


def post(chat: StoreChat, approval: str = "approval/1", title: str = "Switch it on") -> str:
    return chat.post_approval(approval, title=title, body="Because.", expires_at=NOON + timedelta(hours=1))


def test_a_question_is_posted_once_and_says_where_to_answer(chat: StoreChat) -> None:
    assert post(chat) == post(chat, title="another title") == "leverframe approve approval/1"
    (posted,) = chat.posted()
    assert (posted.title, posted.expires_at) == ("Switch it on", NOON + timedelta(hours=1))


def test_a_closed_question_leaves_the_open_ones_and_its_first_ending_stands(chat: StoreChat) -> None:
    post(chat)
    post(chat, "approval/2")
    chat.close_approval("approval/1", text="approved by ada")
    chat.close_approval("approval/1", text="expired")
    assert [posted.approval for posted in chat.posted()] == ["approval/2"]
    ended = {posted.approval: posted.closed_text for posted in chat.posted(open_only=False)}
    assert ended == {"approval/1": "approved by ada", "approval/2": None}


def test_closing_an_unknown_question_changes_nothing(chat: StoreChat) -> None:
    chat.close_approval("approval/9", text="expired")
    assert chat.posted(open_only=False) == []


def test_health_counts_what_waits_for_an_answer(chat: StoreChat) -> None:
    post(chat)
    assert chat.health().ok
    assert "wait for an answer: 1" in chat.health().detail
