"""Ports of building: what makes the one artifact of a commit, and what remembers it.

As in `activities.ports`: synchronous, idempotent where they write, only `leverframe.model.errors`.
"""

from collections.abc import Callable
from typing import Protocol

from activities.ports import Health
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository


class Builder(Protocol):
    """Makes the artifact of one commit."""

    def build(self, repository: Repository, source: Artifact, *, heartbeat: Callable[[], None]) -> Artifact:
        """The artifact of `source`, the exported tree of a commit: what runs in every environment.

        A second call after a first that ended, or whose worker was killed, answers with what was built.

        Raises:
            Refused: it can't be built, with the reason; the build's own last words where there are some.
            Unavailable: it is not built yet, or nobody can tell now; `wait` says when to ask again.
        """
        ...

    def health(self) -> Health: ...


class Builds(Protocol):
    """Remembers what each commit was built as. What is recorded never changes."""

    def find(self, repository: str, sha: str) -> Artifact | None:
        """What was recorded first; None for a commit that was never built."""
        ...

    def keep(self, repository: str, artifact: Artifact) -> Artifact:
        """Record it, or find it recorded. Idempotent.

        Raises:
            Conflict: the commit is recorded with another digest, or as an artifact of another kind.
        """
        ...

    def tars(self, repository: str) -> frozenset[str]:
        """Commits that were built as a tar, which may run, or be put back, at any time."""
        ...

    def health(self) -> Health: ...
