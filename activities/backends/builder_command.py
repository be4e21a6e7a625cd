"""An image by a command of the platform team: `docker buildx build --push …`, buildah, kaniko, ko.

The command runs repository code (a Dockerfile is code), with the network and the registry's credentials, so
it has a build worker of its own. Each build has a directory, `<home>/<service>/<sha>/<hash of the command>`:

    lock      held by this process and by the command itself, also when its worker was killed
    tree      the exported tree, fresh for each attempt: the command's {context}
    metadata  where the command leaves the digest; buildx's JSON, or the digest alone
    stdout    else its last line says the digest
    status    the command's exit status, written once it has ended

So a command that outlives its worker is waited for, and what it built is taken: one commit, one digest.
"""

import fcntl
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, Field, ValidationError

from activities.artifacts import located, unpack
from activities.backends.command_process import Finished, run
from activities.disk_space import disk_full, is_full, writing_to
from activities.ports import Backend, Health
from leverframe.model.checks import Build
from leverframe.model.errors import BadConfiguration, Interrupted, LeverframeError, Refused, Unavailable
from leverframe.model.ids import short_hash
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted

KEPT = 200
"""Directories of builds that are kept of each service; without their trees."""

_STOP_SECONDS = 10.0
_WORDS = 2000
"""Characters of the command's last words that are shown."""
_MOST_METADATA = 1_000_000
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}(?![0-9a-f])")
_REPORTING = '"$@"; code=$?; echo "$code" >"$0.new" && mv "$0.new" "$0"; exit "$code"'
"""Runs a command and leaves its exit status in the file $0, whoever still waits for it."""


class _Metadata(BaseModel):
    """What `docker buildx build --metadata-file` writes, as far as it is read."""

    digest: str = Field(alias="containerimage.digest", pattern=r"^sha256:[0-9a-f]{64}$")


