"""What a release does when the world around it fails: each fault by its name.

After each of them traffic is on a commit that was proven, and git, the environment and the record agree.
`docs/reference/release-faults.md` lists these and the faults that are tried elsewhere.
"""

from datetime import timedelta
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.failures import as_application_error
from leverframe.delivery.arms import Arms
from leverframe.model.changes import CarEjected, CarLanded
from leverframe.model.checks import Build
from leverframe.model.errors import Interrupted, Refused
from leverframe.model.releases import Artifact, ReleaseOutcome
from tests.fakes.release_world import (
    NEW,
    NEWER,
    OLD,
    T0,
    FakeEnvironments,
    World,
    fails_from,
    receipt,
    repository,
)
from tests.fakes.releases import ADA, Releases, at_25_percent
from workflows.queues import BUILD
from workflows.release.workflow import ReleaseWorkflow

IMAGE = "registry.example/acme/shop"

pytestmark = pytest.mark.asyncio(loop_scope="module")


def a_world(**given: Any) -> World:
    """OLD is live; one step at 25 % unless another ladder is given."""
    return World.with_stable(**{"repository": repository(percents=(25,)), **given})


def agrees(world: World, *outcomes: ReleaseOutcome) -> None:
    """What must hold at the end, whatever went wrong."""
    FakeEnvironments(world).state("shop", "production")
    arms, named = world.arms["production"], world.overlays["production"]
    landed = [outcome.sha for outcome in outcomes if outcome.outcome == "landed"]
    assert arms == Arms(stables=arms.stables), "nothing is left in the canary"
    assert arms.stable == named, "the environment runs what git names"
    assert named in (OLD, *landed), "and that is proven"
    assert {notes.sha for notes in world.markers.values()} == set(landed)
    for outcome in outcomes:
        assert (outcome.sha in arms.stables) == (outcome.outcome == "landed")
        assert ("ended" in world.pages) == (outcome.outcome in ("failed", "rolled_back"))


EVERY_CALL = (
    "describe", "build", "deploy_artifact", "delivery_state", "overlay_sha", "overlay_change", "enqueue",
    "wait_reconciled", "probe", "canary_slot", "set_weight", "release_health", "promote", "abort",
    "mark_release", "tell_live", "wait_back", "record_deployment", "page",
)  # fmt: skip


class TestTheWorker:
    @pytest.mark.parametrize("bad", [101, 25])
    async def test_dies_after_each_effect_and_before_it_is_known_and_all_of_it_is_done_once(
        self, env: WorkflowEnvironment, bad: int
    ) -> None:
        """Every call is done twice, and every decision is made on the history alone."""
        world = a_world(error_ppm=fails_from(bad))
        world.faults.lost = dict.fromkeys(EVERY_CALL, 1)
        releases = Releases(world, env.client)
        async with releases.worker(cached=0):
            outcome = await (await releases.start()).result()
        assert outcome.outcome == ("landed" if bad > 25 else "rolled_back"), outcome.detail
        lands = ["dev", "production"] + ["production"] * (bad == 25)
        assert [environment for environment, _, _ in world.overlay_log] == lands
        assert len(world.markers) == (bad > 25)
        agrees(world, outcome)


class TestTheBuilder:
    async def test_fails_and_nothing_is_touched(self, env: WorkflowEnvironment) -> None:
        world = a_world()
        world.faults.refuses["build"] = Refused("the build command ended with 2")
        outcome, _ = await Releases(world, env.client).outcome()
        assert (outcome.outcome, world.overlay_log) == ("failed", [])
        assert "the build command ended with 2" in world.chat.told.popitem()[1]

    @pytest.mark.parametrize(("killed", "outcome"), [(1, "landed"), (2, "failed")])
    async def test_is_killed_and_begins_again_as_often_as_it_may(
        self, env: WorkflowEnvironment, killed: int, outcome: str
    ) -> None:
        build = Build(by="command", image=IMAGE, command=("docker",), attempts=2, pause_seconds=0.01)
        world = a_world(repository=repository(percents=(25,)).model_copy(update={"build": build}))
        begun: list[str] = []

        @activity.defn(name="build_apart")
        async def build_apart(_: str, source: Artifact) -> Artifact:
            begun.append(source.sha)
            if len(begun) <= killed:
                raise as_application_error(Interrupted("the build command was ended by SIGKILL: at step 7"))
            return source.model_copy(update={"path": "", "image": IMAGE})

        async with Worker(env.client, task_queue=BUILD, activities=[build_apart]):
            ended, story = await Releases(world, env.client).outcome()
        assert (ended.outcome, begun) == (outcome, [NEW, NEW])
        if outcome == "failed":
            assert "ended by SIGKILL: at step 7" in ended.detail
            assert "Attempt 2 of 2" in story.rows[0].text
            assert (world.overlay_log, world.pages) == ([], ["ended"])
        else:
            agrees(world, ended)


