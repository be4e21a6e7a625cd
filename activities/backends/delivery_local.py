"""Delivery through the admin door of `leverframe router`: processes behind a weighted router."""

from collections.abc import Sequence

import httpx
from pydantic import ValidationError

from activities.ports import Backend, Health
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import Probe, Repository

TIMEOUT_SECONDS = 10
PROBE_SECONDS = 10

_ERRORS: dict[int, type[LeverframeError]] = {400: BadInput, 403: Refused, 404: NotFound, 409: Conflict}


class LocalDelivery:
    """The port `Delivery` over HTTP on loopback. Safe to share between threads."""

    def __init__(self, *, admin_url: str, ports: dict[Environment, int]) -> None:
        self._admin = httpx.Client(base_url=admin_url, timeout=TIMEOUT_SECONDS, trust_env=False)
        self._ports = ports

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None:
        """The router unpacks it from the shared artifact directory."""
        self._call(
            "PUT",
            f"/artifacts/{artifact.service}/{artifact.sha}",
            {"digest": artifact.digest, "path": artifact.path},
        )

    def state(self, service: str, environment: Environment) -> DeliveryState:
        return self._state("GET", f"/state/{service}/{environment}")

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        return self._state("POST", f"/weight/{service}", {"sha": sha, "percent": percent})

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        return self._state("POST", f"/promote/{service}", {"sha": sha})

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        return self._state("POST", f"/abort/{service}", {"sha": sha})

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        """Each declared request must be answered with a status below 400."""
        port = self._ports[environment]
        with httpx.Client(timeout=PROBE_SECONDS, trust_env=False) as client:
            results = [_sent(client, f"http://127.0.0.1:{port}", service, probe) for probe in probes]
        return [failure for failure in results if failure is not None]

    def health(self) -> Health:
        try:
            self._call("GET", "/health/live")
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="start it: leverframe router")
        return Health(ok=True, detail=f"the router answers at {self._admin.base_url}")

    def _state(self, method: str, path: str, body: dict[str, object] | None = None) -> DeliveryState:
        response = self._call(method, path, body)
        try:
            return DeliveryState.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable(f"the router answered {path} with something else than a state") from error

    def _call(self, method: str, path: str, body: dict[str, object] | None = None) -> httpx.Response:
        try:
            response = self._admin.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the router at {self._admin.base_url} does not answer: {type(error).__name__}"
            ) from error
        if response.is_success:
            return response
        raise _ERRORS.get(response.status_code, Unavailable)(_detail(response))


def _detail(response: httpx.Response) -> str:
    """The router's own sentence, or the status when something else answered."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the router answered {response.status_code}"
    return str(detail)


def _sent(client: httpx.Client, origin: str, service: str, probe: Probe) -> str | None:
    """The sentence about a failed probe; None when it passed. The host names the service to the router."""
    headers = {"Host": f"{service}.localhost"}
    if probe.body:
        headers["Content-Type"] = "application/json"
    asked = f"{probe.name}: {probe.method} {probe.path}"
    try:
        response = client.request(
            probe.method, f"{origin}{probe.path}", headers=headers, content=probe.body or None
        )
    except httpx.HTTPError as error:
        return f"{asked} got no answer ({type(error).__name__})"
    return f"{asked} answered {response.status_code}" if response.status_code >= 400 else None


BACKEND = Backend(kind="delivery", name="local", scopes=(), build=LocalDelivery)
