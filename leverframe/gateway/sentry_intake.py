"""The Sentry-compatible door: an SDK whose DSN points here sends its events to these two paths.

Protocol: https://develop.sentry.dev/sdk/overview/ and https://develop.sentry.dev/sdk/data-model/envelopes/.
"""

import hmac
import re
from datetime import UTC, datetime

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.inbox import AcceptedEvent
from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.documents import parse_object
from leverframe.gateway.envelope import parse_envelope
from leverframe.gateway.grouping import group, keep
from leverframe.gateway.inbox import CoalescingInbox, Sampler
from leverframe.gateway.replies import Refusal
from leverframe.gateway.sentry_event import canonical_event_id, read_event
from leverframe.model.errors import BadInput
from leverframe.settings_gateway import GatewaySettings

_AUTH_KEY = re.compile(r"(?:^|[\s,])sentry_key\s*=\s*([^\s,]{1,200})")


class EventDoor:
    """What the intake and the webhook share: a parsed event enters the inbox, or says why not."""

    def __init__(self, inbox: CoalescingInbox, counters: Counters) -> None:
        self._inbox = inbox
        self._counters = counters
        self._sampler = Sampler()

    async def admit(
        self,
        raw: dict[str, object],
        *,
        project: str,
        service: str,
        event_id: str | None = None,
        issue: str | None = None,
    ) -> str:
        """Return the event's id once the engine has it; an event below `error` is counted and let go.

        Raises:
            BadInput: the event is not usable.
            Unavailable: the engine may not have it.
        """
        event = read_event(raw)
        known_as = canonical_event_id(event_id or event.event_id)
        if not event.is_error:
            self._counters.ignored("level")
            return known_as
        grouping = group(event, service, issue=issue)
        now = datetime.now(UTC)
        kept = self._sampler.keeps((service, grouping.subject), now)
        accepted = AcceptedEvent(
            project=project,
            event_id=known_as,
            service=service,
            subject=grouping.subject,
            title=grouping.title,
            release=grouping.release,
            environment=grouping.environment,
            received_at=now,
            flags=grouping.flags,
            payload=keep(event) if kept else None,
        )
        await self._inbox.accept(accepted)
        self._counters.accepted()
        return known_as


class SentryIntake:
    """`POST /api/{project}/envelope/` and `POST /api/{project}/store/`."""

    def __init__(self, settings: GatewaySettings, door: EventDoor, counters: Counters) -> None:
        self._services = settings.sentry_projects
        self._keys = settings.sentry_keys
        self._max_bytes = settings.max_body_bytes
        self._door = door
        self._counters = counters

    def routes(self) -> list[Route]:
        """The paths an SDK derives from its DSN."""
        return [
            Route("/api/{project}/envelope/", self.envelope, methods=["POST"]),
            Route("/api/{project}/store/", self.store, methods=["POST"]),
        ]

    async def envelope(self, request: Request) -> Response:
        """Take the one event out of an envelope; items of other types are counted and let go."""
        project, service = self._authenticated(request)
        body = await read_body(request, max_bytes=self._max_bytes)
        envelope = parse_envelope(body, max_bytes=self._max_bytes)
        events = [item for item in envelope.items if item.type == "event"]
        if others := len(envelope.items) - len(events):
            self._counters.ignored("item", others)
        if len(events) > 1:
            raise BadInput("an envelope carries at most one event")
        if not events:
            return JSONResponse({"id": envelope.event_id} if envelope.event_id else {})
        raw = parse_object(events[0].payload, "the event")
        event_id = await self._door.admit(raw, project=project, service=service, event_id=envelope.event_id)
        return JSONResponse({"id": event_id})

    async def store(self, request: Request) -> Response:
        """The older form: the body is the event."""
        project, service = self._authenticated(request)
        raw = parse_object(await read_body(request, max_bytes=self._max_bytes), "the event")
        return JSONResponse({"id": await self._door.admit(raw, project=project, service=service)})

    def _authenticated(self, request: Request) -> tuple[str, str]:
        """The project and its service. One answer for a wrong key and an unknown project."""
        project = request.path_params["project"]
        sent = _sent_key(request)
        if not sent:
            raise Refusal(401, "no_key", "send the DSN's public key in X-Sentry-Auth or as sentry_key")
        expected = self._keys.get(project, SecretStr("")).get_secret_value()
        service = self._services.get(project)
        matches = hmac.compare_digest(sent.encode(), expected.encode())
        if not matches or service is None:
            raise Refusal(403, "wrong_key", "the key does not open this project")
        return project, service


def _sent_key(request: Request) -> str:
    found = _AUTH_KEY.search(request.headers.get("x-sentry-auth", ""))
    return found.group(1) if found else request.query_params.get("sentry_key", "")
