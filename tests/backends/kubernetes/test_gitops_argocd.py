"""Argo CD, through the cluster and through its own API: observed, asked, suspended and resumed."""

import json
from collections.abc import Callable

import httpx
import pytest

from activities.backends.argocd_doors import ByRest
from activities.backends.gitops_argocd import SUSPENDED, ArgoCdGitops
from leverframe.model.errors import NotFound, Refused, Unavailable
from tests.fakes.argo_world import APPLICATIONS, SERVICES, A, ArgoWorld, B, kind
from tests.fakes.argocd_server import TOKEN, argocd_server
from tests.fakes.kubernetes import Fault
from tests.fakes.kubernetes_kinds import Json
from tests.fakes.kubernetes_rules import Rule

PRODUCTION = ("shop", "production")


def by_rest(world: ArgoWorld, token: str = TOKEN) -> ArgoCdGitops:
    door = ByRest(
        server="https://argocd.example",
        token=token,
        namespace="argocd",
        transport=argocd_server(world.cluster),
    )
    return ArgoCdGitops(door, applications=APPLICATIONS, services=SERVICES)


@pytest.fixture(params=["kubernetes", "rest"])
def gitops(request: pytest.FixtureRequest, world: ArgoWorld) -> ArgoCdGitops:
    return world.gitops if request.param == "kubernetes" else by_rest(world)


def application(world: ArgoWorld) -> Json:
    return world.cluster.store.get(kind("Application"), "argocd", "shop-production")


def rewritten(world: ArgoWorld, patch: Json) -> None:
    world.cluster.store.patch(kind("Application"), "argocd", "shop-production", patch)


def test_it_tells_what_was_compared_and_applied(world: ArgoWorld, gitops: ArgoCdGitops) -> None:
    told = gitops.reconciliation(*PRODUCTION)
    assert told.revision == world.git("production")[0]
    assert (told.pending, told.synced, told.automatic, told.healthy, told.detail) == (
        False, True, True, True, "",
    )  # fmt: skip


def test_a_request_is_pending_until_argo_cd_has_looked(world: ArgoWorld, gitops: ArgoCdGitops) -> None:
    world.argo.asleep = True
    world.point(B)
    gitops.request(*PRODUCTION)
    gitops.request(*PRODUCTION)
    assert (gitops.reconciliation(*PRODUCTION).pending, gitops.reconciliation(*PRODUCTION).settled) == (
        True, False,
    )  # fmt: skip
    world.argo.wake()
    told = gitops.reconciliation(*PRODUCTION)
    assert (told.settled, told.revision) == (True, world.git("production")[0])


def test_the_automatic_sync_comes_back_as_it_was(world: ArgoWorld, gitops: ArgoCdGitops) -> None:
    before = application(world)["spec"]
    gitops.suspend(*PRODUCTION, reason="it is bad")
    suspended = application(world)
    assert "automated" not in suspended["spec"]["syncPolicy"]
    assert json.loads(suspended["metadata"]["annotations"][SUSPENDED])["reason"] == "it is bad"
    world.synced(B)
    told = gitops.reconciliation(*PRODUCTION)
    assert (told.synced, told.automatic) == (False, False)
    assert world.delivery.state(*PRODUCTION).wanted == A
    gitops.resume(*PRODUCTION)
    assert application(world)["spec"] == before
    assert SUSPENDED not in application(world)["metadata"]["annotations"]
    assert world.delivery.state(*PRODUCTION).wanted == B


def test_a_sync_that_people_switched_on_again_is_left_as_they_want_it(
    world: ArgoWorld, gitops: ArgoCdGitops
) -> None:
    gitops.suspend(*PRODUCTION, reason="it is bad")
    rewritten(world, {"spec": {"syncPolicy": {"automated": {"prune": False}}}})
    gitops.resume(*PRODUCTION)
    assert application(world)["spec"]["syncPolicy"]["automated"] == {"prune": False}
    assert SUSPENDED not in application(world)["metadata"]["annotations"]


