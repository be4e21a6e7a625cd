"""Releases on a real server: the way up, every way back, and what is seen of them."""

import pytest
from temporalio import activity, workflow
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer, Worker

from leverframe.delivery.arms import Arms
from leverframe.model.changes import Priority
from leverframe.model.checks import Build
from leverframe.model.releases import Artifact, ReleaseOutcome
from tests.fakes.release_world import NEW, NEWER, OLD, World, fails_from, repository
from tests.fakes.releases import Releases, at_25_percent
from tests.fakes.workers import unversioned
from workflows import attributes
from workflows.queues import BUILD
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


async def test_a_good_release_climbs_to_the_top_is_promoted_and_marked(env: WorkflowEnvironment) -> None:
    world = World.with_stable()
    outcome, story = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("landed", 100)
    assert [verdict.colour for verdict in outcome.verdicts] == ["green", "green", "green"]
    assert world.weights == [1, 25, 100]
    assert world.arms["production"] == Arms(stables=(OLD, NEW))
    assert world.overlay_log == [("dev", NEW, Priority.PROMOTION), ("production", NEW, Priority.PROMOTION)]
    assert list(world.markers) == world.told == [outcome.marker]
    assert outcome.detail.startswith(f"at 100 %, marked and signed as {outcome.marker}: ")
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


async def test_a_marker_whose_answer_was_lost_is_made_again_under_the_same_name_with_the_same_notes(
    env: WorkflowEnvironment,
) -> None:
    world = World.with_stable(marks_that_fail=2, deaf=True)
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, list(world.markers)) == ("landed", [outcome.marker])
    assert outcome.detail.endswith(". Not every change could be told: there is no such change")
    assert outcome.marker is not None
    notes = world.markers[outcome.marker]
    assert (notes.previous, notes.artifact, notes.verdicts) == (OLD, notes.artifact, outcome.verdicts)
    moments = notes.moments
    assert moments.in_dev_at is not None
    assert moments.entered_at is not None
    assert moments.live_at is not None
    assert moments.in_dev_at < moments.entered_at < moments.live_at
    assert f"{moments.live_at:%Y%m%d-%H%M%S}" in outcome.marker


async def test_the_first_release_ever_needs_no_canary_nor_a_book_that_keeps_it(
    env: WorkflowEnvironment,
) -> None:
    world = World(book_closed=True)
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent, outcome.verdicts) == ("landed", 100, ())
    assert world.weights == []
    assert world.arms["production"].stable == NEW
    assert len(world.markers) == 1


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
    assert world.markers == {}
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


async def test_an_overlay_change_that_lost_a_race_is_built_anew(env: WorkflowEnvironment) -> None:
    world = World.with_stable(ejections=["conflict", "head_moved"])
    outcome, _ = await Releases(world, env.client).outcome()
    assert outcome.outcome == "landed"


async def test_an_overlay_change_that_fails_its_checks_ends_the_release(env: WorkflowEnvironment) -> None:
    world = World.with_stable(ejections=["check_failed"])
    outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("failed", 0)
    assert "ejected: check_failed" in outcome.detail


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
    assert len(world.markers) == 1


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
