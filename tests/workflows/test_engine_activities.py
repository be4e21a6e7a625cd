"""Enqueueing through the engine: the train is started when there is none, and its refusal is passed on."""

import asyncio
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.engine import EngineActivities, ReleaseStanding
from leverframe.model.changes import Author, Enqueue, Priority
from leverframe.model.releases import ReleaseOutcome
from tests.fakes.workers import unversioned

pytestmark = pytest.mark.asyncio(loop_scope="module")

LANDED = ReleaseOutcome(service="shop", sha="a" * 40, outcome="landed", reached_percent=100, detail="as told")
QUEUE = "test"
"""The task queue that an activity environment says it runs on."""


@workflow.defn(name="ReleaseWorkflow")
class HeldRelease:
    """A release that ends once it is let go, or is failed at the engine."""

    @workflow.init
    def __init__(self) -> None:
        self._let_go = False

    @workflow.run
    async def run(self) -> ReleaseOutcome:
        await workflow.wait_condition(lambda: self._let_go)
        return LANDED

    @workflow.signal
    def let_go(self) -> None:
        self._let_go = True


@workflow.defn(name="MergeTrainWorkflow")
class NotingTrain:
    """A train that notes who asked for a place; heads of zeros find it full, of ones it refuses."""

    @workflow.init
    def __init__(self, start: dict[str, str]) -> None:
        self._start = start
        self._heads: list[str] = []

    @workflow.run
    async def run(self, start: dict[str, str]) -> None:
        await asyncio.Event().wait()

    @workflow.update
    def enqueue(self, asked: Enqueue) -> None:
        self._heads.append(asked.head)

    @enqueue.validator
    def _admit(self, asked: Enqueue) -> None:
        if asked.head == "0" * 40:
            raise ApplicationError("too many changes are queued", type="Unavailable")
        if asked.head == "1" * 40:
            raise ApplicationError("not a change of this repository", type="BadInput")

    @workflow.query
    def heads(self) -> list[str]:
        return [self._start["repository"], *self._heads]


def asking(head: str, *notify: str) -> Enqueue:
    author = Author(kind="person", name="ada")
    return Enqueue(change="shop/1", head=head, priority=Priority.NORMAL, author=author, notify=notify)


async def enqueued(env: WorkflowEnvironment, repository: str, *requests: Enqueue) -> list[str]:
    """What the train knows after these calls: its repository, then the heads it noted."""
    engine = EngineActivities(env.client)
    async with Worker(env.client, task_queue=QUEUE, workflows=[NotingTrain], workflow_runner=unversioned()):
        for request in requests:
            await ActivityEnvironment().run(engine.enqueue, repository, "main", request)
        handle = env.client.get_workflow_handle(f"train/{repository}/main")
        return await handle.query("heads", result_type=list[str])


async def test_the_first_change_starts_its_train_and_the_next_finds_it_running(
    env: WorkflowEnvironment,
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    known = await enqueued(env, name, asking("a" * 40), asking("b" * 40))
    assert known == [name, "a" * 40, "b" * 40]


async def test_the_same_call_again_is_answered_by_the_first(env: WorkflowEnvironment) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    known = await enqueued(env, name, asking("a" * 40, "run/1"), asking("a" * 40, "run/1"))
    assert known == [name, "a" * 40]


@pytest.mark.parametrize(
    ("head", "error", "final"), [("0" * 40, "Unavailable", False), ("1" * 40, "BadInput", True)]
)
async def test_a_refusal_is_final_unless_the_train_is_merely_full(
    env: WorkflowEnvironment, head: str, error: str, final: bool
) -> None:
    with pytest.raises(ApplicationError) as caught:
        await enqueued(env, f"shop-{uuid4().hex[:8]}", asking(head))
    assert (caught.value.type, caught.value.non_retryable) == (error, final)


async def test_a_release_is_under_way_until_its_end_and_who_asks_then_hears_how_it_ended(
    env: WorkflowEnvironment,
) -> None:
    engine, service, sha = EngineActivities(env.client), f"shop-{uuid4().hex[:8]}", "a" * 40

    async def standing(commit: str) -> ReleaseStanding:
        return await ActivityEnvironment().run(engine.release_standing, service, commit)

    async with Worker(env.client, task_queue=QUEUE, workflows=[HeldRelease], workflow_runner=unversioned()):
        assert (await standing(sha)).state == "not_there"
        handles = [
            await env.client.start_workflow(
                HeldRelease.run, id=f"release/{service}/{commit}", task_queue=QUEUE
            )
            for commit in (sha, "b" * 40)
        ]
        assert (await standing(sha)).state == "under_way"
        await handles[0].signal(HeldRelease.let_go)
        await handles[0].result()
        assert await standing(sha) == ReleaseStanding(state="ended", outcome=LANDED)
        await handles[1].terminate("by hand")
        assert await standing("b" * 40) == ReleaseStanding(state="ended")
