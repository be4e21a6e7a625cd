"""The port of release notes: each release's marker with what its notes were made of."""

from typing import Protocol

from activities.ports import Health
from leverframe.model.release_notes import Marked


class Notes(Protocol):
    """Keeps what was told of each release that reached 100 %. It can be made again from git and receipts."""

    def keep(self, marked: Marked) -> None:
        """Keep it by service and commit; the same release again replaces it."""
        ...

    def find(self, service: str, sha: str | None = None) -> Marked | None:
        """The notes of a commit, or of the newest release of the service."""
        ...

    def health(self) -> Health: ...
