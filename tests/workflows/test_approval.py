"""An approval on a real server: exactly one effect, people only, and silence is no."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from threading import Event
from uuid import uuid4

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle, WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.chat import ChatActivities
from activities.ports import Health
from leverframe.model.ids import digest
from policies.decision import Finding, Verdict
from tests.fakes.asks import OFF, ON
from tests.fakes.workers import unversioned
from workflows.approval import ApprovalWorkflow
from workflows.messages import ApprovalRequest, ApprovalResult, Approved, Expired, Rejected, Vote
from workflows.queues import HANDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

Handle = WorkflowHandle[ApprovalWorkflow, ApprovalResult]


class NotedChat:
    """A chat that remembers what it was asked to show and how it ended."""

    def __init__(self) -> None:
        self.shown = Event()
        self.posted: dict[str, str] = {}
        self.closed: dict[str, str] = {}

    def post_approval(self, approval: str, *, title: str, body: str, expires_at: datetime) -> str:
        self.posted[approval] = body
        self.shown.set()
        return "noted"

    def close_approval(self, approval: str, *, text: str) -> None:
        self.closed[approval] = text

    def health(self) -> Health:
        return Health(ok=True, detail="noted")


def question(*, quorum: int = 1) -> ApprovalRequest:
    return ApprovalRequest(
        title="Switch new-checkout on again",
        body="The error is gone.",
        agent="sentry_spike",
        repository="shop",
        subject="SHOP-1",
        run="run/1",
        effect=ON,
        effect_digest=digest(ON),
        policy_digest="p" * 64,
        findings=(
            Finding(
                rule="org.levers.flip_flag.direction.to_on",
                verdict=Verdict.ESCALATE,
                observed="act_with_approval",
                limit="act",
                remedy="Ask a person.",
                source="org.yaml:11",
            ),
        ),
        quorum=quorum,
        expires_after_seconds=3600,
    )


def vote(
    voter: str = "ada", *, approve: bool = True, effect_digest: str = digest(ON), reason: str = ""
) -> Vote:
    return Vote(voter=voter, approve=approve, effect_digest=effect_digest, reason=reason, via="cli")


@asynccontextmanager
async def asking(
    env: WorkflowEnvironment, request: ApprovalRequest, chat: NotedChat | None = None
) -> AsyncIterator[Handle]:
    """A worker, and one question that waits for votes."""
    activities = ChatActivities(chat or NotedChat())
    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            env.client,
            task_queue=HANDS,
            workflows=[ApprovalWorkflow],
            activities=[activities.post_approval, activities.close_approval],
            activity_executor=threads,
            workflow_runner=unversioned(),
        ):
            yield await env.client.start_workflow(
                ApprovalWorkflow.run, request, id=f"approval/{uuid4().hex}", task_queue=HANDS
            )


async def refusal(handle: Handle, refused: Vote) -> str | None:
    """The type of the error that a vote is refused with."""
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await handle.execute_update(ApprovalWorkflow.decide, refused)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause.type


async def test_one_yes_approves_exactly_the_effect_in_question(env: WorkflowEnvironment) -> None:
    chat = NotedChat()
    async with asking(env, question(), chat) as handle:
        assert await handle.execute_update(ApprovalWorkflow.decide, vote()) == "approved by ada"
        result = await handle.result()
        asked = await handle.query(ApprovalWorkflow.question)
    assert isinstance(result, Approved)
    assert result.approval.approval == handle.id
    assert result.approval.effect_digest == digest(ON)
    assert result.approval.approvers == ("ada",)
    assert result.approval.expires_at == asked.asked_at + timedelta(hours=1)
    assert chat.closed == {handle.id: "approved by ada"}


async def test_a_vote_for_another_effect_or_by_no_person_is_refused(env: WorkflowEnvironment) -> None:
    async with asking(env, question()) as handle:
        assert await refusal(handle, vote(effect_digest=digest(OFF))) == "Conflict"
        for name in ("  ", "sentry_spike", "Sentry_Spike", "renovate[bot]", "leverframe"):
            assert await refusal(handle, vote(name)) == "BadInput"
        assert (await handle.query(ApprovalWorkflow.question)).votes == ()
        await handle.terminate()


async def test_one_person_counts_once_and_cannot_change_sides(env: WorkflowEnvironment) -> None:
    async with asking(env, question(quorum=2)) as handle:
        for name in ("ada", "ada", "Ada "):
            assert (
                await handle.execute_update(ApprovalWorkflow.decide, vote(name)) == "1 of 2 approvals so far"
            )
        assert await refusal(handle, vote("ada", approve=False)) == "Refused"
        await handle.execute_update(ApprovalWorkflow.decide, vote("grace"))
        result = await handle.result()
    assert isinstance(result, Approved)
    assert result.approval.approvers == ("ada", "grace")


async def test_one_no_rejects_whatever_others_said(env: WorkflowEnvironment) -> None:
    async with asking(env, question(quorum=2)) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote("ada"))
        said = await handle.execute_update(
            ApprovalWorkflow.decide, vote("grace", approve=False, reason="not on a Friday")
        )
        assert said == "rejected by grace: not on a Friday"
        assert await handle.result() == Rejected(by="grace", reason="not on a Friday")


async def test_a_vote_after_the_end_is_refused(env: WorkflowEnvironment) -> None:
    async with asking(env, question()) as handle:
        await handle.execute_update(ApprovalWorkflow.decide, vote())
        await handle.result()
        with pytest.raises(RPCError, match="completed"):
            await handle.execute_update(ApprovalWorkflow.decide, vote("grace"))


async def test_silence_expires_and_means_no(skipping: WorkflowEnvironment) -> None:
    chat = NotedChat()
    async with asking(skipping, question(), chat) as handle:
        assert await handle.result() == Expired()
        asked = await handle.query(ApprovalWorkflow.question)
    assert asked.state == "expired"
    assert chat.closed[handle.id].startswith("expired")


async def test_a_cancelled_question_is_closed_where_it_was_asked(env: WorkflowEnvironment) -> None:
    chat = NotedChat()
    async with asking(env, question(), chat) as handle:
        await handle.query(ApprovalWorkflow.question)
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await handle.result()
    assert isinstance(caught.value.cause, CancelledError)
    assert chat.closed[handle.id].startswith("withdrawn")


async def test_the_question_shows_the_effect_and_why_people_are_asked(env: WorkflowEnvironment) -> None:
    hostile = question().model_copy(update={"title": "<!channel> **now** [x](http://evil)"})
    chat = NotedChat()
    async with asking(env, hostile, chat) as handle:
        assert await asyncio.to_thread(chat.shown.wait, 30)
        await handle.terminate()
    body = chat.posted[handle.id]
    assert '"flag": "new-checkout"' in body
    assert digest(ON) in body
    assert "act_with_approval".replace("_", "\\_") in body
    assert "<!channel>" not in body
    assert "](http" not in body
