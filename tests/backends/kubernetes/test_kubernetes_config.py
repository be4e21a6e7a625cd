"""Kubeconfigs and service accounts, over real TLS; what can't be used is named."""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activities.backends.kubernetes_api import KubernetesApi
from activities.backends.kubernetes_config import from_kubeconfig, in_cluster
from leverframe.model.errors import BadConfiguration, Unavailable
from tests.fakes.certificates import Authority
from tests.fakes.kubernetes import TOKEN, FakeKubernetes
from tests.fakes.kubernetes_http import served


class Files:
    """A cluster behind TLS, and a kubeconfig for it that a test changes."""

    def __init__(self, folder: Path, server: str, authority: Authority) -> None:
        self.folder, self.authority, self.server = folder, authority, server
        self.cluster: dict[str, Any] = {"server": server, "certificate-authority": "ca.crt"}

    def write(self, user: dict[str, Any], **top: Any) -> Path:
        document = {
            "current-context": "here",
            "contexts": [{"name": "here", "context": {"cluster": "fake", "user": "us", "namespace": "x"}}],
            "clusters": [{"name": "fake", "cluster": self.cluster}],
            "users": [{"name": "us", "user": user}],
            **top,
        }
        path = self.folder / "config"
        path.write_text(json.dumps(document))
        return path

    def version(self, user: dict[str, Any]) -> str:
        return KubernetesApi(from_kubeconfig(self.write(user))).version()

    def plugin(self, program: str, **more: Any) -> dict[str, Any]:
        version = "client.authentication.k8s.io/v1"
        return {"exec": {"command": sys.executable, "args": ["-c", program], "apiVersion": version, **more}}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Files]:
    folder, cluster = tmp_path_factory.mktemp("kubeconfig"), FakeKubernetes()
    authority = Authority(folder)
    with served(cluster, authority.server()) as url:
        yield Files(folder, url, authority)


def data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def test_a_token_is_shown(files: Files) -> None:
    assert files.version({"token": TOKEN}) == "v1.32.4"
    with pytest.raises(Unavailable, match="renew its token"):
        files.version({"token": "other"})


def test_a_token_file_is_relative_to_the_kubeconfig(files: Files) -> None:
    (files.folder / "token").write_text(f"{TOKEN}\n")
    assert files.version({"tokenFile": "token"}) == "v1.32.4"


def test_a_client_certificate_is_shown_from_files_and_from_data(files: Files) -> None:
    certificate, key = files.authority.issue("leverframe")
    named = {"client-certificate": certificate.name, "client-key": key.name}
    assert files.version(named) == "v1.32.4"
    inline = {"client-certificate-data": data(certificate), "client-key-data": data(key)}
    assert files.version(inline) == "v1.32.4"


def test_an_authority_stands_inside_the_file_or_the_server_is_not_trusted(files: Files) -> None:
    files.cluster = {"server": files.server, "certificate-authority-data": data(files.authority.ca)}
    assert files.version({"token": TOKEN}) == "v1.32.4"
    files.cluster = {"server": files.server}
    with pytest.raises(Unavailable, match="does not answer: ConnectError"):
        files.version({"token": TOKEN})
    files.cluster = {"server": files.server, "certificate-authority": "ca.crt"}


def test_a_plugin_prints_the_token_and_sees_no_secret_of_ours(
    files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEVERFRAME_TEMPORAL__API_KEY", "secret")
    program = (
        "import json, os; assert 'LEVERFRAME_TEMPORAL__API_KEY' not in os.environ;"
        "assert json.loads(os.environ['KUBERNETES_EXEC_INFO'])['spec'];"
        "print(json.dumps({'status': {'token': os.environ['SECRET']}}))"
    )
    variables = [{"name": "SECRET", "value": TOKEN}]
    assert files.version(files.plugin(program, env=variables)) == "v1.32.4"


@pytest.mark.parametrize(
    ("program", "kind", "said"),
    [
        ("import sys; sys.exit('log in first')", Unavailable, "failed: log in first"),
        ("print('hello')", BadConfiguration, "printed no token"),
    ],
)
def test_a_plugin_that_has_no_token_is_named(files: Files, program: str, kind: type, said: str) -> None:
    with pytest.raises(kind, match=said):
        files.version(files.plugin(program))


def test_a_service_account_is_that_of_the_pod(files: Files, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(files.authority.ca.read_bytes())
    token = tmp_path / "token"
    token.write_text(TOKEN)
    access = in_cluster(tmp_path, files.server)
    assert KubernetesApi(access).version() == "v1.32.4"
    token.write_text("renewed")
    assert access.token() == "renewed"
    with pytest.raises(BadConfiguration, match=r"delivery\.kubernetes\.kubeconfig"):
        in_cluster(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("user", "top", "said"),
    [
        ({"username": "ada", "password": "x"}, {}, "use a token"),
        ({"auth-provider": {"name": "gcp"}}, {}, "use a token"),
        ({"exec": {"command": "x", "apiVersion": "v1", "interactiveMode": "Always"}}, {}, "nobody is there"),
        ({"client-certificate": "none.crt", "client-key": "none.key"}, {}, "can't be used"),
        ({"client-certificate-data": "%%", "client-key-data": "%%"}, {}, "not base64"),
        ({"token": "x"}, {"current-context": "there"}, "has no context 'there'; there are: here"),
        ({"token": "x"}, {"users": []}, "has no user 'us'; there are: none"),
        ({"token": "x"}, {"clusters": [{"name": "fake"}]}, "cluster 'fake' is empty"),
        ({"token": "x"}, {"clusters": [{"name": "fake", "cluster": {"server": "tcp://x"}}]}, "no kubeconfig"),
        (
            {"token": "x"},
            {
                "clusters": [
                    {"name": "fake", "cluster": {"server": "https://x", "insecure-skip-tls-verify": True}}
                ]
            },
            "name the authority",
        ),
    ],
)
def test_what_can_not_be_used_is_named(
    files: Files, user: dict[str, Any], top: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadConfiguration, match=said):
        from_kubeconfig(files.write(user, **top))


def test_a_file_that_is_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="can't be read"):
        from_kubeconfig(tmp_path / "config")
    (tmp_path / "config").write_text("a: [")
    with pytest.raises(BadConfiguration, match="is no kubeconfig"):
        from_kubeconfig(tmp_path / "config")
