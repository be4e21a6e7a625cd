"""Branches with one commit of ours: a revert, or an overlay that names another SHA.

What is previewed and what is pushed is composed by the same functions, on the target's tip.
"""

from datetime import datetime
from typing import NamedTuple

from activities import overlay_file
from activities.backends import track_overlay
from activities.backends.git_process import IDENTITY, Git, the_sha
from activities.backends.track_compose import commit_tree, is_ancestor, revert, tree_of, with_file
from activities.backends.track_difference import patch_of
from activities.backends.track_mirror import Mirror
from activities.backends.track_refs import has_commit, message_of, rejected, tip_of
from leverframe.model.changes import Author, Conflicted
from leverframe.model.errors import Conflict, NotFound, Refused
from leverframe.model.releases import Environment
from leverframe.model.topology import Repository

RELEASE = Author(kind="release", name="leverframe")
AGENT = Author(kind="agent", name=IDENTITY[0])


class Made(NamedTuple):
    """A commit in the mirror that nothing points at yet."""

    base: str
    head: str


def made_revert(
    git: Git, repository: Repository, *, commit: str, message: str, at: datetime
) -> Made | Conflicted:
    """A commit on the target's tip that undoes `commit`.

    Raises:
        NotFound: the target does not contain the commit.
        Conflict: nothing is left to undo.
        Refused: the commit has no parent.
    """
    tip = tip_of(git, repository.target)
    if not has_commit(git, the_sha(commit)) or not is_ancestor(git, commit, tip):
        raise NotFound(f"{repository.target} of {repository.name} does not contain {commit[:12]}")
    tree = revert(git, commit, tip)
    if isinstance(tree, tuple):
        return Conflicted(change=commit, base=tip, paths=tree)
    if tree == tree_of(git, tip):
        raise Conflict(f"{commit[:12]} is undone on {repository.target} already")
    return Made(tip, commit_tree(git, tree, tip, message=message_of(message), author=AGENT, at=at))


def made_overlay(
    git: Git, repository: Repository, environment: Environment, *, sha: str, message: str, at: datetime
) -> Made | None:
    """A commit on the target's tip whose overlay names `sha`; None when it does already.

    Raises:
        NotFound: the target's tip does not have the overlay.
        BadInput: the overlay is not a kustomization that can be edited.
    """
    path = track_overlay.declared(repository, environment)
    tip = tip_of(git, repository.target)
    text = track_overlay.read(git, tip, path)
    if overlay_file.named_sha(text, repository.service.image) == the_sha(sha):
        return None
    edited = overlay_file.point_at(text, repository.service.image, sha)
    tree = with_file(git, tip, path, edited.encode())
    return Made(tip, commit_tree(git, tree, tip, message=message_of(message), author=RELEASE, at=at))


def made_before(git: Git, branch: str, message: str) -> Made | None:
    """What an earlier attempt pushed. Raises Conflict when the branch is somebody else's."""
    try:
        head = tip_of(git, branch)
    except NotFound:
        return None
    parents, _, said = git.run("log", "--max-count=1", "--format=%P%n%B", head, "--").text.partition("\n")
    if said.strip() != message_of(message).strip() or len(parents.split()) != 1:
        raise Conflict(f"the branch {branch} exists and holds something else")
    return Made(parents, head)


def allowed(git: Git, made: Made, patch: str | None) -> str:
    """The commit's id, if it changes what policy looked at. No `patch`: nobody was asked.

    Raises:
        Refused: the target moved in a way that makes another change of it.
    """
    if patch is not None and patch_of(git, made.base, made.head) != patch:
        raise Refused(
            f"the tree is not the one that policy allowed: what {made.head[:12]} changes on "
            f"{made.base[:12]} is not what was looked at, so nothing is opened; propose it again"
        )
    return made.head


def push_new(mirror: Mirror, git: Git, branch: str, head: str) -> str:
    """Push the commit as a branch that is not there yet; returns the commit."""
    ref = f"refs/heads/{branch}"
    push = mirror.push(git, [f"{head}:{ref}"], expected={ref: ""})
    if not push.ok:
        raise rejected(f"the branch {branch}", push.told)
    return head
