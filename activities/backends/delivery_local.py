"""Delivery through the admin door of `leverframe router`: processes behind a weighted router."""

from collections.abc import Sequence

import httpx

from activities.backends.router_door import RouterDoor
from activities.ports import Backend, Health
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import Probe, Repository

PROBE_SECONDS = 10


class LocalDelivery:
    """The port `Delivery` over HTTP on loopback. Safe to share between threads."""

    def __init__(self, *, admin_url: str, ports: dict[Environment, int]) -> None:
        self._door = RouterDoor(admin_url)
        self._ports = ports

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None:
        """The router unpacks it from the shared artifact directory."""
        self._door.call(
            "PUT",
            f"/artifacts/{artifact.service}/{artifact.sha}",
            {"digest": artifact.digest, "path": artifact.path},
        )

    def state(self, service: str, environment: Environment) -> DeliveryState:
        return self._door.answer(DeliveryState, "GET", f"/state/{service}/{environment}")

    def set_weight(self, service: str, *, sha: str, percent: int) -> DeliveryState:
        return self._door.answer(
            DeliveryState, "POST", f"/weight/{service}", {"sha": sha, "percent": percent}
        )

    def promote(self, service: str, *, sha: str) -> DeliveryState:
        return self._door.answer(DeliveryState, "POST", f"/promote/{service}", {"sha": sha})

    def abort(self, service: str, *, sha: str) -> DeliveryState:
        return self._door.answer(DeliveryState, "POST", f"/abort/{service}", {"sha": sha})

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        """Each declared request must be answered with a status below 400."""
        port = self._ports[environment]
        with httpx.Client(timeout=PROBE_SECONDS, trust_env=False) as client:
            results = [_sent(client, f"http://127.0.0.1:{port}", service, probe) for probe in probes]
        return [failure for failure in results if failure is not None]

    def health(self) -> Health:
        return self._door.health()


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
