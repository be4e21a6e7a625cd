"""The fake controllers do what the documentation of Argo Rollouts and Argo CD says, where we lean on it."""

from dataclasses import dataclass, field

import pytest

from tests.fakes.kubernetes import FakeKubernetes
from tests.fakes.kubernetes_argocd import REFRESH, FakeArgoCd, application
from tests.fakes.kubernetes_kinds import Json, Kind, kinds
from tests.fakes.kubernetes_rollouts import FakeRollouts, rollout

A, B, C = "a" * 40, "b" * 40, "c" * 40
STEPS: tuple[Json, ...] = ({"setWeight": 10}, {"pause": {}}, {"setWeight": 50}, {"pause": {}})


def kind(name: str) -> Kind:
    return next(each for each in kinds() if each.kind == name)


@dataclass
class Place:
    """A cluster with its controllers, and a git that names one tag."""

    tag: str = A
    revision: int = 1
    canary: Json = field(default_factory=dict)
    automated: Json = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.cluster = FakeKubernetes()
        self.rollouts = FakeRollouts(self.cluster)
        self.argo = FakeArgoCd(self.cluster, {"shop": self.git})
        self.cluster.store.create(kind("Application"), "argocd", application("shop", **self.automated))

    def git(self) -> tuple[str, list[Json]]:
        return f"{self.revision:040x}", [rollout(self.tag, *STEPS, **self.canary)]

    def land(self, tag: str, **canary: object) -> None:
        self.tag, self.revision = tag, self.revision + 1
        self.canary |= canary
        self.argo.poll()

    @property
    def application(self) -> Json:
        return self.cluster.store.get(kind("Application"), "argocd", "shop")

    @property
    def status(self) -> Json:
        status: Json = self.cluster.store.get(kind("Rollout"), "production", "shop")["status"]
        return status

    def tell(self, **status: object) -> None:
        self.cluster.store.patch(kind("Rollout"), "production", "shop", {"status": status}, "status")

    @property
    def weight(self) -> int:
        weight: int = self.status["canary"]["weights"]["canary"]["weight"]
        return weight


def test_the_first_template_is_stable_at_once() -> None:
    status = Place().status
    assert status["stableRS"] == status["currentPodHash"]
    assert (status["phase"], status["availableReplicas"], status["observedGeneration"]) == (
        "Healthy",
        10,
        "1",
    )


def test_each_pause_is_left_by_taking_its_condition_away() -> None:
    place = Place()
    place.land(B)
    assert (place.weight, place.status["phase"], place.status["currentStepIndex"]) == (10, "Paused", 1)
    place.tell(pauseConditions=None)
    assert (place.weight, place.status["currentStepIndex"]) == (50, 3)
    place.tell(pauseConditions=None)
    status = place.status
    assert (status["stableRS"] == status["currentPodHash"], status["phase"]) == (True, "Healthy")


def test_an_aborted_rollout_gives_stable_all_requests_and_stays_so() -> None:
    place = Place(automated={"selfHeal": True})
    place.land(B)
    place.tell(abort=True)
    place.argo.poll()
    status = place.status
    assert (place.weight, status["phase"], status["currentStepIndex"]) == (0, "Degraded", 0)
    assert status["stableRS"] != status["currentPodHash"]
    assert place.application["status"]["health"]["status"] == "Degraded"


def test_a_sync_that_changes_the_steps_begins_an_aborted_rollout_anew() -> None:
    """The trap: neither of the two knows that the commit was judged to be bad."""
    place = Place()
    place.land(B)
    place.tell(abort=True)
    place.land(B, steps=[{"setWeight": 20}, {"pause": {}}])
    assert ("abort" in place.status, place.weight) == (False, 20)


def test_a_template_that_was_stable_lately_needs_no_steps() -> None:
    place = Place()
    place.land(B)
    place.tell(abort=True)
    place.land(A)
    assert ("abort" in place.status, place.status["phase"], place.weight) == (False, "Healthy", 0)
    place.land(B)
    assert place.weight == 10
    place.tell(promoteFull=True)
    place.land(A)
    assert place.status["phase"] == "Healthy"
    place.land(C)
    assert place.weight == 10


def test_pods_that_are_not_ready_get_no_weight() -> None:
    place = Place()
    place.rollouts.unready.add(B)
    place.land(B)
    assert (place.weight, place.status["phase"]) == (0, "Progressing")
    place.rollouts.unready.clear()
    place.cluster.store.settle()
    assert place.weight == 10


def test_without_a_traffic_router_the_pods_are_the_weight() -> None:
    place = Place(canary={"trafficRouting": None})
    place.land(B)
    sizes = [each["spec"]["replicas"] for each in place.cluster.store.list(kind("ReplicaSet"), "")]
    assert sorted(sizes) == [1, 9]
    assert place.status["canary"] == {}


def test_a_controller_that_is_behind_has_not_observed_the_generation() -> None:
    place = Place()
    place.rollouts.asleep = True
    place.land(B)
    assert place.status["observedGeneration"] == "1"
    place.rollouts.wake()
    assert place.status["observedGeneration"] == "2"


def test_argo_cd_sees_git_when_asked_and_takes_the_question_away() -> None:
    place = Place()
    place.tag, place.revision = B, 2
    assert place.application["status"]["sync"]["revision"] == f"{1:040x}"
    patch = {"metadata": {"annotations": {REFRESH: "normal"}}}
    place.cluster.store.patch(kind("Application"), "argocd", "shop", patch)
    seen = place.application
    assert seen["status"]["sync"] == {"status": "Synced", "revision": f"{2:040x}"}
    assert REFRESH not in seen["metadata"].get("annotations", {})


@pytest.mark.parametrize(
    ("automated", "replicas"), [({}, 3), ({"selfHeal": True}, 10), ({"enabled": False}, 3)]
)
def test_drift_is_taken_back_by_self_heal_only(automated: Json, replicas: int) -> None:
    place = Place()
    if automated:
        patch = {"spec": {"syncPolicy": {"automated": automated}}}
        place.cluster.store.patch(kind("Application"), "argocd", "shop", patch)
    place.cluster.store.patch(kind("Rollout"), "production", "shop", {"spec": {"replicas": 3}})
    live = place.cluster.store.get(kind("Rollout"), "production", "shop")
    assert live["spec"]["replicas"] == replicas
