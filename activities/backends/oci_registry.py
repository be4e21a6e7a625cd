"""What a registry says that a tag is, by the OCI Distribution Specification 1.1.

`HEAD /v2/<name>/manifests/<tag>` answers with `Docker-Content-Digest`. A registry that wants a token names
in `WWW-Authenticate` who gives one (Distribution's "Token Authentication Specification").
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta

import httpx
from pydantic import BaseModel, SecretStr, ValidationError

from leverframe.model.errors import LeverframeError, NotFound, Refused, Unavailable

ACCEPTED = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_MOST_MANIFEST = 4 * 1024 * 1024
"""Bytes; the specification asks registries to take manifests of so many."""
_SECONDS = 20


class _Token(BaseModel):
    """The answer of a token server."""

    token: str = ""
    access_token: str = ""


class Registries:
    """Reads from the registries that images are named with. Safe for threads."""

    def __init__(
        self,
        *,
        logins: Mapping[str, tuple[str, SecretStr]] | None = None,
        plain_http: Sequence[str] = (),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """`logins`: host, as images are named with → user and password; `plain_http`: hosts without TLS."""
        self._logins = dict(logins or {})
        self._plain = frozenset(plain_http)
        self._web = httpx.Client(
            timeout=_SECONDS, trust_env=False, follow_redirects=False, transport=transport
        )

    def digest(self, image: str, tag: str) -> str:
        """The digest of what a tag names now.

        Raises:
            NotFound: there is no such tag.
            Refused: we may not read it, or it is no image.
            Unavailable: the registry does not answer.
        """
        host, _, name = image.partition("/")
        url = f"{self._origin(host)}/v2/{name}/manifests/{tag}"
        answer = self._asked("HEAD", url, host, what=f"{image}:{tag[:12]}")
        kind = answer.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind not in ACCEPTED:
            raise Refused(f"{image}:{tag[:12]} is no image: its manifest is {kind[:80]!r}")
        told: str = answer.headers.get("Docker-Content-Digest", "")
        if _DIGEST.fullmatch(told):
            return told
        body = self._asked("GET", url, host, what=f"{image}:{tag[:12]}").content
        if len(body) > _MOST_MANIFEST:
            raise Refused(f"the manifest of {image}:{tag[:12]} has {len(body)} bytes")
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def answers(self, host: str) -> None:
        """Whether the registry is there: its answer to `/v2/`, with a login or not. Raises Unavailable."""
        answer = self._sent("GET", f"{self._origin(host)}/v2/", {}, what=host)
        if answer.status_code not in (200, 401):
            raise _failed(answer, host)

    def _origin(self, host: str) -> str:
        place = "registry-1.docker.io" if host == "docker.io" else host
        return f"{'http' if host in self._plain else 'https'}://{place}"

    def _asked(self, method: str, url: str, host: str, *, what: str) -> httpx.Response:
        """The answer, with a token where one is asked for."""
        accept = {"Accept": ", ".join(ACCEPTED)}
        answer = self._sent(method, url, accept, what=what)
        if answer.status_code == 401:
            challenge = answer.headers.get("WWW-Authenticate", "")
            answer = self._sent(method, url, accept | self._proof(challenge, host, what), what=what)
        if answer.status_code != 200:
            raise _failed(answer, what)
        return answer

    def _proof(self, challenge: str, host: str, what: str) -> dict[str, str]:
        """The header that answers a challenge."""
        scheme, _, rest = challenge.partition(" ")
        login = self._logins.get(host)
        if scheme.lower() == "basic" and login:
            return {"Authorization": _basic(*login)}
        given = dict(_PARAMETER.findall(rest))
        realm = given.pop("realm", "")
        allowed = ("https://", "http://") if host in self._plain else ("https://",)
        if scheme.lower() != "bearer" or not realm.startswith(allowed):
            raise Refused(f"{what}: {host} asks for a login: set builder.registries")
        headers = {"Authorization": _basic(*login)} if login else {}
        asked = {name: given[name] for name in ("service", "scope") if name in given}
        answer = self._sent("GET", str(httpx.URL(realm, params=asked)), headers, what=what)
        if answer.status_code != 200:
            raise _failed(answer, what)
        try:
            token = _Token.model_validate_json(answer.content)
        except ValidationError as error:
            raise Unavailable(f"{what}: the token server of {host} gave no token") from error
        return {"Authorization": f"Bearer {token.token or token.access_token}"}

    def _sent(self, method: str, url: str, headers: Mapping[str, str], *, what: str) -> httpx.Response:
        try:
            return self._web.request(method, url, headers=dict(headers))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(f"{what}: the registry does not answer ({type(error).__name__})") from error


def _basic(user: str, password: SecretStr) -> str:
    auth = httpx.BasicAuth(user, password.get_secret_value())
    return next(auth.auth_flow(httpx.Request("GET", "https://registry.invalid"))).headers["Authorization"]


def _failed(answer: httpx.Response, what: str) -> LeverframeError:
    if answer.status_code == 404:
        return NotFound(f"the registry has no {what}")
    if answer.status_code in (401, 403):
        return Refused(f"the registry does not let us read {what}: check builder.registries")
    told = answer.headers.get("Retry-After", "")
    wait = timedelta(seconds=min(int(told), 3600)) if told.isdecimal() else None
    return Unavailable(f"the registry answered {answer.status_code} about {what}", wait=wait)
