"""Enqueueing through the engine: the train is started when there is none, and its refusal is passed on."""

import asyncio
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.engine import EngineActivities
from leverframe.model.changes import Author, Enqueue, Priority
from tests.fakes.workers import unversioned

pytestmark = pytest.mark.asyncio(loop_scope="module")

QUEUE = "test"
"""The task queue that an activity environment says it runs on."""


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
