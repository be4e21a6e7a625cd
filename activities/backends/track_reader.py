"""Reading a repository through a private bare mirror: branches, receipts, history, previews, artifacts.

Repository code and hooks are never run here; paths and names from outside are data. What each part does
is in `track_branches`, `track_difference`, `track_landing`, `track_overlay`, `track_files` `track_history`
and `track_audit`.
"""

import itertools
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from activities import overlay_file
from activities.backends import track_audit, track_history, track_origin, track_overlay
from activities.backends.git_process import Git, HttpsLogin, the_sha
from activities.backends.track_branches import made_file, made_overlay, made_revert
from activities.backends.track_compose import entry, is_ancestor
from activities.backends.track_difference import difference
from activities.backends.track_files import file_paths, read_files, read_text
from activities.backends.track_mirror import Mirror, on_a_fresh_mirror_again
from activities.backends.track_proof import same_closure
from activities.backends.track_receipts import receipts
from activities.backends.track_refs import has_commit, tip_of
from activities.backends.track_rehearsal import rehearse, version
from activities.overlay_file import Named
from activities.ports import Health, PolicyFiles
from activities.track_port import Edit
from leverframe.model.changes import Conflicted, Receipt
from leverframe.model.deployments import ChangeOrigin
from leverframe.model.differences import TreeDifference
from leverframe.model.errors import LeverframeError, NotFound
from leverframe.model.facts import LandedCommit
from leverframe.model.releases import Artifact, Environment
from leverframe.model.topology import Repository
from leverframe.model.trains import AuditReport, Rehearsal

PREVIEW = "preview"
"""The message of a commit that stays in the mirror."""


