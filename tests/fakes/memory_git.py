"""A repository in memory: commits, refs and merges of whole files. Quick enough for thousands of lives.

A file is one indivisible line here, so two different edits of one file are a conflict. There are no
renames and no criss-cross histories. `tests/backends/test_track_contract.py` holds it to what git does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha1

from leverframe.model.errors import NotFound, Refused

Files = Mapping[str, str]


@dataclass(frozen=True)
class Commit:
    """One commit: its whole tree, by path."""

    parents: tuple[str, ...]
    files: Files
    message: str


def tree_id(files: Files) -> str:
    """The id of a tree: equal for equal content."""
    return sha1(repr(sorted(files.items())).encode(), usedforsecurity=False).hexdigest()


@dataclass
class MemoryGit:
    """Objects are for ever; refs are what the remote shows."""

    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    blobs: dict[str, str] = field(default_factory=dict)
    _above: dict[str, frozenset[str]] = field(default_factory=dict)

    def commit(self, files: Files, *parents: str, message: str) -> str:
        """A commit whose id depends on the arguments only."""
        sha = sha1(repr((tree_id(files), parents, message)).encode(), usedforsecurity=False).hexdigest()
        self.commits[sha] = Commit(parents, dict(files), message)
        return sha

    def blob(self, content: str) -> str:
        """The id of a text that refs can point at."""
        sha = sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.blobs[sha] = content
        return sha

    def files(self, sha: str) -> Files:
        """The tree of a commit. Raises NotFound."""
        if sha not in self.commits:
            raise NotFound(f"there is no commit {sha}")
        return self.commits[sha].files

    def ancestors(self, sha: str) -> frozenset[str]:
        """The commit and everything below it."""
        if sha not in self._above:
            below = [self.ancestors(parent) for parent in self.commits[sha].parents]
            self._above[sha] = frozenset({sha}).union(*below)
        return self._above[sha]

    def reachable(self) -> frozenset[str]:
        """Every commit that some ref keeps."""
        kept = [self.ancestors(sha) for sha in self.refs.values() if sha in self.commits]
        return frozenset[str]().union(*kept)

    def merge(self, ours: str, theirs: str) -> Files | tuple[str, ...]:
        """The merged tree, or the paths in conflict. Raises Refused without a commit in common."""
        common = self.ancestors(ours) & self.ancestors(theirs)
        if not common:
            raise Refused("refusing to merge unrelated histories")
        best = [one for one in common if not any(one in self.ancestors(o) for o in common if o != one)]
        base = self.files(min(best))
        mine, other = self.files(ours), self.files(theirs)
        merged, conflicts = dict[str, str](), []
        for path in sorted({*base, *mine, *other}):
            before, left, right = base.get(path), mine.get(path), other.get(path)
            if left != right and before not in (left, right):
                conflicts.append(path)
            kept = right if left == before else left
            if kept is not None:
                merged[path] = kept
        return tuple(conflicts) if conflicts else merged

    def changed(self, before: str, after: str) -> tuple[str, ...]:
        """The paths that differ between two commits, sorted."""
        old, new = self.files(before), self.files(after)
        return tuple(path for path in sorted({*old, *new}) if old.get(path) != new.get(path))

    def line(self, sha: str) -> list[str]:
        """The first-parent line, newest first."""
        found, at = [sha], self.commits[sha]
        while at.parents:
            found.append(at.parents[0])
            at = self.commits[at.parents[0]]
        return found
