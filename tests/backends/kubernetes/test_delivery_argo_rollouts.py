"""Argo Rollouts moved by our workflow: what is observed, what is refused, and what a retry finds."""

import json
import re
from typing import Any

import pytest

from leverframe.model.errors import Conflict, NotFound, Refused, Unavailable
from leverframe.model.releases import Artifact
from leverframe.model.topology import Probe
from tests.fakes.argo_world import A, ArgoWorld, B, C, kind
from tests.fakes.kubernetes import Fault
from tests.fakes.kubernetes_rules import Rule
from tests.fakes.release_world import repository

STATUS = r"/rollouts/shop/status$"


def writes(world: ArgoWorld) -> int:
    return sum(method == "PATCH" and "/status" in target for method, target in world.cluster.requests)


def test_the_canary_waits_at_nothing_until_it_is_weighed(world: ArgoWorld) -> None:
    world.synced(B)
    state = world.delivery.state("shop", "production")
    assert (state.canary, state.canary_percent, state.ready) == (B, 0, True)


def test_a_weight_that_is_there_already_writes_nothing(world: ArgoWorld) -> None:
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=25)
    before = writes(world)
    assert world.delivery.set_weight("shop", sha=B, percent=25).canary_percent == 25
    assert writes(world) == before == 2


def test_an_answer_that_was_lost_leaves_no_pause_twice(world: ArgoWorld) -> None:
    world.synced(B)
    world.cluster.faults = [Fault("PATCH", STATUS, status=500, applied=True)]
    with pytest.raises(Unavailable, match="in trouble"):
        world.hasty.set_weight("shop", sha=B, percent=1)
    assert world.delivery.set_weight("shop", sha=B, percent=1).canary_percent == 1
    assert world.weight == 1


