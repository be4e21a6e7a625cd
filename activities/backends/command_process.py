"""Runs one command that the platform team chose to its end, or asks it to stop at its time limit.

Output goes to files, never to a pipe: a command whose worker was killed goes on, writes its state and ends,
where a broken pipe would have ended it in the middle of an apply or a push.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from leverframe.model.errors import BadConfiguration

Stopped = Literal["time", "output"]

_TICK_SECONDS = 0.1
_BEAT_SECONDS = 1.0
_MOST_OUTPUT = 64_000_000
"""Bytes of one stream; a plan with all its values as JSON is the longest."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a command left behind."""

    code: int
    """Exit status; negative for a signal."""
    stopped: Stopped | None
    """The limit at which it was asked to stop."""
    out: bytes
    err: bytes


def run(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    seconds: float,
    stop_seconds: float,
    heartbeat: Callable[[], None],
    remedy: str,
    into: IO[bytes] | None = None,
    held: Sequence[int] = (),
) -> Finished:
    """Run a command with exactly these variables for `seconds` at the most.

    At a limit, or when this thread is interrupted, it gets SIGINT, as from Ctrl-C: Terraform ends what it is
    doing, writes its state and lets go of the lock. After `stop_seconds` more it is killed. Standard output
    goes `into` that file, if any; the descriptors `held` stay open as long as the command lives.

    Raises:
        BadConfiguration: there is no such program; `remedy` says what to do.
    """
    with ExitStack() as files:
        out = into or files.enter_context(tempfile.TemporaryFile())
        err = files.enter_context(tempfile.TemporaryFile())
        try:
            child = subprocess.Popen(
                command,
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                pass_fds=held,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise BadConfiguration(f"{command[0]} can't be run ({error.strerror}): {remedy}") from error
        try:
            stopped = _watch(child, (out, err), seconds, heartbeat)
        finally:
            _stop(child, stop_seconds, heartbeat)
        return Finished(code=child.returncode, stopped=stopped, out=_read(out), err=_read(err))


def _watch(
    child: "subprocess.Popen[bytes]",
    streams: tuple[IO[bytes], IO[bytes]],
    seconds: float,
    heartbeat: Callable[[], None],
) -> Stopped | None:
    deadline = time.monotonic() + seconds
    next_beat = 0.0
    while True:
        now = time.monotonic()
        if now >= next_beat:
            next_beat = now + _BEAT_SECONDS
            heartbeat()
        with suppress(subprocess.TimeoutExpired):
            child.wait(_TICK_SECONDS)
            return None
        if now >= deadline:
            return "time"
        if any(os.fstat(stream.fileno()).st_size > _MOST_OUTPUT for stream in streams):
            return "output"


def _stop(child: "subprocess.Popen[bytes]", seconds: float, heartbeat: Callable[[], None]) -> None:
    """End the command and everything it started. Harmless once it has ended."""
    deadline = time.monotonic() + seconds
    if child.poll() is None:
        os.killpg(child.pid, signal.SIGINT)
    while child.poll() is None and time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            child.wait(min(_BEAT_SECONDS, seconds))
        with suppress(Exception):  # whoever waits for us may have gone; the state is worth the wait
            heartbeat()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _read(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read(_MOST_OUTPUT)
