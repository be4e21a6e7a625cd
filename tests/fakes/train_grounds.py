"""Where a train rides: a bare repository of git, or one in memory. Both with people, and with bad pushes."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from activities.backends.git_process import Git
from activities.backends.track_compose import is_ancestor, merge
from activities.backends.track_git import GitTrack
from activities.backends.track_mirror import Mirror, Push
from activities.track_port import Track
from leverframe.model.checks import Check
from leverframe.model.errors import Refused, Unavailable
from leverframe.model.topology import CanaryPlan, CanaryStep, Repository, Service
from tests.fakes.git_world import GitWorld
from tests.fakes.memory_git import MemoryGit, tree_id
from tests.fakes.memory_track import MemoryTrack

MAIN = "refs/heads/main"
T = TypeVar("T")


@dataclass
class Pushes:
    """What happens to the next landing pushes, first to last; then they simply work."""

    faults: list[str | Callable[[], None]] = field(default_factory=list)
    """`lost before`: it never came. `lost after`: it worked and the answer is lost. `refused`: a rule of
    the remote. A function is called just before the push: somebody else is faster."""

    def around(self, push: Callable[[], T]) -> T:
        """The push with its fault, if there is one."""
        fault = self.faults.pop(0) if self.faults else None
        if callable(fault):
            fault()
        elif fault == "lost before":
            raise Unavailable("the connection broke")
        elif fault == "refused":
            raise Refused("the remote refuses to land it: main is protected")
        told = push()
        if fault == "lost after":
            raise Unavailable("the connection broke")
        return told


class Ground(Protocol):
    """A remote as the people around a train use it, and as it really is."""

    url: str
    track: Track
    pushes: Pushes

    def write(self, branch: str, files: Mapping[str, str], onto: str = "main") -> str:
        """One more commit on a branch, which begins at `onto` if it is new. Returns it."""
        ...

    def point(self, branch: str, sha: str | None) -> None:
        """Move a branch wherever one likes; None deletes it."""
        ...

    def refs(self) -> dict[str, str]:
        """Every ref with the object it points at."""
        ...

    def paths(self, sha: str) -> frozenset[str]:
        """The paths in a commit's tree."""
        ...

    def line(self, sha: str) -> list[str]:
        """The first-parent line, newest first."""
        ...

    def contains(self, sha: str, ancestor: str) -> bool:
        """Whether a commit contains another one."""
        ...

    def merged(self, base: str, head: str) -> str | None:
        """The tree of both together; None where they conflict."""
        ...

    def there(self, sha: str) -> bool:
        """Whether some ref of the remote keeps the commit."""
        ...


def declared(url: str, checks: tuple[Check, ...], **about: Any) -> Repository:
    """The repository `shop` with these checks."""
    return Repository(
        name="shop",
        url=url,
        checks=checks,
        service=Service(
            name="shop",
            command=("true",),
            overlays={"production": "deploy/production/kustomization.yaml"},
            image="shop",
            canary=CanaryPlan(
                steps=(CanaryStep(percent=100, min_requests=0, min_seconds=0, max_seconds=600),)
            ),
        ),
        **about,
    )


