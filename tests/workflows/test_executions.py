"""Fresh executions on the real engine: asked of the sandbox in rounds, and folded once; none is lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.backends.results_tables import test_causes as causes
from agents.flaky_tests.history import History
from leverframe.model.executions import Executed, ExecutionOrder
from leverframe.model.ids import executions_id
from leverframe.model.untrusted import Untrusted
from tests.fakes.execution_world import ExecutionWorld, by_order, failing, passing
from workflows import executions
from workflows.watch import WatchWorkflow

FLAKY, BROKEN = "tests/test_a.py::test_flaky", "tests/test_a.py::test_broken"


def history(world: ExecutionWorld, test: str) -> History:
    (known,) = [one for one in world.results.known(world.name, [test]) if one.test == test]
    assert known.history is not None
    return known.history


@pytest.mark.asyncio(loop_scope="module")
async def test_rechecks_and_probes_quarantine_what_is_flaky_and_never_what_is_broken(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    world = ExecutionWorld(env.client, tmp_path, a_day=2_000)

    def sandbox(order: ExecutionOrder) -> Executed:
        if order.test.stored() == BROKEN:
            return failing(order)
        return passing(order) if order.until_pass else by_order(order)

    world.sandbox, world.dies_after_taking_in = sandbox, 2
    # Both only failed; the commit that broke the one had it pass once by mistake.
    world.told({FLAKY: "F", BROKEN: "F"}, run=1)
    world.told({BROKEN: "F."}, run=2)
    assert world.fold() == 1
    async with world.working():
        watch = await world.watched()
        said = await world.executed()
        told = await watch.query(WatchWorkflow.snapshot)
        await watch.terminate()
    assert said.endswith("nothing more is worth an execution, or allowed today")
    assert told.batches == 1
    assert told.title.stored() == f"fresh executions of tests of {world.name}: {len(world.orders)} jobs"
    assert history(world, FLAKY).quarantine is not None
    assert history(world, BROKEN).quarantine is None
    # What was committed before the worker died was not counted again.
    assert len({order.id for order in world.orders}) == len(world.orders)
    assert history(world, FLAKY).discordant == 1
    with world.engine.connect() as connection:
        named = {row.cause for row in connection.execute(select(causes))}
    assert named == {"order", "network"}
    run = env.client.get_workflow_handle(executions_id(world.name))
    described = await run.describe()
    assert described.status is not None
    assert described.status.name == "COMPLETED"
    rows = b"\n".join(
        [event.user_metadata.summary.data async for event in run.fetch_history_events()]
    ).decode()
    assert f"Execute {FLAKY} once as it ran on " in rows
    assert f"Execute {FLAKY} 3 times at another time on " in rows


@pytest.mark.asyncio(loop_scope="module")
async def test_without_a_sandbox_nothing_is_lost_and_the_next_run_goes_on(
    env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executions, "LATEST", executions.LATEST / 6_000)
    world = ExecutionWorld(env.client, tmp_path)
    world.told({FLAKY: "F"}, run=1)
    assert world.fold() == 0
    async with world.working(sandbox=False):
        assert (await world.executed()).endswith("no sandbox began 1 more in time; they wait")
    assert world.fold() == 0
    async with world.working():
        assert (await world.executed()).endswith("nothing more is worth an execution, or allowed today")
    # The recheck made it discordant, and that was probed.
    assert history(world, FLAKY).discordant == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_commit_of_a_fork_and_a_job_that_can_not_be_made_say_nothing(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    world = ExecutionWorld(env.client, tmp_path)
    world.git.forks.add(f"{1:040x}")

    def sandbox(order: ExecutionOrder) -> Executed:
        raise ApplicationError("check 'unit' is not declared here", non_retryable=True)

    world.sandbox = sandbox
    world.told({FLAKY: "F"}, run=1)
    world.told({BROKEN: "F"}, run=2)
    assert world.fold() == 0
    async with world.working():
        await world.executed()
    assert [order.test.stored() for order in world.orders] == [BROKEN]
    assert world.results.suite(world.name).waiting == 0
    assert history(world, FLAKY).discordant == history(world, BROKEN).discordant == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_only_what_has_work_and_may_do_it_is_begun(env: WorkflowEnvironment, tmp_path: Path) -> None:
    idle = ExecutionWorld(env.client, tmp_path / "idle")
    denied = ExecutionWorld(env.client, tmp_path / "denied", a_day=0)
    busy = ExecutionWorld(env.client, tmp_path / "busy")
    for world in (denied, busy):
        world.told({FLAKY: "F"}, run=1)
        world.fold()
    activity = ActivityEnvironment()
    begun = []
    async with busy.working():
        for world in (idle, denied, busy, busy):
            activity.info = replace(activity.info, task_queue=world.queue)
            begun.append(await activity.run(world.executing.begin_executions))
        # The second time it goes on, or is over.
        assert begun[:3] == [0, 0, 1]
        await env.client.get_workflow_handle(executions_id(busy.name)).result()
    assert history(busy, FLAKY).discordant == 1
    assert history(denied, FLAKY).discordant == 0


def test_what_a_job_tells_is_believed_for_what_was_asked() -> None:
    asked = ExecutionOrder(
        id="0" * 16, repository="shop", sha="a" * 40, check="unit", test=Untrusted(FLAKY), executions=2
    )
    told = Executed(order="1" * 16, passes=2, failures=1)
    assert executions._believed(asked, told) == Executed(order="0" * 16, passes=1, failures=1)
    recheck = asked.model_copy(update={"until_pass": True})
    assert executions._believed(recheck, told) == Executed(order="0" * 16, passes=1, failures=1)
