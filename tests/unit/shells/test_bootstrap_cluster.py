"""Delivery to a cluster is built from the settings, and settings that do not go together are named."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from activities.backends.argocd_doors import ByKubernetes, ByRest
from leverframe import clusters
from leverframe.bootstrap import build_delivery, build_flag_metrics, build_gitops, build_metrics
from leverframe.model.errors import BadConfiguration
from leverframe.settings import Settings
from leverframe.settings_delivery import DeliverySettings, KubernetesSettings
from tests.fakes.kubernetes_http import kubeconfig
from tests.fakes.release_world import repository


def settings(home: Path, **delivery: object) -> Settings:
    """Argo on the cluster of a kubeconfig below the home."""
    (home / "config").write_text(kubeconfig("https://cluster.example"))
    chosen = {"backend": "argo_rollouts", "gitops": "argocd", **delivery}
    return Settings(home=home, repositories=(repository(),), delivery=DeliverySettings.model_validate(chosen))


def test_the_cluster_of_a_kubeconfig_is_delivered_to(tmp_path: Path) -> None:
    built = settings(tmp_path, kubernetes={"kubeconfig": "{home}/config"})
    assert type(build_delivery(built)).__name__ == "ArgoRolloutsDelivery"
    assert type(build_gitops(built)).__name__ == "ArgoCdGitops"
    assert isinstance(clusters._argocd(built), ByKubernetes)


def test_argo_cds_own_api_is_used_where_it_is_named(tmp_path: Path) -> None:
    argocd = {"server": "https://argocd.example", "token": "secret"}
    built = settings(tmp_path, kubernetes={"kubeconfig": "{home}/config"}, argocd=argocd)
    assert isinstance(clusters._argocd(built), ByRest)


def test_outside_of_a_cluster_the_kubeconfig_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"delivery\.kubernetes\.kubeconfig"):
        build_delivery(settings(tmp_path))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"backend": "argo_rollouts"}, "do not go together"),
        ({"gitops": "argocd"}, "do not go together"),
        ({"argocd": {"server": "https://argocd.example"}}, "needs a token"),
        ({"kubernetes": {"workload": "{name}"}}, "only {service} is replaced"),
        ({"kubernetes": {"deployments": ["production"]}}, "needs a Rollout"),
        ({"kubernetes": {"origins": {"dev": "shop.dev"}}}, "origins.dev"),
    ],
)
def test_settings_that_can_not_be_are_named(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        DeliverySettings.model_validate(given)


def test_a_namespace_may_be_the_services_own() -> None:
    chosen = KubernetesSettings(namespaces={"production": "{service}-live"})
    assert chosen.namespaces["production"].format(service="shop") == "shop-live"


def test_metrics_without_an_answer_beside_a_cluster_are_no_routers_fault(tmp_path: Path) -> None:
    nobody = {"admin_url": "http://127.0.0.1:1"}
    clustered = settings(tmp_path, **nobody)
    assert 'set metrics.backends = ["prometheus"]' in build_metrics(clustered).health().remedy
    assert "set flags.metrics_url" in build_flag_metrics(clustered).health().remedy
    local = Settings(home=tmp_path, delivery=DeliverySettings(**nobody))
    assert build_metrics(local).health().remedy == "start it: leverframe router"
