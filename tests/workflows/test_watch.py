"""The watch on a real server, with the real agent: counts once, runs one at a time, stays bounded."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from leverframe.model.errors import LeverframeError
from leverframe.model.ids import run_id, watch_id
from leverframe.model.outcomes import Outcome
from leverframe.model.signals import ErrorBatch, SecondCount
from leverframe.model.untrusted import Untrusted
from tests.fakes.runs import PatientRun
from tests.fakes.workers import unversioned
from workflows.messages import RunRequest, RunSettled, WatchStart
from workflows.watch import EVENTS_PER_RUN, SEEN, WatchWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

AGENT = "sentry_spike"


class Watch:
    """One watch of one subject on its own queue."""

    def __init__(self, env: WorkflowEnvironment, queue: str) -> None:
        self._env = env
        self.queue = queue
        self.subject = f"SHOP-{uuid4().hex[:12].upper()}"
        self.id = watch_id(AGENT, "shop", self.subject)
        self.handle: WorkflowHandle[WatchWorkflow, None] = env.client.get_workflow_handle_for(
            WatchWorkflow.run, self.id
        )

    async def start(self, **carried: Any) -> None:
        start = WatchStart(agent=AGENT, repository="shop", service="shop", subject=self.subject, **carried)
        await self._env.client.start_workflow(WatchWorkflow.run, start, id=self.id, task_queue=self.queue)

    def batch(self, id_: str = "", count: int = 1, **more: Any) -> ErrorBatch:
        now = datetime.now(UTC)
        return ErrorBatch(
            id=id_ or uuid4().hex[:16],
            repository="shop",
            service="shop",
            subject=self.subject,
            title=Untrusted("KeyError: <!channel> [x](http://evil)"),
            counts=(SecondCount(second=int(now.timestamp()), count=count),),
            received_at=now,
            **more,
        )

    async def observe(self, *batches: ErrorBatch) -> None:
        for batch in batches:
            await self.handle.signal(WatchWorkflow.observe, batch)

    async def snapshot(self) -> WatchStart:
        return await self.handle.query(WatchWorkflow.snapshot)

    async def started(self, number: int) -> RunRequest:
        """What the run of that number was asked to do, once it runs."""
        await self.until(runs=number)
        async with asyncio.timeout(60):
            while True:
                try:
                    return await self.run(number).query(PatientRun.request)
                except RPCError as error:
                    assert error.status == RPCStatusCode.NOT_FOUND  # noqa: PT017 - not started yet
                    await asyncio.sleep(0.02)

    def run(self, number: int) -> WorkflowHandle[PatientRun, str]:
        id_ = run_id(AGENT, "shop", self.subject, number)
        return self._env.client.get_workflow_handle_for(PatientRun.run, id_)

    async def until(self, **wanted: object) -> WatchStart:
        """The first snapshot that has these values."""
        async with asyncio.timeout(60):
            while True:
                found = await self.snapshot()
                if all(getattr(found, name) == value for name, value in wanted.items()):
                    return found
                await asyncio.sleep(0.05)

    async def runs_of_the_entity(self) -> int:
        """How many times it has continued as new, and one."""
        first = (await self.handle.describe()).raw_info.first_run_id
        count = 0
        run: str | None = first
        while run:
            count += 1
            history = await self._env.client.get_workflow_handle(self.id, run_id=run).fetch_history()
            assert len(history.events) < 2 * EVENTS_PER_RUN
            run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
        return count


@asynccontextmanager
async def watching(env: WorkflowEnvironment) -> AsyncIterator[Watch]:
    """A watch that is not started yet, and the worker for it and its runs."""
    queue = f"watch-{uuid4().hex[:8]}"
    async with Worker(
        env.client,
        task_queue=queue,
        workflows=[WatchWorkflow, PatientRun],
        workflow_runner=unversioned(),
        workflow_failure_exception_types=[LeverframeError],
    ):
        yield Watch(env, queue)


async def test_a_batch_that_comes_again_is_counted_once(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start()
        twice = watch.batch("b1", 5)
        await watch.observe(twice, watch.batch("b2", 2), twice)
        found = await watch.until(batches=2)
        assert (found.events, found.seen) == (7, ("b1", "b2"))


async def test_a_batch_that_comes_again_after_continue_as_new_is_counted_once(
    env: WorkflowEnvironment,
) -> None:
    async with watching(env) as watch:
        await watch.start(seen=("b1",), events=5, batches=1)
        await watch.observe(watch.batch("b1", 5), watch.batch("b2", 2))
        assert (await watch.until(batches=2)).events == 7


async def test_the_memory_of_batch_ids_is_bounded(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start(seen=tuple(f"old-{n}" for n in range(SEEN)))
        await watch.observe(watch.batch("new"))
        found = await watch.until(batches=1)
        assert len(found.seen) == SEEN
        assert (found.seen[0], found.seen[-1]) == ("old-1", "new")


async def test_a_spike_starts_one_run_that_knows_why_and_by_whom(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start(ui_url="http://ui")
        await watch.observe(watch.batch(escalating=True))
        request = await watch.started(1)
        assert (await watch.snapshot()).active_run == watch.run(1).id
        assert (request.watch, request.subject, request.ui_url) == (watch.id, watch.subject, "http://ui")
        assert request.due.evidence
        described = await watch.run(1).describe()
        summary = await described.static_summary()
        # The Temporal UI reads Markdown in it.
        assert summary == rf"{AGENT} on {watch.subject}: KeyError\: &lt;\!channel&gt; \[x\]\(http\:⁠//evil\)"


async def test_no_second_run_starts_while_one_is_active(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start(tuning={"cooldown_seconds": 0})
        await watch.observe(watch.batch(escalating=True))
        await watch.until(runs=1)
        await watch.observe(*(watch.batch(escalating=True) for _ in range(5)))
        assert (await watch.until(batches=6)).runs == 1


async def test_after_a_run_has_settled_a_new_spike_starts_the_next_one(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start(tuning={"cooldown_seconds": 0})
        await watch.observe(watch.batch(escalating=True))
        await watch.started(1)
        await watch.run(1).signal(PatientRun.settle)
        await watch.run(1).result()
        await watch.until(active_run=None)
        await watch.observe(watch.batch(escalating=True))
        assert (await watch.started(2)).watch == watch.id


async def test_word_of_another_run_does_not_free_the_watch(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start()
        await watch.observe(watch.batch(escalating=True))
        await watch.until(runs=1)
        await watch.handle.signal(
            WatchWorkflow.run_settled, RunSettled(run="run/other/1", outcome=Outcome.LANDED)
        )
        assert (await watch.snapshot()).active_run == watch.run(1).id


async def test_a_run_outlives_the_continue_as_new_of_its_watch_and_settles_into_the_next(
    env: WorkflowEnvironment,
) -> None:
    async with watching(env) as watch:
        await watch.start()
        await watch.observe(watch.batch(escalating=True))
        await watch.started(1)
        first = (await watch.handle.describe()).run_id
        while (await watch.handle.describe()).run_id == first:
            await asyncio.gather(*(watch.observe(watch.batch()) for _ in range(50)))
        assert (await watch.snapshot()).active_run == watch.run(1).id
        await watch.run(1).signal(PatientRun.settle)
        assert (await watch.until(active_run=None)).runs == 1


async def test_a_run_that_never_settles_blocks_its_subject_for_days_only(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        lost = datetime.now(UTC) - timedelta(days=8)
        await watch.start(runs=1, active_run="run/lost/1", active_since=lost)
        assert (await watch.until(active_run=None)).runs == 1


async def test_under_load_totals_are_exact_and_every_history_is_bounded(env: WorkflowEnvironment) -> None:
    async with watching(env) as watch:
        await watch.start()
        batches = [watch.batch(f"b{n}", n % 7 + 1) for n in range(1200)]
        lanes = asyncio.Semaphore(8)

        async def send(batch: ErrorBatch) -> None:
            async with lanes:
                await watch.observe(batch)

        twice = [batch for n, batch in enumerate(batches) for _ in range(2 if n % 10 == 0 else 1)]
        await asyncio.gather(*(send(batch) for batch in twice))
        found = await watch.until(batches=1200)
        assert found.events == sum(batch.total for batch in batches)
        assert len(found.seen) == SEEN
        assert await watch.runs_of_the_entity() >= 2


async def test_details_show_counts_and_the_active_run_with_hostile_text_inert(
    env: WorkflowEnvironment,
) -> None:
    async with watching(env) as watch:
        await watch.start(ui_url="http://ui")
        await watch.observe(watch.batch("b", 1234, escalating=True))
        await watch.until(runs=1)
        details = ""
        async with asyncio.timeout(30):
            while "| events | 1,234 in 1 signals |" not in details:  # written after the run was started
                metadata = await watch.handle.query("__temporal_workflow_metadata")
                details = metadata.current_details
        place = f"http://ui/namespaces/{env.client.namespace}/workflows/run%2F"
        assert f"[{watch.run(1).id}]({place}" in details
        assert "[x](http" not in details
        assert "<!channel>" not in details


async def test_a_watch_that_has_been_quiet_for_two_weeks_ends(skipping: WorkflowEnvironment) -> None:
    async with watching(skipping) as watch:
        await watch.start()
        await watch.handle.result()
        described = await watch.handle.describe()
        assert described.status == WorkflowExecutionStatus.COMPLETED


async def test_a_watch_that_has_started_runs_stays_so_that_their_numbers_never_come_again(
    skipping: WorkflowEnvironment,
) -> None:
    async with watching(skipping) as watch:
        with skipping.with_time_skipping_disabled():
            await watch.start(runs=3)
        assert await skipping.fast_forward(watch.handle, timedelta(days=20))
        assert (await watch.snapshot()).runs == 3
        await watch.handle.terminate()


async def test_a_watch_of_an_unknown_agent_fails_instead_of_retrying_for_ever(
    env: WorkflowEnvironment,
) -> None:
    async with watching(env) as watch:
        start = WatchStart(agent="nobody", repository="shop", service="shop", subject=watch.subject)
        handle = await env.client.start_workflow(
            WatchWorkflow.run, start, id=watch.id, task_queue=watch.queue
        )
        with pytest.raises(Exception, match="failed"):
            await handle.result()
