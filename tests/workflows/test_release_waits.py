"""Releases that wait: for a slot, for the train, for metrics, for evidence, for people."""

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.delivery.arms import Arms
from tests.fakes.release_world import NEW, NEWER, OLD, World, repository
from tests.fakes.releases import BOB, Releases
from workflows.release.workflow import ReleaseWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_release_waits_for_the_canary_before_it(skipping: WorkflowEnvironment) -> None:
    """NEW is in canary; it ends when the waiting release has asked for the slot."""
    world = World.with_stable()
    world.overlays["production"] = NEW
    world.arms["production"] = Arms(stables=(OLD,), canary=NEW, percent=25)
    releases = Releases(world, skipping.client)
    async with releases.worker():
        handle = await releases.start(NEWER)
        await releases.told(handle, lambda story: any("waiting" in row.text for row in story.rows))
        assert world.overlays["production"] == NEW
        world.overlays["production"] = OLD
        outcome = await handle.result()
    assert outcome.outcome == "landed"
    assert world.arms["production"].stables == (OLD, NEWER)


async def test_a_newer_release_that_overtakes_a_waiting_one_supersedes_it(
    skipping: WorkflowEnvironment,
) -> None:
    world = World.with_stable(ejections=["conflict"])
    world.overlays["dev"] = NEW
    world.arms["dev"] = Arms(stables=(OLD, NEW))

    def overtaken(world: World) -> None:
        world.overlays["production"] = NEWER

    world.on_ejection = overtaken
    outcome, _ = await Releases(world, skipping.client).outcome(NEW)
    assert outcome.outcome == "superseded"
    assert world.overlays["production"] == NEWER


async def test_a_metrics_outage_holds_and_then_the_release_goes_on(skipping: WorkflowEnvironment) -> None:
    """Twelve blind looks, ten seconds apart, are longer than the step may take, and yet no rollback."""
    world = World.with_stable(repository=repository(poll=10), blind_polls=12)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert outcome.outcome == "landed"
    assert world.weights == [1, 25, 100]


async def test_an_endless_metrics_outage_is_paged_and_ends_at_its_bound(
    skipping: WorkflowEnvironment,
) -> None:
    slow = repository(poll=600, limit=6000, hold=2 * 3600)
    world = World.with_stable(repository=slow, blind_polls=10_000)
    outcome, story = await Releases(world, skipping.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 1)
    assert "no health document can be read: holding, blind; for longer than 7200 seconds" in outcome.detail
    assert [page.partition("/")[0] for page in world.pages] == ["blind", "blind", "ended"]
    assert story.standstill is None


async def test_an_undecided_step_holds_pages_people_and_reminds_them_until_its_bound(
    skipping: WorkflowEnvironment,
) -> None:
    """Nobody asks the canary anything for thirteen hours: it is never green."""
    world = World.with_stable(repository=repository(poll=2400, limit=18_000, hold=8 * 3600), quiet_from=0)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 1)
    assert [verdict.colour for verdict in outcome.verdicts] == ["hold"]
    assert "not green within 18000 seconds, nor while it was held for 28800 more" in outcome.detail
    assert world.pages == [*(f"undecided/1/{number}" for number in range(4)), "ended"]
    first_page = next(iter(world.chat.told.values()))
    assert "shop bbbbbbbbbbbb has been undecided at 1 %" in first_page
    assert "leverframe release promote shop --sha bbbbbbbbbbbb" in first_page
    assert world.overlays["production"] == world.arms["production"].stable == OLD


async def test_an_undecided_step_goes_on_when_two_people_say_so(skipping: WorkflowEnvironment) -> None:
    world = World.with_stable(repository=repository(poll=600, limit=6000), quiet_from=25)
    releases = Releases(world, skipping.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, lambda story: story.standstill is not None)
        story = await handle.query(ReleaseWorkflow.progress)
        assert "undecided at 25 % since" in story.markdown().splitlines()[0]
        for person in (BOB, BOB.model_copy(update={"person": "cleo"})):
            await handle.execute_update(ReleaseWorkflow.promote, person)
        await releases.told(handle, lambda story: story.percent == 100)
        world.quiet_from = 101
        outcome = await handle.result()
    assert outcome.outcome == "landed"


async def test_a_lost_signal_of_the_train_is_made_up_for(skipping: WorkflowEnvironment) -> None:
    world = World.with_stable(silent_train=True)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert outcome.outcome == "landed"


async def test_a_release_takes_no_longer_than_its_ladder(skipping: WorkflowEnvironment) -> None:
    """With enough traffic a step is left as soon as harm could have shown, whatever its limit."""
    world = World.with_stable(repository=repository(poll=15, limit=3600))
    releases = Releases(world, skipping.client)
    async with releases.worker():
        handle = await releases.start()
        await handle.result()
        described = await handle.describe()
    assert described.close_time is not None
    assert described.close_time - described.start_time < timedelta(minutes=10)
