"""The port of what a forge keeps of one run of its CI: test reports, and how its jobs ended."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activities.ports import Health
from leverframe.model.jobs import JobAttempt
from leverframe.model.test_reports import Report
from leverframe.model.topology import Repository
from leverframe.reports.facts import Facts


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundRun:
    """A run of the forge's CI that has ended, on a commit of the repository itself."""

    id: str
    """As its jobs name it, so that what they upload is of the same run: `8841.2`, the second attempt."""
    sha: str
    branch: str
    began: datetime
    ended: datetime

    def facts(self, repository: str, *, github: bool) -> Facts:
        """What its reports are of."""
        return Facts(
            repository=repository,
            source="github" if github else "gitlab",
            run=self.id,
            sha=self.sha,
            branch=self.branch,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What was found in one place, and what of it could not be used."""

    reports: tuple[Report, ...] = ()
    complaints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundJobs:
    """How jobs ended, and what of it could not be used."""

    attempts: tuple[JobAttempt, ...] = ()
    complaints: tuple[str, ...] = ()


class ForgeReports(Protocol):
    """The forge's side. A call reads only, and may be made again."""

    def run(self, repository: Repository, run: str) -> FoundRun | None:
        """The run that a webhook named. None for one of a fork: whoever can open a change from outside could
        make any test look flaky.

        Raises NotFound, Refused, Unavailable (also while it goes on).
        """
        ...

    def ended(self, repository: Repository, since: datetime) -> list[str]:
        """The runs that ended since then, as `run` takes them, if their reports or jobs are wanted; none of
        forks. A run that went on later has another name then.

        Raises NotFound, Refused, Unavailable.
        """
        ...

    def fetch(self, repository: Repository, run: FoundRun) -> Iterator[Fetched]:
        """Its reports, place by place. Raises NotFound, Refused, Unavailable."""
        ...

    def jobs(self, repository: Repository, run: FoundRun) -> FoundJobs:
        """How its jobs ended that are wanted. Raises NotFound, Refused, Unavailable."""
        ...

    def health(self) -> Health: ...
