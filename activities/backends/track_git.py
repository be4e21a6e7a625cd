"""Git as the track: any remote that git can push to, through a private bare mirror.

Needs git 2.39 or newer (`merge-tree --write-tree`, `patch-id --verbatim`). Repository code and hooks are
never run here; paths and names from outside are data. What each part does is in `track_compose`,
`track_branches`, `track_difference`, `track_landing`, `track_overlay`, `track_files` and `track_history`.
"""

import functools
import itertools
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from activities import overlay_file
from activities.backends import track_history, track_overlay
from activities.backends.git_process import IDENTITY, Git, HttpsLogin, MirrorCorrupted, the_sha
from activities.backends.track_branches import made_before, made_overlay, made_revert, pushed
from activities.backends.track_compose import changed_paths, commit_tree, entry, is_ancestor, merge
from activities.backends.track_difference import difference
from activities.backends.track_files import read_files
from activities.backends.track_landing import Landing, prove, receipts
from activities.backends.track_mirror import Mirror
from activities.backends.track_refs import check_ref, message_of, rejected, tip_of
from activities.ports import Backend, Health, PolicyFiles
from leverframe.model.changes import Author, Car, Change, CheckResult, Conflicted, Receipt
from leverframe.model.differences import TreeDifference
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound
from leverframe.model.facts import LandedCommit
from leverframe.model.ids import short_hash
from leverframe.model.releases import Artifact, Environment
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted

OVERLAY_COMMITS_READ = 200
"""How many commits of the overlay's file are read for its history."""

PREVIEW = "preview"
"""The message of a commit that stays in the mirror."""

P = ParamSpec("P")
R = TypeVar("R")


