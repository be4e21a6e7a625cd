"""An environment without a canary: its Deployment, and what that has rolled out."""

from activities.backends.argo_answers import Deployment, read
from activities.backends.kubernetes_api import KubernetesApi
from activities.backends.kubernetes_places import Places
from leverframe.model.errors import NotFound
from leverframe.model.releases import DeliveryState, Environment


def deployment_state(
    api: KubernetesApi, places: Places, service: str, environment: Environment
) -> DeliveryState:
    """What a Deployment runs: stable once all its pods are of its template. Raises NotFound, Unavailable."""
    found = read(Deployment, api.get(places.deployment(service, environment)))
    wanted, done = found.spec.template.sha(places.container_of(service)), found.rolled_out
    there = f"{found.status.available_replicas} of {found.spec.replicas} pods are there"
    return DeliveryState(
        environment=environment,
        wanted=wanted,
        stable=wanted if done else None,
        canary=None,
        ready=done,
        detail="" if done else there,
    )


def nothing_there(places: Places, service: str, environment: Environment, missing: NotFound) -> DeliveryState:
    """The state of a workload that is not in the cluster. Raises NotFound: it is not declared either."""
    places.namespace(service, environment)
    return DeliveryState(
        environment=environment, wanted=None, stable=None, canary=None, ready=False, detail=str(missing)
    )
