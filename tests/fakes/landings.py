"""What landed, for looks at it: changes with their receipts, and production's overlay, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from leverframe.model.changes import Author, Change, Priority, Receipt
from leverframe.model.errors import NotFound
from leverframe.model.releases import Environment
from leverframe.model.topology import Repository
from tests.fakes.remediation_world import BEGAN, HEAD

BASE = "7" * 40


@dataclass
class Landings:
    """The parts of the ports `Changes` and `Track` that tell of what landed."""

    state: Literal["open", "landed", "ejected"] = "landed"
    """Of every change."""
    known: dict[str, str] = field(default_factory=dict)
    """Change → what it landed as."""
    overlay: str | None = None
    """What production's overlay names on the target's tip."""
    before: str | None = None
    """What it named in the commit below every landing."""
    reverted_by: str | None = None
    limit: int = 200
    """Of the receipts that are kept."""

    def land(self, change: str, sha: str, *, overlay: Mapping[str, str]) -> None:
        """A change lands; `overlay`: what production's overlay named before → names since. Once."""
        self.known.setdefault(change, sha)
        for old, new in overlay.items():
            if self.before is None:
                self.before, self.overlay = old, new

    def change(self, change: str) -> Change:
        if change not in self.known:
            raise NotFound(f"no change {change}")
        return Change(
            id=change,
            repository="shop",
            branch="leverframe/x",
            head=HEAD,
            title="x",
            body="",
            author=Author(kind="agent", name="sentry_spike"),
            priority=Priority.HOTFIX,
            state=self.state,
            landed_as=self.known[change] if self.state == "landed" else None,
            opened_at=BEGAN,
        )

    def receipts(self, repository: Repository, *, limit: int = 50) -> list[Receipt]:
        return [
            Receipt(
                repository="shop",
                target="main",
                sequence=1,
                change=change,
                sha=sha,
                base=BASE,
                tree="6" * 40,
                head=HEAD,
                checks=(),
                author=Author(kind="agent", name="sentry_spike"),
                paths=(),
                landed_at=BEGAN,
            )
            for change, sha in self.known.items()
        ][: min(limit, self.limit)]

    def overlay_at(self, repository: Repository, environment: Environment, *, sha: str) -> str | None:
        assert (environment, sha) == ("production", BASE)
        return self.before

    def overlay_sha(self, repository: Repository, environment: Environment) -> str | None:
        return self.overlay

    def reverted_in(self, repository: Repository, *, commit: str, since: datetime) -> str | None:
        return self.reverted_by
