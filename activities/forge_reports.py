"""Fetching what a run of the forge's CI says of its tests, and how its jobs ended. On the hands queue."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Protocol

import structlog
from pydantic import Field
from temporalio import activity

from activities.failures import typed_failures
from activities.forge_reports_port import ForgeReports, FoundRun
from activities.jobs_port import JobAttempts
from activities.pulse import with_pulse
from activities.results_port import Reports
from activities.taking_in import TakenIn
from leverframe.model.errors import BadConfiguration, NotFound, Refused
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.topology import Repository

_log = structlog.get_logger(__name__)


class FetchReports(Frozen):
    """Fetch the reports of one run."""

    repository: Slug
    run: str = Field(max_length=100)
    """As its jobs name it."""


class Shelf(Reports, JobAttempts, Protocol):
    """Where both are put."""


class ForgeReportActivities:
    """Reads the forge's runs; `forge` is None where changes are kept in the store."""

    def __init__(
        self, forge: ForgeReports | None, shelf: Shelf, repositories: Mapping[str, Repository]
    ) -> None:
        self._forge = forge
        self._shelf = shelf
        self._repositories = repositories

    @activity.defn(name="fetch_reports")
    @typed_failures
    @with_pulse
    def fetch_reports(self, request: FetchReports) -> TakenIn:
        """Store what is sound; again, it is the same. The gateway tells the watches.

        Raises BadConfiguration, NotFound, Refused, Unavailable.
        """
        repository = self._repositories.get(request.repository)
        if self._forge is None or repository is None:
            raise BadConfiguration(f"no forge is configured here for {request.repository!r}")
        run = self._forge.run(repository, request.run)
        taken = TakenIn()
        if run is None:
            return taken.complained("the run is a fork's")
        for found in self._forge.fetch(repository, run):
            taken = taken.complained(*found.complaints).with_kept(
                self._shelf, found.reports, at=datetime.now(UTC)
            )
        taken = self._jobs(self._forge, repository, run, taken)
        if taken.complaints:
            _log.warning("forge.reports", run=run.id, complaints=taken.complaints)
        return taken

    def _jobs(self, forge: ForgeReports, repository: Repository, run: FoundRun, taken: TakenIn) -> TakenIn:
        """With how its jobs ended. What may not be read is told, and the reports are kept all the same."""
        try:
            found = forge.jobs(repository, run)
        except (NotFound, Refused) as error:
            return taken.complained(f"its jobs can't be read: {error}")
        self._shelf.keep_jobs(found.attempts)
        return taken.complained(*found.complaints).model_copy(update={"jobs": len(found.attempts)})
