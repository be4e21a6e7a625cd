"""The delivery figures over HTTP: a page and the same as JSON, for whoever may reach the gateway."""

import asyncio
from datetime import UTC, datetime, timedelta
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from activities.ports import Deployments
from leverframe.dora.figures import Report, report
from leverframe.gateway import dora_html
from leverframe.gateway.counters import Counters
from leverframe.gateway.dora_html import ADDRESS
from leverframe.gateway.replies import RETRY_AFTER_SECONDS, Refusal
from leverframe.gateway.train_pages import HEADERS, NEVER_KEPT
from leverframe.model.deployments import DeploymentHistory
from leverframe.model.errors import Conflict, Unavailable

FRESH_SECONDS = 10.0
"""Whoever asks within this time shares one look into the store."""

LONGEST_DAYS = 3660


class DoraPages:
    """The read-only pages of the delivery figures."""

    def __init__(self, deployments: Deployments, counters: Counters, *, fresh: float = FRESH_SECONDS) -> None:
        self._deployments = deployments
        self._counters = counters
        self._fresh = fresh
        self._looked: tuple[float, DeploymentHistory] | None = None
        self._looking = asyncio.Lock()

    def routes(self) -> list[Route]:
        """All of them answer GET."""
        return [
            Route(ADDRESS, self.page),
            Route(f"{ADDRESS}.json", self.json),
            Route(f"{ADDRESS}/dora.css", self.style),
        ]

    async def page(self, request: Request) -> Response:
        """The figures; 503 while the store does not answer."""
        days, service = _asked(request)
        try:
            found = await self._report(days, service)
        except Unavailable as error:
            self._counters.unavailable()
            body = dora_html.problem("The figures can't be counted now", f"{error}. Reload the page later.")
            return HTMLResponse(body, 503, {**NEVER_KEPT, "Retry-After": str(RETRY_AFTER_SECONDS)})
        body = dora_html.dora(found, days=days, service=service)
        return HTMLResponse(body, headers=dict(NEVER_KEPT))

    async def json(self, request: Request) -> Response:
        """The same as `leverframe report dora --json`."""
        found = await self._report(*_asked(request))
        return Response(found.model_dump_json(), headers=dict(NEVER_KEPT), media_type="application/json")

    async def style(self, request: Request) -> Response:
        """A file of ours."""
        content = files("leverframe.gateway").joinpath("pages", "dora.css").read_bytes()
        return Response(content, headers={**HEADERS, "Cache-Control": "no-cache"}, media_type="text/css")

    async def _report(self, days: int, service: str | None) -> Report:
        history = await self._history()
        now = datetime.now(UTC)
        return await asyncio.to_thread(
            report, history, since=now - timedelta(days=days), until=now, service=service
        )

    async def _history(self) -> DeploymentHistory:
        async with self._looking:
            now = asyncio.get_running_loop().time()
            if self._looked is not None and now - self._looked[0] < self._fresh:
                return self._looked[1]
            try:
                found = await asyncio.to_thread(self._deployments.history)
            except Conflict as error:
                raise Unavailable(str(error)) from error
            self._looked = (now, found)
            return found


def _asked(request: Request) -> tuple[int, str | None]:
    """The days and the service of the address. Raises Refusal for a number of days that is none."""
    return days_of(request), request.query_params.get("service") or None


def days_of(request: Request) -> int:
    """The days of the address. Raises Refusal for a number of days that is none."""
    told = request.query_params.get("days", "30")
    if not (told.isascii() and told.isdigit() and 1 <= int(told[:5]) <= LONGEST_DAYS and len(told) <= 4):
        raise Refusal(400, "malformed", f"days must be a number from 1 to {LONGEST_DAYS}")
    return int(told)
