"""The chats as activities: whose turn it is, and what every one of them is told."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.chat import ChatActivities
from leverframe.model.errors import Refused, Unavailable
from policies.question import Ending
from tests.fakes.approval_world import NotedChat

AWAY = Unavailable("slow down", wait=timedelta(minutes=10))


def attempt(number: int) -> ActivityEnvironment:
    """An activity at its n-th attempt."""
    env = ActivityEnvironment()
    env.info = replace(env.info, attempt=number)
    return env


@pytest.mark.parametrize(("number", "first"), [(1, True), (3, True), (4, False), (6, False), (7, True)])
def test_the_turn_passes_on_after_three_attempts_and_comes_back(number: int, first: bool) -> None:
    one, two = NotedChat(), NotedChat()
    attempt(number).run(ChatActivities({"one": one, "two": two}).tell, "key", "text")
    assert (one.tries, two.tries) == ((1, 0) if first else (0, 1))


def test_a_chat_that_does_not_answer_is_tried_again_before_the_next_one() -> None:
    down, up = NotedChat(failure=Unavailable("no answer")), NotedChat()
    with pytest.raises(ApplicationError) as caught:
        attempt(1).run(ChatActivities({"down": down, "up": up}).tell, "key", "text")
    assert not caught.value.non_retryable
    assert up.tries == 0


def test_a_chat_that_asks_us_to_stay_away_for_long_passes_its_turn_on_at_once() -> None:
    up = NotedChat()
    attempt(1).run(ChatActivities({"away": NotedChat(failure=AWAY), "up": up}).tell, "key", "text")
    assert up.tries == 1


def test_when_no_chat_ever_takes_it_the_failure_is_final_and_names_each_reason() -> None:
    chats = {name: NotedChat(failure=Refused(f"{name} has no channel")) for name in ("one", "two")}
    with pytest.raises(ApplicationError, match="one has no channel; two has no channel") as caught:
        attempt(1).run(ChatActivities(chats).tell, "key", "text")
    assert caught.value.non_retryable
    with pytest.raises(ApplicationError, match="no chat is configured"):
        attempt(1).run(ChatActivities({}).tell, "key", "text")


def test_the_digest_is_shown_in_every_chat_and_tried_again_when_one_of_them_is_down() -> None:
    chats = {"one": NotedChat(held=[("a", "g")]), "two": NotedChat(held=[("b", "g"), ("c", "g")])}
    activities = ChatActivities(chats)
    assert attempt(1).run(activities.digest, "2026-11-22") == 3
    chats["one"].failure = Unavailable("no answer")
    with pytest.raises(ApplicationError) as caught:
        attempt(1).run(activities.digest, "2026-11-22")
    assert not caught.value.non_retryable
    assert chats["two"].tries == 2


def test_an_ending_reaches_every_chat_even_when_the_first_refuses() -> None:
    broken, up = NotedChat(failure=Refused("gone")), NotedChat()
    ending = Ending(state="approved", text="approved by Ada", ended_at=datetime(2026, 3, 2, tzinfo=UTC))
    with pytest.raises(ApplicationError):
        attempt(1).run(ChatActivities({"broken": broken, "up": up}).close, "approval/1", ending)
    assert up.closed == {"approval/1": ending}


def test_a_page_ends_in_the_address_of_the_workflow_that_sends_it() -> None:
    chat, env = NotedChat(), attempt(1)
    env.info = replace(env.info, workflow_id="release/shop/abc", workflow_namespace="ns")
    env.run(ChatActivities({"one": chat}, "http://ui/").page, "key", "it is red")
    env.run(ChatActivities({"one": chat}).page, "other", "it is red")
    link = "http://ui/namespaces/ns/workflows/release%2Fshop%2Fabc"
    assert chat.told == {"key": f"it is red\n{link}", "other": "it is red"}