class CommandBuilder:
    """The `Builder` port over a command. Safe for threads and processes that share `home`."""

    def __init__(
        self,
        *,
        artifacts: Path,
        home: Path,
        repositories: Sequence[Repository] = (),
        pass_environment: Sequence[str] = (),
    ) -> None:
        """`pass_environment` names the variables of ours that the command gets."""
        self._artifacts = artifacts
        self._home = home
        self._repositories = tuple(each for each in repositories if each.build.by == "command")
        self._passed = tuple(pass_environment)

    def build(self, repository: Repository, source: Artifact, *, heartbeat: Callable[[], None]) -> Artifact:
        """Run the declared command on the source, unless it has built this commit already.

        Raises:
            Refused: it failed, or says no digest; with its last words.
            Interrupted: a signal, its time limit or a declared exit status ended it; with its last words.
            Unavailable: an earlier attempt still builds, or the disk is full.
            BadConfiguration: there is no such program.
        """
        build = repository.build
        place = self._home / source.service / source.sha / short_hash(build.image, *build.command)
        place.mkdir(parents=True, exist_ok=True)
        with _held(place / "lock") as lock:
            if _status(place) != 0:
                self._run(repository, source, place, lock, heartbeat)
            digest = _told_digest(place)
        shutil.rmtree(place / "tree", ignore_errors=True)
        self._prune(source.service)
        return Artifact(service=source.service, sha=source.sha, digest=digest, image=build.image)

    def health(self) -> Health:
        """Whether the programs and variables are on this machine."""
        programs = dict.fromkeys(each.build.command[0] for each in self._repositories)
        missing = [program for program in programs if not shutil.which(program)]
        unset = [name for name in self._passed if name not in os.environ]
        if missing or unset:
            detail = f"not here: {', '.join(missing)}" if missing else f"not set here: {', '.join(unset)}"
            return Health(
                ok=False,
                detail=detail,
                remedy="install and set them where `leverframe worker --queue build` runs",
            )
        return Health(ok=True, detail=f"{', '.join(programs) or 'no program'} builds on the build worker")

    def _run(
        self, repository: Repository, source: Artifact, place: Path, lock: int, heartbeat: Callable[[], None]
    ) -> None:
        _empty(place)
        tree, home = place / "tree", place / "home"
        with writing_to(place):
            for directory in (tree, home):
                directory.mkdir()
            unpack(located(source, self._artifacts), tree)
        environment = self._environment(home, tree)
        command = _filled(repository, source, place)
        if shutil.which(command[0], path=environment["PATH"]) is None:
            raise BadConfiguration(
                f"there is no {command[0]} on this build worker: install it, or change build.command"
            )
        with (place / "stdout").open("w+b") as out:
            finished = run(
                ["/bin/sh", "-c", _REPORTING, str(place / "status"), *command],
                directory=tree,
                environment=environment,
                seconds=repository.build.timeout_seconds,
                stop_seconds=_STOP_SECONDS,
                heartbeat=heartbeat,
                remedy="a build needs a shell",
                into=out,
                held=(lock,),
            )
        if (finished.stopped or finished.code) and is_full(place):
            raise disk_full(place, "the build command failed")
        if finished.stopped or finished.code:
            self._failed(repository.build, finished)

    def _failed(self, build: Build, finished: Finished) -> NoReturn:
        """Raises Interrupted where something else than the commit has ended it, else Refused."""
        kind: type[LeverframeError] = Refused
        words = f"ended with {finished.code}"
        if finished.stopped == "time":
            kind, words = Interrupted, f"took longer than {build.timeout_seconds} seconds"
        elif finished.stopped == "output":
            words = "wrote more output than is kept"
        elif (killer := _signal(finished.code)) is not None:
            kind, words = Interrupted, f"was ended by {killer}"
        elif finished.code in build.interrupted_by:
            kind = Interrupted
        told = finished.err.decode(errors="backslashreplace")
        for name in self._passed:
            if len(secret := os.environ.get(name, "")) >= 4:
                told = told.replace(secret, "***")
        said = Untrusted(told.strip()[-_WORDS:]).for_model(_WORDS)
        raise kind(f"the build command {words}" + (f": {said}" if said else ""))

    def _environment(self, home: Path, tree: Path) -> Mapping[str, str]:
        """An empty home and what is named; the commit's time, for builds that depend on the commit only."""
        passed = {name: os.environ[name] for name in self._passed if name in os.environ}
        files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
        written = max((int(path.stat().st_mtime) for path in files), default=0)
        ours = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "SOURCE_DATE_EPOCH": str(written),
        }
        return ours | passed

    def _prune(self, service: str) -> None:
        """Forget the oldest builds; they are recorded elsewhere."""
        places = sorted((self._home / service).iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
        for place in places[KEPT:]:
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _held(path: Path) -> Iterator[int]:
    """The lock of one build. Raises Unavailable while somebody holds it, a command without a worker too."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            wait = timedelta(seconds=10)
            raise Unavailable(
                "an earlier attempt still builds this commit: it is waited for", wait=wait
            ) from error
        yield descriptor
    finally:
        os.close(descriptor)


def _filled(repository: Repository, source: Artifact, place: Path) -> list[str]:
    values = {
        "{sha}": source.sha,
        "{image}": repository.build.image,
        "{context}": str(place / "tree"),
        "{metadata}": str(place / "metadata"),
    }
    pattern = re.compile("|".join(map(re.escape, values)))
    return [pattern.sub(lambda found: values[found.group()], word) for word in repository.build.command]


def _empty(place: Path) -> None:
    """Nothing of an earlier attempt is left but the lock."""
    for left in place.iterdir():
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        elif left.name != "lock":
            left.unlink()


def _signal(code: int) -> str | None:
    """The signal that ended a command: a shell adds 128 to its number; of the shell itself it is negative."""
    number = -code if code < 0 else code - 128
    try:
        return signal.Signals(number).name
    except ValueError:
        return None


def _status(place: Path) -> int | None:
    """The exit status of a command that has ended by itself."""
    try:
        return int((place / "status").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _told_digest(place: Path) -> str:
    """The digest that a successful command told. Raises Refused when it told none."""
    metadata = _start(place / "metadata", _MOST_METADATA).strip()
    if _DIGEST.fullmatch(metadata):
        return metadata
    if metadata:
        try:
            return _Metadata.model_validate_json(metadata).digest
        except ValidationError as error:
            raise Refused(
                "the build command left no containerimage.digest in {metadata}: has it pushed an image?"
            ) from error
    words = _end(place / "stdout", _WORDS).split()
    found: list[str] = _DIGEST.findall(words[-1] if words else "")
    if len(found) != 1:
        raise Refused(
            "the build command told no digest: have it written to {metadata}, or printed as its last word"
        )
    return found[0]


def _start(path: Path, most: int) -> str:
    try:
        with path.open("rb") as file:
            return file.read(most).decode(errors="replace")
    except FileNotFoundError:
        return ""


def _end(path: Path, most: int) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - most))
        return file.read().decode(errors="replace")


BACKEND = Backend(
    kind="builder",
    name="command",
    scopes=("push to the image's repository, through builder.pass_environment",),
    build=CommandBuilder,
)
