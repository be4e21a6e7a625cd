"""Branches with one commit of ours: a revert, an overlay that names another SHA, or an edit of one file.

What is previewed and what is pushed is composed by the same functions, on the target's tip.
"""

import itertools
from datetime import datetime
from typing import NamedTuple

from activities import overlay_file
from activities.backends import track_overlay
from activities.backends.git_process import IDENTITY, Git, the_sha
from activities.backends.track_compose import commit_tree, entry, is_ancestor, revert, tree_of, with_file
from activities.backends.track_difference import patch_of
from activities.backends.track_mirror import Mirror
from activities.backends.track_receipts import receipts
from activities.backends.track_refs import has_commit, message_of, rejected, tip_of
from activities.track_port import Edit
from leverframe.model.changes import Author, Conflicted
from leverframe.model.errors import BadInput, Conflict, NotFound, Refused
from leverframe.model.releases import Artifact, Environment
from leverframe.model.topology import Repository

_RECEIPTS_READ = 200
"""How far back the change of a commit is looked for."""

RELEASE = Author(kind="release", name="leverframe")
AGENT = Author(kind="agent", name=IDENTITY[0])


MAX_FILE_BYTES = 8_000_000


class Made(NamedTuple):
    """A commit in the mirror that nothing points at yet."""

    base: str
    head: str


def made_revert(
    git: Git, repository: Repository, onto: str, *, commit: str, message: str, at: datetime
) -> Made | Conflicted:
    """A commit on `onto`, a commit of the target, that undoes `commit`: the whole change, if it was rebased.

    Raises:
        NotFound: the target does not contain the commit.
        Conflict: nothing is left to undo.
        Refused: the commit has no parent.
    """
    if not has_commit(git, the_sha(commit)) or not is_ancestor(git, commit, onto):
        raise NotFound(f"{repository.target} of {repository.name} does not contain {commit[:12]}")
    base, top = _whole(git, repository.target, commit)
    tree = revert(git, top, onto, base=base)
    if isinstance(tree, tuple):
        return Conflicted(change=commit, base=onto, paths=tree)
    if tree == tree_of(git, onto):
        raise Conflict(f"{commit[:12]} is undone on {repository.target} already")
    return Made(onto, commit_tree(git, tree, onto, message=message_of(message), author=AGENT, at=at))


def _whole(git: Git, target: str, commit: str) -> tuple[str | None, str]:
    """Where the rebased change that a commit belongs to begins and ends; else the commit itself."""
    for receipt in itertools.islice(receipts(git, target), _RECEIPTS_READ):
        if receipt.method != "rebase" or not has_commit(git, receipt.sha):
            continue
        if is_ancestor(git, commit, receipt.sha) and not is_ancestor(git, commit, receipt.base):
            return receipt.base, receipt.sha
    return None, commit


def made_overlay(
    git: Git,
    repository: Repository,
    onto: str,
    *,
    environment: Environment,
    sha: str,
    message: str,
    at: datetime,
    build: Artifact | None,
) -> Made | None:
    """A commit on `onto`, a commit of the target, whose overlay names `sha`; None when it does already.

    Raises:
        NotFound: `onto` does not have the overlay.
        BadInput: the overlay is not a kustomization that can be edited.
        Refused: the overlay pins a digest, and it is not known what `sha` was built as.
    """
    path, image = track_overlay.declared(repository, environment), repository.service.image
    text = track_overlay.read(git, onto, path)
    now = overlay_file.named(text, image)
    if build is None:
        digest = track_overlay.pinned_before(git, onto, repository, the_sha(sha), now)
    else:
        digest = build.digest if build.image or now.digest else None
    if now == (the_sha(sha), digest):
        return None
    edited = overlay_file.point_at(text, image, sha, digest)
    tree = with_file(git, onto, path, edited.encode())
    return Made(onto, commit_tree(git, tree, onto, message=message_of(message), author=RELEASE, at=at))


def made_file(
    git: Git, repository: Repository, onto: str, *, path: str, edit: Edit, message: str, at: datetime
) -> Made | None:
    """A commit on `onto`, a commit of the target, that edits a file or makes it; None for the same text.

    Raises:
        Refused: what has the name is no regular file.
        BadInput: the file is too large or not UTF-8. Besides whatever `edit` raises.
    """
    before = _text(git, onto, path)
    after = edit(before)
    if after == before:
        return None
    tree = with_file(git, onto, path, after.encode())
    return Made(onto, commit_tree(git, tree, onto, message=message_of(message), author=AGENT, at=at))


def _text(git: Git, commit: str, path: str) -> str | None:
    """None where nothing has the name."""
    try:
        _, blob = entry(git, commit, path)
    except NotFound:
        if git.run("ls-tree", "-z", "--full-tree", commit, "--", path).fields:
            raise Refused(f"{path} in {commit[:12]} is no regular file") from None
        return None
    raw = git.run("cat-file", "blob", blob).out
    if len(raw) > MAX_FILE_BYTES:
        raise BadInput(f"{path} in {commit[:12]} has {len(raw):,} bytes; at most {MAX_FILE_BYTES:,} are read")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} in {commit[:12]} is not UTF-8: byte {error.start + 1}") from error


def made_before(git: Git, target: str, branch: str, message: str) -> Made | None:
    """What an earlier attempt pushed. Raises Conflict when the branch is somebody else's.

    One commit on a commit of the target: whoever can guess a branch's name must not put another below it.
    """
    try:
        head = tip_of(git, branch)
    except NotFound:
        return None
    parents, _, said = git.run("log", "--max-count=1", "--format=%P%n%B", head, "--").text.partition("\n")
    ours = said.strip() == message_of(message).strip() and len(parents.split()) == 1
    if not ours or not is_ancestor(git, parents, tip_of(git, target)):
        raise Conflict(f"the branch {branch} exists and holds something else")
    return Made(parents, head)


def pushed(
    mirror: Mirror, git: Git, branch: str, made: Made, *, before: Made | None, patch: str | None
) -> str:
    """The branch's one commit, pushed now or `before`. No `patch`: nobody was asked what may change.

    Raises:
        Refused: it changes something else than `patch`, because the target moved.
        Conflict: what was pushed before has another tree than it should.
    """
    if before is not None and tree_of(git, before.head) != tree_of(git, made.head):
        raise Conflict(f"the branch {branch} exists and holds another tree")
    if patch is not None and patch_of(git, made.base, made.head) != patch:
        raise Refused(
            f"the tree is not the one that policy allowed: what {branch} changes on {made.base[:12]} "
            "is not what was looked at, so nothing is opened; propose it again"
        )
    if before is not None:
        return before.head
    ref = f"refs/heads/{branch}"
    push = mirror.push(git, [f"{made.head}:{ref}"], expected={ref: ""})
    if not push.ok:
        raise rejected(f"the branch {branch}", push.told)
    return made.head
