"""GitLab's webhooks: what is genuine becomes "look again" to the train, and nothing of it is believed.

Protocol: https://docs.gitlab.com/user/project/integrations/webhooks/ and
https://docs.gitlab.com/user/project/integrations/webhook_events/. A delivery carries the secret token as it
is (`X-Gitlab-Token`); later versions can sign it as Standard Webhooks do (https://www.standardwebhooks.com):
HMAC-SHA256 over `<webhook-id>.<webhook-timestamp>.<body>` with the key of a `whsec_…` token.

A pipeline that has ended has its test reports and jobs fetched, where they are wanted, and once more when it
goes on later and ends again: what is fetched is named by its job that ended last.

There is no event of merge trains. A pipeline's `ref` is the source branch even on a train, so what happened
is told by project and commit, and the train asks the API.
"""

import base64
import binascii
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256

from pydantic import BaseModel, ConfigDict, SecretStr, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from temporalio.client import Client

from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.documents import parse_object
from leverframe.gateway.replies import Refusal
from leverframe.gateway.report_fetches import ReportFetches
from leverframe.gateway.trains import look
from leverframe.model.errors import BadConfiguration, BadInput
from leverframe.model.topology import Repository
from leverframe.settings import Settings

MAX_AGE_SECONDS = 300
"""Older signatures are refused: somebody may have kept the delivery."""
MAX_KEY = 200
"""Characters of a delivery's id that are used."""

_PIPELINE = "Pipeline Hook"
_ENDED = frozenset({"success", "failed", "canceled", "skipped"})
_WAITS = frozenset({"manual", "scheduled"})
"""For a person or a time, maybe for ever: what ran has ended all the same."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Project(_Part):
    path_with_namespace: str


class _Attributes(_Part):
    id: int = 0
    status: str = ""
    target_branch: str = ""


class _Event(_Part):
    project: _Project
    object_attributes: _Attributes = _Attributes()
    ref: str = ""


class GitlabWebhook:
    """`POST /webhooks/gitlab`."""

    def __init__(self, settings: Settings, client: Client, counters: Counters) -> None:
        """Raises BadConfiguration: the signing token is none."""
        gateway, gitlab = settings.gateway, settings.changes.gitlab
        self._secret = gateway.gitlab_webhook_secret
        self._key = _key_of(gateway.gitlab_signing_token)
        self._fetches = ReportFetches(client, gateway.tests.fetched)
        self._max_bytes = gateway.max_body_bytes
        self._client = client
        self._counters = counters
        declared = {each.name: each for each in settings.repositories}
        self._repositories: Mapping[str, Repository] = {
            path.lower(): declared[name] for name, path in gitlab.projects.items() if name in declared
        }

    def routes(self) -> list[Route]:
        """The path to enter in the project's webhook."""
        return [Route("/webhooks/gitlab", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Verify, then have the train of the project look; all else that is genuine is counted and let go.

        GitLab stops a webhook that fails often, so that what does not concern us is answered with 200.
        """
        if self._secret is None and self._key is None:
            raise Refusal(404, "webhook_off", "no secret is configured for this webhook")
        body = await read_body(request, max_bytes=self._max_bytes)
        self._verify(request, body)
        payload = parse_object(body, "the webhook")
        event = _read(payload)
        repository = self._repositories.get(event.project.path_with_namespace.lower())
        if repository is None:
            return self._let_go("project")
        kind, pipeline = request.headers.get("x-gitlab-event", ""), event.object_attributes
        ended = kind == _PIPELINE and pipeline.status in _ENDED | _WAITS and pipeline.id > 0
        if ended and self._fetches.wants(repository.name):
            await self._fetches.fetch(repository.name, pipeline_run(pipeline.id, payload))
        reason = _reason(kind, event, repository.target)
        if reason is None:
            return self._let_go("event")
        await look(self._client, repository, reason, _delivery(request, body))
        self._counters.accepted()
        return JSONResponse({"detail": "the train looks again"})

    def _verify(self, request: Request, body: bytes) -> None:
        if self._key is not None:
            _verify_signature(request, body, self._key)
            return
        assert self._secret is not None  # noqa: S101 - one of them is there
        told = request.headers.get("x-gitlab-token", "")
        # Digests first: of two texts of unlike length, a comparison tells the length.
        wanted, given = (sha256(each.encode()).digest() for each in (self._secret.get_secret_value(), told))
        if not hmac.compare_digest(wanted, given):
            raise Refusal(401, "wrong_signature", "X-Gitlab-Token is not the secret token of this webhook")

    def _let_go(self, kind: str) -> Response:
        self._counters.ignored(kind)
        return JSONResponse({"detail": "accepted; nothing here waits for it"})


def _verify_signature(request: Request, body: bytes, key: bytes) -> None:
    identity = request.headers.get("webhook-id", "")
    timestamp = request.headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise Refusal(401, "wrong_signature", "the delivery is not signed")
    signed = f"{identity}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, sha256).digest())
    # Several while a token is being replaced, parted by spaces.
    given = request.headers.get("webhook-signature", "").split(" ")
    matches = [hmac.compare_digest(expected, each.encode()) for each in given]
    if not any(matches):
        raise Refusal(401, "wrong_signature", "webhook-signature does not match the delivery")
    if abs(datetime.now(UTC).timestamp() - int(timestamp)) > MAX_AGE_SECONDS:
        raise Refusal(401, "wrong_signature", f"the signature is older than {MAX_AGE_SECONDS} seconds")


def _reason(kind: str, event: _Event, target: str) -> str | None:
    """Why the train should look; None for what can't concern it."""
    match kind:
        case "Pipeline Hook" if event.object_attributes.status in _ENDED:
            return "GitLab says that a pipeline has ended"
        case "Merge Request Hook" if event.object_attributes.target_branch == target:
            return "GitLab says that a merge request has changed"
        case "Push Hook" if event.ref == f"refs/heads/{target}":
            return "GitLab says that the target has moved"
        case _:
            return None


def pipeline_run(pipeline: int, payload: dict[str, object]) -> str:
    """What the pipeline is fetched by: its id, and that of its job that ended last, where it is told."""
    told, ended = payload.get("builds"), list[tuple[str, int]]()
    for build in told if isinstance(told, list) else ():
        if isinstance(build, dict) and isinstance(at := build.get("finished_at"), str):
            number, began = build.get("id"), build.get("started_at")
            if type(number) is int and 0 < number < 10**18 and isinstance(began, str):
                # To the second, as all of one delivery are written.
                ended.append((at.replace("T", " ")[:19], number))
    return f"{pipeline}+{max(ended)[1]}" if ended else str(pipeline)


def _delivery(request: Request, body: bytes) -> str:
    """What names the delivery: ids that stay when it is sent again, and for versions without them the
    id of what caused it, which several deliveries share, with the body."""
    for name in ("webhook-id", "idempotency-key"):
        if told := request.headers.get(name, ""):
            return told[:MAX_KEY]
    return f"{request.headers.get('x-gitlab-event-uuid', '')[:MAX_KEY]}/{sha256(body).hexdigest()}"


def _read(raw: dict[str, object]) -> _Event:
    try:
        return _Event.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise BadInput(f"the webhook is not usable: {place}: {first['msg']}") from error


def _key_of(token: SecretStr | None) -> bytes | None:
    """The 32 bytes behind `whsec_…`."""
    if token is None:
        return None
    prefix, _, text = token.get_secret_value().partition("_")
    try:
        key = base64.b64decode(text, validate=True) if prefix == "whsec" else b""
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < 24:
        raise BadConfiguration("gateway.gitlab_signing_token must be whsec_ and the base64 of a key")
    return key
