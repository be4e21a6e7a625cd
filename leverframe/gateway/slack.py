"""Slack's door: interactions come in by HTTP or by Socket Mode, are checked and kept, and nothing else.

Protocols: https://docs.slack.dev/authentication/verifying-requests-from-slack and
https://docs.slack.dev/interactivity/handling-user-interaction. Slack wants its answer within three seconds,
so everything that a click causes is done by the `ClickPump`.
"""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs

from pydantic import SecretStr
from slack_sdk.signature import Clock, SignatureVerifier
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activities.forms import Click, Clicks
from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.documents import parse_object
from leverframe.gateway.replies import Refusal
from leverframe.gateway.slack_payloads import Interaction, clicks_in
from leverframe.model.errors import BadInput

MAX_TIMESTAMP_DIGITS = 12


class SlackDoor:
    """`POST /slack/interactions`, and what Socket Mode brings."""

    def __init__(
        self,
        *,
        team: str,
        secret: SecretStr | None,
        clicks: Clicks,
        counters: Counters,
        max_bytes: int,
        wake: Callable[[Click], None],
        clock: Clock | None = None,
    ) -> None:
        """
        Args:
            team: the one workspace whose interactions count.
            secret: verifies requests; None switches HTTP off.
            clicks: where they are kept.
            counters: what the gateway counts.
            max_bytes: larger bodies are refused.
            wake: called with each click that is new.
            clock: to set the time of signatures.
        """
        self._team = team
        self._verifier = SignatureVerifier(secret.get_secret_value(), clock or Clock()) if secret else None
        self._clicks = clicks
        self._counters = counters
        self._max_bytes = max_bytes
        self._wake = wake

    def routes(self) -> list[Route]:
        """The path to enter as the app's request URL."""
        return [Route("/slack/interactions", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Verify the bytes as they came, keep what they say, answer. An empty 200 also closes a form."""
        if self._verifier is None:
            raise Refusal(404, "slack_off", "no signing secret is configured: interactions come elsewhere")
        if request.headers.get("content-encoding"):
            raise Refusal(415, "encoding", "Slack does not compress what it signs")
        body = await read_body(request, max_bytes=self._max_bytes)
        self._verify(self._verifier, body, request)
        await self.take(parse_object(_payload(body), "the interaction"))
        return Response()

    async def take(self, payload: dict[str, object]) -> None:
        """Keep what a verified interaction asks for. The same one again changes nothing.

        Raises:
            Refusal: it is from another workspace.
            BadInput: it is none that we could have caused.
            Unavailable: it could not be kept.
        """
        interaction = Interaction.read(payload)
        if interaction.team != self._team:
            raise Refusal(403, "slack_team", "interactions of this workspace are not taken here")
        clicks = clicks_in(interaction, at=datetime.now(UTC))
        if not clicks:
            self._counters.ignored("slack")
        for click in clicks:
            if await asyncio.to_thread(self._clicks.keep, click):
                self._wake(click)
            else:
                self._counters.ignored("slack_duplicate")

    def _verify(self, verifier: SignatureVerifier, body: bytes, request: Request) -> None:
        """HMAC-SHA256 over `v0:<time>:<body>`, made within the last five minutes."""
        timestamp = request.headers.get("x-slack-request-timestamp", "")
        signature = request.headers.get("x-slack-signature", "")
        # The SDK takes well-formed values only: it raises for others where a refusal is meant.
        formed = timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= MAX_TIMESTAMP_DIGITS
        if not (formed and signature.isascii() and _is_utf8(body)):
            raise Refusal(401, "wrong_signature", "the request has no Slack signature")
        if not verifier.is_valid(body, timestamp, signature):
            raise Refusal(401, "wrong_signature", "the Slack signature is wrong or older than five minutes")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode()
    except UnicodeDecodeError:
        return False
    return True


def _payload(body: bytes) -> bytes:
    """The one field of the form."""
    try:
        fields = parse_qs(body.decode(), strict_parsing=True, max_num_fields=5, errors="strict")
    except ValueError as error:
        raise BadInput("the interaction is not a form") from error
    payloads = fields.get("payload", [])
    if len(payloads) != 1:
        raise BadInput("the interaction's form has no single payload")
    return payloads[0].encode()
