"""Flagger's questions: answered by the permit of the commit that it wants to move, and by what it runs.

`POST /flagger/<service>/<hook>`; the hooks are confirm-rollout, confirm-traffic-increase, confirm-promotion,
rollback and event (https://docs.flagger.app/usage/webhooks). 200 is yes. Everything else is no: nothing is
decided, the store or the cluster does not answer, the secret is wrong, another revision asks. So Flagger
stays where it is while nobody of ours works: it gives no further weight, and takes none back either.

The secret comes as the password of Basic authentication, which Flagger sends for a URL like
`http://flagger:<secret>@gateway/flagger/shop/rollback`, or as a bearer token. A rollout's first question
binds its `checksum`, which names the whole revision, to the permit: another revision of the commit is no.
"""

import asyncio
import base64
import binascii
import hmac
from hashlib import sha256
from typing import get_args

import structlog
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.delivery_ports import Delivery
from activities.permit_ports import Permits
from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.documents import parse_object
from leverframe.gateway.replies import Refusal
from leverframe.model.errors import BadInput, LeverframeError
from leverframe.model.permits import Hook, refusal
from leverframe.model.untrusted import Untrusted

ANSWER_SECONDS = 5.0
"""Flagger gives up after ten."""
MAX_BYTES = 65_536

_BOUND: frozenset[Hook] = frozenset({"confirm-rollout", "confirm-traffic-increase", "confirm-promotion"})

log = structlog.get_logger(__name__)


class _Question(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    name: str = Field(max_length=253)
    namespace: str = Field(max_length=253)
    phase: str = Field(default="", max_length=50)
    checksum: str = Field(default="", max_length=128)
    metadata: dict[str, str] | None = None


class FlaggerDoor:
    """Answers for the declared services."""

    def __init__(
        self,
        *,
        secret: SecretStr | None,
        services: frozenset[str],
        delivery: Delivery,
        permits: Permits,
        counters: Counters,
    ) -> None:
        self._secret = secret
        self._services = services
        self._delivery = delivery
        self._permits = permits
        self._counters = counters

    def routes(self) -> list[Route]:
        """The paths to write into the Canary's webhooks."""
        return [Route("/flagger/{service}/{hook}", self.answer, methods=["POST"])]

    async def answer(self, request: Request) -> Response:
        """200 for yes; 403 with the reason for no, 503 when nobody can say."""
        self._verify(request)
        service, asked = request.path_params["service"], request.path_params["hook"]
        if service not in self._services or asked not in (*get_args(Hook), "event"):
            raise Refusal(404, "route", "no declared service, or no hook, is called so")
        question = _read(parse_object(await read_body(request, max_bytes=MAX_BYTES), "the webhook"))
        if asked == "event":
            self._heard(service, question)
            return JSONResponse({"detail": "heard"})
        hook: Hook = asked
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                why = await asyncio.to_thread(self._refusal, service, hook, question)
        except (LeverframeError, TimeoutError) as error:
            log.warning("flagger.unanswered", service=service, hook=hook, reason=str(error))
            return JSONResponse({"detail": f"no: nobody can say ({str(error) or 'too slow'})"}, 503)
        log.info("flagger.answered", service=service, hook=hook, answer=why or "yes")
        if why is not None:
            return JSONResponse({"detail": f"no: {why}"}, 403)
        self._counters.accepted()
        return JSONResponse({"detail": "yes"})

    def _refusal(self, service: str, hook: Hook, question: _Question) -> str | None:
        state = self._delivery.state(service, "production")
        permit = None if state.wanted is None else self._permits.find(service, state.wanted)
        why = refusal(hook, permit, state)
        if why is not None or permit is None or hook not in _BOUND or permit.kind == "proven":
            return why
        if not question.checksum or not self._permits.bind(service, permit.sha, question.checksum):
            return "another revision of this commit was let in"
        return None

    def _heard(self, service: str, question: _Question) -> None:
        said = Untrusted((question.metadata or {}).get("eventMessage", "")).for_terminal(300)
        phase = Untrusted(question.phase).for_terminal(50)
        log.info("flagger.event", service=service, phase=phase, message=said)
        self._counters.ignored("flagger_event")

    def _verify(self, request: Request) -> None:
        if self._secret is None:
            raise Refusal(404, "webhook_off", "no secret is configured for this webhook")
        given = _secret_of(request.headers.get("authorization", ""))
        # Digests first: of two texts of unlike length, a comparison tells the length.
        wanted, told = (sha256(each.encode()).digest() for each in (self._secret.get_secret_value(), given))
        if not hmac.compare_digest(wanted, told):
            raise Refusal(401, "wrong_signature", "the password or token is not the secret of this webhook")


def _secret_of(header: str) -> str:
    kind, _, value = header.partition(" ")
    if kind.lower() == "bearer":
        return value.strip()
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _read(document: dict[str, object]) -> _Question:
    try:
        return _Question.model_validate(document)
    except ValidationError as error:
        raise BadInput("the webhook is no question of Flagger: name and namespace are missing") from error
