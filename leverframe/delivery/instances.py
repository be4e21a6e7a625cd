"""Instances: one process of one SHA, started, health-polled, restarted and stopped."""

import asyncio
import contextlib
import fcntl
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import structlog

from leverframe.model.releases import Environment
from leverframe.model.topology import Service

STARTING_POLL_SECONDS = 0.1
HEALTHY_POLL_SECONDS = 1.0
HEALTH_TIMEOUT_SECONDS = 2.0
UNHEALTHY_AFTER = 3
"""Failed polls in a row before an instance that was healthy counts as unhealthy."""
RESTART_SECONDS = (0.25, 30.0)
"""First and longest wait before a restart; doubled each time, back to the first after a healthy start."""
STOP_SECONDS = 5.0
"""How long an instance may finish its requests before it is killed."""
LOG_BYTES = 10_000_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class InstanceSpec:
    """What is needed to run one SHA of a service in one environment."""

    service: Service
    environment: Environment
    sha: str
    tree: Path
    variables: Mapping[str, str]
    """Extra environment variables, as the settings declare them."""
    home: Path
    """Where logs and locks are kept."""

    @property
    def name(self) -> str:
        return f"{self.service.name}-{self.environment}-{self.sha[:12]}"

    def command(self, port: int) -> list[str]:
        """The declared command with `{port}` and `{python}` filled in."""
        filled = {"{port}": str(port), "{python}": sys.executable}
        words = list(self.service.command)
        for placeholder, value in filled.items():
            words = [word.replace(placeholder, value) for word in words]
        return words

    def process_environment(self) -> dict[str, str]:
        """Nothing of ours is inherited: the service sees no credential of the platform."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.tree),
            "LANG": "C.UTF-8",
            "PYTHONUNBUFFERED": "1",
            **self.variables,
            "SENTRY_RELEASE": self.sha,
            "SENTRY_ENVIRONMENT": self.environment,
        }


class Instance:
    """Keeps one process alive until it is stopped. `healthy` says whether it answers its health path."""

    def __init__(
        self, spec: InstanceSpec, http: aiohttp.ClientSession, died: Callable[[], None] = lambda: None
    ) -> None:
        self.spec = spec
        self.sha = spec.sha
        self.port = 0
        self.healthy = False
        self.was_healthy = False
        """Whether it has ever been healthy: before that it gets no request."""
        self.starts = 0
        self.detail = "is starting"
        self._http = http
        self._died = died
        """Told of each end that nobody wanted."""
        self._task: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Begin to keep it alive."""
        self._task = asyncio.create_task(self._keep_alive(), name=self.spec.name)

    async def stop(self) -> None:
        """Let it finish the requests that it has, then end its process group."""
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self._idle.wait()
        except TimeoutError:
            log.warning("instance.busy", instance=self.spec.name, in_flight=self._in_flight)
        self._stopping.set()
        if self._task is not None:
            await self._task
        self.healthy = False

    def enter(self) -> None:
        """A request is on its way to it."""
        self._in_flight += 1
        self._idle.clear()

    def leave(self) -> None:
        """A request has come back."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    async def _keep_alive(self) -> None:
        wait, longest = RESTART_SECONDS
        while not self._stopping.is_set():
            try:
                process = await self._spawn()
                answered = await self._watch(process)
                await _end(process)
            except OSError as error:
                answered = False
                self.detail = f"can't be started: {error}"
            else:
                self.detail = (
                    f"ended with {process.returncode} (start {self.starts}); log: {self._log_path()}"
                )
            self.healthy = False
            if not self._stopping.is_set():
                self._died()
                wait = RESTART_SECONDS[0] if answered else wait
                log.warning("instance.died", instance=self.spec.name, detail=self.detail)
                await self._pause(wait)
                wait = min(wait * 2, longest)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        lock = self.spec.home / "run" / f"{self.spec.name}.pid"
        await asyncio.to_thread(reap, lock)
        self.port = _free_port()
        self.starts += 1
        with lock.open("w") as held, _log(self._log_path()).open("ab") as output:
            # The child inherits the lock and holds it for as long as it lives, whatever becomes of us.
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            process = await asyncio.create_subprocess_exec(
                *self.spec.command(self.port),
                cwd=self.spec.tree,
                env=self.spec.process_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                pass_fds=(held.fileno(),),
            )
            held.write(str(process.pid))
        log.info("instance.started", instance=self.spec.name, port=self.port, pid=process.pid)
        return process

    async def _watch(self, process: asyncio.subprocess.Process) -> bool:
        """Poll the health path until the process exits or is to stop; returns whether it ever answered."""
        ends = {asyncio.create_task(process.wait()), asyncio.create_task(self._stopping.wait())}
        failures, answered = 0, False
        while True:
            if await self._answers():
                failures, answered = 0, True
                self.healthy, self.was_healthy, self.detail = True, True, "is healthy"
            else:
                failures += 1
                if failures >= UNHEALTHY_AFTER and self.healthy:
                    self.healthy = False
                    self.detail = f"does not answer {self.spec.service.health_path}"
            pause = HEALTHY_POLL_SECONDS if self.healthy else STARTING_POLL_SECONDS
            done, pending = await asyncio.wait(ends, timeout=pause, return_when=asyncio.FIRST_COMPLETED)
            if done:
                for task in pending:
                    task.cancel()
                return answered

    async def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self.port}{self.spec.service.health_path}"
        timeout = aiohttp.ClientTimeout(total=HEALTH_TIMEOUT_SECONDS)
        try:
            async with self._http.get(url, timeout=timeout, allow_redirects=False) as response:
                return 200 <= response.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _log_path(self) -> Path:
        return self.spec.home / "logs" / f"{self.spec.name}.log"


def reap(lock: Path) -> None:
    """End the process that a killed router left behind, if it still lives. Blocks for at most ten seconds.

    The file's lock, not its number, says whether the process lives: process ids are used again.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        if _locked(file.fileno()):
            return
        file.seek(0)
        number = file.read().strip()
        for signal_, patience in ((signal.SIGTERM, 2.0), (signal.SIGKILL, 8.0)):
            if number.isdigit():
                _signal_group(int(number), signal_)
            deadline = time.monotonic() + patience
            while time.monotonic() < deadline:
                if _locked(file.fileno()):
                    return
                time.sleep(0.05)
    raise OSError(f"the process {number or 'of'} {lock.name} does not end")


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal_group(pid: int, signal_: signal.Signals) -> None:
    try:
        os.killpg(pid, signal_)
    except (ProcessLookupError, PermissionError):
        return  # it ended by itself in the meantime; macOS says "not permitted" of a dead group


async def _end(process: asyncio.subprocess.Process) -> None:
    """SIGTERM for the whole group, then SIGKILL for whoever is left."""
    if process.returncode is None:
        _signal_group(process.pid, signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            log.warning("instance.killed", pid=process.pid)
    _signal_group(process.pid, signal.SIGKILL)
    await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _log(path: Path) -> Path:
    """The log file's path; a log that has grown long starts anew and keeps one predecessor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path
