"""The one way to run git: no configuration, hook, prompt, pager or locale of the machine takes part.

Repository content is data. Nothing here checks a tree out, and no filter, merge driver, hook or
transport helper that a repository or a user's configuration names is ever run on this side.
"""

import os
import re
import signal
import subprocess
import tempfile
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import IO

from activities.disk_space import disk_full, is_full, writing_to
from activities.git_environment import git_environment
from leverframe.model.errors import BadConfiguration, BadInput, LeverframeError, Refused, Unavailable
from leverframe.model.untrusted import Untrusted

GRACE = timedelta(seconds=5)
"""After its time limit nobody but itself ends a child whose parent was killed."""

_NO_GIT = "git is not installed, or not on PATH"
_NO_TIMEOUT = "`timeout` of coreutils is not installed, or not on PATH"
_NOT_FOUND = 127
"""How `timeout` ends where what it is to run is not there."""

IDENTITY = ("Leverframe", "train@leverframe.invalid")
"""The committer of everything we make, whatever the machine is called."""

_SHA = re.compile(r"[0-9a-f]{40}")
_CREDENTIALS = re.compile(r"(://)[^/@\s]+@")

_CORRUPTED = re.compile(
    r"not a git repository \(or any|not a git repository: |is corrupt|bad object|unable to read|"
    r"object file .* is empty|garbage at end|invalid sha1 pointer|could not read object|packfile .* cannot"
    r"|unable to create '.*\.lock'|bad index file|missing (?:blob|tree|commit) object"
    r"|bad config line|unresolved deltas",
    re.IGNORECASE,
)
_NO_SPACE = re.compile(
    r"^(?!remote:).*(?:no space left on device|disk quota exceeded)", re.IGNORECASE | re.MULTILINE
)
"""Of a disk of ours; a remote's words begin with `remote:`."""
_REFUSED = re.compile(
    r"permission denied|authentication failed|could not read username|access denied|\b40[13]\b"
    r"|does not support --atomic|refusing to merge unrelated histories|does not support push options"
    r"|transport '.*' not allowed|repository not found|does not appear to be a git repository",
    re.IGNORECASE,
)


class MirrorCorrupted(Unavailable):
    """The private copy of a repository is damaged; it is thrown away, and the next attempt has a new one."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a git command left behind."""

    code: int
    out: bytes
    err: str

    @property
    def text(self) -> str:
        """Standard output without its last newline. Bytes that are no UTF-8 are shown as escapes."""
        return readable(self.out).removesuffix("\n")

    @property
    def fields(self) -> list[str]:
        """Standard output of a `-z` command."""
        return [readable(field) for field in self.out.split(b"\0")[:-1]]


@dataclass(frozen=True, kw_only=True)
class HttpsLogin:
    """A token for every remote below one address, given to git in its environment only."""

    address: str
    """With the closing slash: `https://github.com/`."""
    token: Callable[[], str] = field(repr=False)
    """Asked for anew before each command, because tokens of an App live for an hour."""
    user: str = "x-access-token"
    """The name beside the token: GitHub's, or `oauth2` for GitLab."""

    def settings(self) -> dict[str, str]:
        """The settings of git that carry the token (HTTP Basic, RFC 7617) to this address and no other."""
        basic = b64encode(f"{self.user}:{self.token()}".encode()).decode()
        return {f"http.{self.address}.extraHeader": f"Authorization: Basic {basic}"}


