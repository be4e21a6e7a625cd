"""Flaky tests over HTTP: a page for each repository and the same as JSON, for whoever may reach the gateway.

Below `/report`, since `/tests/<repository>` is the door for jobs.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from activities.records_port import TestRecords
from leverframe.gateway import flaky_html
from leverframe.gateway.counters import Counters
from leverframe.gateway.dora_pages import FRESH_SECONDS, days_of
from leverframe.gateway.flaky_html import ADDRESS
from leverframe.gateway.flaky_report import FlakyReport, flaky_report
from leverframe.gateway.replies import RETRY_AFTER_SECONDS, Refusal
from leverframe.gateway.train_pages import NEVER_KEPT
from leverframe.model.errors import Unavailable

MOST_KEPT = 50
"""Looks that are shared; more are forgotten."""


class FlakyPages:
    """The read-only pages of flaky tests."""

    def __init__(
        self,
        records: TestRecords,
        repositories: Sequence[str],
        counters: Counters,
        *,
        fresh: float = FRESH_SECONDS,
    ) -> None:
        self._records = records
        self._repositories = tuple(repositories)
        self._counters = counters
        self._fresh = fresh
        self._looked: dict[tuple[str, int], tuple[float, FlakyReport]] = {}
        self._looking = asyncio.Lock()

    def routes(self) -> list[Route]:
        """All of them answer GET."""
        return [
            Route(ADDRESS, self.index),
            Route(f"{ADDRESS}/{{repository}}", self.page),
            Route(f"{ADDRESS}/{{repository}}/report.json", self.json),
        ]

    async def index(self, request: Request) -> Response:
        """Every declared repository."""
        return HTMLResponse(flaky_html.index(self._repositories), headers=dict(NEVER_KEPT))

    async def page(self, request: Request) -> Response:
        """One repository; 404 for one that is not declared, 503 while the store does not answer."""
        repository, days = request.path_params["repository"], days_of(request)
        if repository not in self._repositories:
            self._counters.refused("route")
            said = "No repository of this name is declared. The list names those that are."
            body = flaky_html.problem("There is no such repository", said)
            return HTMLResponse(body, 404, dict(NEVER_KEPT))
        try:
            found = await self._report(repository, days)
        except Unavailable as error:
            self._counters.unavailable()
            body = flaky_html.problem("Test results can't be read now", f"{error}. Reload the page later.")
            return HTMLResponse(body, 503, {**NEVER_KEPT, "Retry-After": str(RETRY_AFTER_SECONDS)})
        return HTMLResponse(flaky_html.flaky(found, days=days), headers=dict(NEVER_KEPT))

    async def json(self, request: Request) -> Response:
        """The same, with all that the page cuts off."""
        repository, days = request.path_params["repository"], days_of(request)
        if repository not in self._repositories:
            raise Refusal(404, "route", "no repository of this name is declared")
        found = await self._report(repository, days)
        return JSONResponse(found.shape(), headers=dict(NEVER_KEPT))

    async def _report(self, repository: str, days: int) -> FlakyReport:
        """Whoever asks the same within a short time shares one look into the store."""
        async with self._looking:
            now, asked = asyncio.get_running_loop().time(), (repository, days)
            self._looked = {
                key: kept
                for key, kept in list(self._looked.items())[-MOST_KEPT:]
                if now - kept[0] < self._fresh
            }
            if asked not in self._looked:
                found = await asyncio.to_thread(
                    flaky_report, self._records, repository, days=days, now=datetime.now(UTC)
                )
                self._looked[asked] = (now, found)
            return self._looked[asked][1]
