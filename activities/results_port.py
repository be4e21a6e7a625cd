"""The port of test results: reports come in, a fold turns them into what is known of each test."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activities.ports import Health
from leverframe.model.test_reports import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptReport:
    """One report in the store."""

    id: str
    """Names its content: the same report, sent twice, is one."""
    repository: str
    received_at: datetime
    new: bool
    """False when the store had it already."""


class Reports(Protocol):
    """Where the doors put reports. Synchronous; several processes may share one."""

    def keep(self, report: Report, *, at: datetime) -> KeptReport:
        """Store a report; one that is there already keeps its first time. Raises Unavailable.

        Raises BadInput for a repository's test that would be one too many.
        """
        ...

    def unannounced(self, *, before: datetime, limit: int) -> list[KeptReport]:
        """Reports, oldest first, of which the engine may not know, that came before then."""
        ...

    def mark_announced(self, reports: Sequence[str], at: datetime) -> None:
        """The watch knows of these. Idempotent."""
        ...

    def health(self) -> Health: ...
