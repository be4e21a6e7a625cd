"""What a car's checks said of their tests goes into the store. On the hands queue, where no car runs."""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import structlog
from temporalio import activity

from activities.failures import typed_failures
from activities.left_reports import LeftReports, branch_of, contents
from activities.results_port import Reports
from activities.taking_in import TakenIn
from leverframe.model.errors import BadConfiguration, BadInput
from leverframe.model.topology import Repository
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read

KEPT = timedelta(days=2)
"""How long reports lie that nobody takes in."""

_log = structlog.get_logger(__name__)


class CarReportActivities:
    """Takes in what the sandbox has left in `directory`."""

    def __init__(self, reports: Reports, repositories: Mapping[str, Repository], directory: Path) -> None:
        self._reports = reports
        self._repositories = repositories
        self._directory = directory

    @activity.defn(name="take_in_reports")
    @typed_failures
    def take_in_reports(self, left: LeftReports) -> TakenIn:
        """Store what is sound and delete the file; none there is none. The gateway tells the watches.

        Raises BadConfiguration, Unavailable.
        """
        place = left.place(self._directory)
        repository = self._repositories.get(left.repository)
        if repository is None:
            raise BadConfiguration(f"repository {left.repository!r} is not declared here")
        facts = Facts(
            repository=left.repository,
            source="car",
            run=left.run,
            sha=left.sha,
            branch=branch_of(repository.target),
            job=left.check,
        )
        taken = TakenIn()
        if not place.is_file():
            return taken
        # Of when the file was written, so that the same is kept when this is done again.
        written = datetime.fromtimestamp(place.stat().st_mtime, UTC)
        bodies, broken = contents(place)
        for number, body in enumerate(bodies, start=1):
            try:
                report = read(body, facts, now=written)
            except BadInput as error:
                taken = taken.complained(f"report {number}: {error}")
            else:
                taken = taken.with_kept(self._reports, [report], at=datetime.now(UTC))
        if broken:
            taken = taken.complained(broken)
        if taken.complaints:
            _log.warning("car.reports", run=left.run, check=left.check, complaints=taken.complaints)
        place.unlink(missing_ok=True)
        self._sweep(written)
        return taken

    def _sweep(self, now: datetime) -> None:
        """Delete what cars left that nobody tests any more."""
        for path in self._directory.glob("*/*"):
            with suppress(OSError):
                if path.stat().st_mtime < now.timestamp() - KEPT.total_seconds():
                    path.unlink()
