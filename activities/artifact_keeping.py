"""Artifacts that nothing needs any more: trees of commits that were tested or executed, and never built."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path

from activities.artifacts import forget
from activities.build_ports import Builds
from leverframe.model.topology import Repository

KEPT = timedelta(days=30)
"""Since a tar was last asked for: whoever is given one needs it soon, but a check may wait for a sandbox."""


class ArtifactKeeping:
    """Removes tars of the declared repositories."""

    def __init__(self, builds: Builds, repositories: Mapping[str, Repository], artifacts: Path) -> None:
        self._builds = builds
        self._repositories = repositories
        self._artifacts = artifacts

    def tidy(self, now: datetime) -> int:
        """Remove what nobody has asked for in KEPT; how many. What was built as a tar stays: to be put back.

        Raises Unavailable when the store does not answer, OSError.
        """
        keep = defaultdict[str, set[str]](set)
        for repository in self._repositories.values():
            keep[repository.service.name] |= self._builds.tars(repository.name)
        return sum(
            forget(self._artifacts / service, before=now - KEPT, keep=shas) for service, shas in keep.items()
        )
