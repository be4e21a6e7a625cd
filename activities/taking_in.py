"""Reports that were found somewhere go into the store, and what is wrong with them into words."""

from collections.abc import Sequence
from datetime import datetime

from activities.results_port import Reports
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen
from leverframe.model.test_reports import Report

MOST_COMPLAINTS = 20


class TakenIn(Frozen):
    """What is in the store now."""

    reports: int = 0
    attempts: int = 0
    jobs: int = 0
    """Attempts of CI's jobs."""
    complaints: tuple[str, ...] = ()

    def complained(self, *complaints: str) -> "TakenIn":
        """The same, with more that could not be used; of very many the first ones."""
        return self.model_copy(update={"complaints": (*self.complaints, *complaints)[:MOST_COMPLAINTS]})

    def with_kept(self, store: Reports, found: Sequence[Report], *, at: datetime) -> "TakenIn":
        """Keep reports; one that the store does not take is a complaint. Raises Unavailable."""
        taken = self
        for report in found:
            try:
                store.keep(report, at=at)
            except BadInput as error:
                taken = taken.complained(f"{report.job}: {error}")
                continue
            taken = taken.complained(*(f"{report.job}: {each}" for each in report.complaints)).model_copy(
                update={
                    "reports": taken.reports + 1,
                    "attempts": taken.attempts + len(report.attempts),
                }
            )
        return taken
