"""The embedded fleet: every part as a child process of one supervisor, for a laptop.

`Fleet` starts the Temporal dev server, the router, the gateway and both workers, restarts one that dies, and
stops them in the order in which they need each other. The parts are the same commands that production runs.
"""

import asyncio
import fcntl
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import structlog
from temporalio.client import Client

from leverframe.builders import builds_apart
from leverframe.client import connect
from leverframe.engine import ensure_search_attributes, has_worker, loopback, server_command
from leverframe.model.errors import Conflict, LeverframeError, Unavailable
from leverframe.settings import Settings
from workflows.queues import BUILD, HANDS, SANDBOX

log = structlog.stdlib.get_logger("leverframe.up")

START_SECONDS = 60.0
STOP_SECONDS = 20.0
QUICK_DEATH_SECONDS = 10.0
"""A part that lived shorter died of its start; too many of those in a row end the fleet."""
MOST_QUICK_DEATHS = 8
STOP_ORDER = (("gateway",), ("hands", "sandbox", "build"), ("router",), ("temporal",))
"""Intake first, then the hands that act, then what they act on."""

KEPT = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LC_\w+|TZ|TMPDIR|VIRTUAL_ENV|PYTHON\w*|LD_LIBRARY_PATH|SSL_CERT_(FILE|DIR)"
    r"|LEVERFRAME_(CONFIG|ORGANISATION|HOME|REPOSITORIES(__\w+)?)"
    r"|LEVERFRAME_TELEMETRY__(LOG_FORMAT|LOG_LEVEL|OTLP_ENDPOINT|METRICS_PORT)"
)
"""All that a part near repository code inherits, by whole name: a list of secrets is never complete."""
KEPT_BY = {
    # Its key of the engine is the one secret that a worker can't do without.
    "sandbox": re.compile(r"LEVERFRAME_(TEMPORAL|SANDBOX)(__\w+)?"),
    # And what the settings name for build commands.
    "build": re.compile(r"LEVERFRAME_(TEMPORAL(__\w+)?|BUILDER__PASS_ENVIRONMENT)"),
    # With an ssh:// address the agent is what reads the overlays.
    "router": re.compile(r"LEVERFRAME_DELIVERY(__\w+)?|SSH_AUTH_SOCK"),
}
"""The parts that are near repository code, and what each inherits besides."""


@dataclass
class Part:
    """One child process of the fleet."""

    name: str
    command: tuple[str, ...]
    log: Path
    environment: dict[str, str]
    """All its variables."""
    process: asyncio.subprocess.Process | None = None
    started_at: float = 0.0
    quick_deaths: int = 0

    async def start(self) -> asyncio.subprocess.Process:
        """Start the process in a group of its own: Ctrl-C reaches the supervisor only, which stops it."""
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=self.environment,
                start_new_session=True,
            )
        self.started_at = time.monotonic()
        return self.process

    async def stop(self) -> None:
        """Ask it to end, wait, and end its whole group if it does not."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
        except TimeoutError:
            log.warning("a part did not stop in time and is killed", part=self.name)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()

    def tail(self, limit: int = 2000) -> str:
        """The end of its log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - limit))
            return file.read().decode(errors="replace").strip()


