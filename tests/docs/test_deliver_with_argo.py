"""The manifests in deploy/kubernetes and the page about them do what they say; `kubectl` builds them."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from leverframe.settings import load
from tests.fakes.argo_world import ArgoWorld, B, plan
from tests.fakes.kubernetes_kinds import Json, kind_of, kinds
from tests.fakes.kubernetes_rules import Rule

ROOT = Path(__file__).resolve().parents[2]
MANIFESTS = ROOT / "deploy/kubernetes"
PAGE = (ROOT / "docs/how-to/deliver-with-argo.md").read_text()


def built(folder: str) -> list[Json]:
    """What kustomize makes of a folder."""
    if shutil.which("kubectl") is None:
        pytest.skip("needs kubectl")
    command = ["kubectl", "kustomize", str(MANIFESTS / folder)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return list(YAML(typ="safe").load_all(text))


def test_the_roles_allow_a_whole_release_and_its_way_back() -> None:
    roles = [each for each in built("base") if each["kind"] == "Role"]
    assert {each["metadata"]["namespace"] for each in roles} == {"production", "dev", "argocd"}
    world = ArgoWorld(1, 25, 100)
    world.cluster.allow(*(rule for role in roles for rule in Rule.of_role(role)))
    assert (world.delivery.health().detail, world.gitops.health().ok) == (
        "Kubernetes v1.32.4 at https://kubernetes.example, 1 service(s)",
        True,
    )
    world.point(B)
    world.gitops.request("shop", "production")
    assert world.delivery.set_weight("shop", sha=B, percent=25).canary_percent == 25
    world.delivery.abort("shop", sha=B)
    world.gitops.resume("shop", "production")
    assert world.delivery.state("shop", "dev").ready


def test_the_example_is_valid_and_climbs_the_declared_canary() -> None:
    documents = built("example/overlays/production")
    known = {each.kind: each for each in kinds()}
    for document in documents:
        if document["kind"] in known:
            kind = kind_of(document)
            assert (kind.faults(document), kind.unknown_fields(document)) == ([], [])
    (rollout,) = [each for each in documents if each["kind"] == "Rollout"]
    world = ArgoWorld(1, 5, 25, 50, 100)
    world.canary = rollout["spec"]["strategy"]["canary"]
    world.spec = {"rollbackWindow": rollout["spec"]["rollbackWindow"]}
    world.argo.poll()
    assert [step.percent for step in plan(1, 5, 25, 50, 100).steps] == list(world.percents)
    assert world.delivery.health().ok, world.delivery.health().detail


def test_the_settings_of_the_page_can_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tables,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "argo.toml").write_text(tables)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(tmp_path / "argo.toml"))
    delivery = load().delivery
    assert (delivery.backend, delivery.gitops) == ("argo_rollouts", "argocd")
    assert delivery.kubernetes.origins["dev"] == "http://{service}.dev.svc"