def test_an_application_without_automatic_sync_is_left_alone(world: ArgoWorld, gitops: ArgoCdGitops) -> None:
    rewritten(world, {"spec": {"syncPolicy": {"automated": None}}})
    before = application(world)
    gitops.suspend(*PRODUCTION, reason="it is bad")
    gitops.resume(*PRODUCTION)
    assert application(world) == before
    world.synced(B)
    assert "somebody must sync it" in gitops.reconciliation(*PRODUCTION).detail
    assert not gitops.health().ok


def test_a_write_that_lost_its_answer_is_found_done(world: ArgoWorld) -> None:
    world.cluster.faults = [Fault("PATCH", "applications", status=503, applied=True)]
    with pytest.raises(Unavailable):
        world.gitops.suspend(*PRODUCTION, reason="it is bad")
    world.gitops.suspend(*PRODUCTION, reason="it is bad")
    world.cluster.faults = [Fault("PATCH", "applications", applied=True)]
    with pytest.raises(Unavailable, match="ReadError"):
        world.gitops.resume(*PRODUCTION)
    world.gitops.resume(*PRODUCTION)
    assert application(world)["spec"]["syncPolicy"]["automated"] == {"prune": True, "selfHeal": True}


def test_an_application_that_is_managed_by_another_is_named(world: ArgoWorld) -> None:
    """An app of apps puts the automatic sync back: then nothing is suspended, whatever was answered."""

    def parent() -> None:
        if "automated" not in application(world)["spec"]["syncPolicy"]:
            rewritten(world, {"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}})

    world.cluster.store.changed.append(parent)
    with pytest.raises(Unavailable, match="gets its automatic sync back from somewhere"):
        world.gitops.suspend(*PRODUCTION, reason="it is bad")


def test_a_note_that_somebody_changed_is_no_reason_to_guess(world: ArgoWorld) -> None:
    world.gitops.suspend(*PRODUCTION, reason="it is bad")
    rewritten(world, {"metadata": {"annotations": {SUSPENDED: "mine"}}})
    with pytest.raises(Refused, match=r"set syncPolicy\.automated"):
        world.gitops.resume(*PRODUCTION)


def test_what_is_wrong_is_told(world: ArgoWorld) -> None:
    def unreadable() -> tuple[str, list[Json]]:
        raise OSError("authentication required")

    world.argo.git["shop-production"] = unreadable
    world.gitops.request(*PRODUCTION)
    told = world.gitops.reconciliation(*PRODUCTION)
    assert (told.settled, told.detail) == (False, "ComparisonError: authentication required")


def test_a_paused_canary_is_healthy_and_an_aborted_one_is_not(world: ArgoWorld) -> None:
    world.synced(B)
    assert world.gitops.reconciliation(*PRODUCTION).healthy
    world.tell(abort=True)
    told = world.gitops.reconciliation(*PRODUCTION)
    assert (told.healthy, told.detail) == (False, "shop-production is Degraded")


@pytest.mark.parametrize(
    ("trouble", "said"),
    [
        (lambda world: world.cluster.allow(Rule(("*",), ("*",), ("get",))), "may not patch applications"),
        (
            lambda world: world.gitops.suspend("shop", "production", reason="bad"),
            "is suspended by Leverframe",
        ),
        (lambda world: world.cluster.store.delete(kind("Application"), "argocd", "shop-dev"), "not found"),
    ],
)
def test_the_doctor_names_what_is_missing(
    world: ArgoWorld, trouble: Callable[[ArgoWorld], object], said: str
) -> None:
    assert world.gitops.health().ok
    trouble(world)
    health = world.gitops.health()
    assert (health.ok, said in health.detail, bool(health.remedy)) == (False, True, True)


def test_argo_cd_without_an_answer_is_asked_again(world: ArgoWorld) -> None:
    with pytest.raises(Refused, match="permission denied"):
        by_rest(world, "other").request(*PRODUCTION)
    door = ByRest(
        server="https://argocd.example", token=TOKEN, namespace="argocd",
        transport=httpx.MockTransport(lambda request: httpx.Response(502, text="<html>")),
    )  # fmt: skip
    gitops = ArgoCdGitops(door, applications=APPLICATIONS, services=SERVICES)
    with pytest.raises(Unavailable, match="it answered 502"):
        gitops.reconciliation(*PRODUCTION)
    with pytest.raises(NotFound):
        gitops.reconciliation("other", "production")