class MemoryGround:
    """The remote in memory."""

    url = "/nowhere/shop.git"

    def __init__(self) -> None:
        self.git = MemoryGit()
        self.git.refs[MAIN] = self.git.commit({"app.py": "one"}, message="begin")
        self.pushes = Pushes()
        self.track: Track = MemoryTrack(self.git, self._push)  # type: ignore[assignment]  # what a train needs

    def _push(self, refs: dict[str, str], expected: dict[str, str]) -> bool:
        def push() -> bool:
            as_expected = all(self.git.refs.get(ref, "") == value for ref, value in expected.items())
            if as_expected:
                self.git.refs |= refs
            return as_expected

        return self.pushes.around(push)

    def write(self, branch: str, files: Mapping[str, str], onto: str = "main") -> str:
        ref = f"refs/heads/{branch}"
        parent = self.git.refs.get(ref) or self.git.refs.get(f"refs/heads/{onto}", onto)
        made = self.git.commit(self.git.files(parent) | dict(files), parent, message=f"work on {branch}")
        self.git.refs[ref] = made
        return made

    def point(self, branch: str, sha: str | None) -> None:
        if sha is None:
            self.git.refs.pop(f"refs/heads/{branch}", None)
        else:
            self.git.refs[f"refs/heads/{branch}"] = sha

    def refs(self) -> dict[str, str]:
        return dict(self.git.refs)

    def paths(self, sha: str) -> frozenset[str]:
        return frozenset(self.git.files(sha))

    def line(self, sha: str) -> list[str]:
        return self.git.line(sha)

    def contains(self, sha: str, ancestor: str) -> bool:
        return ancestor in self.git.ancestors(sha)

    def merged(self, base: str, head: str) -> str | None:
        files = self.git.merge(base, head)
        return None if isinstance(files, tuple) else tree_id(files)

    def there(self, sha: str) -> bool:
        return sha in self.git.reachable()


class GitGround:
    """The remote as a bare repository, used through a mirror as always."""

    def __init__(self, template: GitWorld, root: Path, home: Path | None = None) -> None:
        """The remote is below `root`; what the train keeps is below `home`, by default there, too."""
        home = home or root
        self.world = template.copied(root)
        self.url = str(self.world.remote)
        self.pushes = Pushes()
        self.track: Track = _FaultyTrack(self.pushes, mirrors=home / "mirrors", artifacts=home / "artifacts")
        self._git = Git(self.world.remote)
        self._seen: dict[str, frozenset[str]] = {}

    def write(self, branch: str, files: Mapping[str, str], onto: str = "main") -> str:
        return self.world.commit(branch, files, start=onto)

    def point(self, branch: str, sha: str | None) -> None:
        self.world.git(
            "update-ref", *(["-d"] if sha is None else []), f"refs/heads/{branch}", *([sha] * bool(sha))
        )

    def refs(self) -> dict[str, str]:
        listed = self.world.git("for-each-ref", "--format=%(refname) %(objectname)")
        return dict(line.split() for line in listed.splitlines())  # type: ignore[arg-type]  # two words each

    def paths(self, sha: str) -> frozenset[str]:
        if sha not in self._seen:
            listed = self.world.git("ls-tree", "-r", "--name-only", sha)
            self._seen[sha] = frozenset(listed.splitlines())
        return self._seen[sha]

    def line(self, sha: str) -> list[str]:
        return self.world.git("rev-list", "--first-parent", sha).splitlines()

    def contains(self, sha: str, ancestor: str) -> bool:
        return is_ancestor(self._git, ancestor, sha)

    def merged(self, base: str, head: str) -> str | None:
        tree = merge(self._git, base, head)
        return None if isinstance(tree, tuple) else tree

    def there(self, sha: str) -> bool:
        return bool(self.world.git("for-each-ref", f"--contains={sha}", "--count=1", "--format=x"))


class _FaultyTrack(GitTrack):
    def __init__(self, pushes: Pushes, **about: Any) -> None:
        super().__init__(**about)
        self._pushes = pushes

    def _mirror(self, repository: Repository) -> Mirror:
        return _FaultyMirror(self._mirrors, repository, timeout=self._timeout, pushes=self._pushes)


class _FaultyMirror(Mirror):
    def __init__(self, home: Path, repository: Repository, *, pushes: Pushes, **about: Any) -> None:
        super().__init__(home, repository, **about)
        self._pushes = pushes

    def push(self, git: Git, refspecs: Any, *, expected: Mapping[str, str], atomic: bool = False) -> Push:
        """Only landings are pushed atomically, and only they have faults."""

        def pushed() -> Push:
            return super(_FaultyMirror, self).push(git, refspecs, expected=expected, atomic=atomic)

        return self._pushes.around(pushed) if atomic else pushed()


def quick_root() -> Path:
    """A new directory in memory where the machine has one."""
    memory = Path("/dev/shm")  # mkdtemp makes a private directory there
    return Path(tempfile.mkdtemp(prefix="train", dir=memory if memory.is_dir() else None))
