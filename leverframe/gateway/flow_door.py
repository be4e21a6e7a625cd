"""The beacon: browsers tell which flows of real users started and completed, by the revision of their page.

`POST /rum/<service>` takes a JSON list of events, as `navigator.sendBeacon` sends it (`text/plain` or
`application/json`): `[{"flow": "checkout", "event": "started", "id": "<random>", "sha": "<40 digits>"}]`.
`GET /health/flows/<service>` is a health document with a signal `abandoned <flow>` for each declared flow,
its counts since this process began.

Everybody who can load a page can send such events, so names, revisions and memory are bounded by what is
declared and what runs; what the counts can be made to say is told in SECURITY.md.
"""

import asyncio
import hmac
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Literal

from pydantic import TypeAdapter, ValidationError
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.delivery_ports import Delivery
from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.documents import parse_json
from leverframe.gateway.flow_counts import FlowCounts, Heard
from leverframe.gateway.replies import Refusal
from leverframe.model.errors import BadInput, LeverframeError, Unavailable
from leverframe.model.flows import FlowEvent, FlowEvents, abandoned, signature_of
from leverframe.model.releases import DeliveryState, HealthDocument, SignalCounts
from leverframe.settings_gateway import FlowsSettings

MAX_BYTES = 16_384
FRESH_SECONDS = 2.0
"""How long the delivery is not asked again what runs, whatever comes in."""
PATIENCE_SECONDS = 4.0
"""For its answer."""

_EVENTS: TypeAdapter[tuple[FlowEvent, ...]] = TypeAdapter(FlowEvents)

_Outcome = Heard | Literal["unknown_flow", "unknown_revision", "unsigned"]
_TAKEN: frozenset[_Outcome] = frozenset({"counted", "duplicate"})


class FlowDoor:
    """Listens for the declared services."""

    def __init__(
        self,
        settings: FlowsSettings,
        delivery: Delivery,
        counters: Counters,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock`: seconds, for the flows' times."""
        self._settings = settings
        self._counters = counters
        self._clock = clock
        self._since = datetime.now(UTC)
        self._running = {name: _Running(name, delivery) for name in settings.declared}
        self._counts = {
            name: FlowCounts(flows, starts_a_second=settings.starts_a_second)
            for name, flows in settings.declared.items()
        }

    def routes(self) -> list[Route]:
        """The beacon, which answers the declared origins only, and the health document."""
        # `sendBeacon` always sends with credentials, so a preflight without them would stop it. We read none.
        origins = Middleware(
            CORSMiddleware,
            allow_origins=self._settings.origins,
            allow_methods=("POST",),
            allow_headers=("content-type",),
            allow_credentials=True,
        )
        return [
            Route("/rum/{service}", self.hear, methods=["POST", "OPTIONS"], middleware=[origins]),
            Route("/health/flows/{service}", self.document),
        ]

    async def hear(self, request: Request) -> Response:
        """200 with what became of the events; 422 or 429 when none of them counts."""
        service = self._declared(request)
        self._check_sender(request)
        events = _read(await read_body(request, max_bytes=MAX_BYTES))
        running = _arms(await self._running[service].state())
        became = Counter(self._heard(service, event, running) for event in events)
        for outcome, count in became.items():
            self._counters.flow_events(outcome, count)
        refused = {outcome: count for outcome, count in became.items() if outcome not in _TAKEN}
        if refused.keys() == became.keys():
            said = ", ".join(f"{outcome} ({count})" for outcome, count in refused.items())
            raise Refusal(429 if "too_many" in refused else 422, "flow_events", f"no event counts: {said}")
        return JSONResponse({"counted": became["counted"], "refused": refused})

    async def document(self, request: Request) -> Response:
        """The health document of now. 503 when nobody can say what runs."""
        service = self._declared(request)
        state = await self._running[service].state()
        if state.stable is None:
            raise Unavailable(f"{service} has no stable release yet")
        counts = {sha: self._counts[service].of(sha, self._clock()) for sha in _arms(state)}
        signals = {
            abandoned(flow): SignalCounts(
                since=self._since, arms={sha: flows[flow] for sha, flows in counts.items()}
            )
            for flow in self._settings.declared[service]
        }
        found = HealthDocument(
            service=service,
            taken_at=datetime.now(UTC),
            stable=state.stable,
            canary=state.canary,
            canary_percent=state.canary_percent,
            signals=signals,
        )
        return Response(found.model_dump_json(), media_type="application/json")

    def _heard(self, service: str, event: FlowEvent, running: frozenset[str]) -> _Outcome:
        counts = self._counts[service]
        if event.flow not in counts:
            return "unknown_flow"
        if event.event == "started":
            if event.sha not in running:
                return "unknown_revision"
            if not self._signed(service, event):
                return "unsigned"
        return counts.hear(event, self._clock())

    def _signed(self, service: str, event: FlowEvent) -> bool:
        secret = self._settings.secret
        return secret is None or hmac.compare_digest(
            signature_of(secret.get_secret_value(), service, event), event.signature
        )

    def _declared(self, request: Request) -> str:
        service: str = request.path_params["service"]
        if service not in self._counts:
            raise Refusal(404, "route", "no service with flows is called so")
        return service

    def _check_sender(self, request: Request) -> None:
        if request.method != "POST":
            raise Refusal(405, "route", "events come by POST")
        if request.headers.get("origin") not in self._settings.origins:
            raise Refusal(403, "origin", "the page's origin is not among gateway.flows.origins")
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind not in ("text/plain", "application/json"):
            raise Refusal(415, "content_type", "send JSON as text/plain or application/json")


class _Running:
    """What of one service runs in production, not asked more often than needed, by one thread of its own.

    The common threads may all wait for documents that this one is needed for.
    """

    def __init__(self, service: str, delivery: Delivery) -> None:
        self._service = service
        self._delivery = delivery
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"flows-{service}")
        self._asked_at = float("-inf")
        self._asked: asyncio.Future[DeliveryState] | None = None

    async def state(self) -> DeliveryState:
        """At most `FRESH_SECONDS` old when it was asked for. Raises Unavailable."""
        now = time.monotonic()
        asked = self._asked
        if asked is None or (asked.done() and now - self._asked_at > FRESH_SECONDS):
            loop = asyncio.get_running_loop()
            asked = loop.run_in_executor(self._thread, self._delivery.state, self._service, "production")
            self._asked, self._asked_at = asked, now
        try:
            # Shielded: others wait for the same answer.
            return await asyncio.wait_for(asyncio.shield(asked), PATIENCE_SECONDS)
        except TimeoutError as error:
            raise Unavailable(f"the delivery does not say in time what of {self._service} runs") from error
        except LeverframeError as error:
            raise Unavailable(f"nobody says what of {self._service} runs: {error}") from error


def _arms(state: DeliveryState) -> frozenset[str]:
    return frozenset(sha for sha in (state.stable, state.canary) if sha is not None)


def _read(body: bytes) -> tuple[FlowEvent, ...]:
    value = parse_json(body, "the message")
    try:
        return _EVENTS.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        # The place may be a key of the sender's own: those are not told.
        place = [
            str(part) for part in first["loc"] if isinstance(part, int) or part in FlowEvent.model_fields
        ]
        where = ".".join(["events", *place])
        raise BadInput(f"the message is no list of flow events: {where}: {first['msg']}") from error
