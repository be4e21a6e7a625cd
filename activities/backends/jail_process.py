"""Runs one jailed command to its end, or stops it at the first limit it breaks."""

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from activities.backends.jail_layout import Limits

Stopped = Literal["time", "memory", "processes", "output"]

_TICK_SECONDS = 0.1
_HEARTBEAT_SECONDS = 1.0
_OWN_PROCESSES = 4
"""What the jail itself adds to the tree of processes: its launcher, monitor and first process."""
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How one jailed command ended."""

    code: int
    """Exit status; meaningless when `stopped` is set."""
    stopped: Stopped | None
    report: str
    """What the first program inside wrote: `ready`, `refused: why`, or nothing when it never ran."""
    output: bytes
    """Standard output and error as they came, at most the limit's number of bytes."""
    seconds: float


def run(
    command: Callable[[int], list[str]],
    *,
    tar: IO[bytes],
    limits: Limits,
    heartbeat: Callable[[], None],
    passed: tuple[int, ...] = (),
) -> Ended:
    """Run a jail's command with `tar` as its standard input until it ends or breaks a limit.

    `command` makes the argument list from the descriptor that the first program inside reports to. The
    descriptors `passed` are open inside, too.
    Killing the launcher kills everything in the jail, because the kernel ends a process namespace with
    its first process.
    """
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as report:
        try:
            process = _start(command(writer), tar, (writer, *passed))
        finally:
            os.close(writer)
        began = time.monotonic()
        try:
            assert process.stdout is not None  # noqa: S101 - PIPE was asked for
            output, stopped = _watch(process, process.stdout, limits, heartbeat)
        finally:
            _kill(process)
        os.set_blocking(reader, False)
        return Ended(
            code=process.returncode,
            stopped=stopped,
            report=(report.read(1000) or b"").decode(errors="replace"),
            output=output,
            seconds=time.monotonic() - began,
        )


def _start(command: list[str], tar: IO[bytes], passed: tuple[int, ...]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=tar,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd="/",
        pass_fds=passed,
        start_new_session=True,
    )


def _watch(
    process: subprocess.Popen[bytes], stdout: IO[bytes], limits: Limits, heartbeat: Callable[[], None]
) -> tuple[bytes, Stopped | None]:
    """Collect the output and compare use with the limits until the command ends.

    The command has ended when its launcher has: a daemon that holds the output open is killed with it.
    """
    deadline = time.monotonic() + limits.seconds
    next_look, next_beat = 0.0, 0.0
    output = bytearray()
    os.set_blocking(stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        while True:
            ended = process.poll() is not None
            readable = _wait(selector, 0 if ended else _TICK_SECONDS)
            if readable:
                chunk = os.read(stdout.fileno(), 65536)
                output += chunk
                if not chunk:
                    selector.unregister(stdout)
            if len(output) > limits.output_bytes:
                return bytes(output[: limits.output_bytes]), "output"
            if ended and not readable:
                return bytes(output), None
            now = time.monotonic()
            if now >= deadline:
                return bytes(output), "time"
            if now >= next_look:
                next_look = now + _TICK_SECONDS
                if broken := _broken(process.pid, limits):
                    return bytes(output), broken
            if now >= next_beat:
                next_beat = now + _HEARTBEAT_SECONDS
                heartbeat()


def _wait(selector: selectors.BaseSelector, seconds: float) -> bool:
    """Whether there is something to read within the time; just waits once the output has been closed."""
    if not selector.get_map():
        time.sleep(min(seconds, 0.01))
        return False
    return bool(selector.select(seconds))


def _broken(root: int, limits: Limits) -> Stopped | None:
    """Which limit all processes below `root` break together, if any."""
    pids = list(_below(root))
    if len(pids) > limits.processes + _OWN_PROCESSES:
        return "processes"
    if sum(map(_private_bytes, pids)) > limits.memory_bytes and (
        sum(map(_proportional_bytes, pids)) > limits.memory_bytes
    ):
        return "memory"
    return None


def _below(root: int) -> Iterator[int]:
    """The process ids of all descendants of `root`. A daemon stays below the jail's first process."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    waiting = [root]
    while waiting:
        found = children.get(waiting.pop(), [])
        waiting += found
        yield from found


def _private_bytes(pid: int) -> int:
    """Resident memory that is not backed by a file; counts pages shared after a fork more than once."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * _PAGE


def _proportional_bytes(pid: int) -> int:
    """Resident memory with shared pages divided among their users; dearer to read, so asked second."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _private_bytes(pid)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the launcher's whole group; the namespace's end takes the rest. Harmless once it has ended."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
