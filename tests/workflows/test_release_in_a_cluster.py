"""The real ReleaseWorkflow over our backends for Argo, on a cluster with fake controllers."""

from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.model.releases import HealthDocument
from leverframe.model.topology import Build
from tests.fakes.argo_world import ArgoWorld
from tests.fakes.kubernetes import Fault
from tests.fakes.release_world import NEW, NEWER, OLD, FakeTraffic, World, fails_from, repository
from tests.fakes.releases import Releases

pytestmark = pytest.mark.asyncio(loop_scope="module")


class ClusterTraffic(FakeTraffic):
    """Requests go where the cluster sends them; the metrics are another system."""

    def __init__(self, world: World, cluster: ArgoWorld) -> None:
        super().__init__(world)
        self._release_world, self._cluster = world, cluster

    def release_health(self, service: str) -> HealthDocument:
        self._release_world.arms["production"] = self._cluster.arms()
        return super().release_health(service)


def in_a_cluster(
    env: WorkflowEnvironment, *, limit: float = 60, **given: object
) -> tuple[World, ArgoWorld, Releases]:
    """OLD is live everywhere; the overlays that land are what Argo CD finds in git."""
    image = Build(by="forge", image="registry.example/shop", context="image")
    plain = repository(limit=limit)
    unprobed = plain.service.model_copy(update={"probes": ()})  # nothing serves in this cluster
    declared = plain.model_copy(update={"build": image, "service": unprobed})
    world = World.with_stable(repository=declared, **given)
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
