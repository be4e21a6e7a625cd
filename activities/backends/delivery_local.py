"""Delivery through the admin door of `leverframe router`: processes behind a weighted router."""

from collections.abc import Sequence

from activities.backends.probes import sent
from activities.backends.router_door import RouterDoor
from activities.ports import Backend, Health
from leverframe.model.errors import Refused
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import Probe, Repository


class LocalDelivery:
    """The port `Delivery` over HTTP on loopback. Safe to share between threads."""

    def __init__(self, *, admin_url: str, ports: dict[Environment, int]) -> None:
        self._door = RouterDoor(admin_url)
        self._ports = ports

    def deploy_artifact(self, repository: Repository, artifact: Artifact) -> None:
        """The router unpacks it from the shared artifact directory. Raises Refused for an image."""
        if artifact.image:
            raise Refused(
                f"the local delivery runs trees, not images such as {artifact.image}: build {repository.name}"
                ' by "local", or set another delivery.backend'
            )
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
        origin = f"http://127.0.0.1:{self._ports[environment]}"
        return sent(origin, probes, {"Host": f"{service}.localhost"})  # the host names it to the router

    def health(self) -> Health:
        return self._door.health()


BACKEND = Backend(kind="delivery", name="local", scopes=(), build=LocalDelivery)
