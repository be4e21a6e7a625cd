"""GitHub's webhooks: what is signed becomes "look again" to the train, and nothing of it is believed.

A run of a workflow that has ended has its test reports and jobs fetched, where they are wanted, and so have
check suites of other Apps.

Protocol: https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries and
https://docs.github.com/en/webhooks/webhook-events-and-payloads. Deliveries come late, twice and out of order,
and some never: whatever one says, the train asks the API, so that a payload chooses nothing but which train
looks. The signature covers the body alone, so a delivery is known by its body: with the id of its header a
kept one could be sent again under a new id for ever.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from hashlib import sha256

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
from leverframe.model.topology import Repository
from leverframe.settings import Settings

_GROUP = re.compile(r"refs/heads/gh-readonly-queue/(?P<base>.+)/pr-[0-9]{1,10}-[0-9a-f]{40}")
"""The ref of a merge group. A base may have slashes, and even look like a group: what counts is the end."""

_RUN_ENDED = "workflow_run"
"""The event that tells of runs whose test reports may be fetched; it moves no train."""

_SUITE_ENDED = "check_suite"
"""Moves a train, and tells of checks of other Apps than GitHub's own."""
_ACTIONS = "github-actions"

_PULL_ACTIONS = frozenset(
    {"synchronize", "closed", "reopened", "edited", "converted_to_draft", "enqueued", "dequeued"}
)
"""`edited`: it may go to another branch now."""


