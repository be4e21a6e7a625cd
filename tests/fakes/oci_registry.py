"""A registry with a memory, written from the OCI Distribution Specification 1.1, and its token server.

It keeps tags apart from the manifests that they name; nobody reads without a token of the right scope.
"""

import hashlib
import json
import re
from base64 import b64decode
from dataclasses import dataclass, field

import httpx

HOST = "registry.example"
REALM = "https://auth.example/token"
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"

_NAME = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*"
_MANIFESTS = re.compile(rf"/v2/({_NAME})/manifests/([A-Za-z0-9_][A-Za-z0-9._:-]{{0,127}})")


def digest_of(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


@dataclass
class FakeRegistry:
    """One registry; `transport` answers for it and for its token server."""

    login: tuple[str, str] | None = None
    """Who may pull; None: everybody, with an anonymous token."""
    challenge: str = "Bearer"
    """`Basic`, or `` for a registry that asks for nothing."""
    says_digest: bool = True
    """Whether it sends `Docker-Content-Digest`, which the specification only recommends for HEAD."""
    down: int = 0
    """So many of the next requests are answered 503."""
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    """Name and digest → media type and bytes."""
    tags: dict[tuple[str, str], str] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    """Token → the scope that it is good for."""
    asked: list[str] = field(default_factory=list)
    credentials: list[str] = field(default_factory=list)
    """Hosts that were sent a user and a password."""

    def push(self, name: str, tag: str, *, layer: str = "layer", kind: str = INDEX) -> str:
        """Push an image under a tag; its digest. The same content has the same digest."""
        body = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": [layer]}).encode()
        digest = digest_of(body)
        self.manifests[name, digest] = (kind, body)
        self.tags[name, tag] = digest
        return digest

    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(f"{request.method} {request.url}")
        if request.headers.get("Authorization", "").startswith("Basic "):
            self.credentials.append(request.url.host)
        if self.down:
            self.down -= 1
            return httpx.Response(503, headers={"Retry-After": "7"})
        if request.url.host == "auth.example":
            return self._token(request)
        return self._registry(request)

    def _token(self, request: httpx.Request) -> httpx.Response:
        scope = request.url.params.get("scope", "")
        if request.url.params.get("service") != HOST or not re.fullmatch(rf"repository:{_NAME}:pull", scope):
            return httpx.Response(400)
        if self.login and not self._is_login(request):
            return httpx.Response(401)
        token = f"token-{len(self.tokens)}"
        self.tokens[token] = scope
        return httpx.Response(200, json={"token": token, "expires_in": 60})

    def _registry(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v2/":
            return httpx.Response(401 if self.challenge else 200)
        found = _MANIFESTS.fullmatch(request.url.path)
        if found is None or request.method not in ("GET", "HEAD"):
            return httpx.Response(404)
        name, reference = found.groups()
        if not self._may_read(request, name):
            told = {
                "Bearer": f'Bearer realm="{REALM}",service="{HOST}",scope="repository:{name}:pull"',
                "Basic": f'Basic realm="{HOST}"',
            }
            return httpx.Response(401, headers={"WWW-Authenticate": told[self.challenge]})
        digest = self.tags.get((name, reference), reference)
        if (name, digest) not in self.manifests:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        kind, body = self.manifests[name, digest]
        if kind not in request.headers.get("Accept", ""):
            # As registries do for old clients.
            kind = "application/vnd.docker.distribution.manifest.v1+prettyjws"
        headers = {"Content-Type": kind, "Content-Length": str(len(body))}
        if self.says_digest:
            headers["Docker-Content-Digest"] = digest
        return httpx.Response(200, headers=headers, content=body if request.method == "GET" else b"")

    def _may_read(self, request: httpx.Request, name: str) -> bool:
        if not self.challenge:
            return True
        if self.challenge == "Basic":
            return self._is_login(request)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.tokens.get(token) == f"repository:{name}:pull"

    def _is_login(self, request: httpx.Request) -> bool:
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        return self.login is not None and b64decode(given).decode() == ":".join(self.login)
