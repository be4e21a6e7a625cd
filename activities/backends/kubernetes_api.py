"""The API of a Kubernetes cluster, as far as we use it: read, watch, merge-patch, and ask what we may do.

httpx and not a client library: it is five verbs, all of one shape. lightkube would bring a second HTTP stack
(httpx2) and models of kinds that we never touch, and kubernetes-asyncio seventy megabytes.
https://kubernetes.io/docs/reference/using-api/api-concepts/
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx

from activities.backends.kubernetes_config import Access
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable

TIMEOUT_SECONDS = 10
TOKEN_SECONDS = 60.0
"""How long a token is used before it is read again."""
MERGE_PATCH = "application/merge-patch+json"

Json = dict[str, Any]

_ERRORS: dict[int, type[LeverframeError]] = {
    400: BadInput, 403: Refused, 404: NotFound, 409: Conflict, 415: BadInput, 422: BadInput,
}  # fmt: skip


@dataclass(frozen=True)
class Place:
    """One object, or with an empty name all of a kind in a namespace."""

    api_version: str
    plural: str
    namespace: str
    name: str = ""

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def path(self) -> str:
        root = "apis" if self.group else "api"
        name = f"/{self.name}" if self.name else ""
        return f"/{root}/{self.api_version}/namespaces/{self.namespace}/{self.plural}{name}"

    def __str__(self) -> str:
        return f"{self.plural} {self.namespace}/{self.name}"


class KubernetesApi:
    """One cluster. Safe to share between threads."""

    def __init__(self, access: Access, *, transport: httpx.BaseTransport | None = None) -> None:
        self.server = access.server
        self._access = access
        self._client = httpx.Client(
            base_url=access.server,
            verify=access.tls,
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            trust_env=False,
        )
        self._lock = threading.Lock()
        self._token, self._read_at = "", float("-inf")

    def get(self, place: Place) -> Json:
        """Raises NotFound, Refused, Unavailable."""
        return self._call("GET", place.path)

    def list(self, place: Place) -> list[Json]:
        """Every object of the kind in the namespace. Raises Refused, Unavailable."""
        listed = self._call("GET", place.path).get("items", [])
        return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []

    def patch(self, place: Place, patch: Json) -> Json:
        """A JSON merge patch; what it says of a custom resource's status is ignored by the server.

        With `metadata.resourceVersion` in it, it is refused when the object has changed since.

        Raises:
            Conflict: it has; NotFound, BadInput, Refused, Unavailable.
        """
        return self._call("PATCH", place.path, patch)

    def patch_status(self, place: Place, patch: Json) -> Json:
        """The same for the status, which only its subresource changes."""
        return self._call("PATCH", f"{place.path}/status", patch)

    def watch(self, place: Place, *, version: str, seconds: float) -> Iterator[Json]:
        """The object as it changes after a version, for so long at the most, or until the server ends it.

        A version that the server has forgotten (410) ends it at once: read the object again.

        Raises:
            NotFound: it was deleted; Refused, Unavailable.
        """
        asked = {
            "watch": "true",
            "fieldSelector": f"metadata.name={place.name}",
            "resourceVersion": version,
            "timeoutSeconds": str(max(1, round(seconds))),
        }
        path = place.path.rpartition("/")[0]
        timeout = httpx.Timeout(TIMEOUT_SECONDS, read=seconds + 1)
        try:
            with self._client.stream(
                "GET", path, params=asked, headers=self._headers(), timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    self._raise(response)
                for line in response.iter_lines():
                    event = _document(line)
                    if event.get("type") == "ERROR":
                        return
                    if event.get("type") == "DELETED":
                        raise NotFound(f"{place} was deleted")
                    if isinstance(found := event.get("object"), dict):
                        yield found
        except httpx.ReadTimeout:
            return
        except httpx.HTTPError as error:
            raise self._gone(error) from error

    def until(self, place: Place, there: Callable[[Json], bool], *, seconds: float) -> Json:
        """The object once it is as wanted; after `seconds` as it is then. Raises as `watch`."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.get(place)
            left = deadline - time.monotonic()
            if there(found) or left <= 0:
                return found
            for changed in self.watch(place, version=found["metadata"]["resourceVersion"], seconds=left):
                if there(changed):
                    return changed

    def may(self, verb: str, place: Place, subresource: str = "") -> bool:
        """Whether our account may do that (SelfSubjectAccessReview). Raises Unavailable."""
        attributes = {
            "verb": verb,
            "group": place.group,
            "resource": place.plural,
            "subresource": subresource,
            "namespace": place.namespace,
            "name": place.name,
        }
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        answer = self._call("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
        return answer.get("status", {}).get("allowed") is True

    def version(self) -> str:
        """The server's own, such as v1.32.4. Raises Unavailable."""
        return str(self._call("GET", "/version").get("gitVersion", "of unknown version"))

    def _call(self, method: str, path: str, body: Json | None = None) -> Json:
        response = self._sent(method, path, body)
        if response.status_code == 401:  # the token may have been renewed since we have read it
            self._read_at = float("-inf")
            response = self._sent(method, path, body)
        if not response.is_success:
            self._raise(response)
        return _document(response.text)

    def _sent(self, method: str, path: str, body: Json | None) -> httpx.Response:
        headers = self._headers()
        if body is not None:
            headers["Content-Type"] = MERGE_PATCH if method == "PATCH" else "application/json"
        content = None if body is None else json.dumps(body)
        try:
            return self._client.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise self._gone(error) from error

    def _headers(self) -> dict[str, str]:
        with self._lock:
            if time.monotonic() - self._read_at > TOKEN_SECONDS:
                self._token, self._read_at = self._access.token(), time.monotonic()
            return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _gone(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(f"the Kubernetes API at {self.server} does not answer: {type(error).__name__}")

    def _raise(self, response: httpx.Response) -> None:
        message = (
            _document(response.text, strict=False).get("message") or f"it answered {response.status_code}"
        )
        if response.status_code == 401:
            raise Unavailable(
                f"the Kubernetes API at {self.server} does not know our account: renew its token"
            )
        if response.status_code in _ERRORS:
            raise _ERRORS[response.status_code](f"the Kubernetes API: {message}")
        asked = response.headers.get("Retry-After", "")
        wait = timedelta(seconds=min(int(asked), 600)) if asked.isdigit() else None
        raise Unavailable(f"the Kubernetes API at {self.server} is in trouble: {message}", wait=wait)


def _document(text: str, *, strict: bool = True) -> Json:
    """A JSON object. Raises Unavailable for anything else: then it is not the API server that answers."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    if strict:
        raise Unavailable("what answers in place of the Kubernetes API does not speak JSON")
    return {}