def test_somebody_who_was_faster_makes_it_look_again(
    world: ArgoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between our look and our write a person has left the pause: leaving the next one would be too much."""
    world.synced(B)
    write = world.api.patch_status

    def overtaken(place: Any, patch: dict[str, Any]) -> dict[str, Any]:
        monkeypatch.setattr(world.api, "patch_status", write)
        world.tell(pauseConditions=None)
        return write(place, patch)

    monkeypatch.setattr(world.api, "patch_status", overtaken)
    assert world.delivery.set_weight("shop", sha=B, percent=1).canary_percent == 1
    assert world.weight == 1


def test_what_the_controller_has_not_observed_is_not_believed(world: ArgoWorld) -> None:
    world.rollouts.asleep = True
    world.synced(B)
    state = world.delivery.state("shop", "production")
    assert (state.wanted, state.canary, state.ready) == (B, None, False)
    with pytest.raises(Unavailable, match="has not seen generation 2 yet"):
        world.hasty.set_weight("shop", sha=B, percent=1)
    with pytest.raises(Unavailable, match="has not seen generation 2 yet"):
        world.hasty.abort("shop", sha=B)
    assert writes(world) == 0, "the new template would have forgotten the abort"
    world.rollouts.wake()
    assert world.delivery.abort("shop", sha=B).canary is None


def test_the_weight_is_what_the_router_has_and_not_what_was_asked_for(world: ArgoWorld) -> None:
    world.synced(B)
    world.rollouts.asleep = True
    with pytest.raises(Unavailable, match="does not get 1 % yet"):
        world.hasty.set_weight("shop", sha=B, percent=1)
    state = world.delivery.state("shop", "production")
    assert (state.canary_percent, state.detail) == (0, "it is on its way to the next step")
    world.rollouts.wake()
    assert world.delivery.set_weight("shop", sha=B, percent=1).canary_percent == 1


def test_a_weight_that_the_router_has_not_verified_is_waited_for(world: ArgoWorld) -> None:
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=1)
    world.rollouts.asleep = True
    world.tell(canary={"weights": {"verified": False}})
    with pytest.raises(Unavailable):
        world.hasty.set_weight("shop", sha=B, percent=1)


@pytest.mark.parametrize(
    ("canary", "percent", "said"),
    [
        pytest.param({}, 7, r"holds at \[0, 1, 25, 100\] %, not at 7 %", id="no such rung"),
        pytest.param({"dynamicStableScale": True}, 1, "dynamicStableScale", id="an abort would wait"),
        pytest.param(
            {"trafficRouting": None, "steps": [{"setWeight": 1}, {"pause": {}}]}, 1,
            "they make 10 %, not 1 %", id="pods can't make it",
        ),
    ],
)  # fmt: skip
def test_a_weight_that_can_not_be_held_is_refused(canary: dict[str, Any], percent: int, said: str) -> None:
    world = ArgoWorld(**canary)
    world.synced(B)
    with pytest.raises(Refused, match=said):
        world.delivery.set_weight("shop", sha=B, percent=percent)


def test_a_weight_never_goes_down(world: ArgoWorld) -> None:
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=25)
    with pytest.raises(Refused, match="abort it"):
        world.delivery.set_weight("shop", sha=B, percent=1)


def test_the_canary_does_not_grow_while_stable_could_not_take_it_back(world: ArgoWorld) -> None:
    world.synced(B)
    world.rollouts.unready.add(A)
    world.cluster.store.settle()
    with pytest.raises(Unavailable, match="stable has 0 of 10 pods"):
        world.hasty.set_weight("shop", sha=B, percent=1)


def test_without_a_router_the_share_of_the_pods_is_told() -> None:
    steps = [{"setWeight": 20}, {"pause": {}}, {"setWeight": 50}, {"pause": {}}]
    world = ArgoWorld(20, 50, trafficRouting=None, steps=steps)
    world.synced(B)
    assert world.delivery.set_weight("shop", sha=B, percent=20).canary_percent == 20
    assert world.delivery.set_weight("shop", sha=B, percent=50).canary_percent == 50
    assert world.delivery.abort("shop", sha=B).canary_percent == 0


def test_a_rollout_that_a_person_has_paused_is_waited_for_in_words(world: ArgoWorld) -> None:
    world.synced(B)
    world.spec = {"paused": True}
    world.argo.poll()
    with pytest.raises(Unavailable, match=r"somebody has paused the Rollout \(spec.paused\)"):
        world.hasty.set_weight("shop", sha=B, percent=1)


def test_a_template_that_changed_beside_the_commit_is_nobodys_release(world: ArgoWorld) -> None:
    """The next release must get the canary slot all the same."""
    world.spec = {"template": {"metadata": {"labels": {"app": "shop", "tier": "2"}},
                               "spec": {"containers": [{"name": "shop", "image": f"shop:{A}"}]}}}  # fmt: skip
    world.argo.poll()
    state = world.delivery.state("shop", "production")
    assert (state.canary, state.ready) == (None, False)
    assert "promote it by hand" in state.detail


def test_the_commit_is_read_beside_a_digest_and_of_the_right_container(world: ArgoWorld) -> None:
    image = f"registry.example:5000/shop:{B}@sha256:{'0' * 64}"
    containers = [{"name": "proxy", "image": f"envoy:{C}"}, {"name": "shop", "image": image}]
    labels = {"labels": {"app": "shop"}}
    world.spec = {"template": {"metadata": labels, "spec": {"containers": containers}}}
    world.argo.poll()
    assert world.delivery.state("shop", "production").canary == B


# abort


def test_an_abort_suspends_the_sync_which_would_begin_it_anew(world: ArgoWorld) -> None:
    """A commit that touches the template or the steps, while the overlay still names the bad commit."""
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=25)
    world.delivery.abort("shop", sha=B)
    world.spec = {"minReadySeconds": 5}
    world.canary["steps"] = [{"setWeight": 50}, {"pause": {}}, *world.canary["steps"]]
    world.argo.poll()
    assert (world.weight, world.live()["status"]["abort"]) == (0, True)
    world.point(A)
    world.gitops.resume("shop", "production")
    world.gitops.request("shop", "production")
    assert "abort" not in world.live()["status"], "the way is free for the next release"
    assert world.delivery.state("shop", "production").ready
    world.synced(C)
    assert world.delivery.set_weight("shop", sha=C, percent=50).canary_percent == 50


def test_a_commit_that_was_not_applied_yet_is_kept_out(world: ArgoWorld) -> None:
    """Taken back between the landing of its overlay and the sync."""
    world.point(B)
    state = world.delivery.abort("shop", sha=B)
    assert (state.stable, state.canary) == (A, None)
    world.argo.poll()
    assert world.delivery.state("shop", "production").canary is None


def test_an_abort_is_read_back(world: ArgoWorld) -> None:
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=25)
    world.rollouts.asleep = True
    with pytest.raises(Unavailable, match="not taken back yet"):
        world.hasty.abort("shop", sha=B)
    state = world.delivery.state("shop", "production")
    assert (state.canary, state.canary_percent) == (B, 25), "requests still go there"
    world.rollouts.wake()
    assert world.delivery.abort("shop", sha=B).canary is None


def test_an_abort_says_what_stable_lacks(world: ArgoWorld) -> None:
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=25)
    world.rollouts.unready.add(A)
    world.cluster.store.settle()
    with pytest.raises(Unavailable, match="stable has 0 of 10 pods"):
        world.hasty.abort("shop", sha=B)


def test_an_abort_that_we_may_not_do_is_asked_for_again(world: ArgoWorld) -> None:
    world.synced(B)
    world.cluster.allow(Rule(("*",), ("rollouts", "replicasets"), ("get", "list", "watch")))
    with pytest.raises(Unavailable, match=r'cannot patch resource "rollouts/status".*stay where they are'):
        world.hasty.abort("shop", sha=B)


def test_a_mark_of_an_abort_that_came_too_late_is_taken_away(world: ArgoWorld) -> None:
    """Somebody aborts what has gone back already: it stays Degraded, though nothing is wrong."""
    world.tell(abort=True)
    state = world.delivery.state("shop", "production")
    assert (state.ready, state.detail) == (False, "it is still marked as aborted")
    assert world.delivery.promote("shop", sha=A).ready
    assert world.live()["status"]["phase"] == "Healthy"


def test_what_an_analysis_in_the_cluster_has_taken_back_is_a_conflict(world: ArgoWorld) -> None:
    world.synced(B)
    world.delivery.set_weight("shop", sha=B, percent=1)
    world.tell(abort=True)
    with pytest.raises(Conflict, match="the Rollout was aborted"):
        world.delivery.set_weight("shop", sha=B, percent=25)


# the rest of the port


def test_an_environment_without_a_rollout_runs_nothing_yet(world: ArgoWorld) -> None:
    world.argo.asleep = True
    world.cluster.store.delete(kind("Rollout"), "dev", "shop")
    state = world.delivery.state("shop", "dev")
    assert (state.stable, state.ready) == (None, False)
    assert 'rollouts.argoproj.io "shop" not found' in state.detail


def test_dev_may_run_a_deployment(world: ArgoWorld) -> None:
    container = {"name": "shop", "image": f"shop:{B}"}
    spec = {"replicas": 2, "template": {"spec": {"containers": [container]}}}
    document = world.cluster.store.create(
        kind("Deployment"), "dev", {"metadata": {"name": "shop"}, "spec": spec}
    )
    delivery = world.delivering(0, "dev")
    assert not delivery.state("shop", "dev").ready
    done = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2}
    world.cluster.store.set_status(document, done)
    state = delivery.state("shop", "dev")
    assert (state.stable, state.ready) == (B, True)


def test_only_images_can_be_delivered(world: ArgoWorld) -> None:
    artifact = Artifact(service="shop", sha=B, digest=f"sha256:{'0' * 64}", image="registry.example/shop")
    world.delivery.deploy_artifact(repository(), artifact)
    tar = Artifact(service="shop", sha=B, digest=f"sha256:{'0' * 64}", path="b.tar")
    with pytest.raises(Refused, match="is no image"):
        world.delivery.deploy_artifact(repository(), tar)


def test_probes_go_to_the_declared_origin(world: ArgoWorld) -> None:
    failures = world.delivery.probe("shop", "dev", (Probe(name="home", path="/"),))
    assert failures == ["home: GET / got no answer (ConnectError)"]
    with pytest.raises(NotFound):
        world.delivery.probe("other", "dev", ())


@pytest.mark.parametrize(
    ("canary", "spec", "said"),
    [
        ({"steps": [{"setWeight": 5}, {"pause": {}}]}, {}, r"holds at \[5\] %, and the declared canary has"),
        ({"dynamicStableScale": True}, {}, "makes an abort wait"),
        ({"trafficRouting": None}, {}, r"10 pods can't make \[1, 25\] %"),
        ({}, {"rollbackWindow": {"revisions": 0}}, "would climb all the steps"),
        (
            {},
            {
                "template": {
                    "spec": {"containers": [{"name": "a", "image": "a"}, {"name": "b", "image": "b"}]}
                }
            },
            "has no container 'shop'",
        ),
    ],
)
def test_the_doctor_finds_a_rollout_that_is_not_like_the_plan(
    canary: dict[str, Any], spec: dict[str, Any], said: str
) -> None:
    world = ArgoWorld(1, 25, 100, **canary)
    world.spec = spec
    world.argo.poll()
    health = world.delivery.health()
    assert not health.ok
    assert re.search(said, health.detail), health.detail
    assert health.remedy


def test_the_doctor_names_the_right_that_is_missing(world: ArgoWorld) -> None:
    assert world.delivery.health().ok
    world.cluster.allow(Rule(("*",), ("*",), ("get", "list", "watch")))
    health = world.delivery.health()
    assert health.detail == "shop: our account may not patch rollouts/status in production"
    world.cluster.gone = True
    assert "does not answer" in world.delivery.health().detail


def test_an_object_that_is_not_what_its_kind_says_is_not_guessed_at(world: ArgoWorld) -> None:
    key = ("rollouts", "production", "shop")
    world.cluster.store.objects[key] = json.loads(json.dumps(world.live()))
    world.cluster.store.objects[key]["status"]["currentStepIndex"] = "many"
    with pytest.raises(Unavailable, match=r"the Rollout can't be understood: status.currentStepIndex"):
        world.hasty.state("shop", "production")
