"""What delivers to a cluster is built here from the settings: one client for it, and what stands on it."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, cast

from activities.delivery_ports import Delivery, Gitops
from activities.permit_ports import Permits
from leverframe.backends import build, open_the_store
from leverframe.settings import Settings

if TYPE_CHECKING:
    from activities.backends.argocd_doors import ApplicationDoor
    from activities.backends.kubernetes_api import KubernetesApi


def build_cluster_delivery(settings: Settings) -> Delivery:
    """The traffic of the cluster's environments, with what reconciles them. Raises BadConfiguration."""
    from activities.backends.kubernetes_places import Places  # noqa: PLC0415 - loads when it is used

    chosen = settings.delivery.kubernetes
    services = {each.service.name: each.service.canary for each in settings.repositories}
    places = Places(
        namespaces=chosen.namespaces,
        workload=chosen.workload,
        container=chosen.container,
        origins=chosen.origins,
        services=frozenset(services),
    )
    stands_on = build_cluster_gitops(settings) if settings.delivery.backend == "argo_rollouts" else None
    return cast(
        Delivery,
        build(
            "delivery",
            settings.delivery.backend,
            _api(settings),
            stands_on or build_permits(settings),
            places=places,
            plans=services,
            deployments=frozenset(chosen.deployments),
        ),
    )


def build_permits(settings: Settings) -> Permits:
    """What releases allow Flagger to do. Raises BadConfiguration, Unavailable."""
    return cast(Permits, build("permits", "store", open_the_store(settings)))


def build_cluster_gitops(settings: Settings) -> Gitops:
    """What reconciles the cluster's environments with git. Raises BadConfiguration."""
    services = frozenset(each.service.name for each in settings.repositories)
    if settings.delivery.gitops == "flux":
        flux = dict(settings.delivery.flux)
        return cast(Gitops, build("gitops", "flux", _api(settings), services=services, **flux))
    applications = settings.delivery.argocd.applications
    return cast(
        Gitops,
        build("gitops", "argocd", _argocd(settings), applications=applications, services=services),
    )


def _argocd(settings: Settings) -> "ApplicationDoor":
    from activities.backends.argocd_doors import ByKubernetes, ByRest  # noqa: PLC0415 - loads when it is used

    chosen = settings.delivery.argocd
    if chosen.token is not None and chosen.server:
        token = chosen.token.get_secret_value()
        return ByRest(server=chosen.server, token=token, namespace=chosen.namespace)
    return ByKubernetes(_api(settings), namespace=chosen.namespace)


def _api(settings: Settings) -> "KubernetesApi":
    chosen = settings.delivery.kubernetes
    return _connected(settings.place(chosen.kubeconfig), chosen.context)


@functools.cache
def _connected(kubeconfig: str, context: str) -> "KubernetesApi":
    """One client for all that stands on a cluster."""
    from activities.backends.kubernetes_api import KubernetesApi  # noqa: PLC0415 - loads when it is used
    from activities.backends.kubernetes_config import from_kubeconfig, in_cluster  # noqa: PLC0415

    return KubernetesApi(from_kubeconfig(Path(kubeconfig), context) if kubeconfig else in_cluster())
