"""The port for permits. As in `activities.ports`: synchronous, idempotent, only `leverframe.model.errors`."""

from typing import Protocol

from activities.ports import Health
from leverframe.model.permits import Permit


class Permits(Protocol):
    """Remembers the last word on each commit. Every method raises Unavailable."""

    def grant(self, permit: Permit) -> None:
        """Keep it in place of the one before; the revision that was let in stays the same."""
        ...

    def begin(self, permit: Permit) -> None:
        """Keep it if there is none of this commit yet."""
        ...

    def find(self, service: str, sha: str) -> Permit | None:
        """The last word on a commit."""
        ...

    def bind(self, service: str, sha: str, checksum: str) -> bool:
        """Say which revision is let in, unless that is said already; whether it is this one."""
        ...

    def health(self) -> Health: ...