class GitReader:
    """What the `Track` port reads from plain git.

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

    @on_a_fresh_mirror_again
    def tip(self, repository: Repository, branch: str | None = None) -> str:
        with self._mirror(repository).synced() as git:
            return tip_of(git, branch or repository.target)

    @on_a_fresh_mirror_again
    def tips(self, repository: Repository, branches: Collection[str]) -> dict[str, str]:
        with self._mirror(repository).synced() as git:
            listed = git.run("for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/").text
        pairs = (line.split(" ", 1) for line in listed.splitlines())
        found = {ref.removeprefix("refs/heads/"): sha for sha, ref in pairs}
        return {branch: found[branch] for branch in branches if branch in found}

    @on_a_fresh_mirror_again
    def receipts(self, repository: Repository, *, limit: int = 50) -> list[Receipt]:
        with self._mirror(repository).synced() as git:
            return list(itertools.islice(receipts(git, repository.target), limit))

    @on_a_fresh_mirror_again
    def difference(self, repository: Repository, *, base: str, head: str) -> TreeDifference:
        with self._mirror(repository).containing(the_sha(base), the_sha(head)) as git:
            return difference(git, base, head)

    @on_a_fresh_mirror_again
    def preview_revert(
        self, repository: Repository, *, commit: str, at: datetime
    ) -> TreeDifference | Conflicted:
        """What `revert_branch` would change on the target's tip now. Raises as it does."""
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            made = made_revert(git, repository, tip, commit=commit, message=PREVIEW, at=at)
            return made if isinstance(made, Conflicted) else difference(git, *made)

    @on_a_fresh_mirror_again
    def preview_overlay(
        self,
        repository: Repository,
        *,
        environment: Environment,
        sha: str,
        at: datetime,
        build: Artifact | None = None,
    ) -> TreeDifference | None:
        """What `overlay_branch` would change on the target's tip now. Raises as it does."""
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            made = made_overlay(
                git, repository, tip, environment=environment, sha=sha, message=PREVIEW, at=at, build=build
            )
            return None if made is None else difference(git, *made)

    @on_a_fresh_mirror_again
    def preview_file(
        self, repository: Repository, *, path: str, edit: Edit, at: datetime
    ) -> TreeDifference | None:
        """What `file_branch` would change on the target's tip now. Raises as it does."""
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            made = made_file(git, repository, tip, path=path, edit=edit, message=PREVIEW, at=at)
            return None if made is None else difference(git, *made)

    @on_a_fresh_mirror_again
    def read_files(self, repository: Repository, *, folder: str) -> PolicyFiles:
        with self._mirror(repository).synced() as git:
            return read_files(git, tip_of(git, repository.target), folder)

    @on_a_fresh_mirror_again
    def overlay(self, repository: Repository, environment: Environment) -> Named:
        with self._mirror(repository).synced() as git:
            text = track_overlay.read(
                git, tip_of(git, repository.target), track_overlay.declared(repository, environment)
            )
        return overlay_file.named(text, repository.service.image)

    def overlay_sha(self, repository: Repository, environment: Environment) -> str | None:
        return self.overlay(repository, environment).sha

    @on_a_fresh_mirror_again
    def overlay_at(self, repository: Repository, environment: Environment, *, sha: str) -> str | None:
        path = track_overlay.declared(repository, environment)
        with self._mirror(repository).containing(the_sha(sha)) as git:
            return overlay_file.named_sha(track_overlay.read(git, sha, path), repository.service.image)

    @on_a_fresh_mirror_again
    def origin(self, repository: Repository, *, base: str, head: str) -> ChangeOrigin:
        with self._mirror(repository).containing(the_sha(base), the_sha(head)) as git:
            return track_origin.origin(git, base, head)

    @on_a_fresh_mirror_again
    def overlay_history(
        self, repository: Repository, environment: Environment, *, limit: int = 10
    ) -> list[str]:
        path, distinct = track_overlay.declared(repository, environment), dict[str, None]()
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            for earlier in track_overlay.history(git, tip, path, repository.service.image):
                if earlier.sha:
                    distinct[earlier.sha] = None
                if len(distinct) == limit:
                    break
        return list(distinct)

    @on_a_fresh_mirror_again
    def export(self, repository: Repository, sha: str) -> Artifact:
        """Write the commit's tree as a deterministic tar named by its SHA, once, and return it.

        Raises:
            NotFound: the remote does not have the commit.
            Conflict: the file on disk is not the one that was built.
        """
        with self._mirror(repository).containing(sha) as git:
            return track_history.export(git, sha, repository.service.name, self._artifacts)

    @on_a_fresh_mirror_again
    def commits(self, repository: Repository, *, limit: int) -> list[LandedCommit]:
        with self._mirror(repository).synced() as git:
            return track_history.commits(git, repository.target, limit)

    @on_a_fresh_mirror_again
    def landed_between(
        self, repository: Repository, *, after: str | None, upto: str, limit: int
    ) -> tuple[list[tuple[Receipt, str]], int]:
        with self._mirror(repository).containing(the_sha(upto)) as git:
            # A commit that git does not know, such as one before a rewritten history, bounds nothing.
            known = after if after is not None and has_commit(git, the_sha(after)) else None
            brought = track_history.landed_between(git, repository.target, after=known, upto=upto)
            told = [pair for pair in brought if not repository.delivers_nothing(pair[0].paths)]
        return told[:limit], max(0, len(told) - limit)

    @on_a_fresh_mirror_again
    def fix_claims(
        self, repository: Repository, *, after: str, upto: str, limit: int
    ) -> list[tuple[str, str]]:
        with self._mirror(repository).containing(the_sha(upto)) as git:
            if not has_commit(git, the_sha(after)):
                return []
            return track_history.fix_claims(git, after=after, upto=upto, limit=limit)

    @on_a_fresh_mirror_again
    def live_before(self, repository: Repository, *, sha: str) -> str | None:
        path = track_overlay.declared(repository, "production")
        with self._mirror(repository).synced() as git:
            tip = tip_of(git, repository.target)
            history = track_overlay.history(git, tip, path, repository.service.image)
            named = [each.sha for each in itertools.islice(history, track_overlay.LOOKED_BACK) if each.sha]
            there = {each for each in set(named) if has_commit(git, each)}
            return track_overlay.before([each for each in named if each in there], sha)

    @on_a_fresh_mirror_again
    def reverted_in(self, repository: Repository, *, commit: str, since: datetime) -> str | None:
        with self._mirror(repository).synced() as git:
            return track_history.reverted_in(git, repository.target, the_sha(commit), since)

    @on_a_fresh_mirror_again
    def blame(self, repository: Repository, *, sha: str, path: str, line: int) -> str | None:
        with self._mirror(repository).containing(sha) as git:
            return track_history.blame(git, sha, path, line)

    @on_a_fresh_mirror_again
    def has_file(self, repository: Repository, *, sha: str, path: str) -> bool:
        with self._mirror(repository).containing(sha) as git:
            try:
                entry(git, sha, path)
            except NotFound:
                return False
            return True

    @on_a_fresh_mirror_again
    def file_paths(self, repository: Repository, *, sha: str, most: int) -> list[str]:
        with self._mirror(repository).containing(the_sha(sha)) as git:
            return file_paths(git, sha, most)

    @on_a_fresh_mirror_again
    def read_text(self, repository: Repository, *, sha: str, path: str, most: int) -> str:
        with self._mirror(repository).containing(the_sha(sha)) as git:
            return read_text(git, sha, path, most)

    @on_a_fresh_mirror_again
    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool:
        with self._mirror(repository).containing(ancestor, descendant) as git:
            return is_ancestor(git, ancestor, descendant)

    @on_a_fresh_mirror_again
    def same_closure(self, repository: Repository, *, tested: str, landed: str, lanes: Sequence[str]) -> bool:
        with self._mirror(repository).containing(the_sha(tested), the_sha(landed)) as git:
            return same_closure(git, repository, tested=tested, landed=landed, lanes=lanes)

    @on_a_fresh_mirror_again
    def audit(self, repository: Repository, *, since: str | None, limit: int = 1000) -> AuditReport:
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            return track_audit.audit(git, mirror, repository, since=since, limit=limit)

    @on_a_fresh_mirror_again
    def audit_native(
        self, repository: Repository, *, change: str, head: str, sha: str, base: str | None = None
    ) -> AuditReport:
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            return track_audit.audit_native(
                git, mirror, repository, change=change, head=head, sha=sha, base=base
            )

    @on_a_fresh_mirror_again
    def rehearse(self, repository: Repository, *, push: bool = False) -> Rehearsal:
        mirror = self._mirror(repository)
        with mirror.synced() as git:
            return rehearse(mirror, git, repository.target, push=push)

    def health(self) -> Health:
        """git's version, and whether each declared remote answers and has its target."""
        try:
            told = version(Git(self._mirrors, timeout=timedelta(seconds=20)))
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="install git 2.39 or newer")
        try:
            for repository in self._repositories:
                self.tip(repository)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check the repository's url and target")
        return Health(ok=True, detail=f"{told}; {len(self._repositories)} repositories answer")

    def _mirror(self, repository: Repository) -> Mirror:
        return Mirror(self._mirrors, repository, timeout=self._timeout, login=self._login)