class GithubWebhook:
    """`POST /webhooks/github`."""

    def __init__(self, settings: Settings, client: Client, counters: Counters) -> None:
        self._secret = settings.gateway.github_webhook_secret
        self._fetches = ReportFetches(client, settings.gateway.tests.fetched)
        self._jobs = frozenset(settings.gateway.tests.jobs)
        self._max_bytes = settings.gateway.max_body_bytes
        self._app_id = settings.changes.github.app_id
        self._client = client
        self._counters = counters
        declared = {each.name: each for each in settings.repositories}
        places = settings.changes.github.owner_repo
        self._repositories: Mapping[str, Repository] = {
            place.lower(): declared[name] for name, place in places.items() if name in declared
        }

    def routes(self) -> list[Route]:
        """The path to enter in the App."""
        return [Route("/webhooks/github", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """Verify, then have the train of the repository look; all else that is signed is let go with 204."""
        if self._secret is None or not self._secret.get_secret_value():
            raise Refusal(404, "webhook_off", "no secret is configured for this webhook")
        body = await read_body(request, max_bytes=self._max_bytes)
        _verify(body, request.headers.get("x-hub-signature-256", ""), self._secret.get_secret_value())
        event = request.headers.get("x-github-event", "")
        concerns = _CONCERNS.get(event)
        if concerns is None and event != _RUN_ENDED:
            return self._let_go("event")
        payload = parse_object(body, "the webhook")
        repository = self._repositories.get(_text(payload, "repository", "full_name").lower())
        if repository is None:
            return self._let_go("repository")
        if concerns is None:
            return await self._ended(payload, repository)
        reason = None if self._is_ours(payload) else concerns(payload, repository.target)
        if reason is None:
            return self._let_go("event")
        if (
            event == _SUITE_ENDED
            and repository.name in self._jobs
            and (suite := suite_run(payload, self._app_id))
        ):
            await self._fetches.fetch(repository.name, suite)
        await look(self._client, repository, reason, sha256(body).hexdigest())
        self._counters.accepted()
        return JSONResponse({"detail": "the train looks again"})

    async def _ended(self, payload: object, repository: Repository) -> Response:
        """Have the test reports of a run fetched. Only its number is taken from the payload."""
        run = (_at(payload, "workflow_run", "id"), _at(payload, "workflow_run", "run_attempt"))
        wanted = self._fetches.wants(repository.name) and _text(payload, "action") == "completed"
        if not wanted or not all(type(part) is int and 0 < part < 10**18 for part in run):
            return self._let_go("event")
        await self._fetches.fetch(repository.name, f"{run[0]}.{run[1]}")
        self._counters.accepted()
        return JSONResponse({"detail": "the test reports are fetched"})

    def _is_ours(self, payload: object) -> bool:
        """Whether it tells of a check run that we wrote ourselves."""
        return self._app_id is not None and _at(payload, "check_run", "app", "id") == self._app_id

    def _let_go(self, kind: str) -> Response:
        self._counters.ignored(kind)
        return Response(status_code=204)


def suite_run(payload: object, app_id: int | None) -> str | None:
    """What the check suite of a delivery is fetched by, once for each time that it ends.

    None for those of GitHub Actions, of which runs of workflows tell more, for those of our own App, and for
    those of forks, which have no branch.
    """
    number = _at(payload, "check_suite", "id")
    app, slug = _at(payload, "check_suite", "app", "id"), _text(payload, "check_suite", "app", "slug")
    if type(number) is not int or not 0 < number < 10**18:
        return None
    if app in (None, app_id) or slug == _ACTIONS or not _text(payload, "check_suite", "head_branch"):
        return None
    try:
        ended = int(datetime.fromisoformat(_text(payload, "check_suite", "updated_at")).timestamp())
    except (ValueError, OverflowError):
        return None
    return f"suite-{number}.{ended}" if ended > 0 else None


def group_base(ref: str) -> str | None:
    """The branch of a merge group's ref: `main` of `refs/heads/gh-readonly-queue/main/pr-7-<sha>`."""
    found = _GROUP.fullmatch(ref)
    return found["base"] if found else None


def _verify(body: bytes, signature: str, secret: str) -> None:
    """HMAC-SHA256 over the bytes as they came. The older signature by SHA-1 proves nothing."""
    expected = "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()
    # As bytes: texts that are not ASCII can't be compared in constant time.
    if not hmac.compare_digest(expected.encode(), signature.encode(errors="replace")):
        raise Refusal(401, "wrong_signature", "X-Hub-Signature-256 does not match the body")


def _of_group(payload: object, target: str) -> str | None:
    concerns = group_base(_text(payload, "merge_group", "head_ref")) == target
    return "GitHub says that a merge group has changed" if concerns else None


def _of_pull(payload: object, target: str) -> str | None:
    """One that goes elsewhere concerns us when it may have gone to the target before."""
    action = _text(payload, "action")
    there = _text(payload, "pull_request", "base", "ref") == target or action == "edited"
    return "GitHub says that a pull request has changed" if there and action in _PULL_ACTIONS else None


def _of_check(payload: object, target: str) -> str | None:
    return "GitHub says that a check has ended" if _text(payload, "action") == "completed" else None


def _of_status(payload: object, target: str) -> str | None:
    return "GitHub says that a commit has a status" if _text(payload, "state") != "pending" else None


def _of_push(payload: object, target: str) -> str | None:
    moved = _text(payload, "ref") == f"refs/heads/{target}"
    return "GitHub says that the target has moved" if moved else None


_CONCERNS: Mapping[str, Callable[[object, str], str | None]] = {
    "merge_group": _of_group,
    "pull_request": _of_pull,
    "check_run": _of_check,
    "check_suite": _of_check,
    "status": _of_status,
    "push": _of_push,
}
"""Event → why the train should look; None for what can't concern it."""

EVENTS = (*_CONCERNS, _RUN_ENDED)
"""What an App has to be subscribed to."""


def _text(payload: object, *path: str) -> str:
    """The text at a path of the payload; empty for all else, so that what GitHub changes breaks nothing."""
    found = _at(payload, *path)
    return found if isinstance(found, str) else ""


def _at(payload: object, *path: str) -> object:
    for name in path:
        payload = payload.get(name) if isinstance(payload, dict) else None
    return payload
