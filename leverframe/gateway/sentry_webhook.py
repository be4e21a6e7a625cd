"""Sentry's integration webhooks: events of issue alerts, single errors, and escalations.

Protocol: https://docs.sentry.io/organization/integrations/integration-platform/webhooks/.
A delivery that is sent again has a new `Request-ID`, so events are known by their event id and escalations
by what they say.
"""

import hmac
from datetime import UTC, datetime
from hashlib import sha256
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.inbox import StoredBatch
from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.documents import parse_object
from leverframe.gateway.grouping import issue_subject
from leverframe.gateway.replies import Refusal
from leverframe.gateway.scrubbing import scrub_text
from leverframe.gateway.sentry_intake import EventDoor
from leverframe.gateway.watches import Watches
from leverframe.model.errors import BadInput
from leverframe.model.ids import short_hash
from leverframe.model.signals import SecondCount
from leverframe.model.untrusted import Untrusted
from leverframe.settings_gateway import GatewaySettings


def _digits(value: object) -> object:
    """Sentry writes ids as numbers in some resources and as texts in others."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 20:
        raise ValueError("not a numeric id")
    return text


Id = Annotated[str, BeforeValidator(_digits)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class _EventRefs(_Part):
    """What a webhook's event has besides the event."""

    event_id: str
    project: Id
    issue_id: Id | None = None


class _Project(_Part):
    id: Id


class _Issue(_Part):
    id: Id
    title: str
    project: _Project
    substatus: str | None = None
    lastSeen: str | None = None  # noqa: N815 - Sentry's spelling


P = TypeVar("P", bound=_Part)


class SentryWebhook:
    """`POST /webhooks/sentry`."""

    def __init__(
        self, settings: GatewaySettings, door: EventDoor, watches: Watches, counters: Counters
    ) -> None:
        self._services = settings.sentry_projects
        self._secret = settings.sentry_webhook_secret
        self._max_bytes = settings.max_body_bytes
        self._door = door
        self._watches = watches
        self._counters = counters

    def routes(self) -> list[Route]:
        """The path to enter in the Sentry integration."""
        return [Route("/webhooks/sentry", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Verify, then take what we watch; everything else that is signed is counted and let go."""
        if self._secret is None:
            raise Refusal(404, "webhook_off", "no client secret is configured for this webhook")
        body = await read_body(request, max_bytes=self._max_bytes)
        _verify(body, request.headers.get("sentry-hook-signature", ""), self._secret)
        payload = parse_object(body, "the webhook")
        data = payload.get("data")
        if not isinstance(data, dict):
            raise BadInput("the webhook has no data")
        match request.headers.get("sentry-hook-resource", ""), payload.get("action"):
            case "event_alert", _:
                return await self._event(data.get("event"))
            case "error", _:
                return await self._event(data.get("error"))
            case "issue", "unresolved":
                return await self._issue(data.get("issue"))
            case _:
                return self._let_go("resource")

    async def _event(self, raw: object) -> Response:
        refs = _read(_EventRefs, raw)
        assert isinstance(raw, dict)  # noqa: S101  # `_read` has seen an object
        service = self._services.get(refs.project)
        if service is None:
            return self._let_go("project")
        event_id = await self._door.admit(
            raw, project=refs.project, service=service, event_id=refs.event_id, issue=refs.issue_id
        )
        return JSONResponse({"id": event_id})

    async def _issue(self, raw: object) -> Response:
        issue = _read(_Issue, raw)
        service = self._services.get(issue.project.id)
        if issue.substatus != "escalating" or service is None:
            return self._let_go("issue")
        now = datetime.now(UTC)
        batch = StoredBatch(
            id=f"escalating-{short_hash(issue.id, issue.lastSeen or '')}",
            service=service,
            subject=issue_subject(service, issue.id),
            title=Untrusted(scrub_text(issue.title, 200)),
            # A batch is never empty: this is the event that made Sentry call the issue escalating.
            counts=(SecondCount(second=int(now.timestamp()), count=1),),
            received_at=now,
        )
        # Not stored: Sentry sends it again when we answer 503, and nothing was promised before.
        await self._watches.send(batch, escalating=True)
        self._counters.accepted()
        return JSONResponse({"detail": "escalation accepted"})

    def _let_go(self, kind: str) -> Response:
        self._counters.ignored(kind)
        return JSONResponse({"detail": "accepted; nothing here watches it"})


def _verify(body: bytes, signature: str, secret: SecretStr) -> None:
    """HMAC-SHA256 over the bytes as they came: JSON written again need not be the same bytes."""
    expected = hmac.new(secret.get_secret_value().encode(), body, sha256).hexdigest()
    if not hmac.compare_digest(expected.encode(), signature.encode()):
        raise Refusal(401, "wrong_signature", "Sentry-Hook-Signature does not match the body")


def _read(kind: type[P], raw: object) -> P:
    try:
        return kind.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "data"
        raise BadInput(f"the webhook is not usable: {place}: {first['msg']}") from error
