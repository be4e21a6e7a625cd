"""Releases on a real server: the way up, every way back, and outages on the way."""

from datetime import timedelta

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from leverframe.delivery.arms import Arms
from leverframe.model.changes import CarLanded, Priority
from leverframe.model.errors import Refused
from leverframe.model.releases import Artifact, ReleaseOutcome
from leverframe.model.topology import Build
from tests.fakes.release_world import NEW, NEWER, OLD, Releases, World, receipt, repository
from tests.fakes.workers import unversioned
from workflows import attributes
from workflows.queues import BUILD
from workflows.release.helm import Order
from workflows.release.story import Progress
from workflows.release.workflow import ReleaseWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


@workflow.defn(name="Listener")
class Listener:
    """Waits for one `release_settled`."""

    def __init__(self) -> None:
        self._heard: ReleaseOutcome | None = None

    @workflow.run
    async def run(self) -> ReleaseOutcome:
        await workflow.wait_condition(lambda: self._heard is not None)
        assert self._heard is not None
        return self._heard

    @workflow.signal
    def release_settled(self, outcome: ReleaseOutcome) -> None:
        self._heard = outcome


def fails_from(share: int, sha: str = NEW) -> object:
    """A commit that fails 15 % of its requests once the canary has this share; all others fail 0.1 %."""
    return lambda asked, percent: 150_000 if asked == sha and percent >= share else 1000


def at_25_percent(story: Progress) -> bool:
    """The canary has its second share."""
    return story.percent == 25


async def test_a_good_release_climbs_to_the_top_is_promoted_and_marked(env: WorkflowEnvironment) -> None:
    world = World.with_stable()
    outcome, story = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("landed", 100)
    assert [verdict.colour for verdict in outcome.verdicts] == ["green", "green", "green"]
    assert world.weights == [1, 25, 100]
    assert world.arms["production"] == Arms(stables=(OLD, NEW))
    assert world.overlay_log == [("dev", NEW, Priority.PROMOTION), ("production", NEW, Priority.PROMOTION)]
    assert [(tag.name, tag.sha) for tag in world.tags] == [(outcome.marker, NEW)]
    assert outcome.marker is not None
    assert outcome.marker.startswith("live/shop/")
    assert outcome.marker.endswith(NEW[:12])
    assert [row.step for row in story.rows] == [
        "build",
        "dev",
        "production",
        "1 %",
        "25 %",
        "100 %",
        "outcome",
    ]
    begun, ended = world.book
    assert (begun.receipt.sha, begun.outcome, begun.moments.entered_at) == (NEW, None, None)
    assert (ended.outcome, ended.reached_percent, ended.replaced) == ("landed", 100, OLD)
    moments = (begun.moments.began_at, ended.moments.entered_at, ended.moments.live_at, ended.ended_at)
    assert sorted(moment for moment in moments if moment) == list(moments)
    assert ended.moments.recovered_at is None


async def test_the_first_release_ever_needs_no_canary_nor_a_book_that_keeps_it(
    env: WorkflowEnvironment,
) -> None:
    world = World(book_closed=True)
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent, outcome.verdicts) == ("landed", 100, ())
    assert world.weights == []
    assert world.arms["production"].stable == NEW
    assert len(world.tags) == 1


async def test_an_image_is_built_once_by_a_build_worker_and_recorded_by_the_hands(
    env: WorkflowEnvironment,
) -> None:
    build = Build(by="command", image="ghcr.io/acme/shop", command=("docker",))
    worlds = [World(repository=repository().model_copy(update={"build": build})) for _ in range(2)]
    worlds[1].built = worlds[0].built
    sources: list[Artifact] = []

    @activity.defn(name="build_apart")
    async def build_apart(_: str, source: Artifact) -> Artifact:
        sources.append(source)
        return Artifact(service="shop", sha=source.sha, digest=f"sha256:{'1' * 64}", image=build.image)

    for world in worlds:
        async with Worker(env.client, task_queue=BUILD, activities=[build_apart]):
            outcome, story = await Releases(world, env.client).outcome()
        assert outcome.outcome == "landed"
        assert story.rows[0].text == f"built once as sha256:{'1' * 12}"
    assert [source.path for source in sources] == [f"{NEW}.tar"]
    assert world.built[NEW].reference == f"ghcr.io/acme/shop:{NEW}@sha256:{'1' * 64}"


