"""A store of test reports in memory."""

from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256

from activities.ports import Health
from activities.results_port import KeptReport
from leverframe.model.errors import Unavailable
from leverframe.model.jobs import JobAttempt
from leverframe.model.test_reports import Report


class ReportShelf:
    """The Reports port, and JobAttempts. It fails while it is away."""

    def __init__(self) -> None:
        self.reports: dict[str, Report] = {}
        self.jobs: dict[tuple[str, str, str], JobAttempt] = {}
        self.announced: set[str] = set()
        self.away = False
        self._kept: dict[str, KeptReport] = {}

    def keep(self, report: Report, *, at: datetime) -> KeptReport:
        self._answer()
        name = sha256(repr(report).encode()).hexdigest()[:32]
        known = self._kept.get(name)
        if known is not None:
            return KeptReport(id=name, repository=known.repository, received_at=known.received_at, new=False)
        self.reports[name] = report
        self._kept[name] = KeptReport(id=name, repository=report.repository, received_at=at, new=True)
        return self._kept[name]

    def keep_jobs(self, attempts: Sequence[JobAttempt]) -> int:
        self._answer()
        before = len(self.jobs)
        for attempt in attempts:
            self.jobs.setdefault((attempt.repository, attempt.source, attempt.id), attempt)
        return len(self.jobs) - before

    def unannounced(self, *, before: datetime, limit: int) -> list[KeptReport]:
        self._answer()
        waiting = [
            kept
            for kept in self._kept.values()
            if kept.id not in self.announced and kept.received_at < before
        ]
        return waiting[:limit]

    def mark_announced(self, reports: Sequence[str], at: datetime) -> None:
        self._answer()
        self.announced.update(reports)

    def health(self) -> Health:
        return Health(ok=not self.away, detail="in memory")

    def _answer(self) -> None:
        if self.away:
            raise Unavailable("the store does not answer")
