"""Ports of the merge train beside `Changes` and `Track`: the forge's CI, the forge's own queue, Terraform.

As in `activities.ports`: synchronous, idempotent where they write, only `leverframe.model.errors`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from activities.ports import Health
from leverframe.model.changes import Change, CheckResult
from leverframe.model.checks import Check
from leverframe.model.topology import Infrastructure, Repository
from leverframe.model.trains import Capability, NativeEnding, NativeEntry


class ForgeChecks(Protocol):
    """What the forge's own CI says of a commit."""

    def result(self, repository: Repository, *, sha: str, check: Check) -> CheckResult | None:
        """The newest finished result of the check on exactly this commit; None while it has none.

        Cancelled, timed out, skipped and lost runs are `inconclusive`. Raises Unavailable.
        """
        ...

    def run_again(self, repository: Repository, *, sha: str, check: Check) -> None:
        """Ask the forge to run the failed check once more on the same commit. Idempotent enough: a check
        that runs already is left alone. Raises NotFound when the forge knows no run of it."""
        ...

    def cancel(self, repository: Repository, *, sha: str) -> None:
        """Stop what still runs on the commit; nothing to stop is a success."""
        ...

    def health(self) -> Health: ...


class NativeQueue(Protocol):
    """The forge's own merge queue (GitHub) or merge train (GitLab)."""

    def capability(self, repository: Repository) -> Capability:
        """Whether it can carry this repository's changes. Raises Unavailable."""
        ...

    def enqueue(self, repository: Repository, change: Change, *, hotfix: bool) -> None:
        """Put the change at exactly `change.head` into the queue. In the queue already is a success.

        Never bypasses rules, never repeated blindly: an answer that was lost is resolved by looking.

        Raises:
            Conflict: the change is at another head.
            Refused: the forge says no for good, with its words.
        """
        ...

    def dequeue(self, repository: Repository, change: Change) -> None:
        """Take it out; not in the queue is a success."""
        ...

    def entries(self, repository: Repository) -> list[NativeEntry]:
        """What is in the queue now, first to land first."""
        ...

    def ending(self, repository: Repository, change: Change) -> NativeEnding | None:
        """How the change at `change.head` left the queue; None while it is in it or was never there."""
        ...

    def health(self) -> Health: ...


class Terraform(Protocol):
    """Applies infrastructure to dev and says what differs. Holds dev's credentials: runs on the hands."""

    def apply(
        self,
        infrastructure: Infrastructure,
        *,
        tree: Path,
        sha: str,
        heartbeat: Callable[[], None],
    ) -> CheckResult:
        """Plan and apply the root module of an unpacked tree to dev. The same commit again changes nothing.

        `failed` carries Terraform's own words as log; `inconclusive` when nobody can tell (a lock that is
        held, a lost connection, a time limit). Raises Unavailable.
        """
        ...

    def drift(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, ...]:
        """Addresses of what in dev differs from the tree; empty when nothing does. Changes nothing."""
        ...

    def health(self) -> Health: ...
