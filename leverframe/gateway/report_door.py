"""Test reports of jobs: `POST /tests/<repository>`, the report as the body, with the repository's token.

The body is JUnit XML or JSON lines of attempts, as its first bytes say. Which run it is of stands in the
query or in headers: `?run=77&sha=…&branch=main&job=unit&variant=…`, or `Leverframe-Run: 77`; JSON lines say
it themselves. The answer is 202 once the report is kept; what of it could not be used is in `complaints`.
Nobody waits for the engine: the announcer tells it.
"""

import asyncio
import hmac
from collections.abc import Callable
from datetime import UTC, datetime
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from activities.results_port import KeptReport, Reports
from leverframe.gateway.bodies import read_body
from leverframe.gateway.counters import Counters
from leverframe.gateway.replies import Refusal
from leverframe.model.errors import Unavailable
from leverframe.model.test_reports import Report
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
from leverframe.settings_gateway import ReportsSettings

AT_ONCE = 2
"""Reports in memory; each may be large."""
PATIENCE_SECONDS = 20.0
"""How long a sender waits for its turn."""
READ_SECONDS = 120.0
"""A job's way out may be slow."""


class ReportDoor:
    """Takes reports of the repositories that have a token."""

    def __init__(
        self, settings: ReportsSettings, reports: Reports, counters: Counters, kept: Callable[[], None]
    ) -> None:
        """`kept` is called when the store has one more."""
        self._settings = settings
        self._reports = reports
        self._counters = counters
        self._kept = kept
        self._places = asyncio.Semaphore(AT_ONCE)

    def routes(self) -> list[Route]:
        """The path for jobs."""
        return [Route("/tests/{repository}", self.take, methods=["POST"])]

    async def take(self, request: Request) -> Response:
        """202 with the report's id, its number of attempts, whether it is new, and complaints."""
        repository = self._opened(request)
        if request.headers.get("content-type", "").lower().startswith("multipart/"):
            raise Refusal(415, "content_type", "send the report itself as the body: curl --data-binary @FILE")
        facts = _facts(request, repository)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._places.acquire()
        except TimeoutError as error:
            raise Unavailable("other reports are being read: send it again") from error
        try:
            body = await read_body(request, max_bytes=self._settings.max_bytes, seconds=READ_SECONDS)
            report, kept = await asyncio.to_thread(self._keep, body, facts)
        finally:
            self._places.release()
        self._counters.report(new=kept.new, attempts=len(report.attempts), complaints=len(report.complaints))
        self._kept()
        answer = {
            "report": kept.id,
            "attempts": len(report.attempts),
            "new": kept.new,
            "complaints": report.complaints,
        }
        return JSONResponse(answer, 202)

    def _keep(self, body: bytes, facts: Facts) -> tuple[Report, KeptReport]:
        now = datetime.now(UTC)
        report = read(body, facts, now=now, max_bytes=self._settings.max_bytes)
        return report, self._reports.keep(report, at=now)

    def _opened(self, request: Request) -> str:
        """The repository. One answer for a wrong token and for a repository without one."""
        if not self._settings.tokens:
            raise Refusal(404, "tests_off", "no token is configured for test reports")
        repository: str = request.path_params["repository"]
        kind, _, told = request.headers.get("authorization", "").partition(" ")
        if kind.lower() != "bearer" or not told.strip():
            raise Refusal(401, "no_key", "send the repository's token as Authorization: Bearer …")
        wanted = self._settings.tokens.get(repository)
        # Digests first: of two texts of unlike length, a comparison tells the length.
        expected = sha256(wanted.get_secret_value().encode() if wanted else b"").digest()
        matches = hmac.compare_digest(expected, sha256(told.strip().encode()).digest())
        if wanted is None or not matches:
            raise Refusal(403, "wrong_key", "the token does not open this repository")
        return repository


def _facts(request: Request, repository: str) -> Facts:
    def said(name: str) -> str:
        return request.query_params.get(name) or request.headers.get(f"leverframe-{name}", "")

    return Facts(
        repository=repository,
        source="upload",
        run=said("run"),
        sha=said("sha"),
        branch=said("branch"),
        job=said("job"),
        variant=said("variant"),
    )
