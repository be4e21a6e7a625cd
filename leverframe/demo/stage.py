"""The stage: a home, a configuration file, and the whole fleet started by `leverframe up`."""

import asyncio
import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import tomli_w

from leverframe.demo.person import CommandFailed
from leverframe.demo.shop_repository import create_repository, shop_repository
from leverframe.login import me
from leverframe.model.releases import HealthDocument
from leverframe.model.topology import CanaryStep, Repository
from leverframe.settings import Settings, load

SENTRY_PROJECT = "1"
DEFAULTS = Path(__file__).resolve().parents[2] / "policies" / "defaults"
PEOPLE = """\
# Who decides in the story. Ada writes the change that breaks, so she may not approve what repairs it.
version: 1
people:
  ada: {{name: Ada, git: [ada@shop.example]}}
  grace: {{name: Grace, logins: [{login}]}}
groups:
  sre-oncall: [ada, grace]
  sre-leads: [grace]
"""
PORTS = ("temporal", "ui", "gateway", "admin", "production", "dev")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback address that nobody listens on right now.

    They lie below those that the system gives to outgoing connections, so that none of these takes one before
    it is used.
    """
    with contextlib.ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            port = 15_000 + secrets.randbelow(15_000)
            each = held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                each.bind(("127.0.0.1", port))
                found.append(port)
        return found


@dataclass
class Stage:
    """Everything the story plays on, below `home`."""

    home: Path
    rate: int = 120
    settings: Settings = field(init=False)

    @property
    def config(self) -> Path:
        """The configuration file: `LEVERFRAME_CONFIG` for every command of the story."""
        return self.home / "leverframe.toml"

    @property
    def remote(self) -> Path:
        """The bare repository of the shop."""
        return self.home / "shop.git"

    @property
    def policies(self) -> Path:
        """The policy files of the story."""
        return self.home / "policies"

    @property
    def ui_url(self) -> str:
        """Base address of the Temporal UI."""
        return self.settings.temporal.ui_url

    @property
    def shop_url(self) -> str:
        """Where users reach the shop: the production side of the router."""
        return f"http://127.0.0.1:{self.settings.delivery.production_port}"

    def prepare(self, *, quick: bool = False) -> None:
        """A fresh home: the shop's repository, its flags and the configuration file.

        `quick` shortens the canary to two steps, for tests that are about something else.
        """
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)
        self.home.mkdir(parents=True)
        flags = create_repository(self.remote)
        (self.home / "flags.json").write_text(flags)
        self._write_policies()
        self.config.write_text(tomli_w.dumps(self._declaration(quick)))
        self.reload()

    def _write_policies(self) -> None:
        """The default policy, with people: whoever sits at this terminal is Grace."""
        shutil.copytree(DEFAULTS, self.policies)
        # A JSON string is a YAML string, whatever the name of the account.
        (self.policies / "people.yaml").write_text(PEOPLE.format(login=json.dumps(me())))

    def reload(self) -> None:
        """Read the configuration file, and make it the only one that child processes read."""
        for name in [name for name in os.environ if name.startswith("LEVERFRAME_")]:
            del os.environ[name]
        os.environ["LEVERFRAME_CONFIG"] = str(self.config)
        self.settings = load()

    def _declaration(self, quick: bool) -> dict[str, object]:
        ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        key = secrets.token_hex(16)
        dsn = f"http://{key}@127.0.0.1:{ports['gateway']}/{SENTRY_PROJECT}"
        flags = str(self.home / "flags.json")
        repository = shop_repository(str(self.remote))
        if quick:
            repository = _two_steps(repository)
        return {
            "organisation": "acme",
            "home": str(self.home),
            # One tick is a second here and a minute in production: the story can't wait for minutes.
            "agents": {"sentry_spike": {"tick_seconds": 1}},
            "temporal": {
                "address": f"127.0.0.1:{ports['temporal']}",
                "ui_url": f"http://127.0.0.1:{ports['ui']}",
            },
            "gateway": {
                "port": ports["gateway"],
                "sentry_projects": {SENTRY_PROJECT: repository.service.name},
                "sentry_keys": {SENTRY_PROJECT: key},
            },
            "flags": {"path": flags},
            "policies": {"directory": str(self.policies)},
            "delivery": {
                "admin_url": f"http://127.0.0.1:{ports['admin']}",
                "production_port": ports["production"],
                "dev_port": ports["dev"],
                "environment": {"SENTRY_DSN": dsn, "SHOP_FLAGS": flags},
            },
            "repositories": [repository.model_dump(mode="json", exclude_defaults=True)],
        }

    async def start(self, *, seconds: float = 60) -> None:
        """Start the fleet and wait until each part is ready. Raises CommandFailed with the log's tail."""
        fleet = self._spawn("up", ["leverframe", "up"])
        deadline = time.monotonic() + seconds
        async with httpx.AsyncClient(timeout=2) as client:
            while not await self._ready(client):
                if fleet.poll() is not None or time.monotonic() > deadline:
                    tail = (self.home / "up.log").read_text(errors="replace")[-2000:]
                    raise CommandFailed(f"the fleet did not come up:\n{tail}")
                await asyncio.sleep(0.2)

    async def _ready(self, client: httpx.AsyncClient) -> bool:
        gateway = f"http://127.0.0.1:{self.settings.gateway.port}/health/ready"
        router = f"{self.settings.delivery.admin_url}/health/live"
        try:
            answers = [await client.get(url) for url in (gateway, router)]
        except httpx.HTTPError:
            return False
        workers = {"hands", "sandbox"} <= set(self.pids())
        return workers and all(answer.is_success for answer in answers)

    def pids(self) -> dict[str, int]:
        """Process ids of the fleet's parts by name: `temporal`, `router`, `gateway`, `hands`, `sandbox`."""
        try:
            pids: dict[str, int] = json.loads((self.home / "pids.json").read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return {}
        return pids

    def kill(self, part: str) -> int:
        """SIGKILL one part; the supervisor starts it again. Returns the process id that died."""
        pid = self.pids()[part]
        os.kill(pid, signal.SIGKILL)
        return pid

    def start_load(self, rate: int | None = None) -> None:
        """Users: a steady stream of requests from a process of its own."""
        arguments = ["--url", self.shop_url, "--rate", str(rate or self.rate)]
        self._spawn("load", ["leverframe.demo.load", *arguments])

    def _spawn(self, name: str, module: list[str]) -> subprocess.Popen[bytes]:
        """Run one of our modules in a session of its own, so that it can outlive the story."""
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                stdout=log,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        (self.home / f"{name}.pid").write_text(str(process.pid))
        return process

    async def health(self) -> HealthDocument:
        """The one document that the gate reads."""
        url = (
            f"{self.settings.delivery.admin_url}/health/release/{self.settings.repositories[0].service.name}"
        )
        async with httpx.AsyncClient(timeout=5) as client:
            answer = await client.get(url)
            answer.raise_for_status()
        return HealthDocument.model_validate_json(answer.content)

    def stop(self) -> None:
        """Users go home, then the fleet stops in order; also those that an earlier story left running."""
        for name in ("load", "up"):
            file = self.home / f"{name}.pid"
            if file.exists():
                _terminate(int(file.read_text()))
                file.unlink()


def _two_steps(repository: Repository) -> Repository:
    """The same repository with a canary of 25 % and 100 %."""
    service = repository.service
    steps = tuple(
        CanaryStep(percent=percent, min_requests=20, min_seconds=1, max_seconds=90) for percent in (25, 100)
    )
    canary = service.canary.model_copy(update={"steps": steps})
    return repository.model_copy(update={"service": service.model_copy(update={"canary": canary})})


def _terminate(pid: int, *, seconds: float = 30) -> None:
    """SIGTERM to one of our own processes and SIGKILL to its group if it lingers."""
    if not _is_ours(pid):
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + seconds
    while _is_ours(pid) and time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        time.sleep(0.05)
    if _is_ours(pid):
        os.killpg(pid, signal.SIGKILL)


def _is_ours(pid: int) -> bool:
    """Whether the process lives and runs Leverframe: a pid file can be older than a reboot."""
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/stat").read_text()
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
        return b"leverframe" in command and ") Z " not in status
    if Path("/proc/self").exists():
        return False
    done = subprocess.run(["ps", "-o", "args=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return "leverframe" in done.stdout
