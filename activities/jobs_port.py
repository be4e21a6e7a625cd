"""The ports of CI's jobs: attempts come in, and what people ask of them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from agents.flaky_tests.jobs import FlakyJob
from leverframe.model.jobs import JobAttempt


class JobAttempts(Protocol):
    """Where attempts of jobs are put. Synchronous; several processes may share one."""

    def keep_jobs(self, attempts: Sequence[JobAttempt]) -> int:
        """Store attempts; how many of them are new. One that is there already stays as it is.

        Raises Unavailable.
        """
        ...


class JobRecords(Protocol):
    """Reads only. Synchronous."""

    def flaky_jobs(self, repository: str, *, since: datetime, now: datetime) -> list[FlakyJob]:
        """Jobs that failed and passed at one commit in that time, those that cost most first."""
        ...
