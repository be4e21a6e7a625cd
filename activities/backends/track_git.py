"""Git as the track: any remote that git can push to, through a private bare mirror.

Needs git 2.39 or newer (`merge-tree --write-tree`, `patch-id --verbatim`). Repository code and hooks are
never run here; paths and names from outside are data. What is read is in `track_reader`; what each part of
the writing does is in `track_cars`, `track_proof`, `track_landing` and `track_branches`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from activities.backends import track_cars, track_markers
from activities.backends.git_process import the_sha
from activities.backends.track_branches import made_before, made_file, made_overlay, made_revert, pushed
from activities.backends.track_compose import changed_paths, tree_of
from activities.backends.track_landing import Landing, MovesRefs
from activities.backends.track_mirror import on_a_fresh_mirror_again
from activities.backends.track_proof import prove
from activities.backends.track_reader import GitReader
from activities.backends.track_refs import tip_of
from activities.ports import Backend
from activities.track_port import Edit
from leverframe.model.changes import Author, Car, Change, CheckResult, Conflicted, Receipt
from leverframe.model.errors import BadInput, Refused
from leverframe.model.releases import Artifact, Environment
from leverframe.model.topology import Repository
from leverframe.model.trains import Evidence, Method, Override


class GitTrack(GitReader):
    """The `Track` port on plain git."""

    def __init__(
        self, *, moves: MovesRefs | None = None, signing_key: Path | None = None, **about: Any
    ) -> None:
        """`moves` lands cars where git may not push to the target; `signing_key` is the SSH key that signs
        markers. The rest is as `GitReader` has it."""
        super().__init__(**about)
        self._moves = moves
        self._key = track_markers.SshKey(signing_key) if signing_key else None

    @on_a_fresh_mirror_again
    def compose(
        self, repository: Repository, *, change: Change, base: str, at: datetime, method: Method = "merge"
    ) -> Car | Conflicted:
        (made,) = self.compose_stack(repository, changes=[(change, at)], base=base, method=method)
        return made

    @on_a_fresh_mirror_again
    def compose_stack(
        self,
        repository: Repository,
        *,
        changes: Sequence[tuple[Change, datetime]],
        base: str,
        method: Method = "merge",
    ) -> list[Car | Conflicted]:
        """A car for each change, each on the one before it, up to the first conflict.

        Raises:
            NotFound: the remote lacks the base or a head.
            Refused: the first change can't be composed by this method.
        """
        mirror = self._mirror(repository)
        heads = dict.fromkeys(the_sha(change.head) for change, _ in changes)
        with mirror.containing(the_sha(base), *heads) as git:
            cars = track_cars.stack(git, changes, base=base, method=method)
            track_cars.keep(mirror, git, repository.target, cars)
        return cars

    @on_a_fresh_mirror_again
    def drop_cars(self, repository: Repository, *, keep: Sequence[str], before: datetime) -> list[str]:
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            return track_cars.drop(mirror, git, repository.target, keep=keep, before=before)

    @on_a_fresh_mirror_again
    def offer(self, repository: Repository, *, sha: str, branch: str) -> None:
        mirror = self._mirror(repository)
        with mirror.containing(the_sha(sha)) as git:
            track_cars.offer(mirror, git, sha, branch)

    @on_a_fresh_mirror_again
    def retract(self, repository: Repository, *, branch: str) -> None:
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            track_cars.retract(mirror, git, branch)

    @on_a_fresh_mirror_again
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
        mirror = self._mirror(repository)
        needed = [car.sha, car.base, car.head, *([tested.sha, tested.base] if tested else [])]
        with mirror.containing(*needed) as git:
            evidence = prove(git, repository, [car], checks, override=override, tested=tested)
        wanted = _receipt(
            repository, car, author, at=at, evidence=evidence, checks=_of(checks, tested or car)
        ).model_copy(
            update={
                "override": override,
                "covered_by": tested.sha if tested and evidence == "composed" else None,
            }
        )
        return Landing(mirror, repository, [wanted], sources=sources, by=self._moves).settle()[0]

    @on_a_fresh_mirror_again
    def land_batch(
        self,
        repository: Repository,
        *,
        cars: Sequence[tuple[Car, Author]],
        checks: Sequence[CheckResult],
        at: datetime,
        sources: Mapping[str, str] | None = None,
    ) -> list[Receipt]:
        """Stacked cars, lowest first, in one atomic push; a receipt for each. Raises as `land`."""
        if not cars:
            raise BadInput("a batch without a car can't land")
        mirror, top = self._mirror(repository), cars[-1][0]
        needed = [sha for car, _ in cars for sha in (car.sha, car.base, car.head)]
        with mirror.containing(*dict.fromkeys(needed)) as git:
            prove(git, repository, [car for car, _ in cars], checks)
        shown = _of(checks, top)
        wanted = [
            _receipt(repository, car, author, at=at, evidence="covered", checks=shown).model_copy(
                update={"covered_by": top.sha}
            )
            for car, author in cars[:-1]
        ]
        wanted.append(_receipt(repository, top, cars[-1][1], at=at, evidence="exact", checks=shown))
        return Landing(mirror, repository, wanted, sources=sources, by=self._moves).settle()

    @on_a_fresh_mirror_again
    def receive(
        self, repository: Repository, *, change: str, head: str, sha: str, author: Author, at: datetime
    ) -> Receipt:
        """The receipt of what the forge's queue landed, written beside the target; the same one again."""
        mirror = self._mirror(repository)
        with mirror.containing(the_sha(sha), the_sha(head)) as git:
            parents = git.run("rev-list", "--parents", "--max-count=1", sha).text.split()[1:]
            if not parents:
                raise Refused(f"{sha[:12]} is a first commit: no queue landed it")
            car = Car(
                change=change,
                sha=sha,
                base=parents[0],
                tree=tree_of(git, sha),
                head=head,
                paths=changed_paths(git, parents[0], sha),
                method="merge" if len(parents) > 1 else "squash",
            )
        wanted = _receipt(repository, car, author, at=at, evidence="native", checks=())
        return Landing(mirror, repository, [wanted], by=self._moves).settle()[0]

    @on_a_fresh_mirror_again
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
        """Push a branch whose one commit undoes `commit` on the target's tip. Idempotent.

        Raises:
            NotFound: the target does not contain the commit.
            Conflict: nothing is left to undo, or the branch holds something else.
            Refused: the commit has no parent, its undoing is not `patch`, or the remote's rules forbid it.
        """
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            before = made_before(git, repository.target, branch, message)
            onto = before.base if before else tip_of(git, repository.target)
            made = made_revert(git, repository, onto, commit=commit, message=message, at=at)
            if isinstance(made, Conflicted):
                return made
            return pushed(mirror, git, branch, made, before=before, patch=patch)

    @on_a_fresh_mirror_again
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
        """Push a branch that edits one file, or makes it; None when the edit changes nothing. Idempotent.

        Raises:
            BadInput: the file can't be read.
            Conflict: the branch holds something else.
            Refused: the edit is not `patch`, no such file may be made, or the remote's rules forbid it.
        """
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            before = made_before(git, repository.target, branch, message)
            onto = before.base if before else tip_of(git, repository.target)
            made = made_file(git, repository, onto, path=path, edit=edit, message=message, at=at)
            if made is None:
                return None
            return pushed(mirror, git, branch, made, before=before, patch=patch)

    @on_a_fresh_mirror_again
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
        """Push a branch that re-points the overlay; None when it already names `sha` and its digest.

        Raises:
            NotFound: the target's tip does not have the overlay.
            BadInput: the overlay is not a kustomization that can be edited.
            Conflict: the branch holds something else.
            Refused: the edit is not `patch`, the digest of `sha` is unknown, or the remote's rules forbid it.
        """
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            before = made_before(git, repository.target, branch, message)
            onto = before.base if before else tip_of(git, repository.target)
            made = made_overlay(
                git, repository, onto, environment=environment, sha=sha, message=message, at=at, build=build
            )
            if made is None:
                return None
            return pushed(mirror, git, branch, made, before=before, patch=patch)

    @on_a_fresh_mirror_again
    def tag(self, repository: Repository, *, name: str, sha: str, message: str) -> bool:
        """Push an annotated marker tag, signed where there is a key; whether the one that is there is.

        The same tag on the same commit is a success.

        Raises:
            BadInput: the name is not one that git takes.
            Conflict: the tag marks another commit.
            Unavailable: it can't be signed now, or not be pushed.
        """
        mirror = self._mirror(repository)
        with mirror.containing(the_sha(sha)) as git:
            push = track_markers.pushed(mirror, git, name=name, sha=sha, message=message, key=self._key)
        if push.ok:
            return self._key is not None
        with mirror.synced() as git:
            return track_markers.found(git, push, name=name, sha=sha)


def _of(checks: Sequence[CheckResult], car: Car) -> tuple[CheckResult, ...]:
    """What the checks said of exactly this car, without their logs."""
    return tuple(check.model_copy(update={"log": ""}) for check in checks if check.sha == car.sha)


def _receipt(
    repository: Repository,
    car: Car,
    author: Author,
    *,
    at: datetime,
    evidence: Evidence,
    checks: tuple[CheckResult, ...],
) -> Receipt:
    """As it will be, but for its sequence number."""
    return Receipt(
        repository=repository.name,
        target=repository.target,
        sequence=1,
        change=car.change,
        sha=car.sha,
        base=car.base,
        tree=car.tree,
        head=car.head,
        checks=checks,
        author=author,
        paths=car.paths,
        landed_at=at,
        method=car.method,
        evidence=evidence,
    )


BACKEND = Backend(
    kind="track",
    name="git",
    scopes=("read", "push to the target branch, leverframe/*, refs/train/* and tags"),
    build=GitTrack,
)
