"""Where the commits of the local delivery answer: each instance on a port of its own, beside the router.

A look at an instance is no request of a user: the gate does not count it.
"""

from activities.backends.router_door import RouterDoor
from activities.eyes_port import Arm
from activities.ports import Backend, Health
from leverframe.model.errors import NotFound
from leverframe.model.frozen import Frozen, Sha


class Running(Frozen):
    """The instances of a service in production."""

    ports: dict[Sha, int]


class LocalArms:
    """The port `ArmAddresses` through the admin door of the router."""

    def __init__(self, *, admin_url: str) -> None:
        self._door = RouterDoor(admin_url)

    def origin(self, service: str, arm: Arm, sha: str) -> str:
        """Raises NotFound when the commit does not run, Unavailable."""
        ports = self._door.answer(Running, "GET", f"/arms/{service}").ports
        if sha not in ports:
            raise NotFound(f"{sha[:12]} of {service} does not run in production")
        return f"http://127.0.0.1:{ports[sha]}"

    def health(self) -> Health:
        return self._door.health()


BACKEND = Backend(kind="arms", name="local", scopes=(), build=LocalArms)
