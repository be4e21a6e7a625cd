"""Our client of the Kubernetes API: errors of ours, tokens that are renewed, watches that end."""

import ssl
from datetime import timedelta

import httpx
import pytest

from activities.backends.kubernetes_api import KubernetesApi, Place
from activities.backends.kubernetes_config import Access
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable
from tests.fakes.argo_world import ArgoWorld, B, kind
from tests.fakes.kubernetes import TOKEN, Fault
from tests.fakes.kubernetes_http import URL, transport
from tests.fakes.kubernetes_rules import Rule

SHOP = Place("argoproj.io/v1alpha1", "rollouts", "production", "shop")


def client(handler: httpx.BaseTransport, *tokens: str) -> KubernetesApi:
    """One that reads these tokens, one after the other, and then the last for ever."""
    left = list(tokens or (TOKEN,))
    token = lambda: left.pop(0) if len(left) > 1 else left[0]  # noqa: E731 - a closure over the list
    return KubernetesApi(Access(URL, ssl.create_default_context(), token), transport=handler)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, BadInput), (403, Refused), (404, NotFound), (409, Conflict), (415, BadInput), (422, BadInput),
     (429, Unavailable), (500, Unavailable), (504, Unavailable)],
)  # fmt: skip
def test_each_answer_has_its_error(world: ArgoWorld, status: int, kind: type[LeverframeError]) -> None:
    world.cluster.faults = [Fault("GET", "rollouts/shop", status=status)]
    with pytest.raises(kind, match="fault"):
        world.api.get(SHOP)


def test_it_stays_away_for_as_long_as_it_was_asked_to(world: ArgoWorld) -> None:
    world.cluster.faults = [Fault("GET", "rollouts", status=429, headers={"Retry-After": "7"})]
    with pytest.raises(Unavailable) as error:
        world.api.get(SHOP)
    assert error.value.wait == timedelta(seconds=7)


@pytest.mark.parametrize("fault", [Fault("GET", "rollouts"), Fault("GET", "rollouts", slow=True)])
def test_a_lost_answer_is_worth_asking_again(world: ArgoWorld, fault: Fault) -> None:
    world.cluster.faults = [fault]
    with pytest.raises(Unavailable, match="does not answer"):
        world.api.get(SHOP)
    assert world.api.get(SHOP)["metadata"]["name"] == "shop"


def test_what_is_no_api_server_is_not_believed() -> None:
    api = client(httpx.MockTransport(lambda request: httpx.Response(200, text="<html>login</html>")))
    with pytest.raises(Unavailable, match="does not speak JSON"):
        api.get(SHOP)


def test_a_token_that_was_renewed_is_read_again_at_once(world: ArgoWorld) -> None:
    api = client(transport(world.cluster), "old", TOKEN)
    assert api.get(SHOP)["metadata"]["name"] == "shop"
    world.cluster.expire()
    with pytest.raises(Unavailable, match="renew its token"):
        api.get(SHOP)


def test_a_watch_ends_with_the_object(world: ArgoWorld) -> None:
    version = world.api.get(SHOP)["metadata"]["resourceVersion"]
    world.argo.asleep = world.rollouts.asleep = True
    world.api.patch(SHOP, {"spec": {"replicas": 3}})
    replicas = [each["spec"]["replicas"] for each in world.api.watch(SHOP, version=version, seconds=1)]
    assert replicas == [3]
    world.cluster.store.delete(kind("Rollout"), "production", "shop")
    with pytest.raises(NotFound, match="was deleted"):
        list(world.api.watch(SHOP, version=version, seconds=1))


def test_a_version_that_is_forgotten_is_read_anew(world: ArgoWorld) -> None:
    world.cluster.store.compact()
    assert list(world.api.watch(SHOP, version="1", seconds=1)) == []

    def told() -> None:
        """The controllers, somewhat later than the first look."""
        if sum("watch=true" in target for _, target in world.cluster.requests) == 2:
            world.cluster.store.compact()

    world.cluster.store.changed.append(told)
    world.synced(B)
    found = world.api.until(SHOP, lambda each: each["status"]["phase"] == "Paused", seconds=30)
    assert found["status"]["currentStepIndex"] == 1


def test_it_asks_what_it_may_do(world: ArgoWorld) -> None:
    world.cluster.allow(Rule(("argoproj.io",), ("rollouts/status",), ("patch",)))
    assert world.api.may("patch", SHOP, "status")
    assert not world.api.may("patch", SHOP)
    with pytest.raises(Refused, match='cannot get resource "rollouts"'):
        world.api.get(SHOP)


def test_the_version_is_told(world: ArgoWorld) -> None:
    assert world.api.version() == "v1.32.4"