class TestTheTrain:
    async def test_refuses_the_overlay_of_production_and_the_requests_stay_where_they_are(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world()

        async def refused() -> None:
            world.ejections.append("check_failed")

        world.faults.before["canary_slot"] = refused
        outcome, _ = await Releases(world, env.client).outcome()
        assert (outcome.outcome, outcome.reached_percent, world.weights) == ("failed", 0, [])
        agrees(world, outcome)

    async def test_finds_the_overlay_moved_by_somebody_else_on_the_way_back_and_leaves_it(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(error_ppm=fails_from(25))

        async def moved() -> None:
            world.overlays["production"] = NEWER

        world.faults.after["abort"] = moved
        outcome, _ = await Releases(world, env.client).outcome()
        assert outcome.outcome == "rolled_back"
        assert "was pointed at cccccccccccc from outside: it was left alone" in outcome.detail
        FakeEnvironments(world).state("shop", "production")
        assert world.arms["production"] == Arms(stables=(OLD,), canary=NEWER), "at 0 %, for its own gate"

    async def test_refuses_the_way_back_and_a_person_is_told_what_to_do(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(error_ppm=fails_from(25))

        async def refused() -> None:
            world.ejections.append("check_failed")

        world.faults.after["abort"] = refused
        outcome, _ = await Releases(world, env.client).outcome()
        assert "could not be put back (ejected: check_failed): point it at aaaaaaaaaaaa" in outcome.detail
        assert outcome.detail in "".join(world.chat.told.values())
        FakeEnvironments(world).state("shop", "production")
        assert world.arms["production"] == Arms(stables=(OLD,), aborted=NEW), "it is not tried again"

    async def test_tells_twice_late_and_of_strangers_and_nothing_is_different(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(quiet_from=25)
        releases = Releases(world, env.client)
        async with releases.worker():
            handle = await releases.start()
            await releases.told(handle, at_25_percent)
            for change in ("shop/1", "shop/2", "shop/2", "shop/77"):
                await handle.signal(
                    ReleaseWorkflow.car_settled, CarLanded(change=change, receipt=receipt(OLD))
                )
                late = CarEjected(change=change, reason="conflict", detail="late")
                await handle.signal(ReleaseWorkflow.car_settled, late)
            world.quiet_from = 101
            outcome = await handle.result()
        assert (outcome.outcome, world.weights) == ("landed", [25])
        agrees(world, outcome)


class TestTheReconciler:
    async def test_is_stuck_and_production_is_taken_back(self, env: WorkflowEnvironment) -> None:
        world = a_world()

        async def stuck() -> None:
            world.faults.refuses["wait_reconciled"] = Refused("production did not run it within 120 seconds")

        world.faults.before["canary_slot"] = stuck
        outcome, _ = await Releases(world, env.client).outcome()
        assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 0)
        assert "did not run it within 120 seconds" in outcome.detail
        agrees(world, outcome)


class TestTheDeliveryApi:
    """Gone: six calls without an answer, 100 seconds apart."""

    async def test_is_gone_for_ten_minutes_on_each_way_up_and_the_release_goes_on(
        self, skipping: WorkflowEnvironment
    ) -> None:
        world = a_world(repository=repository(percents=(25,), poll=15, limit=3600))
        world.faults.pause = timedelta(seconds=100)
        world.faults.away = dict.fromkeys(("delivery_state", "canary_slot", "set_weight", "promote"), 6)
        outcome, _ = await Releases(world, skipping.client).outcome()
        assert (outcome.outcome, world.weights) == ("landed", [25])
        agrees(world, outcome)

    async def test_is_gone_when_the_requests_must_go_back_and_people_are_paged_meanwhile(
        self, skipping: WorkflowEnvironment
    ) -> None:
        world = a_world(repository=repository(percents=(25,), poll=15, limit=3600), error_ppm=fails_from(25))
        world.faults.pause = timedelta(seconds=100)
        world.faults.away = {"abort": 6}
        outcome, _ = await Releases(world, skipping.client).outcome()
        assert (outcome.outcome, world.weights) == ("rolled_back", [25, 0])
        assert world.pages == ["requests not back", "ended"]
        assert "up to 25 % of production's requests still go to it" in next(iter(world.chat.told.values()))
        agrees(world, outcome)

    async def test_refuses_to_send_the_requests_back_and_the_overlay_does_it_while_people_know(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(error_ppm=fails_from(25))
        world.faults.refuses["abort"] = Refused("the rollout is locked")
        outcome, story = await Releases(world, env.client).outcome()
        assert (outcome.outcome, story.percent) == ("rolled_back", 0)
        assert "The delivery does not send the requests back: the rollout is locked." in outcome.detail
        assert world.pages == ["requests not back", "ended"]
        agrees(world, outcome)

    async def test_refuses_a_weight_for_good_and_the_release_is_taken_back(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(repository=repository(percents=(1, 25)))

        async def refused() -> None:
            world.faults.refuses["set_weight"] = Refused("the router takes no weight")

        world.faults.after["set_weight"] = refused
        outcome, _ = await Releases(world, env.client).outcome()
        assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 1)
        agrees(world, outcome)


class TestTheRouter:
    async def test_restarts_in_mid_canary_and_counting_begins_anew_at_the_same_share(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(quiet_from=25)
        releases = Releases(world, env.client)
        async with releases.worker():
            handle = await releases.start()
            await releases.told(handle, at_25_percent)
            world.router_started_at = T0 + timedelta(hours=1)
            world.arms["production"] = Arms(stables=(OLD,), canary=NEW)
            world.quiet_from = 101
            outcome = await handle.result()
        assert (outcome.outcome, world.weights) == ("landed", [25, 25])
        agrees(world, outcome)


class TestTheChat:
    async def test_is_gone_and_the_requests_go_back_all_the_same(self, env: WorkflowEnvironment) -> None:
        world = a_world(error_ppm=fails_from(25))
        world.faults.refuses["page"] = Refused("no chat is configured")
        outcome, _ = await Releases(world, env.client).outcome()
        assert (outcome.outcome, world.overlays["production"]) == ("rolled_back", OLD)


class TestAPerson:
    @pytest.mark.parametrize("moment", ["before", "after"])
    async def test_aborts_while_it_becomes_stable_and_the_one_before_is_stable_again(
        self, env: WorkflowEnvironment, moment: str
    ) -> None:
        world = a_world()
        releases = Releases(world, env.client)
        async with releases.worker():
            handle = await releases.start()

            async def aborted() -> None:
                await handle.execute_update(ReleaseWorkflow.abort, ADA)

            getattr(world.faults, moment)["promote"] = aborted
            outcome = await handle.result()
        assert outcome.outcome == "rolled_back"
        assert "ada aborted the release" in outcome.detail
        assert "It had become stable already. The overlay of production names aaaaaaaaaaaa" in outcome.detail
        agrees(world, outcome)

    async def test_aborts_while_the_api_is_gone_that_would_make_it_stable_and_it_never_becomes_so(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world()
        releases = Releases(world, env.client)
        async with releases.worker():
            handle = await releases.start()

            async def aborted() -> None:
                world.faults.away["promote"] = 1_000_000
                await handle.execute_update(ReleaseWorkflow.abort, ADA)

            world.faults.before["promote"] = aborted
            outcome = await handle.result()
        assert (outcome.outcome, "promote" in world.faults.made) == ("rolled_back", False)
        agrees(world, outcome)


class TestAnotherRelease:
    async def test_begins_at_the_same_moment_and_production_ends_on_the_newer(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world()
        releases = Releases(world, env.client)
        async with releases.worker():
            both = [await releases.start(sha) for sha in (NEW, NEWER)]
            older, newer = [await handle.result() for handle in both]
        assert newer.outcome == "landed"
        assert older.outcome in ("landed", "superseded")
        agrees(world, older, newer)

    async def test_waits_for_the_older_one_which_is_aborted_and_then_goes_its_own_way(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(quiet_from=25)
        releases = Releases(world, env.client)
        async with releases.worker():
            older = await releases.start(NEW, plain_id=True)
            await releases.told(older, at_25_percent)
            newer = await releases.start(NEWER)
            await releases.told(older, lambda story: story.newer == NEWER)
            story = await newer.query(ReleaseWorkflow.progress)
            assert story.rows[-1].text == "waiting until bbbbbbbbbbbb leaves the canary"
            await older.execute_update(ReleaseWorkflow.abort, ADA)
            world.quiet_from = 101
            outcomes = [await older.result(), await newer.result()]
        assert [outcome.outcome for outcome in outcomes] == ["rolled_back", "landed"]
        assert world.arms["production"] == Arms(stables=(OLD, NEWER))
        assert world.overlays["production"] == NEWER

    async def test_waits_behind_an_undecided_one_which_gives_way_when_its_time_is_over(
        self, env: WorkflowEnvironment
    ) -> None:
        rules = repository(percents=(25,), limit=1, gives_way=0.2)
        world = a_world(repository=rules, quiet_from=25)
        releases = Releases(world, env.client)
        async with releases.worker():
            older = await releases.start(NEW, plain_id=True)
            await releases.told(older, at_25_percent)
            newer = await releases.start(NEWER, plain_id=True)
            first = await older.result()
            world.quiet_from = 101
            second = await newer.result()
        assert (first.outcome, second.outcome) == ("superseded", "landed"), first.detail
        assert "cccccccccccc contains it and waits" in first.detail
        assert (
            "All requests went back to stable. The overlay of production names aaaaaaaaaaaa" in first.detail
        )
        assert world.weights == [25, 0, 25], "traffic goes back before the newer one gets any"
        assert [sha for where, sha, _ in world.overlay_log if where == "production"] == [NEW, OLD, NEWER]
        agrees(world, first, second)

    async def test_takes_productions_overlay_in_mid_canary_and_supersedes_the_older_one(
        self, env: WorkflowEnvironment
    ) -> None:
        world = a_world(quiet_from=25)
        releases = Releases(world, env.client)
        async with releases.worker():
            older = await releases.start(NEW)
            await releases.told(older, at_25_percent)
            world.overlays["production"] = NEWER
            FakeEnvironments(world).state("shop", "production")
            world.quiet_from = 101
            newer = await releases.start(NEWER)
            outcomes = [await older.result(), await newer.result()]
        assert [outcome.outcome for outcome in outcomes] == ["superseded", "landed"]
        agrees(world, *outcomes)