class Fleet:
    """The supervisor behind `leverframe up`."""

    def __init__(self, settings: Settings, announce: Callable[[str], None]) -> None:
        """`announce` gets one line for people when everything is ready, and when it stops."""
        self._settings = settings
        self._announce = announce
        self._stopping = asyncio.Event()
        self._failure: LeverframeError | None = None
        self._client: Client | None = None
        self._watchers: list[asyncio.Task[None]] = []
        logs = settings.home / "logs"
        self._parts = {
            name: Part(
                name=name,
                command=command,
                log=logs / f"{name}.log",
                environment=environment(name, os.environ, named=settings.builder.pass_environment),
            )
            for name, command in commands(settings).items()
        }

    async def run(self) -> None:
        """Start everything, keep it running, and stop it on SIGINT or SIGTERM.

        Raises:
            Conflict: another fleet uses this home, or a port is taken.
            Unavailable: a part did not start, or kept dying.
        """
        with ExitStack() as held:
            held.enter_context(_only_fleet(self._settings.home))
            check_ports(self._settings)
            (self._settings.home / "logs").mkdir(exist_ok=True)
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, self._stopping.set)
                held.callback(loop.remove_signal_handler, number)
            try:
                await self._start()
                await self._stopping.wait()
            finally:
                self._stopping.set()
                await self._stop()
        if self._failure is not None:
            raise self._failure

    async def _start(self) -> None:
        settings = self._settings
        await self._launch("temporal")
        await self._until("temporal", self._engine_ready)
        if self._stopping.is_set():
            return
        for name in self._parts:
            if name != "temporal":
                await self._launch(name)
        gateway = f"http://{settings.gateway.host}:{settings.gateway.port}"
        await self._until("router", lambda: _answers(f"{settings.delivery.admin_url}/health/live"))
        await self._until("gateway", lambda: _answers(f"{gateway}/health/ready"))
        await self._until("hands", lambda: self._polled(HANDS))
        await self._until("sandbox", lambda: self._polled(SANDBOX))
        if "build" in self._parts:
            await self._until("build", lambda: self._polled(BUILD))
        if not self._stopping.is_set():
            self._announce(f"gateway      {gateway}")
            self._announce(f"production   http://127.0.0.1:{settings.delivery.production_port}")
            self._announce(f"Temporal UI  {settings.temporal.ui_url}")
            self._announce(f"logs         {settings.home / 'logs'}")
            self._announce("Ready. Ctrl-C stops everything.")

    async def _launch(self, name: str) -> None:
        part = self._parts[name]
        process = await part.start()
        self._write_pids()
        self._watchers.append(asyncio.create_task(self._watch(part, process), name=name))

    async def _watch(self, part: Part, process: asyncio.subprocess.Process) -> None:
        """Start the part again whenever it ends, until the fleet stops."""
        while True:
            code = await process.wait()
            if self._stopping.is_set():
                return
            quick = time.monotonic() - part.started_at < QUICK_DEATH_SECONDS
            part.quick_deaths = part.quick_deaths + 1 if quick else 0
            if part.quick_deaths > MOST_QUICK_DEATHS:
                self._fail(Unavailable(f"{part.name} keeps dying; the end of {part.log}:\n{part.tail()}"))
                return
            log.warning("a part ended and is started again", part=part.name, code=code)
            await self._pause(min(0.1 * 2**part.quick_deaths, 5.0))
            if self._stopping.is_set():
                return
            process = await part.start()
            self._write_pids()
            if self._stopping.is_set():
                await part.stop()

    async def _until(self, name: str, ready: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the part answers, or until the fleet stops."""
        deadline = time.monotonic() + START_SECONDS
        while not self._stopping.is_set() and not await ready():
            if time.monotonic() > deadline:
                part = self._parts[name]
                raise Unavailable(f"{name} did not get ready; the end of {part.log}:\n{part.tail()}")
            await self._pause(0.1)

    async def _engine_ready(self) -> bool:
        try:
            self._client = await connect(self._settings)
            await ensure_search_attributes(self._client)
        except Unavailable:
            return False
        return True

    async def _polled(self, queue: str) -> bool:
        try:
            return self._client is not None and await has_worker(self._client, queue)
        except Unavailable:
            return False

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    def _fail(self, error: LeverframeError) -> None:
        self._failure = error
        self._stopping.set()

    async def _stop(self) -> None:
        self._announce("Stopping …")
        for names in STOP_ORDER:
            await asyncio.gather(*(self._parts[name].stop() for name in names if name in self._parts))
        await asyncio.gather(*self._watchers)
        (self._settings.home / "pids.json").unlink(missing_ok=True)

    def _write_pids(self) -> None:
        pids = {part.name: part.process.pid for part in self._parts.values() if part.process}
        new = self._settings.home / "pids.json.new"
        new.write_text(json.dumps(pids))
        new.replace(self._settings.home / "pids.json")


def commands(settings: Settings) -> dict[str, tuple[str, ...]]:
    """The command line of every part, by name."""
    leverframe = (sys.executable, "-m", "leverframe")
    parts = {
        "temporal": server_command(settings),
        "router": (*leverframe, "router"),
        "gateway": (*leverframe, "gateway"),
        "hands": (*leverframe, "worker", "--queue", "hands"),
        "sandbox": (*leverframe, "worker", "--queue", "sandbox"),
    }
    if builds_apart(settings):
        parts["build"] = (*leverframe, "worker", "--queue", "build")
    return parts


def environment(name: str, ours: Mapping[str, str], named: Collection[str] = ()) -> dict[str, str]:
    """What a part inherits of our variables: all, or what is kept where repository code is near.

    The part that runs build commands inherits those that are `named` for them, too.

    Names of settings are compared as the settings read them, in any case.
    """
    if name not in KEPT_BY:
        return dict(ours)
    return {
        variable: value
        for variable, value in ours.items()
        if any(kept.fullmatch(_name(variable)) for kept in (KEPT, KEPT_BY[name]))
        or (name == "build" and variable in named)
    }


def _name(variable: str) -> str:
    return variable.upper() if variable.upper().startswith("LEVERFRAME_") else variable


def check_ports(settings: Settings) -> None:
    """Every port the fleet will listen on is free. Raises Conflict naming the first that is not."""
    wanted = {
        "temporal.address": loopback(settings.temporal.address, "temporal.address")[1],
        "temporal.ui_url": loopback(httpx.URL(settings.temporal.ui_url).netloc.decode(), "temporal.ui_url")[
            1
        ],
        "gateway.port": settings.gateway.port,
        "delivery.admin_url": httpx.URL(settings.delivery.admin_url).port or 80,
        "delivery.production_port": settings.delivery.production_port,
        "delivery.dev_port": settings.delivery.dev_port,
    }
    for setting, port in wanted.items():
        with socket.socket() as probe:
            # As servers do: a port whose last connections are only waiting to be forgotten is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise Conflict(
                    f"port {port} is in use: stop what listens there, or set {setting} to another"
                ) from error


@contextmanager
def _only_fleet(home: Path) -> Iterator[None]:
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(f"another `leverframe up` runs in {home}: stop it, or set home") from error
        yield


async def _answers(url: str) -> bool:
    # No proxy of the environment stands between the parts of one machine.
    async with httpx.AsyncClient(timeout=2, trust_env=False) as web:
        try:
            return (await web.get(url)).is_success
        except httpx.HTTPError:
            return False