def _on_a_fresh_mirror_again(
    method: Callable[Concatenate["GitTrack", P], R],
) -> Callable[Concatenate["GitTrack", P], R]:
    """Run once more when the mirror turned out damaged: it has been thrown away by then."""

    @functools.wraps(method)
    def wrapper(self: "GitTrack", /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except MirrorCorrupted:
            return method(self, *args, **kwargs)

    return wrapper


class GitTrack:
    """The `Track` port on plain git.

    `mirrors` and `artifacts` are directories of ours; every process that shares them shares the work.
    `timeout` bounds each git command, a push included. `login` is for the remotes below its address.
    """

    def __init__(
        self,
        *,
        mirrors: Path,
        artifacts: Path,
        repositories: Sequence[Repository] = (),
        timeout: timedelta = timedelta(seconds=60),
        login: HttpsLogin | None = None,
    ) -> None:
        self._mirrors = mirrors
        self._artifacts = artifacts
        self._repositories = tuple(repositories)
        self._timeout = timeout
        self._login = login

    @_on_a_fresh_mirror_again
    def tip(self, repository: Repository, branch: str | None = None) -> str:
        with self._mirror(repository).synced() as git:
            return tip_of(git, branch or repository.target)

    @_on_a_fresh_mirror_again
    def compose(self, repository: Repository, *, change: Change, base: str, at: datetime) -> Car | Conflicted:
        mirror = self._mirror(repository)
        with mirror.containing(the_sha(base), the_sha(change.head)) as git:
            tree = merge(git, base, change.head)
            if isinstance(tree, tuple):
                return Conflicted(change=change.id, base=base, paths=tree)
            title = Untrusted(change.title).for_terminal(200)
            message = f"{title}\n\nLeverframe-Change: {change.id}\n"
            sha = commit_tree(git, tree, base, change.head, message=message, author=change.author, at=at)
            paths = changed_paths(git, base, sha)
            _keep_car(mirror, git, repository.target, change.id, sha)
        return Car(change=change.id, sha=sha, base=base, tree=tree, head=change.head, paths=paths)

    @_on_a_fresh_mirror_again
    def land(
        self,
        repository: Repository,
        *,
        car: Car,
        checks: Sequence[CheckResult],
        author: Author,
        at: datetime,
    ) -> Receipt:
        mirror = self._mirror(repository)
        with mirror.containing(car.sha, car.base) as git:
            prove(git, repository, car, checks)
        wanted = Receipt(
            repository=repository.name,
            target=repository.target,
            sequence=1,
            change=car.change,
            sha=car.sha,
            base=car.base,
            tree=car.tree,
            head=car.head,
            checks=tuple(check.model_copy(update={"log": ""}) for check in checks if check.sha == car.sha),
            author=author,
            paths=car.paths,
            landed_at=at,
        )
        return Landing(mirror, repository, car, wanted).settle()

    @_on_a_fresh_mirror_again
    def receipts(self, repository: Repository, *, limit: int = 50) -> list[Receipt]:
        with self._mirror(repository).synced() as git:
            return list(itertools.islice(receipts(git, repository.target), limit))

    @_on_a_fresh_mirror_again
    def difference(self, repository: Repository, *, base: str, head: str) -> TreeDifference:
        with self._mirror(repository).containing(the_sha(base), the_sha(head)) as git:
            return difference(git, base, head)

    @_on_a_fresh_mirror_again
    def preview_revert(
        self, repository: Repository, *, commit: str, at: datetime
    ) -> TreeDifference | Conflicted:
        """What `revert_branch` would change on the target's tip now. Raises as it does."""
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            made = made_revert(git, repository, tip, commit=commit, message=PREVIEW, at=at)
            return made if isinstance(made, Conflicted) else difference(git, *made)

    @_on_a_fresh_mirror_again
    def preview_overlay(
        self, repository: Repository, *, environment: Environment, sha: str, at: datetime
    ) -> TreeDifference | None:
        """What `overlay_branch` would change on the target's tip now. Raises as it does."""
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            made = made_overlay(
                git, repository, tip, environment=environment, sha=sha, message=PREVIEW, at=at
            )
            return None if made is None else difference(git, *made)

    @_on_a_fresh_mirror_again
    def read_files(self, repository: Repository, *, folder: str) -> PolicyFiles:
        with self._mirror(repository).synced() as git:
            return read_files(git, tip_of(git, repository.target), folder)

    @_on_a_fresh_mirror_again
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

    @_on_a_fresh_mirror_again
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
    ) -> str | None:
        """Push a branch that re-points the overlay's `newTag`; None when it already names `sha`.

        Raises:
            NotFound: the target's tip does not have the overlay.
            BadInput: the overlay is not a kustomization that can be edited.
            Conflict: the branch holds something else.
            Refused: the edit is not `patch`, or the remote's rules forbid it.
        """
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            before = made_before(git, repository.target, branch, message)
            onto = before.base if before else tip_of(git, repository.target)
            made = made_overlay(
                git, repository, onto, environment=environment, sha=sha, message=message, at=at
            )
            if made is None:
                return None
            return pushed(mirror, git, branch, made, before=before, patch=patch)

    @_on_a_fresh_mirror_again
    def overlay_sha(self, repository: Repository, environment: Environment) -> str | None:
        with self._mirror(repository).synced() as git:
            text = track_overlay.read(
                git, tip_of(git, repository.target), track_overlay.declared(repository, environment)
            )
        return overlay_file.named_sha(text, repository.service.image)

    @_on_a_fresh_mirror_again
    def overlay_history(
        self, repository: Repository, environment: Environment, *, limit: int = 10
    ) -> list[str]:
        path, distinct = track_overlay.declared(repository, environment), dict[str, None]()
        with self._mirror(repository).synced() as git:
            log = git.run(
                "log", "--first-parent", "--format=%H", f"--max-count={OVERLAY_COMMITS_READ}",
                f"refs/heads/{repository.target}", "--", path,
            )  # fmt: skip
            for commit in log.text.splitlines():
                # A commit that removed the file, or broke it, named nothing.
                with suppress(NotFound, BadInput):
                    named = overlay_file.named_sha(
                        track_overlay.read(git, commit, path), repository.service.image
                    )
                    if named:
                        distinct[named] = None
                if len(distinct) == limit:
                    break
        return list(distinct)

    @_on_a_fresh_mirror_again
    def export(self, repository: Repository, sha: str) -> Artifact:
        """Write the commit's tree as a deterministic tar named by its SHA, once, and return it.

        Raises:
            NotFound: the remote does not have the commit.
            Conflict: the file on disk is not the one that was built.
        """
        with self._mirror(repository).containing(sha) as git:
            return track_history.export(git, sha, repository.service.name, self._artifacts)

    @_on_a_fresh_mirror_again
    def commits(self, repository: Repository, *, limit: int) -> list[LandedCommit]:
        with self._mirror(repository).synced() as git:
            return track_history.commits(git, repository.target, limit)

    @_on_a_fresh_mirror_again
    def reverted_in(self, repository: Repository, *, commit: str, since: datetime) -> str | None:
        with self._mirror(repository).synced() as git:
            return track_history.reverted_in(git, repository.target, the_sha(commit), since)

    @_on_a_fresh_mirror_again
    def blame(self, repository: Repository, *, sha: str, path: str, line: int) -> str | None:
        with self._mirror(repository).containing(sha) as git:
            return track_history.blame(git, sha, path, line)

    @_on_a_fresh_mirror_again
    def has_file(self, repository: Repository, *, sha: str, path: str) -> bool:
        with self._mirror(repository).containing(sha) as git:
            try:
                entry(git, sha, path)
            except NotFound:
                return False
            return True

    @_on_a_fresh_mirror_again
    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool:
        with self._mirror(repository).containing(ancestor, descendant) as git:
            return is_ancestor(git, ancestor, descendant)

    @_on_a_fresh_mirror_again
    def tag(self, repository: Repository, *, name: str, sha: str, message: str) -> None:
        """Push an annotated marker tag; the same tag on the same commit is a success.

        Raises:
            BadInput: the name is not one that git takes.
            Conflict: the tag marks another commit.
        """
        mirror, ref = self._mirror(repository), f"refs/tags/{name}"
        with mirror.containing(sha) as git:
            check_ref(git, ref)
            seconds = git.run("log", "--max-count=1", "--format=%ct", sha, "--").text
            tagger = f"{IDENTITY[0]} <{IDENTITY[1]}> {seconds} +0000"
            body = f"object {sha}\ntype commit\ntag {name}\ntagger {tagger}\n\n{message_of(message)}\n"
            made = git.run("mktag", stdin=body.encode()).text
            push = mirror.push(git, [f"{made}:{ref}"], expected={ref: ""})
        if push.ok:
            return
        with mirror.synced() as git:
            marked = git.run("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", allow=(0, 1)).text
        if marked == sha:
            return
        if marked:
            raise Conflict(f"the tag {name} marks {marked[:12]}, not {sha[:12]}")
        raise rejected(f"the tag {name}", push.told)

    def health(self) -> Health:
        """git's version, and whether each declared remote answers and has its target."""
        try:
            git = Git(self._mirrors, timeout=timedelta(seconds=20))
            told = git.run("version").text
            version = re.search(r"(\d+)\.(\d+)", told)
            if version is None or (int(version[1]), int(version[2])) < (2, 39):
                return Health(ok=False, detail=f"{told} is too old", remedy="install git 2.39 or newer")
            for repository in self._repositories:
                self.tip(repository)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check the repository's url and target")
        return Health(ok=True, detail=f"{told}; {len(self._repositories)} repositories answer")

    def _mirror(self, repository: Repository) -> Mirror:
        return Mirror(self._mirrors, repository, timeout=self._timeout, login=self._login)


def _keep_car(mirror: Mirror, git: Git, target: str, change: str, sha: str) -> None:
    """Put the car on the remote under a hidden ref, so that another machine can build and land it.

    Former attempts of the change, and cars that are in, are taken away in the same push; a ref that
    can't be taken away stays until the next time.
    """
    cars = f"refs/train/{target}/cars/"
    wanted = f"{cars}{short_hash(change)}/{sha}"
    listed = set(git.run("for-each-ref", "--format=%(refname)", cars).text.splitlines())
    if wanted in listed:
        return
    landed = git.run("for-each-ref", f"--merged=refs/heads/{target}", "--format=%(refname)", cars).text
    over = {ref for ref in listed if ref.startswith(f"{cars}{short_hash(change)}/")}
    over |= set(landed.splitlines())
    push = mirror.push(git, [f"{sha}:{wanted}", *(f":{ref}" for ref in sorted(over))], expected={})
    if push.answers.get(wanted, "!")[0] not in "*=":
        raise rejected(f"the car {sha[:12]}", push.told)


BACKEND = Backend(
    kind="track",
    name="git",
    scopes=("read", "push to the target branch, leverframe/*, refs/train/* and tags"),
    build=GitTrack,
)
