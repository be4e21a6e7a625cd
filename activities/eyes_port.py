"""The ports of the eyes-on check: a browser that takes a picture, and where each arm can be reached."""

from typing import Literal, Protocol

from activities.ports import Health
from leverframe.model.eyes import Viewport

Arm = Literal["stable", "canary"]


class Eyes(Protocol):
    """A browser. What it shows is code under release: it has no credential and reaches one address only."""

    @property
    def on(self) -> bool:
        """Whether there is one."""
        ...

    def picture(self, origin: str, path: str, viewport: Viewport) -> bytes:
        """The window as a PNG, in a profile of its own.

        Raises:
            Unavailable: the page did not come in time, or with an error; or the browser can't be started.
        """
        ...

    def health(self) -> Health: ...


class ArmAddresses(Protocol):
    """Where one commit of a service answers, whatever share of the requests it gets."""

    def origin(self, service: str, arm: Arm, sha: str) -> str:
        """`http://127.0.0.1:41001`, without a slash. Raises NotFound, Unavailable."""
        ...

    def health(self) -> Health: ...
