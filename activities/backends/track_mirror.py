"""A private bare copy of a repository's remote: where cars are built and history is read.

The remote holds the truth; a mirror can be thrown away at any time and is made again.
"""

import fcntl
import functools
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO, Concatenate, ParamSpec, TypeVar

from activities.backends.git_process import Git, HttpsLogin, MirrorCorrupted, the_sha
from activities.disk_space import writing_to
from leverframe.model.errors import BadConfiguration, DiskFull, NotFound
from leverframe.model.topology import Repository

REFSPECS = tuple(f"+refs/{name}/*:refs/{name}/*" for name in ("heads", "tags", "train"))

MOST_LOOSE_REFS = 256
"""With more of them in files of their own, git spends most of a fetch on opening these."""

_ATTRIBUTES = "* -export-ignore -export-subst -text -ident -filter -working-tree-encoding !diff merge\n"
"""Highest precedence: what a tree says about itself can't change how it is merged, compared or exported."""

_HAS_NOT = re.compile(r"not our ref|unadvertised object|couldn't find remote ref", re.IGNORECASE)

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")


def on_a_fresh_mirror_again(method: Callable[Concatenate[T, P], R]) -> Callable[Concatenate[T, P], R]:
    """Run once more when the mirror turned out damaged: it has been thrown away by then."""

    @functools.wraps(method)
    def wrapper(self: T, /, *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(self, *args, **kwargs)
        except MirrorCorrupted:
            return method(self, *args, **kwargs)

    return wrapper


@dataclass(frozen=True, kw_only=True)
class Push:
    """What the remote said to a push."""

    ok: bool
    answers: Mapping[str, str]
    """Remote ref → git's flag (`*` new, `=` same, `!` rejected …) and its words."""
    told: str
    """What git printed besides; the remote's own words are in it."""


class Mirror:
    """One repository's mirror, shared by threads and processes through a file lock.

    `login` is used when the remote is below its address.
    """

    def __init__(
        self, home: Path, repository: Repository, *, timeout: timedelta, login: HttpsLogin | None = None
    ) -> None:
        self._directory = home / f"{repository.name}.git"
        self._lock = home / f"{repository.name}.lock"
        self._repository = repository
        self._login = login
        self._git = Git(self._directory, timeout=timeout)

    @contextmanager
    def synced(self) -> Iterator[Git]:
        """Git on the mirror just after a fetch. Nobody replaces the mirror within the block."""
        with self._held(fcntl.LOCK_EX) as lock:
            try:
                self._fetch(lock)
            except MirrorCorrupted:
                self._discard()
                self._fetch(lock)
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield self._git

    @contextmanager
    def containing(self, *shas: str) -> Iterator[Git]:
        """Git on a mirror that has these commits; it fetches only when one is missing.

        Raises:
            NotFound: the remote does not have one of them.
        """
        with self._held(fcntl.LOCK_SH):
            if not self._missing(shas):
                yield self._git
                return
        with self.synced() as git:
            if missing := self._missing(shas):
                raise NotFound(f"{self._repository.name} has no commit {missing[0]}")
            yield git

    def obtain(self, git: Git, sha: str) -> bool:
        """Whether the mirror has the commit, or gets it: a remote may have what no ref of it names."""
        if not self._missing([sha]):
            return True
        told = git.run(
            "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--",
            self.url, sha, allow=(0, 1, 128), secret_settings=self._secrets(),
        )  # fmt: skip
        if told.code and not _HAS_NOT.search(told.err):
            raise git.failure("fetch", told)
        return not self._missing([sha])

    def push(
        self,
        git: Git,
        refspecs: Sequence[str],
        *,
        expected: Mapping[str, str],
        atomic: bool = False,
        rehearsed: bool = False,
    ) -> Push:
        """Push, each ref only if the remote still has it where `expected` says (`""`: not at all).

        A rehearsed push goes as far as it can without changing anything.

        Raises:
            Unavailable: no answer in time, so what happened is not known.
            Refused: the remote refuses before it looks at any ref.
        """
        leases = [f"--force-with-lease={ref}:{value}" for ref, value in expected.items()]
        how = [*(["--atomic"] if atomic else []), *(["--dry-run"] if rehearsed else [])]
        done = git.run(
            "push", "--porcelain", "--no-verify", "--no-signed", *how, *leases, "--", self.url,
            *refspecs, allow=(0, 1), secret_settings=self._secrets(),
        )  # fmt: skip
        answers = {}
        for line in done.text.splitlines():
            flag, _, rest = line.partition("\t")
            pair, tab, words = rest.partition("\t")
            if tab and len(flag) == 1:
                answers[pair.partition(":")[2]] = f"{flag} {words}"
        return Push(ok=done.code == 0, answers=answers, told=done.err)

    @property
    def url(self) -> str:
        """The remote; a plain path is made absolute, so that it means the same in every process."""
        url = self._repository.url
        if url.startswith("-"):
            raise BadConfiguration(f"repository {self._repository.name}: {url!r} is not a git remote")
        remote = "://" in url or re.match(r"[^/]+:", url)
        return url if remote else str(Path(url).expanduser().resolve())

    @contextmanager
    def _held(self, mode: int) -> Iterator[IO[bytes]]:
        """The file lock; a mirror found damaged in the block is thrown away."""
        with writing_to(self._lock.parent):
            self._lock.parent.mkdir(parents=True, exist_ok=True)
            opened = self._lock.open("ab")
        with opened as lock:
            fcntl.flock(lock, mode)
            try:
                yield lock
            except MirrorCorrupted:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._discard()
                raise
            except DiskFull:
                # What git could not finish stays in the way of what comes next.
                fcntl.flock(lock, fcntl.LOCK_EX)
                for path in self._directory.glob("objects/*/tmp_*"):
                    path.unlink()
                raise
            finally:
                # Closing it does not let go of it as long as something that git started has it open.
                fcntl.flock(lock, fcntl.LOCK_UN)

    def _fetch(self, lock: IO[bytes]) -> None:
        """A git that outlives us holds the lock, so that nobody else changes the refs that it writes."""
        if not self._directory.is_dir():
            self._begin()
        git = self._git.holding(lock)
        git.run(
            "fetch", "--quiet", "--prune", "--force", "--no-tags", "--no-write-fetch-head",
            "--no-recurse-submodules", "--", self.url, *REFSPECS, secret_settings=self._secrets(),
        )  # fmt: skip
        if sum(len(files) for _, _, files in os.walk(self._directory / "refs")) > MOST_LOOSE_REFS:
            git.run("pack-refs", "--all")

    def _begin(self) -> None:
        """An empty mirror, made beside its place, so that what is there is whole."""
        made = self._directory.with_suffix(".making")
        shutil.rmtree(made, ignore_errors=True)
        attributes = made / "info" / "attributes"
        with writing_to(made):
            attributes.parent.mkdir(parents=True)
            attributes.write_text(_ATTRIBUTES)
        Git(made).run("init", "--quiet", "--bare", "--template=", str(made))
        made.rename(self._directory)

    def _secrets(self) -> dict[str, str]:
        """What git needs to be let in; nothing for a remote that the login is not for."""
        if self._login is None or not self._repository.url.startswith(self._login.address):
            return {}
        return self._login.settings()

    def _missing(self, shas: Sequence[str]) -> list[str]:
        if not self._directory.is_dir():
            return list(shas)
        asked = "".join(f"{the_sha(sha)}\n" for sha in shas).encode()
        try:
            told = self._git.run("cat-file", "--batch-check=%(objectname) %(objecttype)", stdin=asked)
        except MirrorCorrupted:
            return list(shas)
        present = {line.split()[0] for line in told.text.splitlines() if line.endswith(" commit")}
        return [sha for sha in shas if sha not in present]

    def _discard(self) -> None:
        # Locks of a git that was killed lie inside, too, so this is also the way out of those.
        with suppress(FileNotFoundError):
            shutil.rmtree(self._directory)