class Git:
    """Runs git on one bare repository.

    Each call is bounded in time and in the bytes it may print; a child that overstays is killed with
    everything it started.
    """

    def __init__(
        self,
        directory: Path,
        *,
        timeout: timedelta = timedelta(seconds=60),
        max_output: int = 16_000_000,
        lock: IO[bytes] | None = None,
    ) -> None:
        """`lock`: flock(2) on it is the children's, too, so that it lasts until they end, whoever is killed.

        They end at last by `timeout` of coreutils.
        """
        self.directory = directory
        self._timeout = timeout
        self._max_output = max_output
        self._lock = lock

    def holding(self, lock: IO[bytes]) -> "Git":
        """The same, with a lock that its children hold, too."""
        return Git(self.directory, timeout=self._timeout, max_output=self._max_output, lock=lock)

    def run(
        self,
        *arguments: str,
        stdin: bytes | IO[bytes] = b"",
        environment: Mapping[str, str] | None = None,
        allow: Collection[int] = (0,),
        into: IO[bytes] | None = None,
        secret_settings: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run `git <arguments>` and wait. `into` takes the output instead, unbounded; `stdin` may be a file.

        `secret_settings` are settings of git whose values are in no argument and in no error.

        Raises:
            Unavailable: a time limit, a lock, a network or disk error: worth another attempt.
            DiskFull: there is no space left for the repository, or for what git prints.
            MirrorCorrupted: the repository in `directory` is damaged.
            Refused: the remote or git says no for good.
            BadInput: more output than can be held.
        """
        command = ["git", "--no-pager", "--literal-pathspecs", f"--git-dir={self.directory}", *arguments]
        name = arguments[0]
        with (
            writing_to(Path(tempfile.gettempdir())),
            tempfile.TemporaryFile() as given,
            tempfile.TemporaryFile() as out,
            tempfile.TemporaryFile() as err,
        ):
            if isinstance(stdin, bytes):
                given.write(stdin)
                given.seek(0)
            secrets = secret_settings or {}
            code = self._wait(
                self._bounded(command),
                given if isinstance(stdin, bytes) else stdin,
                into or out,
                err,
                git_environment(secrets) | dict(environment or {}),
            )
            told = _without(self._tail(err), secrets.values())
            finished = Finished(code=code, out=self._read(name, out), err=_shown(told))
        if code not in allow:
            raise self.failure(name, finished, Path(into.name).parent if into else None)
        return finished

    def failure(self, command: str, finished: Finished, into: Path | None = None) -> LeverframeError:
        """The error of ours for a command that failed; what is not known is worth another attempt.

        `into` is the directory where its output went.
        """
        told = finished.err.strip()[-600:] or f"exit status {finished.code}"
        message = f"git {command}: {told}"
        if _REFUSED.search(told):
            return Refused(message)
        # Git does not always say so, and can't where there is no space for what it says.
        written = [place for place in (into, self.directory, Path(tempfile.gettempdir())) if place]
        if full := next(filter(is_full, written), written[0] if _NO_SPACE.search(told) else None):
            return disk_full(full, message)
        return MirrorCorrupted(message) if _CORRUPTED.search(told) else Unavailable(message)

    def _wait(
        self,
        command: list[str],
        stdin: IO[bytes],
        out: IO[bytes],
        err: IO[bytes],
        environment: Mapping[str, str],
    ) -> int:
        try:
            child = subprocess.Popen(
                command,
                stdin=stdin,
                stdout=out,
                stderr=err,
                env=dict(environment),
                start_new_session=True,
                pass_fds=() if self._lock is None else (self._lock.fileno(),),
            )
        except FileNotFoundError as error:
            raise BadConfiguration(_NO_GIT if command[0] == "git" else _NO_TIMEOUT) from error
        try:
            code = child.wait(self._timeout.total_seconds())
        except subprocess.TimeoutExpired as error:
            seconds = self._timeout.total_seconds()
            name = command[command.index("git") + 4]
            raise Unavailable(f"git {name} took longer than {seconds:g} s") from error
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        if self._lock is not None and code == _NOT_FOUND:
            raise BadConfiguration(_NO_GIT)
        return code

    def _bounded(self, command: list[str]) -> list[str]:
        """A child that holds a lock ends even where nobody is left to end it."""
        if self._lock is None:
            return command
        seconds = (self._timeout + GRACE).total_seconds()
        return ["timeout", "--signal=KILL", f"{seconds:g}", *command]

    def _read(self, name: str, stream: IO[bytes]) -> bytes:
        size = stream.seek(0, os.SEEK_END)
        if size > self._max_output:
            raise BadInput(f"git {name} printed {size} bytes, more than the {self._max_output} that are read")
        stream.seek(0)
        return stream.read()

    @staticmethod
    def _tail(stream: IO[bytes], limit: int = 8000) -> str:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - limit))
        return readable(stream.read())


def readable(raw: bytes) -> str:
    """Text for people and models: bytes that are no UTF-8 become visible escapes."""
    return raw.decode("utf-8", errors="backslashreplace")


def is_sha(text: str) -> bool:
    """Whether the text is a full object id."""
    return _SHA.fullmatch(text) is not None


def the_sha(text: str) -> str:
    """The same text, proven to be an object id, so never an option or a revision expression.

    Raises:
        BadInput: it is anything else.
    """
    if not is_sha(text):
        raise BadInput(f"{Untrusted(text).for_terminal(60)!r} is not a full commit id (40 hex digits)")
    return text


def identity(name: str, email: str, seconds: int, role: str) -> dict[str, str]:
    """The variables that fix who (`AUTHOR` or `COMMITTER`) and when (Unix time, UTC) in a commit."""
    return {
        f"GIT_{role}_NAME": name,
        f"GIT_{role}_EMAIL": email,
        f"GIT_{role}_DATE": f"@{seconds} +0000",
    }


def _without(text: str, secrets: Collection[str]) -> str:
    for secret in secrets:
        text = text.replace(secret.rpartition(" ")[2], "***")
    return text


def _shown(text: str) -> str:
    """A remote's words without credentials in addresses and without control characters."""
    return Untrusted(_CREDENTIALS.sub(r"\1***@", text)).for_model(8000)
