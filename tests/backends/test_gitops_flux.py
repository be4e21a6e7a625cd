"""Flux as reconciler, on a cluster with its two controllers: asked, waited for, suspended and resumed."""

import ssl

import pytest

from activities.backends.gitops_flux import REQUESTED, SUSPENDED, FluxGitops
from activities.backends.kubernetes_api import KubernetesApi
from activities.backends.kubernetes_config import Access
from leverframe.model.errors import NotFound, Refused, Unavailable
from leverframe.model.releases import Reconciliation
from tests.fakes.kubernetes import TOKEN, FakeKubernetes
from tests.fakes.kubernetes_flux import NAMESPACE, FakeFlux, kind
from tests.fakes.kubernetes_http import URL, transport
from tests.fakes.kubernetes_kinds import Json
from tests.fakes.kubernetes_rules import Rule

A, B = "a" * 40, "b" * 40


class Flux:
    """Production of the shop: a git that a test moves, and our backend."""

    def __init__(self) -> None:
        self.tip = A
        self.down = False
        self.manifests: list[Json] = []
        self.cluster = FakeKubernetes()
        self.flux = FakeFlux(self.cluster, {"shop-production": self.git})
        access = Access(URL, ssl.create_default_context(), lambda: TOKEN)
        api = KubernetesApi(access, transport=transport(self.cluster))
        names = {"production": "{service}-production"}
        self.gitops = FluxGitops(api, namespace=NAMESPACE, kustomizations=names, services=frozenset({"shop"}))

    def git(self) -> tuple[str, list[Json]]:
        if self.down:
            raise OSError("connection refused")
        return self.tip, self.manifests

    def now(self) -> Reconciliation:
        return self.gitops.reconciliation("shop", "production")

    def request(self) -> None:
        self.gitops.request("shop", "production")

    def object(self, name: str = "Kustomization") -> Json:
        return self.cluster.store.get(kind(name), NAMESPACE, "shop-production")

    def patch(self, patch: Json, name: str = "Kustomization", subresource: str = "") -> None:
        self.cluster.store.patch(kind(name), NAMESPACE, "shop-production", patch, subresource)
        self.cluster.store.settle()


@pytest.fixture
def flux() -> Flux:
    return Flux()


def test_what_flux_has_applied_is_told_with_its_commit(flux: Flux) -> None:
    assert flux.now() == Reconciliation(
        environment="production", revision=A, pending=False, synced=True, automatic=True, healthy=True
    )


def test_a_commit_is_seen_once_flux_was_asked(flux: Flux) -> None:
    flux.tip = B
    assert flux.now().revision == A
    flux.request()
    assert (flux.now().revision, flux.now().settled) == (B, True)
    asked = [target for method, target in flux.cluster.requests if method == "PATCH"]
    assert ["gitrepositories" in target for target in asked] == [True, False]


def test_nothing_is_settled_until_the_source_has_looked_and_the_kustomization_has_applied_it(
    flux: Flux,
) -> None:
    flux.tip, flux.flux.source_asleep = B, True
    flux.request()  # the Kustomization answers with the artifact of the look before
    asked = flux.object()["metadata"]["annotations"][REQUESTED]
    assert flux.object()["status"]["lastHandledReconcileAt"] == asked
    assert (flux.now().pending, flux.now().revision) == (True, A)
    flux.flux.kustomize_asleep, flux.flux.source_asleep = True, False
    flux.cluster.store.settle()
    assert (flux.now().pending, flux.now().revision) == (True, A)
    flux.flux.wake()
    assert (flux.now().settled, flux.now().revision) == (True, B)


def test_a_git_that_does_not_answer_leaves_it_pending_and_says_so(flux: Flux) -> None:
    flux.tip, flux.down = B, True
    flux.request()
    seen = flux.now()
    assert (seen.pending, seen.revision) == (True, A)
    assert "GitRepository shop-production is not ready: GitOperationFailed: connection refused" in seen.detail
    flux.down = False
    flux.request()
    assert flux.now().settled


def test_a_commit_that_can_not_be_applied_is_attempted_and_not_synced(flux: Flux) -> None:
    flux.tip = B
    named = {"name": "shop", "namespace": "production"}
    group = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout"}
    flux.manifests = [{**group, "metadata": named, "spec": {"replicas": "ten"}}]
    flux.request()
    seen = flux.now()
    assert (seen.revision, seen.synced, seen.healthy, seen.pending) == (B, False, False, False)
    assert "ReconciliationFailed" in seen.detail


def test_what_we_suspend_stays_as_it_is_until_we_resume_it(flux: Flux) -> None:
    flux.gitops.suspend("shop", "production", reason="it was taken back")
    flux.gitops.suspend("shop", "production", reason="again")
    assert flux.object()["metadata"]["annotations"][SUSPENDED] == "it was taken back"
    flux.tip = B
    flux.request()
    seen = flux.now()
    assert (seen.revision, seen.automatic, seen.pending, seen.synced) == (A, False, False, False)
    assert "suspended by Leverframe" in seen.detail
    flux.gitops.resume("shop", "production")
    flux.gitops.resume("shop", "production")
    assert (flux.now().revision, flux.now().automatic, flux.now().settled) == (B, True, True)
    assert SUSPENDED not in flux.object()["metadata"].get("annotations", {})


def test_what_a_person_suspended_is_not_resumed(flux: Flux) -> None:
    flux.patch({"spec": {"suspend": True}})
    flux.gitops.suspend("shop", "production", reason="it was taken back")
    flux.gitops.resume("shop", "production")
    assert not flux.now().automatic
    assert "somebody must resume it" in flux.now().detail


def test_a_suspension_that_something_takes_back_is_no_suspension(flux: Flux) -> None:
    def parent() -> None:
        if flux.object()["spec"].get("suspend"):
            flux.cluster.store.patch(
                kind("Kustomization"), NAMESPACE, "shop-production", {"spec": {"suspend": False}}
            )

    flux.cluster.store.changed.append(parent)
    with pytest.raises(Unavailable, match="it is not suspended"):
        flux.gitops.suspend("shop", "production", reason="it was taken back")


def test_a_source_that_is_no_git_and_names_that_nobody_declared_are_refused(flux: Flux) -> None:
    flux.patch({"spec": {"sourceRef": {"kind": "OCIRepository", "name": "shop"}}})
    with pytest.raises(Refused, match="reads a OCIRepository"):
        flux.now()
    with pytest.raises(NotFound, match="no service 'other'"):
        flux.gitops.request("other", "production")
    with pytest.raises(NotFound, match="names none for dev"):
        flux.gitops.request("shop", "dev")


def test_the_doctor_is_told_what_is_missing(flux: Flux) -> None:
    assert flux.gitops.health().detail == f"Flux reconciles shop-production in {NAMESPACE}"
    flux.cluster.allow(Rule(("*",), ("kustomizations", "gitrepositories"), ("get",)))
    assert "may not patch kustomizations" in flux.gitops.health().detail
    flux.cluster.allow(Rule(("*",), ("*",), ("*",)))
    flux.patch({"spec": {"suspend": True}})
    assert "is suspended" in flux.gitops.health().detail
    flux.cluster.gone = True
    assert not flux.gitops.health().ok
