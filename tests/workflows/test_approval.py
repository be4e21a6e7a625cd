"""An approval on a real server: exactly one effect, people only, and silence is no."""

import asyncio
from datetime import timedelta
from threading import Event
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment

from leverframe.model.errors import Refused, Unavailable
from leverframe.model.untrusted import Untrusted
from tests.fakes.approval_world import (
    ASKS,
    DIGEST,
    ONCALL,
    NotedChat,
    NotedLedger,
    asking,
    question,
    refusal,
    vote,
)
from workflows.approval import ApprovalWorkflow
from workflows.messages import Approved, Expired, Rejected, Supersede, Superseded, VoteRefusal
from workflows.queues import HANDS

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_one_yes_approves_exactly_what_was_asked(env: WorkflowEnvironment) -> None:
    chat, ledger = NotedChat(), NotedLedger()
    async with asking(env, question(), chat, ledger=ledger) as handle:
        assert await handle.execute_update(ApprovalWorkflow.decide, vote()) == "approved by Ada"
        result = await handle.result()
        asked = await handle.query(ApprovalWorkflow.question)
    assert isinstance(result, Approved)
    approval = result.approval
    assert (approval.approval, approval.request_digest) == (handle.id, DIGEST)
    assert (approval.approvers, approval.lifts) == (("ada",), (ASKS,))
    assert approval.expires_at == asked.question.asked_at + timedelta(hours=1)
    assert chat.closed[handle.id].text == "approved by Ada"
    [answer] = ledger.answers
    assert (answer.state, [cast.account for cast in answer.votes]) == ("approved", ["login:ada"])


async def test_a_quorum_counts_people_and_not_accounts(env: WorkflowEnvironment) -> None:
    async with asking(env, question(quorum=2)) as handle:
        for account in ("login:ada", "login:ada", "slack:T0ACME/U0ADA"):
            said = await handle.execute_update(ApprovalWorkflow.decide, vote(account))
            assert said == "1 of 2 approvals so far (Ada)"
        assert await refusal(handle, vote(approve=False)) is VoteRefusal.VOTED_OTHERWISE
        await handle.execute_update(ApprovalWorkflow.decide, vote("slack:T0ACME/U0GRACE"))
        result = await handle.result()
    assert isinstance(result, Approved)
    assert result.approval.approvers == ("ada", "grace")


async def test_a_member_of_a_later_group_may_vote_from_the_beginning(env: WorkflowEnvironment) -> None:
    async with asking(env, question()) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote("login:linus"))
        assert isinstance(await handle.result(), Approved)


async def test_one_no_rejects_whatever_others_said(env: WorkflowEnvironment) -> None:
    async with asking(env, question(quorum=2)) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        said = await handle.execute_update(
            ApprovalWorkflow.decide, vote("login:grace", approve=False, reason="not on a Friday")
        )
        assert said == "rejected by Grace: not on a Friday"
        assert await handle.result() == Rejected(by="Grace", reason="not on a Friday")


async def test_a_vote_after_the_end_is_refused(env: WorkflowEnvironment) -> None:
    async with asking(env, question()) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        await handle.result()
        with pytest.raises(RPCError, match="completed"):
            await handle.execute_update(ApprovalWorkflow.decide, vote("login:grace"))


async def test_silence_reminds_brings_in_the_next_group_and_ends_in_no(skipping: WorkflowEnvironment) -> None:
    chat, ledger = NotedChat(), NotedLedger()
    async with asking(skipping, question(requesters=("ada@example.com",)), chat, ledger=ledger) as handle:
        assert await handle.result() == Expired()
    assert chat.groups() == ["sre-oncall", "platform"]
    # Whoever may not vote is not reminded.
    oncall, platform = ("sre-oncall", ("grace",)), ("platform", ("linus", "grace"))
    assert chat.reminded == [oncall, oncall, platform, oncall, platform]
    assert chat.closed[handle.id].state == "expired"
    assert ledger.answers[0].state == "expired"


async def test_a_question_whose_time_was_over_before_a_worker_saw_it_expires_and_asks_nobody(
    env: WorkflowEnvironment,
) -> None:
    chat, asked = NotedChat(), question()
    short = asked.terms.model_copy(update={"expires_after": timedelta(milliseconds=1)})
    late = await env.client.start_workflow(
        ApprovalWorkflow.run,
        asked.model_copy(update={"terms": short}),
        id=f"approval/{uuid4().hex}",
        task_queue=HANDS,
    )
    await asyncio.sleep(0.01)
    async with asking(env, asked, chat):
        assert await late.result() == Expired()
    assert late.id not in [approval for approval, _ in chat.asked]
    assert chat.closed[late.id].state == "expired"


async def test_reminders_come_to_an_end(skipping: WorkflowEnvironment) -> None:
    chat = NotedChat()
    asked = question(chain=(ONCALL,))
    often = asked.terms.model_copy(update={"remind_after": timedelta(minutes=1)})
    async with asking(skipping, asked.model_copy(update={"terms": often}), chat) as handle:
        assert await handle.result() == Expired()
    assert len(chat.reminded) == 8


async def test_a_group_that_was_asked_enough_finds_the_question_in_its_digest_and_may_vote(
    env: WorkflowEnvironment,
) -> None:
    chat = NotedChat()
    ledger = NotedLedger(tired=("sre-oncall",))
    async with asking(env, question(), chat, ledger=ledger) as handle:
        assert await asyncio.to_thread(chat.holding.wait, 30)
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        assert isinstance(await handle.result(), Approved)
    assert chat.held == [(handle.id, "sre-oncall")]
    assert chat.asked == []


