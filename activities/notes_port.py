"""The ports of release notes: kept with each release's marker, and shown on a page of the forge."""

from typing import Protocol

from activities.ports import Health
from leverframe.model.release_notes import Marked
from leverframe.model.topology import Repository


class Notes(Protocol):
    """Keeps what was told of each release that reached 100 %. It can be made again from git and receipts."""

    def keep(self, marked: Marked) -> None:
        """Keep it by service and commit; the same release again replaces it."""
        ...

    def find(self, service: str, sha: str | None = None) -> Marked | None:
        """The notes of a commit, or of the newest release of the service."""
        ...

    def health(self) -> Health: ...


class ReleasePages(Protocol):
    """Shows the notes where the forge shows releases. Nobody reads a page to know what runs."""

    def publish(self, repository: Repository, marked: Marked) -> None:
        """Make the page of a marker, or bring it up to date. Idempotent by the marker's name."""
        ...

    def health(self) -> Health: ...
