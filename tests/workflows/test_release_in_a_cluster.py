"""The real ReleaseWorkflow over our backends for Argo and for Flagger, on a cluster with fake controllers."""

from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.delivery_ports import Delivery
from leverframe.delivery.arms import Arms
from leverframe.model.checks import Build
from leverframe.model.releases import HealthDocument
from tests.fakes.argo_world import ArgoWorld
from tests.fakes.flagger_world import FlaggerWorld, Intervals
from tests.fakes.kubernetes import Fault
from tests.fakes.release_world import NEW, NEWER, OLD, FakeTraffic, World, fails_from, repository
from tests.fakes.releases import Releases
from tests.fakes.stores import store_at

pytestmark = pytest.mark.asyncio(loop_scope="module")


class ClusterTraffic(FakeTraffic):
    """Requests go where the cluster sends them; the metrics are another system."""

    def __init__(self, world: World, cluster: ArgoWorld | FlaggerWorld) -> None:
        super().__init__(world)
        self._release_world, self._cluster = world, cluster

    def release_health(self, service: str) -> HealthDocument:
        self._release_world.arms["production"] = self._cluster.arms()
        return super().release_health(service)


def a_world(*percents: int, limit: float = 60, **given: object) -> World:
    """OLD is live everywhere."""
    image = Build(by="forge", image="registry.example/shop", context="image")
    plain = repository(percents=percents, limit=limit)
    unprobed = plain.service.model_copy(update={"probes": ()})  # nothing serves in this cluster
    return World.with_stable(
        repository=plain.model_copy(update={"build": image, "service": unprobed}), **given
    )


def in_a_cluster(
    env: WorkflowEnvironment, *, limit: float = 60, **given: object
) -> tuple[World, ArgoWorld, Releases]:
    """The overlays that land are what Argo CD finds in git."""
    world = a_world(1, 25, 100, limit=limit, **given)
    cluster = ArgoWorld(1, 25, 100)
    cluster.tags = world.overlays
    traffic = ClusterTraffic(world, cluster)
    releases = Releases(world, env.client, delivery=cluster.delivery, gitops=cluster.gitops, metrics=traffic)
    return world, cluster, releases


async def test_a_red_release_is_aborted_and_git_goes_back_before_the_sync_goes_on(
    skipping: WorkflowEnvironment,
) -> None:
    world, cluster, releases = in_a_cluster(skipping, error_ppm=fails_from(25))
    seen: list[tuple[int, bool]] = []

    def landed(world: World) -> None:
        """What the cluster is like when production's overlay has gone back."""
        if world.overlay_log[-1][:2] == ("production", OLD):
            automatic = cluster.gitops.reconciliation("shop", "production").automatic
            seen.append((cluster.weight, automatic))

    world.on_landing = landed
    outcome, _ = await releases.outcome(NEW)
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 25), outcome.detail
    assert seen == [(0, False)], "requests first, and the sync waits for git"
    status = cluster.live()["status"]
    assert (status["phase"], "abort" in status) == ("Healthy", False)
    assert (world.overlays["production"], cluster.arms().stables) == (OLD, (OLD,))
    assert cluster.gitops.reconciliation("shop", "production").automatic
    outcome, _ = await releases.outcome(NEWER)
    assert outcome.outcome == "landed", "the way is free for the next one"


async def test_a_release_climbs_the_rollout_though_the_api_is_gone_for_ten_minutes(
    skipping: WorkflowEnvironment,
) -> None:
    """The requests go on as they were; the release asks again until it is answered, and becomes stable."""
    world, cluster, releases = in_a_cluster(skipping, limit=3600)

    async def gone() -> None:
        cluster.cluster.faults = [Fault("GET", "rollouts/shop") for _ in range(45)]

    world.faults.after["set_weight"] = gone
    async with releases.worker():
        handle = await releases.start(NEW)
        outcome = await handle.result()
        began = (await handle.describe()).start_time
        took = await skipping.get_current_time(handle) - began
    assert outcome.outcome == "landed", outcome.detail
    assert (cluster.arms().stables, cluster.live()["status"]["phase"]) == ((NEW,), "Healthy")
    assert {document.canary_percent for document in world.documents} == {1, 25, 100}
    assert took > timedelta(minutes=10)
    assert world.faults.made.count("set_weight") == 3, "each weight was set once"


def with_flagger(
    env: WorkflowEnvironment, folder: Path, **given: object
) -> tuple[World, FlaggerWorld, Releases]:
    """The overlays that land are what Flux finds in git; Flagger asks the gateway before each move."""
    steps = (25, 100)
    world = a_world(*steps, **given)
    cluster = FlaggerWorld(store_at(folder / "store.db"), *steps)
    cluster.tags = cast(dict[str, str], world.overlays)
    cluster.flux.poll()
    delivery = cast(Delivery, Intervals(cluster))
    traffic = ClusterTraffic(world, cluster)
    return (
        world,
        cluster,
        Releases(world, env.client, delivery=delivery, gitops=cluster.gitops, metrics=traffic),
    )


async def test_flagger_lets_a_release_up_each_step_and_makes_it_stable_once_it_is_green(
    skipping: WorkflowEnvironment, tmp_path: Path
) -> None:
    world, cluster, releases = with_flagger(skipping, tmp_path)
    outcome, _ = await releases.outcome(NEW)
    assert outcome.outcome == "landed", outcome.detail
    assert {document.canary_percent for document in world.documents} == {25, 100}
    assert (cluster.arms(), world.overlays["production"]) == (Arms(stables=(NEW,)), NEW)
    assert [notes.sha for notes in world.markers.values()] == [NEW]


async def test_flagger_takes_a_red_release_back_before_git_is_put_back(
    skipping: WorkflowEnvironment, tmp_path: Path
) -> None:
    world, cluster, releases = with_flagger(skipping, tmp_path, error_ppm=fails_from(25))
    routes: list[int] = []
    world.on_landing = lambda world: routes.append(cluster.route)
    outcome, _ = await releases.outcome(NEW)
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 25), outcome.detail
    assert routes == [0, 0, 0], "at each landing of an overlay: dev, production, and the way back"
    assert ("rollback", "yes") in cluster.controller.asked
    assert (cluster.arms(), world.overlays["production"]) == (Arms(stables=(OLD,)), OLD)


async def test_flagger_asks_nothing_about_a_canary_whose_pods_die_and_the_overlay_takes_the_requests_back(
    skipping: WorkflowEnvironment, tmp_path: Path
) -> None:
    """People are paged, but nobody waits until Flagger's own deadline for its pods has passed."""
    world, cluster, releases = with_flagger(skipping, tmp_path, error_ppm=fails_from(25))

    async def dies() -> None:
        cluster.controller.unready.add(NEW)
        cluster.cluster.store.settle()

    world.faults.before["abort"] = dies
    outcome, _ = await releases.outcome(NEW)
    assert outcome.outcome == "rolled_back", outcome.detail
    assert "Flagger asks nothing about a canary whose pods are not ready" in outcome.detail
    assert world.pages == ["requests not back", "ended"]
    assert ("rollback", "yes") not in cluster.controller.asked
    assert (cluster.arms().stables, cluster.arms().canary) == ((OLD,), None)
    assert world.overlays["production"] == OLD