async def test_red_at_a_step_sends_the_requests_back_and_then_puts_the_overlay_back(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable(error_ppm=fails_from(25))
    outcome, story = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 25)
    assert [verdict.colour for verdict in outcome.verdicts] == ["green", "red"]
    assert "errors: canary" in outcome.detail
    assert "names aaaaaaaaaaaa again" in outcome.detail
    assert world.weights == [1, 25, 0]
    assert world.overlays == {"dev": NEW, "production": OLD}
    assert world.overlay_log[-1] == ("production", OLD, Priority.HOTFIX)
    assert world.tags == []
    assert story.percent == 0
    ended = world.book[-1]
    assert (ended.outcome, ended.reached_percent, ended.moments.live_at) == ("rolled_back", 25, None)
    moments = (ended.moments.entered_at, ended.moments.recovered_at, ended.ended_at)
    assert sorted(moment for moment in moments if moment) == list(moments)


async def test_red_at_the_top_is_judged_against_the_steps_before(env: WorkflowEnvironment) -> None:
    world = World.with_stable(error_ppm=fails_from(100))
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 100)
    assert "stable in the earlier steps" in outcome.verdicts[-1].reason
    assert world.arms["production"].stable == OLD


async def test_an_overlay_that_names_an_unknown_commit_does_not_stop_a_release(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable()
    world.overlays["dev"] = "f" * 40
    outcome, _ = await Releases(world, env.client).outcome()
    assert outcome.outcome == "landed"


async def test_a_failed_smoke_request_in_dev_puts_dev_back_and_leaves_production_alone(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable(failing_probes=["home: GET / answered 500"])
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("failed", 0)
    assert "GET / answered 500" in outcome.detail
    assert world.overlays == {"dev": OLD, "production": OLD}
    assert world.overlay_log == [("dev", NEW, Priority.PROMOTION), ("dev", OLD, Priority.HOTFIX)]
    assert (world.book[-1].outcome, world.book[-1].moments.entered_at) == ("failed", None)


async def test_a_release_that_production_contains_already_is_superseded(env: WorkflowEnvironment) -> None:
    world = World.with_stable()
    world.overlays["production"] = NEWER
    world.arms["production"] = Arms(stables=(OLD, NEWER))
    outcome, _ = await Releases(world, env.client).outcome(NEW)
    assert outcome.outcome == "superseded"
    assert world.overlays["production"] == NEWER


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


async def test_an_overlay_change_that_lost_a_race_is_built_anew(env: WorkflowEnvironment) -> None:
    world = World.with_stable(ejections=["conflict", "head_moved"])
    outcome, _ = await Releases(world, env.client).outcome()
    assert outcome.outcome == "landed"


async def test_an_overlay_change_that_fails_its_checks_ends_the_release(env: WorkflowEnvironment) -> None:
    world = World.with_stable(ejections=["check_failed"])
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("failed", 0)
    assert "ejected: check_failed" in outcome.detail


async def test_a_metrics_outage_holds_and_then_the_release_goes_on(skipping: WorkflowEnvironment) -> None:
    """Twelve blind looks, ten seconds apart, are longer than the step may take, and yet no rollback."""
    world = World.with_stable(repository=repository(poll=10), blind_polls=12)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert outcome.outcome == "landed"
    assert world.weights == [1, 25, 100]


async def test_an_endless_metrics_outage_ends_with_a_rollback(skipping: WorkflowEnvironment) -> None:
    world = World.with_stable(repository=repository(poll=15, limit=75), blind_polls=10_000)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 1)
    assert "no health document for 225 seconds" in outcome.detail


async def test_a_canary_that_nobody_asks_is_never_green(skipping: WorkflowEnvironment) -> None:
    world = World.with_stable(repository=repository(poll=5), quiet_from=0)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 1)
    assert [verdict.colour for verdict in outcome.verdicts] == ["hold"]


