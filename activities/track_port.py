"""The port of git: cars, landings, and what has landed. Its rules are those of `activities.ports`."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from activities.overlay_file import Named
from activities.ports import Health, PolicyFiles
from leverframe.model.changes import (
    Author,
    Car,
    Change,
    CheckResult,
    Conflicted,
    Receipt,
)
from leverframe.model.deployments import ChangeOrigin
from leverframe.model.differences import TreeDifference
from leverframe.model.facts import LandedCommit
from leverframe.model.releases import Artifact, Environment
from leverframe.model.topology import Repository
from leverframe.model.trains import AuditReport, Method, Override, Rehearsal

Edit = Callable[[str | None], str]
"""A file's text, None where there is no such file, to the text that it is to have. Pure."""


class Track(Protocol):
    """Git: composing cars, landing them, and reading what landed. Never runs repository code or hooks."""

    def tip(self, repository: Repository, branch: str | None = None) -> str:
        """The commit a branch (default: the target) points at. Raises NotFound."""
        ...

    def tips(self, repository: Repository, branches: Collection[str]) -> Mapping[str, str]:
        """What these branches point at, seen in one look; one that is not there is left out."""
        ...

    def compose(
        self, repository: Repository, *, change: Change, base: str, at: datetime, method: Method = "merge"
    ) -> Car | Conflicted:
        """The change composed onto `base` without a worktree. Same inputs, same SHA.

        `base` is any commit that the remote has, the car of another change too. A car without `paths`
        changes nothing there.

        Raises:
            NotFound: the remote lacks the base or the head.
            Refused: the change can't be composed by this method, on whatever base.
        """
        ...

    def compose_stack(
        self,
        repository: Repository,
        *,
        changes: Sequence[tuple[Change, datetime]],
        base: str,
        method: Method = "merge",
    ) -> list[Car | Conflicted]:
        """A car for each change (with its `at`), each on the one before it, up to the first conflict.

        Lowest first. A car without `paths` carries no other: the next one is on what lies below it. A
        change that is refused ends the list before it, unless it is the first one. Raises as `compose`.
        """
        ...

    def drop_cars(self, repository: Repository, *, keep: Sequence[str], before: datetime) -> list[str]:
        """Take the refs of cars dated before then off the remote, never one in `keep`; returns whose.

        A car is dated by the `at` that it was composed with.
        """
        ...

    def offer(self, repository: Repository, *, sha: str, branch: str) -> None:
        """Show a car as a branch, where the forge's CI sees it. Idempotent."""
        ...

    def retract(self, repository: Repository, *, branch: str) -> None:
        """Take such a branch away; one that is gone is a success."""
        ...

    def land(
        self,
        repository: Repository,
        *,
        car: Car,
        checks: Sequence[CheckResult],
        author: Author,
        at: datetime,
        override: Override | None = None,
        tested: Car | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> Receipt:
        """One atomic compare-and-swap push of the tested commit and its receipt.

        Idempotent: a car that has landed returns the receipt it landed with. Verifies that the car is
        what it says and that every check that the declaration requires passed on exactly `car.sha`.
        The evidence is `exact`, but `override` with one: then the checks that it names are those required,
        and `composed` with `tested`, the car of the same change that was tested on an earlier base and
        whose `same_closure` the car has: then the checks are those of `tested.sha`.
        `sources` are branches with the heads that they must still be at as the target moves.

        Raises:
            TargetMoved: the target is neither at the car's base nor contains the car.
            Conflict: a source is somewhere else by now.
            Refused: something is not proven, or the remote refuses the push for good.
            Unavailable: the remote did not answer and looking could not settle what happened.
        """
        ...

    def land_batch(
        self,
        repository: Repository,
        *,
        cars: Sequence[tuple[Car, Author]],
        checks: Sequence[CheckResult],
        at: datetime,
        sources: Mapping[str, str] | None = None,
    ) -> list[Receipt]:
        """Stacked cars, lowest first, in one atomic push: all of them land, or none.

        Every check that any of them requires must have passed on exactly the last one. Its receipt is
        `exact`, the others are `covered` by it. Otherwise as `land`: one receipt for each car.
        """
        ...

    def rehearse(self, repository: Repository, *, push: bool = False) -> Rehearsal:
        """Everything that a landing needs of git and the remote, without a landing.

        The push is a dry run: it shows that we may push and that the remote takes atomic pushes. With
        `push` refs of ours are really pushed and taken away again, so that its rules and hooks are asked.

        Raises:
            NotFound: there is no target.
            Refused: git is too old, or the remote says no, with its words.
            Unavailable: the remote did not answer.
        """
        ...

    def receive(
        self, repository: Repository, *, change: str, head: str, sha: str, author: Author, at: datetime
    ) -> Receipt:
        """Write the receipt of `sha`, which the forge's own queue landed. Idempotent; moves no branch.

        Raises:
            TargetMoved: the target does not contain the commit.
            Refused: the remote takes no receipt, or the commit is a first one.
        """
        ...

    def same_closure(self, repository: Repository, *, tested: str, landed: str, lanes: Sequence[str]) -> bool:
        """Whether everything that these lanes build from is the same in both commits.

        That is every path of one of the lanes and every path of no lane. No lanes are all lanes.
        """
        ...

    def audit(self, repository: Repository, *, since: str | None, limit: int = 1000) -> AuditReport:
        """Read the target from `since`, vouched for earlier, and say what no receipt proves.

        Without `since` it reads from where the first receipt begins. At most `limit` commits of the
        first-parent line are read, oldest first: `tip` is the last one, from which the next audit goes on.
        """
        ...

    def audit_native(
        self, repository: Repository, *, change: str, head: str, sha: str, base: str | None = None
    ) -> AuditReport:
        """Whether `sha`, which the forge's queue landed, is the change at `head` on `base` and nothing else.

        `base` is the commit of the target below the change's own; its first parent unless told.
        """
        ...

    def receipts(self, repository: Repository, *, limit: int = 50) -> list[Receipt]:
        """Newest first."""
        ...

    def difference(self, repository: Repository, *, base: str, head: str) -> TreeDifference:
        """What lies between two commits, as trees. Raises NotFound."""
        ...

    def preview_revert(
        self, repository: Repository, *, commit: str, at: datetime
    ) -> TreeDifference | Conflicted:
        """What `revert_branch` would change on the target's tip now. Pushes nothing."""
        ...

    def preview_overlay(
        self,
        repository: Repository,
        *,
        environment: Environment,
        sha: str,
        at: datetime,
        build: Artifact | None = None,
    ) -> TreeDifference | None:
        """What `overlay_branch` would change; None when the overlay names `sha` already. Pushes nothing."""
        ...

    def read_files(self, repository: Repository, *, folder: str) -> PolicyFiles:
        """The YAML files below a folder on the target's tip. Raises NotFound."""
        ...

    def read_text(self, repository: Repository, *, sha: str, path: str, most: int) -> str:
        """One regular file of a commit.

        Raises:
            NotFound: the commit has no such file.
            BadInput: it has more than `most` bytes, or is not UTF-8.
        """
        ...

    def revert_branch(
        self,
        repository: Repository,
        *,
        commit: str,
        branch: str,
        message: str,
        at: datetime,
        patch: str | None = None,
    ) -> str | Conflicted:
        """Push a branch whose one commit undoes `commit` (a landed car) on the target's tip. Idempotent.

        With a `patch` (of a `TreeDifference`), Refused unless exactly that is what it changes.
        """
        ...

    def preview_file(
        self, repository: Repository, *, path: str, edit: Edit, at: datetime
    ) -> TreeDifference | None:
        """What `file_branch` would change; None when the edit changes nothing. Pushes nothing."""
        ...

    def file_branch(
        self,
        repository: Repository,
        *,
        path: str,
        edit: Edit,
        branch: str,
        message: str,
        at: datetime,
        patch: str | None = None,
    ) -> str | None:
        """Push a branch whose one commit edits one file, or makes it; None when the edit changes nothing.

        On a target that has moved the edit is made anew. Idempotent by branch. `patch` as for
        `revert_branch`. Raises what `edit` does.
        """
        ...

    def overlay_branch(
        self,
        repository: Repository,
        *,
        environment: Environment,
        sha: str,
        branch: str,
        message: str,
        at: datetime,
        patch: str | None = None,
        build: Artifact | None = None,
    ) -> str | None:
        """Push a branch that re-points the overlay's `newTag` and its digest; None when both are so already.

        The digest is the one of `build`, the recorded build of `sha`: always of an image, of a tar where the
        overlay pins one. Without a `build` it is the one that an overlay has had beside `sha` before; Refused
        where that is not known and the overlay pins a digest. The edit keeps comments and order. Idempotent
        by branch. `patch` as for `revert_branch`.
        """
        ...

    def overlay(self, repository: Repository, environment: Environment) -> Named:
        """What the overlay on the target's tip names, and the digest that it pins beside it."""
        ...

    def overlay_sha(self, repository: Repository, environment: Environment) -> str | None:
        """What the overlay on the target's tip names; None for a tag that is not a SHA."""
        ...

    def overlay_history(
        self, repository: Repository, environment: Environment, *, limit: int = 10
    ) -> list[str]:
        """The distinct SHAs the overlay has named, newest first."""
        ...

    def overlay_at(self, repository: Repository, environment: Environment, *, sha: str) -> str | None:
        """What the overlay names in that commit; None for a tag that is not a SHA. Raises NotFound."""
        ...

    def origin(self, repository: Repository, *, base: str, head: str) -> ChangeOrigin:
        """What the commits of `head` that `base` lacks say of themselves. Raises NotFound."""
        ...

    def export(self, repository: Repository, sha: str) -> Artifact:
        """Write the commit's tree as a deterministic tar named by its SHA, once, and return it."""
        ...

    def commits(self, repository: Repository, *, limit: int) -> list[LandedCommit]:
        """The target's first-parent line, newest first."""
        ...

    def reverted_in(self, repository: Repository, *, commit: str, since: datetime) -> str | None:
        """The newest commit that came to the target at or after `since` and says that it reverts `commit`."""
        ...

    def fix_claims(
        self, repository: Repository, *, after: str, upto: str, limit: int
    ) -> list[tuple[str, str]]:
        """(commit, test) of the newest `limit` commits in `after..upto` with a line `Fixes-flaky: <test>`,
        oldest first. Nothing where git does not know `after` any more. The names are data from outside.
        """
        ...

    def blame(self, repository: Repository, *, sha: str, path: str, line: int) -> str | None:
        """The landed commit (first-parent) that last changed the line; None when the file lacks it."""
        ...

    def has_file(self, repository: Repository, *, sha: str, path: str) -> bool:
        """Whether the path is a regular file in that commit's tree."""
        ...

    def file_paths(self, repository: Repository, *, sha: str, most: int) -> list[str]:
        """The paths of all files in that commit's tree. Raises BadInput for more than `most`."""
        ...

    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool: ...

    def tag(self, repository: Repository, *, name: str, sha: str, message: str) -> bool:
        """Push an annotated marker tag; whether it is signed. The same tag on the same commit is a success.

        A tag is never read to decide what runs.
        """
        ...

    def landed_between(
        self, repository: Repository, *, after: str | None, upto: str, limit: int
    ) -> tuple[list[tuple[Receipt, str]], int]:
        """Receipts of what came to the target after one commit and up to another, with their subjects.

        Newest first, without those that only move overlays; and how many there are beyond `limit`. Without
        `after` it begins where the target does.
        """
        ...

    def live_before(self, repository: Repository, *, sha: str) -> str | None:
        """What stood in production's overlay before it named the commit, by git's history of it.

        Never what was taken back: naming it again would bring back what was red.
        """
        ...

    def health(self) -> Health: ...
