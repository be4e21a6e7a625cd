"""People at the helm of a release: pause, promote, abort, cancel."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from leverframe.model.changes import CarLanded
from leverframe.model.errors import Refused
from tests.fakes.release_world import OLD, World, fails_from, receipt, repository
from tests.fakes.releases import ADA, BOB, Releases, at_25_percent
from workflows.release.helm import Order
from workflows.release.story import Progress
from workflows.release.workflow import ReleaseWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


def held_with_enough_traffic(story: Progress) -> bool:
    """Only the person keeps it on its step."""
    seen = story.verdict
    return seen is not None and seen.canary_requests > 2000 and seen.reason.endswith("a person holds it here")


async def test_a_paused_release_stays_on_its_step_until_somebody_lets_it_go_on(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        await handle.execute_update(ReleaseWorkflow.pause, ADA)
        world.quiet_from = 101
        await releases.told(handle, held_with_enough_traffic)
        assert world.weights == [1, 25]
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update(ReleaseWorkflow.pause, BOB)
        assert "ada has paused it already" in str(refused.value.cause)
        await handle.execute_update(ReleaseWorkflow.resume, BOB)
        outcome = await handle.result()
    assert (outcome.outcome, world.weights) == ("landed", [1, 25, 100])


async def test_red_takes_back_a_paused_release_too(env: WorkflowEnvironment) -> None:
    world = World.with_stable(quiet_from=25, error_ppm=fails_from(25))
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        await handle.execute_update(ReleaseWorkflow.pause, ADA)
        world.quiet_from = 101
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back"
    assert "a good release looks like this" in outcome.detail


async def test_two_people_leave_a_step_ahead_of_the_evidence_and_one_can_not(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        await handle.execute_update(ReleaseWorkflow.promote, BOB)
        for again in (BOB, Order(person="ada", reason="my own change")):
            with pytest.raises(WorkflowUpdateFailedError):
                await handle.execute_update(ReleaseWorkflow.promote, again)
        assert (await handle.query(ReleaseWorkflow.progress)).percent == 25
        await handle.execute_update(ReleaseWorkflow.promote, Order(person="cleo", reason="tested by hand"))
        await releases.told(handle, lambda story: story.percent == 100)
        world.quiet_from = 101
        outcome = await handle.result()
    assert outcome.outcome == "landed"
    left = outcome.verdicts[1]
    assert (left.colour, left.percent) == ("hold", 25)
    assert left.reason.startswith("bob and cleo had the step left ahead of the evidence: we know it")


async def test_an_aborted_release_is_taken_back_in_the_name_of_who_aborted_it(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        await handle.execute_update(ReleaseWorkflow.abort, ADA)
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back"
    assert "ada aborted the release: customers call" in outcome.detail
    assert (world.weights[-1], world.overlays["production"]) == (0, OLD)


async def test_a_cancelled_release_is_taken_back(env: WorkflowEnvironment) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        await handle.cancel()
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back"
    assert "a person cancelled the release" in outcome.detail
    assert (world.weights[-1], world.overlays["production"]) == (0, OLD)


async def test_a_release_cancelled_while_it_is_taken_back_is_taken_back_to_the_end(
    env: WorkflowEnvironment,
) -> None:
    def refused(world: World) -> None:
        world.silent_train = True
        raise Refused("the router takes no weight")

    world = World.with_stable(on_weight=refused)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, lambda _: len(world.overlay_log) == 3)
        await handle.cancel()
        await handle.query(ReleaseWorkflow.progress)  # answered once the cancellation has been seen
        await handle.signal(ReleaseWorkflow.car_settled, CarLanded(change="shop/3", receipt=receipt(OLD)))
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back", outcome.detail
    assert "the router takes no weight" in outcome.detail
    assert (world.weights[-1], world.overlays["production"]) == (0, OLD)


@pytest.mark.parametrize("call", ["delivery_state", "release_health", "promote"])
async def test_a_cancellation_that_meets_an_activitys_result_is_heeded(
    env: WorkflowEnvironment, call: str
) -> None:
    """Both lie in the history before the release thinks again, so they reach it in one activation."""
    world = World.with_stable(repository=repository(percents=(25,)))
    releases, both = Releases(world, env.client), asyncio.Event()
    async with releases.worker(mind=False):
        mind = AsyncExitStack()
        await mind.enter_async_context(releases.worker(hands=False, cached=0))
        handle = await releases.start()

        async def cancelled() -> None:
            await mind.aclose()
            await handle.cancel()
            both.set()

        world.faults.after[call] = cancelled
        await both.wait()
        async with releases.worker(hands=False, cached=0):
            outcome = await handle.result()
    assert "a person cancelled the release" in outcome.detail
    assert outcome.outcome == ("failed" if call == "delivery_state" else "rolled_back")
    assert world.overlays["production"] == world.arms["production"].stable == OLD
    assert world.arms["production"].canary is None
