"""The manifests for Flagger and Flux and the page about them do what they say."""

import re
import typing
from collections.abc import Iterator
from pathlib import Path

import pytest
from ruamel.yaml import YAML
from sqlalchemy import Engine

from activities.backends.store_sql import open_store
from leverframe.clusters import build_cluster_gitops
from leverframe.gateway.app import _gate
from leverframe.model.permits import Hook
from leverframe.settings import load
from tests.fakes.flagger_world import B, FlaggerWorld
from tests.fakes.kubernetes_flagger import kind
from tests.fakes.kubernetes_kinds import Json, kind_of
from tests.fakes.kubernetes_rules import Rule

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy/kubernetes"
PAGE = (ROOT / "docs/how-to/deliver-with-flagger.md").read_text()
STEPS = (1, 5, 25, 50, 100)


def documents(*paths: str) -> list[Json]:
    yaml = YAML(typ="safe")
    return [each for path in paths for each in yaml.load_all((MANIFESTS / path).read_text()) if each]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Engine]:
    engine = open_store(f"sqlite:///{tmp_path}/store.db")
    yield engine
    engine.dispose()


def test_the_example_climbs_with_the_rights_of_the_roles_alone(store: Engine) -> None:
    (example,) = documents("flagger/canary.example.yaml")
    assert (kind_of(example).faults(example), kind_of(example).unknown_fields(example)) == ([], [])
    world = FlaggerWorld(store, *STEPS)
    told = world.cluster.store.get(kind("Canary"), "production", "shop")["spec"]["analysis"]
    hooks = {
        each["type"]: each["url"].rpartition("/flagger/")[2]
        for each in example["spec"]["analysis"]["webhooks"]
    }
    assert hooks == {name: f"shop/{name}" for name in (*typing.get_args(Hook), "event")}
    assert example["spec"]["analysis"]["stepWeights"] == told["stepWeights"]
    roles = [
        each
        for each in documents("flagger/production.yaml", "flagger/dev.yaml", "flux/flux.yaml")
        if each["kind"] == "Role"
    ]
    world.cluster.allow(*(rule for role in roles for rule in Rule.of_role(role)))
    assert (world.delivery.health().ok, world.gitops.health().ok) == (True, True)
    world.land(B)
    world.gitops.request("shop", "production")
    world.tick()
    assert world.weigh(B, 1).canary_percent == 1
    assert world.abort(B).canary_percent == 0
    world.gitops.suspend("shop", "production", reason="it was taken back")
    world.gitops.resume("shop", "production")


def test_the_settings_of_the_page_can_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tables,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "flagger.toml").write_text(tables)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(tmp_path / "flagger.toml"))
    settings = load()
    assert (settings.delivery.backend, settings.delivery.gitops) == ("flagger", "flux")
    config = tmp_path / "kubeconfig"
    config.write_text(
        "current-context: a\ncontexts: [{name: a, context: {cluster: a, user: a}}]\n"
        "clusters: [{name: a, cluster: {server: 'https://kubernetes.example'}}]\n"
        "users: [{name: a, user: {token: t}}]\n"
    )
    monkeypatch.setenv("LEVERFRAME_DELIVERY__KUBERNETES__KUBECONFIG", str(config))
    settings = load()
    assert type(build_cluster_gitops(settings)).__name__ == "FluxGitops"
    gate = _gate(settings)
    assert gate is not None
    assert type(gate[0]).__name__ == "FlaggerDelivery"


def test_every_hook_is_explained() -> None:
    assert [hook for hook in (*typing.get_args(Hook), "event") if f"| `{hook}` |" not in PAGE] == []
