"""Two ways to an Application of Argo CD: as a resource of the cluster, or by Argo CD's own REST API.

https://argo-cd.readthedocs.io/en/stable/developer-guide/api-docs/
"""

import json
from typing import Any, Protocol

import httpx

from activities.backends.kubernetes_api import KubernetesApi, Place
from activities.backends.kubernetes_places import ARGOPROJ
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Refused, Unavailable

TIMEOUT_SECONDS = 15

Json = dict[str, Any]

_ERRORS: dict[int, type[LeverframeError]] = {400: Refused, 403: Refused, 404: NotFound, 409: Conflict}


class ApplicationDoor(Protocol):
    """What the backend needs of either way."""

    where: str

    def get(self, name: str) -> Json:
        """Raises NotFound, Refused, Unavailable."""
        ...

    def patch(self, name: str, patch: Json) -> None:
        """A merge patch; with `metadata.resourceVersion` only upon that version. Raises Conflict."""
        ...

    def missing_rights(self) -> str | None:
        """What our account may not do, in words; None when it may do all, or nobody can say."""
        ...


class ByKubernetes:
    """The resource, in the namespace that Argo CD watches. An Application has no status subresource."""

    def __init__(self, api: KubernetesApi, *, namespace: str) -> None:
        self._api = api
        self._namespace = namespace
        self.where = api.server

    def get(self, name: str) -> Json:
        return self._api.get(self._place(name))

    def patch(self, name: str, patch: Json) -> None:
        self._api.patch(self._place(name), patch)

    def missing_rights(self) -> str | None:
        for verb in ("get", "patch"):
            if not self._api.may(verb, self._place("")):
                return f"our account may not {verb} applications.argoproj.io in {self._namespace}"
        return None

    def _place(self, name: str) -> Place:
        return Place(ARGOPROJ, "applications", self._namespace, name)


class ByRest:
    """Argo CD's API server, with the token of an account or a project role."""

    def __init__(
        self,
        *,
        server: str,
        token: str,
        namespace: str,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.where = server
        self._namespace = namespace
        self._client = httpx.Client(
            base_url=server.rstrip("/"),
            timeout=TIMEOUT_SECONDS,
            headers={"Authorization": f"Bearer {token}"},
            transport=transport,
            trust_env=False,
        )

    def get(self, name: str) -> Json:
        return self._call("GET", name)

    def patch(self, name: str, patch: Json) -> None:
        """The API takes the patch as text, and writes upon the version that it finds.

        Argo CD compares no version itself; so the one that is asked for is compared here, just before.
        """
        wanted = patch.get("metadata", {}).get("resourceVersion")
        if wanted is not None and self.get(name).get("metadata", {}).get("resourceVersion") != wanted:
            raise Conflict(f"Application {name} has changed since it was read")
        metadata = {
            key: value for key, value in patch.get("metadata", {}).items() if key != "resourceVersion"
        }
        whole = {**patch, "metadata": metadata}
        body = {
            "name": name,
            "appNamespace": self._namespace,
            "patch": json.dumps(whole),
            "patchType": "merge",
        }
        self._call("PATCH", name, body)

    def missing_rights(self) -> str | None:
        return None

    def _call(self, method: str, name: str, body: Json | None = None) -> Json:
        path = f"/api/v1/applications/{name}"
        asked = {"appNamespace": self._namespace}
        try:
            response = self._client.request(method, path, params=asked, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(f"Argo CD at {self.where} does not answer: {type(error).__name__}") from error
        try:
            found = response.json()
        except ValueError:
            found = None
        if response.is_success and isinstance(found, dict):
            return found
        said = found.get("message") if isinstance(found, dict) else None
        message = f"Argo CD at {self.where}: {said or f'it answered {response.status_code}'}"
        raise _ERRORS.get(response.status_code, Unavailable)(message)
