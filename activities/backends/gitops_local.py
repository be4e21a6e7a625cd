"""Reconciliation through the admin door of `leverframe router`: it reads the overlays from git itself."""

from activities.backends.router_door import RouterDoor
from activities.ports import Backend, Health
from leverframe.model.releases import Environment, Reconciliation


class LocalGitops:
    """The port `Gitops` over HTTP on loopback. Safe to share between threads."""

    def __init__(self, *, admin_url: str) -> None:
        self._door = RouterDoor(admin_url)

    def reconciliation(self, service: str, environment: Environment) -> Reconciliation:
        return self._door.answer(Reconciliation, "GET", f"/reconciliation/{service}/{environment}")

    def request(self, service: str, environment: Environment) -> None:
        """The router answers when it has looked, so that nothing is pending afterwards."""
        self._door.call("POST", f"/reconcile/{service}")

    def suspend(self, service: str, environment: Environment, *, reason: str) -> None:
        self._door.call("POST", f"/suspend/{service}/{environment}", {"reason": reason})

    def resume(self, service: str, environment: Environment) -> None:
        self._door.call("POST", f"/resume/{service}/{environment}")

    def health(self) -> Health:
        return self._door.health()


BACKEND = Backend(kind="gitops", name="local", scopes=(), build=LocalGitops)