async def test_a_worker_restart_mid_canary_changes_nothing(env: WorkflowEnvironment) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
    world.quiet_from = 101
    async with releases.worker():
        outcome = await handle.result()
    assert outcome.outcome == "landed"
    assert world.weights == [1, 25, 100]
    assert world.overlay_log == [("dev", NEW, Priority.PROMOTION), ("production", NEW, Priority.PROMOTION)]
    assert len(world.tags) == 1


async def test_a_lost_signal_of_the_train_is_made_up_for(skipping: WorkflowEnvironment) -> None:
    world = World.with_stable(silent_train=True)
    outcome, _ = await Releases(world, skipping.client).outcome()
    assert outcome.outcome == "landed"


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


def held_with_enough_traffic(story: Progress) -> bool:
    """Only the person keeps it on its step."""
    seen = story.verdict
    return seen is not None and seen.canary_requests > 2000 and seen.reason.endswith("a person holds it here")


ADA, BOB = Order(person="ada", reason="customers call"), Order(person="bob", reason="we know it")


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


async def test_a_canary_aborted_from_outside_gets_its_overlay_put_back(env: WorkflowEnvironment) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        world.arms["production"] = Arms(stables=(OLD,), aborted=NEW)
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back"
    assert world.overlays["production"] == OLD


async def test_production_pointed_elsewhere_mid_canary_is_not_fought_over(env: WorkflowEnvironment) -> None:
    """A roll-back lever or a person moved the overlay: the release gives way."""
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        world.overlays["production"] = OLD
        world.arms["production"] = Arms(stables=(OLD,))
        outcome = await handle.result()
    assert outcome.outcome == "failed"
    assert "pointed at aaaaaaaaaaaa from outside" in outcome.detail
    assert len(world.overlay_log) == 2


async def test_who_waits_is_told_and_a_listener_that_is_gone_does_no_harm(env: WorkflowEnvironment) -> None:
    world = World.with_stable()
    releases = Releases(world, env.client)
    async with (
        releases.worker(),
        Worker(env.client, task_queue="ears", workflows=[Listener], workflow_runner=unversioned()),
    ):
        listener = await env.client.start_workflow(Listener.run, id="listener", task_queue="ears")
        handle = await releases.start(notify=("gone", "listener"))
        assert await listener.result() == await handle.result()


async def test_the_story_and_the_outcome_are_found_in_the_ui(env: WorkflowEnvironment) -> None:
    world = World.with_stable(error_ppm=lambda sha, percent: 900_000 if sha == NEW else 1000)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        await handle.result()
        described = await handle.describe()
        story = (await handle.query(ReleaseWorkflow.progress)).markdown()
    assert described.typed_search_attributes[attributes.OUTCOME] == "rolled_back"
    assert described.typed_search_attributes[attributes.VERDICT] == "red"
    assert "| ✗ 1 % | errors\\: canary" in story
    assert "**shop** at `bbbbbbbbbbbb`: rolled back" in story


@pytest.mark.parametrize("ending", ["landed", "rolled_back", "cancelled"])
async def test_a_release_replays_from_its_history(env: WorkflowEnvironment, ending: str) -> None:
    """Every way through the workflow is deterministic."""
    rates = fails_from(25) if ending == "rolled_back" else fails_from(101)
    world = World.with_stable(error_ppm=rates, quiet_from=25 if ending == "cancelled" else 101)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start()
        if ending == "cancelled":
            await releases.told(handle, at_25_percent)
            await handle.cancel()
        await handle.result()
        history = await handle.fetch_history()
    replayer = Replayer(
        workflows=[ReleaseWorkflow], workflow_runner=unversioned(), data_converter=pydantic_data_converter
    )
    result = await replayer.replay_workflow(history)
    assert result.replay_failure is None


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