async def test_people_are_asked_when_the_ledger_does_not_say_whether_that_is_too_much(
    env: WorkflowEnvironment,
) -> None:
    chat = NotedChat()
    async with asking(env, question(), chat, ledger=NotedLedger(tired=("sre-oncall",), mute=True)) as handle:
        assert await asyncio.to_thread(chat.shown.wait, 30)
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        assert isinstance(await handle.result(), Approved)
    assert (chat.groups(), chat.held) == (["sre-oncall"], [])


async def test_a_question_that_is_being_kept_for_the_digest_is_closed_only_when_it_is(
    env: WorkflowEnvironment,
) -> None:
    chat = NotedChat(hold_on=Event())
    assert chat.hold_on is not None
    async with asking(env, question(), chat, ledger=NotedLedger(tired=("sre-oncall",))) as handle:
        assert await asyncio.to_thread(chat.holding.wait, 30)
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        scheduled: list[str] = []
        cancelled = False
        while not cancelled:
            async for event in handle.fetch_history_events():
                cancelled = cancelled or event.HasField("activity_task_cancel_requested_event_attributes")
                if event.HasField("activity_task_scheduled_event_attributes"):
                    scheduled.append(event.activity_task_scheduled_event_attributes.activity_type.name)
        assert "close" not in scheduled
        chat.hold_on.set()
        assert isinstance(await handle.result(), Approved)
    assert chat.held == [(handle.id, "sre-oncall")]
    assert chat.closed[handle.id].state == "approved"


async def test_an_answer_waits_as_long_as_it_takes_for_the_ledger_to_record_it(
    skipping: WorkflowEnvironment,
) -> None:
    ledger = NotedLedger(away=40)
    async with asking(skipping, question(), ledger=ledger) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        assert isinstance(await handle.result(), Approved)
    ((cast,),) = (answer.votes for answer in ledger.answers)
    assert (cast.principal, cast.account, cast.via) == ("ada", "login:ada", "cli")


async def test_the_next_chat_asks_while_the_first_is_down_and_nobody_answers_for_people(
    skipping: WorkflowEnvironment,
) -> None:
    down, up = NotedChat(failure=Unavailable("no answer")), NotedChat()
    async with asking(skipping, question(), down, up) as handle:
        assert await handle.result() == Expired()
    assert up.groups() == ["sre-oncall", "platform"]
    assert ("sre-oncall", ("ada", "grace")) in up.reminded
    assert down.asked == []
    assert up.closed[handle.id].state == "expired"


async def test_a_chat_that_refuses_for_good_passes_its_turn_on_at_once(env: WorkflowEnvironment) -> None:
    broken, up = NotedChat(failure=Refused("no such channel")), NotedChat()
    async with asking(env, question(), broken, up) as handle:
        assert await asyncio.to_thread(up.shown.wait, 30)
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        assert isinstance(await handle.result(), Approved)
    assert broken.tries == 2, "once to ask, once to close"


async def test_a_reminder_shows_the_question_in_a_chat_that_never_did(skipping: WorkflowEnvironment) -> None:
    first, second = NotedChat(failure=Unavailable("no answer")), NotedChat()

    def recovers(*_: object, **__: object) -> None:
        first.failure = None

    second.remind = recovers  # type: ignore[method-assign]
    async with asking(skipping, question(chain=(ONCALL,)), first, second) as handle:
        assert await handle.result() == Expired()
    assert first.groups() == ["sre-oncall"]


async def test_a_question_about_what_has_moved_is_void_whatever_was_voted(env: WorkflowEnvironment) -> None:
    chat, ledger = NotedChat(), NotedLedger()
    async with asking(env, question(quorum=2), chat, ledger=ledger) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        await handle.signal(ApprovalWorkflow.supersede, Supersede(request_digest=DIGEST, why="the same"))
        assert (await handle.query(ApprovalWorkflow.question)).state == "open"
        await handle.signal(ApprovalWorkflow.supersede, Supersede(request_digest="e" * 64, why="main moved"))
        assert await handle.result() == Superseded(why="main moved")
    assert chat.closed[handle.id].text == "superseded: main moved"
    assert ledger.answers[0].state == "superseded"


async def test_a_cancelled_question_is_closed_where_it_was_asked(env: WorkflowEnvironment) -> None:
    chat = NotedChat()
    async with asking(env, question(), chat) as handle:
        await handle.query(ApprovalWorkflow.question)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert chat.closed[handle.id].state == "withdrawn"


async def test_the_page_shows_the_effect_and_why_people_are_asked_and_nothing_of_it_formats(
    env: WorkflowEnvironment,
) -> None:
    hostile = "<!channel> **now** [x](http://evil) \x1b[31m"
    asked = question().model_copy(update={"title": hostile, "error": Untrusted(hostile)})
    async with asking(env, asked) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote(approve=False, reason=hostile))
        await handle.result()
        page = str(await handle.query("__temporal_workflow_metadata"))
    assert '\\"flag\\": \\"new-checkout\\"' in page or '"flag": "new-checkout"' in page
    assert DIGEST in page
    assert "direction" in page
    assert "<!channel>" not in page
    assert "](http" not in page
    assert "\x1b" not in page
