"""How the gateway is, what it counts, and what the gate reads of a service."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client
from temporalio.service import RPCError

from activities.delivery_ports import Metrics
from activities.inbox import Inbox
from leverframe.gateway.counters import Counters
from leverframe.gateway.release_health import release_health
from leverframe.gateway.replies import Refusal
from leverframe.settings import Settings

_ENGINE_SECONDS = 2

_INDEX = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Leverframe gateway</title>
<h1>Leverframe gateway</h1>
<p>Events and webhooks enter here. People work in the <a href="{ui}">Temporal UI</a> and with the
<code>leverframe</code> command.</p>
<ul>
<li><a href="/trains">/trains</a> what rides, what waits, and how it went</li>
<li><a href="/report/dora">/report/dora</a> how often, how fast and how well changes come to users</li>
<li><a href="/report/flaky">/report/flaky</a> flaky, quarantined and broken tests, and what they cost</li>
<li><a href="/health/live">/health/live</a> this process works</li>
<li><a href="/health/ready">/health/ready</a> store and engine answer</li>
<li><a href="/metrics">/metrics</a> for Prometheus</li>
<li><code>/health/release/&lt;service&gt;</code> what the canary's gate reads and says</li>
<li><code>/health/flows/&lt;service&gt;</code> flows of real users: abandoned of all that ended</li>
<li><code>POST /api/&lt;project&gt;/envelope/</code> for Sentry SDKs</li>
<li><code>POST /webhooks/sentry</code> for Sentry itself</li>
<li><code>POST /rum/&lt;service&gt;</code> for browsers that tell of flows</li>
<li><code>POST /tests/&lt;repository&gt;</code> for jobs that tell of their tests</li>
<li><code>POST /slack/interactions</code> for Slack, when people answer there</li>
</ul></html>
"""


class HealthPages:
    """The read-only pages."""

    def __init__(
        self,
        *,
        settings: Settings,
        client: Client,
        store: Inbox,
        metrics: Metrics,
        counters: Counters,
        working: Callable[[], bool],
    ) -> None:
        """`working` says whether the inbox's loops run."""
        self._settings = settings
        self._client = client
        self._store = store
        self._metrics = metrics
        self._counters = counters
        self._working = working

    def routes(self) -> list[Route]:
        """All of them answer GET."""
        return [
            Route("/", self.index),
            Route("/health/live", self.live),
            Route("/health/ready", self.ready),
            Route("/health/release/{service}", self.release),
            Route("/metrics", self.exposition),
        ]

    async def index(self, request: Request) -> Response:
        """What runs here."""
        return HTMLResponse(_INDEX.format(ui=self._settings.temporal.ui_url))

    async def live(self, request: Request) -> Response:
        """200 while the process can do its work; a supervisor restarts it otherwise."""
        working = self._working()
        return JSONResponse({"inbox": "runs" if working else "stopped"}, 200 if working else 503)

    async def ready(self, request: Request) -> Response:
        """200 when an event sent now would be accepted."""
        store, engine = await asyncio.gather(asyncio.to_thread(self._store.health), self._engine())
        ready = store.ok and engine == "answers"
        return JSONResponse({"store": store.detail, "engine": engine}, 200 if ready else 503)

    async def release(self, request: Request) -> Response:
        """The health document of one service. 503 when the metrics are blind or the gate can't be asked."""
        asked = request.path_params["service"]
        declared = {each.service.name: each.service for each in self._settings.repositories}
        if asked not in declared:
            raise Refusal(404, "route", "no declared repository builds this service")
        document = await release_health(declared[asked], self._metrics, self._client)
        return Response(document.model_dump_json(), media_type="application/json")

    async def exposition(self, request: Request) -> Response:
        """The Prometheus text format."""
        return Response(self._counters.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def _engine(self) -> str:
        try:
            await self._client.service_client.check_health(timeout=timedelta(seconds=_ENGINE_SECONDS))
        except (RPCError, RuntimeError) as error:
            # A lazy client that can't connect raises RuntimeError.
            return f"does not answer: {type(error).__name__}"
        return "answers"
