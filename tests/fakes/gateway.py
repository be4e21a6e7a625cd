"""A gateway to test against: the real application, a real store, and sockets where they matter."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from sqlalchemy import Engine
from starlette.applications import Starlette
from temporalio.client import Client

from activities.backends.deployments_store import DeploymentsStore
from activities.backends.errors_store import ErrorsStore
from activities.backends.results_store import ResultsStore
from activities.delivery_ports import Metrics
from activities.ports import Health
from leverframe.gateway.app import build_app
from leverframe.gateway.counters import Counters
from leverframe.gateway.flow_door import FlowDoor
from leverframe.gateway.inbox import Pace
from leverframe.gateway.train_views import TrainViews
from leverframe.model.errors import Unavailable
from leverframe.model.releases import ERRORS, Count, HealthDocument, SignalCounts
from leverframe.settings import Settings
from tests.fakes.stores import store_at
from workflows.queues import HANDS

KEY = "5b1e6c0f2a7d4e3f9a8b7c6d5e4f3a2b"
WEBHOOK_SECRET = "a-client-secret"
PROJECT = "1"
SHA = "a" * 40

SERVICE = {
    "command": ["true"],
    "overlays": {},
    "image": "shop",
    "canary": {"steps": [{"percent": 100, "min_requests": 0, "min_seconds": 0, "max_seconds": 600}]},
}
REPOSITORY = {
    "name": "shop",
    "url": "/nowhere/shop.git",
    "checks": [{"name": "test", "command": ["true"]}],
}


def settings_for(home: Path, *, service: str = "shop", **gateway: Any) -> Settings:
    """One declared service, one Sentry project that stands for it."""
    return Settings.model_validate(
        {
            "home": home,
            "repositories": [REPOSITORY | {"service": SERVICE | {"name": service}}],
            "agents": {"sentry_spike": {}},
            "gateway": {
                "sentry_projects": {PROJECT: service},
                "sentry_keys": {PROJECT: KEY},
                "sentry_webhook_secret": WEBHOOK_SECRET,
                **gateway,
            },
        }
    )


class StillMetrics:
    """Health documents of a service that nobody uses; blind when told so."""

    def __init__(self) -> None:
        self.blind = False

    def release_health(self, service: str) -> HealthDocument:
        if self.blind:
            raise Unavailable("the router does not answer")
        now = datetime(2026, 3, 2, tzinfo=UTC)
        return HealthDocument(
            service=service,
            taken_at=now,
            stable=SHA,
            canary=None,
            canary_percent=0,
            signals={ERRORS: SignalCounts(since=now, arms={SHA: Count()})},
        )

    def health(self) -> Health:
        return Health(ok=not self.blind, detail="still")


class Gateway:
    """One application over one store, reached without a socket through `http`."""

    def __init__(self, app: Starlette, store: ErrorsStore, engine: Engine, counters: Counters) -> None:
        self.app = app
        self.store = store
        self.engine = engine
        self.counters = counters
        self.metrics = StillMetrics()
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://gateway"
        )

    async def send(
        self, body: bytes, *, key: str = KEY, project: str = PROJECT, **headers: str
    ) -> httpx.Response:
        """POST an envelope as an SDK does."""
        auth = f"Sentry sentry_key={key}, sentry_version=7, sentry_client=test/1"
        sent = {"X-Sentry-Auth": auth, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.http.post(f"/api/{project}/envelope/", content=body, headers=sent)


@asynccontextmanager
async def gateway(
    home: Path,
    client: Client,
    *,
    pace: Pace | None = None,
    task_queue: str = HANDS,
    agents: Sequence[str] | None = None,
    trains: TrainViews | None = None,
    metrics: Metrics | None = None,
    flows: FlowDoor | None = None,
    **settings: Any,
) -> AsyncIterator[Gateway]:
    """The application, started; its loops end with the block."""
    engine = store_at(home / "store.db")
    store, counters, still = ErrorsStore(engine), Counters(), StillMetrics()
    app = build_app(
        settings_for(home, **settings),
        client=client,
        store=store,
        metrics=metrics or still,
        deployments=DeploymentsStore(engine),
        counters=counters,
        pace=pace or Pace(coalesce=0.02, answer=5, redeliver=0.1),
        task_queue=task_queue,
        agents=agents,
        trains=trains,
        flows=flows,
        records=ResultsStore(engine),
    )
    made = Gateway(app, store, engine, counters)
    made.metrics = still
    async with app.router.lifespan_context(app), made.http:
        yield made
    engine.dispose()


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The application behind a real socket on a free port; yields its address. Runs no lifespan."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, http="httptools", log_config=None, access_log=False, lifespan="off")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        # The socket listens already: a request that is early waits in its queue.
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


def event(number: int = 0, *, error: str = "KeyError", **more: object) -> dict[str, object]:
    """One crash of the shop; the number is its identity."""
    frames = [
        {"filename": "shop/app.py", "module": "shop.app", "function": "get", "lineno": 3, "in_app": True},
        {
            "filename": "shop/pricing.py",
            "module": "shop.pricing",
            "function": "price",
            "lineno": 7,
            "in_app": True,
            "context_line": "    return PRICES[item]",
        },
    ]
    return {
        "event_id": f"{number:032x}",
        "level": "error",
        "platform": "python",
        "release": SHA,
        "environment": "production",
        "transaction": "/cart",
        "exception": {"values": [{"type": error, "value": "'tea'", "stacktrace": {"frames": frames}}]},
        "contexts": {"flags": {"values": [{"flag": "new-pricing", "result": True}]}},
        **more,
    }


def envelope(*events: dict[str, object]) -> bytes:
    """An uncompressed envelope with these events."""
    lines = [b"{}"]
    for one in events:
        payload = json.dumps(one).encode()
        lines += [json.dumps({"type": "event", "length": len(payload)}).encode(), payload]
    return b"\n".join(lines)
