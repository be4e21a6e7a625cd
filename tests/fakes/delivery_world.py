"""A small world for the local delivery: overlays in a bare repository, artifacts of a tiny service."""

import asyncio
import hashlib
import io
import socket
import subprocess
import tarfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from activities.backends.arms_local import LocalArms
from activities.backends.delivery_local import LocalDelivery
from activities.backends.flag_metrics_http import HttpFlagMetrics
from activities.backends.gitops_local import LocalGitops
from activities.backends.metrics_http import HttpMetrics
from leverframe.delivery.serve import run
from leverframe.model.checks import Check
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import CanaryPlan, CanaryStep, Probe, Repository, Service
from leverframe.settings import DeliverySettings, Settings

A, B, C = "a" * 40, "b" * 40, "c" * 40

SERVICE = b"""
import http.server, json, os, sys, time

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet for each answer, or delayed acknowledgements cost 40 ms

    def answer(self, status, body, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == "/health":
            self.answer(SICK and 503 or 200, b"ok")
        elif self.path == "/sha":
            self.answer(200, os.environ["SENTRY_RELEASE"].encode())
        elif self.path == "/fail":
            self.answer(500, b"failed")
        elif self.path.startswith("/flagged/"):
            self.answer(200, b"flagged", Leverframe_Flags=self.path.removeprefix("/flagged/"))
        elif self.path == "/die":
            os._exit(3)
        elif self.path == "/environment":
            self.answer(200, json.dumps(dict(os.environ, PID=str(os.getpid()), PORT=sys.argv[1])).encode())
        else:
            seen = {"method": self.command, "path": self.path, "body": body.decode("latin-1"),
                    "headers": self.headers.items()}
            self.answer(200, json.dumps(seen).encode(), Keep_Alive="timeout=5", Set_Cookie="a=b")

    do_POST = do_HEAD = do_PUT = do_GET

    def log_message(self, *_):
        pass

SICK = open("mood").read() == "sick"
if open("mood").read() == "dead":
    sys.exit(7)
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def free_ports(count: int) -> list[int]:
    """Ports that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class DeliveryWorld:
    """One repository, one service, both environments. Everything real except the forge."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._bare, self._clone = root / "shop.git", root / "clone"
        self.settings = self._settings()
        self.repository = self.settings.repositories[0]
        delivery = self.settings.delivery
        self.ports: dict[Environment, int] = {
            "production": delivery.production_port,
            "dev": delivery.dev_port,
        }
        self.delivery = LocalDelivery(admin_url=delivery.admin_url, ports=self.ports)
        self.gitops = LocalGitops(admin_url=delivery.admin_url)
        self.arms = LocalArms(admin_url=delivery.admin_url)
        self.metrics = HttpMetrics(url_template=f"{delivery.admin_url}/health/release/{{service}}")
        by_flag = f"{delivery.admin_url}/health/flag/{{service}}/{{flag}}"
        self.flag_metrics = HttpFlagMetrics(url_template=by_flag)
        self._git("init", "--quiet", "--bare", "--initial-branch=main", str(self._bare), at=root)
        self._git("clone", "--quiet", str(self._bare), str(self._clone), at=root)
        self.point("none", "dev", "production")

    def _settings(self) -> Settings:
        admin, production, dev = free_ports(3)
        step = CanaryStep(percent=50, min_requests=1, min_seconds=0, max_seconds=600)
        service = Service(
            name="shop",
            command=("{python}", "service.py", "{port}"),
            overlays={"dev": "deploy/dev.yaml", "production": "deploy/production.yaml"},
            image="shop",
            probes=(Probe(name="sha", path="/sha"), Probe(name="order", method="POST", path="/", body="{}")),
            canary=CanaryPlan(steps=(step,)),
        )
        repository = Repository(
            name="shop", url=str(self._bare), checks=(Check(name="unit", command=("true",)),), service=service
        )
        return Settings(
            home=self.root / "home",
            repositories=(repository,),
            delivery=DeliverySettings(
                admin_url=f"http://127.0.0.1:{admin}",
                production_port=production,
                dev_port=dev,
                environment={"FLAGD_PATH": "{home}/flags.json"},
            ),
        )

    def deploy(self, sha: str, mood: str = "well", program: bytes = SERVICE) -> None:
        """Build a tar of the service and hand it to the router."""
        path = self.settings.artifacts / f"{sha}.tar"
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, "w") as tar:
            for name, content in (("service.py", program), ("mood", mood.encode())):
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
        digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        self.delivery.deploy_artifact(
            self.repository, Artifact(service="shop", sha=sha, digest=digest, path=path.name)
        )

    def point(self, tag: str, *environments: Environment) -> None:
        """Land a commit that makes the overlays name a tag."""
        for environment in environments:
            overlay = self._clone / "deploy" / f"{environment}.yaml"
            overlay.parent.mkdir(exist_ok=True)
            overlay.write_text(f"images:\n  - name: shop\n    newTag: {tag}\n")
        self._git("add", ".", at=self._clone)
        self._git("commit", "--quiet", "--allow-empty", "-m", f"point at {tag}", at=self._clone)
        self._git("push", "--quiet", "origin", "HEAD:main", at=self._clone)

    def _git(self, *arguments: str, at: Path) -> None:
        identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
        subprocess.run(["git", *identity, *arguments], cwd=at, check=True, capture_output=True)

    @asynccontextmanager
    async def router(self) -> AsyncIterator[None]:
        """The router inside this event loop; its services are processes of their own."""
        stop = asyncio.Event()
        running = asyncio.create_task(run(self.settings, stop=stop))
        try:
            await until(lambda: self.delivery.health().ok or running.done())
            if running.done():
                running.result()
            yield
        finally:
            stop.set()
            await asyncio.gather(running, return_exceptions=True)

    async def state(self, environment: Environment) -> DeliveryState:
        """What the router says it runs."""
        return await asyncio.to_thread(self.delivery.state, "shop", environment)

    async def runs(self, sha: str, environment: Environment) -> DeliveryState:
        """Wait until an environment is ready with a SHA in it."""

        def there() -> bool:
            state = self.delivery.state("shop", environment)
            return state.ready and sha in (state.stable, state.canary)

        await until(there)
        return await self.state(environment)

    async def canary_at(self, percent: int) -> None:
        """A is stable and B is canary with a share."""
        await asyncio.to_thread(self.deploy, A)
        await asyncio.to_thread(self.deploy, B)
        self.point(A, "production")
        await self.runs(A, "production")
        self.point(B, "production")
        await self.runs(B, "production")
        await asyncio.to_thread(self.delivery.set_weight, "shop", sha=B, percent=percent)

    async def get(self, path: str, environment: Environment = "production") -> httpx.Response:
        """One request through the router."""
        async with httpx.AsyncClient(trust_env=False) as client:
            return await client.get(f"http://127.0.0.1:{self.ports[environment]}{path}")


async def until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something outside has become true; fails after a generous while."""
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - other processes set no event
            await asyncio.sleep(0.02)
