"""The fake of Kubernetes keeps the rules that clients trip over; the real `kubectl` is its witness."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.fakes.certificates import Authority
from tests.fakes.kubernetes import MERGE_PATCH, TOKEN, FakeKubernetes, Fault
from tests.fakes.kubernetes_http import URL, kubeconfig, served, transport
from tests.fakes.kubernetes_kinds import Json
from tests.fakes.kubernetes_rollouts import rollout
from tests.fakes.kubernetes_rules import Rule

ROLLOUTS = "/apis/argoproj.io/v1alpha1/namespaces/production/rollouts"
SHOP = f"{ROLLOUTS}/shop"
ABORT = {"status": {"abort": True}}
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs kubectl")


@pytest.fixture
def cluster() -> FakeKubernetes:
    return FakeKubernetes()


@pytest.fixture
def client(cluster: FakeKubernetes) -> httpx.Client:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    client = httpx.Client(base_url=URL, transport=transport(cluster), headers=headers)
    assert client.post(ROLLOUTS, json=rollout("a" * 40)).status_code == 201
    return client


def patched(client: httpx.Client, path: str, patch: Json, media: str = MERGE_PATCH) -> httpx.Response:
    return client.patch(path, content=json.dumps(patch), headers={"Content-Type": media})


def test_status_is_written_by_its_subresource_only(client: httpx.Client) -> None:
    """The trap: a patch of status on the main resource is answered with 200 and does nothing."""
    before = client.get(SHOP).json()
    assert patched(client, SHOP, ABORT).json() == before
    both = patched(client, f"{SHOP}/status", {**ABORT, "spec": {"replicas": 1}}).json()
    assert both["status"] == {"abort": True}
    assert both["spec"]["replicas"] == 10
    assert both["metadata"]["generation"] == 1


def test_the_generation_counts_changes_of_the_spec(client: httpx.Client) -> None:
    assert patched(client, SHOP, {"spec": {"replicas": 3}}).json()["metadata"]["generation"] == 2
    assert patched(client, SHOP, {"spec": {"replicas": 3}}).json()["metadata"]["generation"] == 2
    labelled = patched(client, SHOP, {"metadata": {"labels": {"team": "shop"}}}).json()
    assert labelled["metadata"]["generation"] == 2


def test_a_write_upon_an_old_version_is_refused(client: httpx.Client) -> None:
    version = client.get(SHOP).json()["metadata"]["resourceVersion"]
    first = {"metadata": {"resourceVersion": version}, "status": {"pauseConditions": None, "abort": True}}
    assert patched(client, f"{SHOP}/status", first).status_code == 200
    answer = patched(client, f"{SHOP}/status", first)
    assert (answer.status_code, answer.json()["reason"]) == (409, "Conflict")


def test_what_the_schema_forbids_is_refused_and_what_it_does_not_know_is_dropped(
    client: httpx.Client,
) -> None:
    answer = patched(client, SHOP, {"spec": {"replicas": "many"}})
    assert answer.status_code == 422
    assert "spec.replicas: Invalid value" in answer.json()["message"]
    assert "unheard" not in patched(client, SHOP, {"spec": {"unheard": 1}}).json()["spec"]
    answer = patched(client, f"{SHOP}?fieldValidation=Strict", {"spec": {"unheard": 1}})
    assert (answer.status_code, "spec.unheard" in answer.json()["message"]) == (400, True)
    assert patched(client, f"{SHOP}/status", {"status": {"observedGeneration": 1}}).status_code == 422


def test_custom_resources_take_no_strategic_merge(client: httpx.Client) -> None:
    assert patched(client, SHOP, ABORT, "application/strategic-merge-patch+json").status_code == 415


def test_a_watch_tells_what_happened_since_a_version_unless_it_is_forgotten(
    client: httpx.Client, cluster: FakeKubernetes
) -> None:
    since = client.get(ROLLOUTS).json()["metadata"]["resourceVersion"]
    patched(client, SHOP, {"spec": {"replicas": 3}})
    client.delete(SHOP)
    watched = client.get(ROLLOUTS, params={"watch": "1", "resourceVersion": since})
    events = [json.loads(line) for line in watched.iter_lines()]
    assert [event["type"] for event in events] == ["MODIFIED", "DELETED"]
    cluster.store.compact()
    watched = client.get(ROLLOUTS, params={"watch": "1", "resourceVersion": since})
    gone = json.loads(watched.text)
    assert (gone["type"], gone["object"]["code"]) == ("ERROR", 410)


def test_rules_of_a_role_hold_for_resources_and_subresources_apart(
    client: httpx.Client, cluster: FakeKubernetes
) -> None:
    cluster.allow(Rule(("argoproj.io",), ("rollouts/status",), ("patch",), names=("shop",)))
    assert patched(client, f"{SHOP}/status", ABORT).status_code == 200
    answer = patched(client, SHOP, {"spec": {"paused": True}})
    assert answer.status_code == 403
    assert 'cannot patch resource "rollouts"' in answer.json()["message"]
    asked = {"verb": "patch", "group": "argoproj.io", "resource": "rollouts", "namespace": "production"}
    for more, allowed in (({"subresource": "status", "name": "shop"}, True), ({}, False)):
        document = {"spec": {"resourceAttributes": {**asked, **more}}}
        answer = client.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", json=document)
        assert answer.json()["status"]["allowed"] is allowed


def test_faults_meet_the_next_request_that_matches(client: httpx.Client, cluster: FakeKubernetes) -> None:
    cluster.faults = [
        Fault("PATCH", "/status$", status=500, applied=True),
        Fault("GET", "rollouts", slow=True),
    ]
    assert patched(client, f"{SHOP}/status", ABORT).status_code == 500
    with pytest.raises(httpx.ReadTimeout):
        client.get(SHOP)
    assert client.get(SHOP).json()["status"] == {"abort": True}
    cluster.gone = True
    with pytest.raises(httpx.ConnectError):
        client.get(SHOP)
    cluster.gone = False
    cluster.expire()
    assert client.get(SHOP).status_code == 401


@pytest.fixture
def kubectl(cluster: FakeKubernetes, tmp_path: Path) -> Iterator[Callable[..., tuple[int, str]]]:
    """Exit code and what was printed."""
    authority, config = Authority(tmp_path), tmp_path / "config"
    with served(cluster, authority.server()) as url:
        config.write_text(kubeconfig(url, ca=str(authority.ca), namespace="production"))
        given = ["--kubeconfig", str(config), "--cache-dir", str(tmp_path / "cache")]

        def run(*arguments: str) -> tuple[int, str]:
            command = ["kubectl", *given, *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
            return done.returncode, (done.stdout + done.stderr).strip()

        yield run


@needs_kubectl
def test_kubectl_applies_patches_and_waits(kubectl: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    manifest = tmp_path / "rollout.json"
    manifest.write_text(json.dumps(rollout("a" * 40)))
    assert kubectl("apply", "-f", str(manifest)) == (0, "rollout.argoproj.io/shop created")
    patch = ("patch", "rollout", "shop", "--type=merge", "-p", '{"status":{"abort":true}}')
    assert kubectl(*patch) == (0, "rollout.argoproj.io/shop patched (no change)")
    assert kubectl(*patch, "--subresource=status") == (0, "rollout.argoproj.io/shop patched")
    assert kubectl("wait", "rollout/shop", "--for=jsonpath={.status.abort}=true", "--timeout=10s")[0] == 0
    assert kubectl("get", "ro", "shop", "-o", "jsonpath={.spec.replicas} {.status}") == (
        0,
        '10 {"abort":true}',
    )
    refused = kubectl("patch", "ro", "shop", "-p", '{"spec":{"paused":true}}')
    assert refused[0] == 1
    assert "strategic-merge-patch+json is not supported" in refused[1]
