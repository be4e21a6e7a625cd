"""Commits made without a worktree: merges, reverts and edits of one file. Same inputs, same SHA."""

import re
import tempfile
from datetime import datetime
from pathlib import Path

from activities.backends.git_process import IDENTITY, Git, identity
from leverframe.model.changes import Author
from leverframe.model.errors import NotFound, Refused
from leverframe.model.untrusted import Untrusted

MAX_PATHS = 10_000
"""A commit that changes more paths can't ride: its list would not fit into a workflow's messages."""


def commit_tree(git: Git, tree: str, *parents: str, message: str, author: Author, at: datetime) -> str:
    """Make a commit whose id depends on the arguments only."""
    seconds = int(at.timestamp())
    who = f"{author.kind}@leverframe.invalid"
    environment = identity(_name(author), who, seconds, "AUTHOR")
    environment |= identity(*IDENTITY, seconds, "COMMITTER")
    parent_options = [option for parent in parents for option in ("-p", parent)]
    made = git.run(
        "commit-tree", "--no-gpg-sign", tree, *parent_options, stdin=message.encode(), environment=environment
    )
    return made.text


def merge(git: Git, ours: str, theirs: str) -> str | tuple[str, ...]:
    """The merged tree, or the paths in conflict.

    Raises:
        Refused: the two have no commit in common.
    """
    done = git.run(
        "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs, allow=(0, 1)
    )
    tree, *conflicts = done.fields
    # Exit status 1 means conflicts and nothing else; every other failure was raised.
    return tuple(sorted(set(conflicts))) if done.code == 1 else tree


def three_way(git: Git, *, base: str, ours: str, theirs: str) -> str | tuple[str, ...]:
    """The tree `ours` with what lies between `base` and `theirs`, or the paths in conflict. All are trees.

    git 2.39 has no `merge-tree --merge-base`, so the wished-for base is made the real one: two
    throw-away commits, with the trees to merge, on a throw-away root with the base's tree.
    """
    root = _scratch(git, base)
    return merge(git, _scratch(git, ours, root), _scratch(git, theirs, root))


def revert(git: Git, commit: str, onto: str, *, base: str | None = None) -> str | tuple[str, ...]:
    """The tree of `onto` without what `commit` did since `base`, or the paths in conflict.

    `base` is the first parent unless told. Raises Refused for a first commit.
    """
    parent = base or git.run("rev-parse", "--verify", "--quiet", f"{commit}^1", allow=(0, 1)).text
    if not parent:
        raise Refused(f"{commit[:12]} is a first commit: there is nothing to go back to")
    return three_way(git, base=tree_of(git, commit), ours=tree_of(git, onto), theirs=tree_of(git, parent))


def with_file(git: Git, commit: str, path: str, content: bytes) -> str:
    """The commit's tree with one regular file's content replaced, or the file added.

    Raises Refused for a path that nobody should write.
    """
    try:
        mode, _ = entry(git, commit, path)
    except NotFound:
        if not safe_path(path):
            raise Refused(f"no file is made at {Untrusted(path).for_terminal()!r}") from None
        mode = "100644"
    blob = git.run("hash-object", "-w", "--stdin", "--no-filters", stdin=content).text
    with tempfile.TemporaryDirectory() as scratch:
        index = {"GIT_INDEX_FILE": str(Path(scratch) / "index")}
        git.run("read-tree", commit, environment=index)
        git.run("update-index", "--add", "--cacheinfo", f"{mode},{blob},{path}", environment=index)
        return git.run("write-tree", environment=index).text


def entry(git: Git, commit: str, path: str) -> tuple[str, str]:
    """Mode and blob id of a regular file. Raises NotFound for anything else."""
    if safe_path(path):
        for line in git.run("ls-tree", "-z", "--full-tree", commit, "--", path).fields:
            about, _, name = line.partition("\t")
            mode, kind, blob = about.split(" ")
            if name == path and kind == "blob" and mode in ("100644", "100755"):
                return mode, blob
    raise NotFound(f"{commit[:12]} has no regular file {Untrusted(path).for_terminal()!r}")


def safe_path(path: str) -> bool:
    """Whether a path from outside can name a file in a tree: relative, normal, visible, of sane length."""
    parts = path.split("/")
    return (
        len(path) <= 1000
        and not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
        and Untrusted(path).for_terminal(1000) == path
    )


def tree_of(git: Git, commit: str) -> str:
    """The commit's tree id."""
    return git.run("rev-parse", "--verify", f"{commit}^{{tree}}").text


def changed_paths(git: Git, before: str, after: str) -> tuple[str, ...]:
    """Paths that differ between two trees, sorted by git; a rename counts as both its paths.

    Raises:
        Refused: more than `MAX_PATHS`.
    """
    paths = git.run("diff-tree", "-r", "-z", "--name-only", "--no-renames", before, after).fields
    if len(paths) > MAX_PATHS:
        raise Refused(f"{len(paths)} paths change at once, more than {MAX_PATHS}: split the change")
    return tuple(paths)


def is_ancestor(git: Git, ancestor: str, descendant: str) -> bool:
    """Whether `descendant` contains `ancestor`."""
    return git.run("merge-base", "--is-ancestor", ancestor, descendant, allow=(0, 1)).code == 0


def _scratch(git: Git, tree: str, *parents: str) -> str:
    nobody = Author(kind="release", name="scratch")
    return commit_tree(
        git, tree, *parents, message="scratch", author=nobody, at=datetime.fromisoformat("2000-01-01T00:00Z")
    )


def _name(author: Author) -> str:
    """A name that git takes: visible, without the characters that end a name in a commit."""
    visible = re.sub(r"[<>]", "", Untrusted(author.name).for_terminal(100)).strip(" .,:;\"'\\")
    return visible or author.kind
