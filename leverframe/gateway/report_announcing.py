"""The way of test reports to their watches: what the store has and the engine may not know of is told to it.

Reports of one repository that wait together are one signal, which names the newest: a watch looks at all that
the store has. A report is marked once the engine has the signal, so that whatever fails, it is told again.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

import structlog

from activities.results_port import KeptReport, Reports
from leverframe.gateway.counters import Counters
from leverframe.model.errors import BadConfiguration, LeverframeError
from leverframe.model.signals import ReportArrived
from leverframe.model.untrusted import Untrusted
from leverframe.settings import Settings

COALESCE_SECONDS = 1.0
"""Shortest time between two looks: jobs of one run end close together."""
AGAIN_SECONDS = 15.0
"""How often it is looked without a new report: other processes leave some."""
MOST = 1000

Tell = Callable[[ReportArrived], Awaitable[None]]
"""Give a signal to the engine; returns when the engine has it. Raises LeverframeError."""

_log = structlog.get_logger(__name__)


class Announcer:
    """Tells the watches. `run` must run beside the door for the life of the process."""

    def __init__(
        self,
        settings: Settings,
        reports: Reports,
        tell: Tell,
        counters: Counters,
        *,
        coalesce: float = COALESCE_SECONDS,
        again: float = AGAIN_SECONDS,
    ) -> None:
        """`coalesce`, `again`: seconds between two looks, with and without something new."""
        self._settings = settings
        self._reports = reports
        self._tell = tell
        self._counters = counters
        self._coalesce = coalesce
        self._again = again
        self._arrived = asyncio.Event()

    def wake(self) -> None:
        """There is something new."""
        self._arrived.set()

    async def run(self) -> None:
        """Look at once, after each arrival, and from time to time. Ends only by cancellation."""
        while True:
            self._arrived.clear()
            try:
                await self.announce()
            except LeverframeError as error:
                _log.warning("reports not announced", error=str(error))
            except Exception as error:  # a defect must not end the loop
                _log.error("reports not announced", exc_info=error)
            await asyncio.sleep(self._coalesce)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._arrived.wait(), self._again)

    async def announce(self) -> None:
        """Tell of all that waits, one signal for each repository.

        Raises:
            Unavailable: the store or the engine does not answer. What was told is marked.
        """
        now = datetime.now(UTC)
        waiting = await asyncio.to_thread(self._reports.unannounced, before=now, limit=MOST)
        self._counters.unannounced(len(waiting))
        by_repository: defaultdict[str, list[KeptReport]] = defaultdict(list)
        for report in waiting:
            by_repository[report.repository].append(report)
        for repository, reports in by_repository.items():
            await self._announce(repository, reports)
            told = [report.id for report in reports]
            await asyncio.to_thread(self._reports.mark_announced, told, datetime.now(UTC))
        self._counters.unannounced(0)

    async def _announce(self, repository: str, reports: Sequence[KeptReport]) -> None:
        try:
            service = self._settings.repository(repository).service.name
        except BadConfiguration as error:
            # They stay in the store; if they stayed in line, too, they would hold up all others.
            _log.warning("reports of a repository that is not declared any more", error=str(error))
            return
        newest = max(reports, key=lambda report: report.received_at)
        await self._tell(
            ReportArrived(
                id=newest.id,
                repository=repository,
                service=service,
                title=Untrusted(f"test reports of {repository}: {len(reports)} new"),
                received_at=newest.received_at,
            )
        )
