"""How a cluster is reached: the pod's own service account, or a kubeconfig file.

https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/ and
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#client-go-credential-plugins
"""

import base64
import binascii
import json
import os
import ssl
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from leverframe.model.errors import BadConfiguration, Unavailable

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
IN_CLUSTER = "https://kubernetes.default.svc"
PLUGIN_SECONDS = 20


@dataclass(frozen=True)
class Access:
    """Where the API server is, and who we are there."""

    server: str
    tls: ssl.SSLContext
    token: Callable[[], str]
    """Read again whenever it is asked for: service account tokens live for an hour. Empty: there is none."""


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, alias_generator=lambda name: name.replace("_", "-")
    )


class _Cluster(_Part):
    server: str = Field(pattern=r"^https?://")
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False


class _Variable(_Part):
    name: str
    value: str


class _Plugin(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    command: str
    args: tuple[str, ...] | None = None
    env: tuple[_Variable, ...] | None = None
    apiVersion: str  # noqa: N815 - the file's own name
    interactiveMode: Literal["Never", "IfAvailable", "Always"] = "IfAvailable"  # noqa: N815


class _User(_Part):
    token: str = ""
    token_file: str = Field(default="", alias="tokenFile")
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    username: str = ""
    exec: _Plugin | None = None
    auth_provider: dict[str, Any] | None = None


class _Context(_Part):
    cluster: str
    user: str


class _Named(_Part):
    name: str
    cluster: _Cluster | None = None
    user: _User | None = None
    context: _Context | None = None


class _File(_Part):
    current_context: str = ""
    clusters: tuple[_Named, ...] = ()
    users: tuple[_Named, ...] = ()
    contexts: tuple[_Named, ...] = ()


def in_cluster(account: Path = SERVICE_ACCOUNT, server: str = IN_CLUSTER) -> Access:
    """The service account of the pod we run in. Raises BadConfiguration outside of a pod."""
    token, authority = account / "token", account / "ca.crt"
    if not token.is_file():
        raise BadConfiguration(
            f"no service account at {account}: outside of a cluster set delivery.kubernetes.kubeconfig"
        )
    return Access(server, _trusting(authority), lambda: _read(token).strip())


def from_kubeconfig(path: Path, context: str = "") -> Access:
    """A context of a kubeconfig file, the current one if none is named.

    Raises:
        BadConfiguration: the file can't be used: what is missing or not supported, and where.
    """
    try:
        file = _File.model_validate(YAML(typ="safe").load(_read(path)) or {})
    except (YAMLError, ValidationError, ValueError) as error:
        raise BadConfiguration(f"{path} is no kubeconfig: {str(error).splitlines()[0]}") from error
    chosen = _named(path, "context", file.contexts, context or file.current_context).context
    if chosen is None:
        raise BadConfiguration(f"{path}: context {context or file.current_context!r} is empty")
    cluster = _named(path, "cluster", file.clusters, chosen.cluster).cluster
    user = _named(path, "user", file.users, chosen.user).user or _User()
    if cluster is None:
        raise BadConfiguration(f"{path}: cluster {chosen.cluster!r} is empty")
    if user.username or user.auth_provider is not None:
        raise BadConfiguration(
            f"{path}: user {chosen.user!r} logs in by password or auth-provider, which Kubernetes has given "
            "up: use a token, a client certificate or an exec plugin"
        )
    tls = _tls(path, cluster)
    _present(path, user, tls)
    return Access(cluster.server, tls, _token(path, user))


def _named(path: Path, what: str, listed: tuple[_Named, ...], name: str) -> _Named:
    found = next((each for each in listed if each.name == name), None)
    if found is None:
        known = ", ".join(each.name for each in listed) or "none"
        raise BadConfiguration(f"{path} has no {what} {name!r}; there are: {known}")
    return found


def _tls(path: Path, cluster: _Cluster) -> ssl.SSLContext:
    if cluster.insecure_skip_tls_verify:
        raise BadConfiguration(
            f"{path}: insecure-skip-tls-verify gives our token to anybody: name the authority"
        )
    if cluster.certificate_authority_data:
        context = ssl.create_default_context()
        try:
            context.load_verify_locations(cadata=_decoded(cluster.certificate_authority_data).decode())
        except (ssl.SSLError, UnicodeDecodeError) as error:
            raise BadConfiguration(f"{path}: certificate-authority-data is no PEM certificate") from error
        return context
    if cluster.certificate_authority:
        return _trusting(path.parent / cluster.certificate_authority)
    return ssl.create_default_context()


def _trusting(authority: Path) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=str(authority))
    except (OSError, ssl.SSLError) as error:
        raise BadConfiguration(f"{authority} is no PEM certificate of an authority: {error}") from error


def _present(path: Path, user: _User, tls: ssl.SSLContext) -> None:
    """Let the connection show the client's certificate, if there is one."""
    if not (user.client_certificate or user.client_certificate_data):
        return
    with tempfile.TemporaryDirectory() as folder:  # the ssl module takes files only
        pair = [
            _file(path, Path(folder), given, data)
            for given, data in (
                (user.client_certificate, user.client_certificate_data),
                (user.client_key, user.client_key_data),
            )
        ]
        try:
            tls.load_cert_chain(*pair)
        except (OSError, ssl.SSLError) as error:
            raise BadConfiguration(
                f"{path}: the client's certificate or key can't be used: {error}"
            ) from error


def _file(path: Path, folder: Path, given: str, data: str) -> str:
    if not data:
        return str(path.parent / given)
    handle, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(handle, "wb") as file:
        file.write(_decoded(data))
    return name


def _token(path: Path, user: _User) -> Callable[[], str]:
    if user.token:
        return lambda: user.token
    if user.token_file:
        return lambda: _read(path.parent / user.token_file).strip()
    plugin = user.exec
    if plugin is None:
        return lambda: ""
    if plugin.interactiveMode == "Always":
        raise BadConfiguration(
            f"{path}: the plugin {plugin.command!r} wants to ask a person: nobody is there"
        )
    return lambda: _from_plugin(path, plugin)


def _from_plugin(path: Path, plugin: _Plugin) -> str:
    """Run the plugin that the kubeconfig names and take the token that it prints."""
    asked = {"apiVersion": plugin.apiVersion, "kind": "ExecCredential", "spec": {"interactive": False}}
    variables = {each.name: each.value for each in plugin.env or ()}
    command = str(path.parent / plugin.command) if "/" in plugin.command else plugin.command
    try:
        done = subprocess.run(
            [command, *(plugin.args or ())],
            env={**_not_ours(), **variables, "KUBERNETES_EXEC_INFO": json.dumps(asked)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=PLUGIN_SECONDS,
        )
        token = json.loads(done.stdout)["status"]["token"]
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise Unavailable(f"the plugin {plugin.command!r} of {path} failed: {last[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise Unavailable(f"the plugin {plugin.command!r} of {path} took {PLUGIN_SECONDS} seconds") from error
    except OSError as error:
        raise BadConfiguration(f"{path}: the plugin {plugin.command!r} can't be run: {error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadConfiguration(f"{path}: the plugin {plugin.command!r} printed no token") from error
    return str(token)


def _not_ours() -> dict[str, str]:
    """The machine's variables, which clouds' plugins log in with, without those that hold our secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith("LEVERFRAME_")}


def _decoded(data: str) -> bytes:
    try:
        return base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise BadConfiguration("the kubeconfig has data that is not base64") from error


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfiguration(f"{path} can't be read: {error}") from error
