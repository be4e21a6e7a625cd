"""The port of what people ask of test results: lists, one test's story, and figures of a suite."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from activities.jobs_port import JobRecords
from agents.flaky_tests.causes import Cause, Named
from agents.flaky_tests.history import Verdict
from leverframe.model.executions import ExecutionPurpose, Kind

Order = Literal["changed", "test", "flaky"]
"""What changed last first, by identity, or what was discordant most often first."""
ExecutionOutcome = Literal["waiting", "done", "unfit", "expired"]
"""Of an order: `unfit` when git does not have the commit, `expired` when no sandbox executed it in time."""
Happening = Literal["quarantined", "released", "unmasked", "masked"]
"""To a quarantine, by the evidence: `unmasked` is that its failures count again though it is not healed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestLine:
    """One test that has failed at least once. Its identity and path are data from outside."""

    test: str
    path: str
    verdict: Verdict
    evidence: str
    """A sentence of ours."""
    seen: int
    """Its counted runs."""
    discordant: int
    """Counted runs in which it failed and passed at one commit."""
    quarantined_at: datetime | None
    """By the evidence; None for a test that is not quarantined now."""
    changed_at: datetime
    """The last run that changed what is known of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureCount:
    """Failures with one cause."""

    fingerprint: str
    """Empty where nothing is known of them."""
    failures: int
    tests: int
    last_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLine:
    """One attempt of a test that failed or ran more than once."""

    run: str
    sha: str
    branch: str
    job: str
    attempt: int
    outcome: str
    fingerprint: str
    milliseconds: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekCount:
    """What a test did in one week."""

    monday: date
    runs: int
    passes: int
    """Executions."""
    failures: int
    skips: int
    milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionLine:
    """One fresh job that executes one test."""

    asked_at: datetime
    purpose: ExecutionPurpose
    kind: Kind
    sha: str
    check: str
    executions: int
    """That were asked for."""
    outcome: ExecutionOutcome
    passes: int
    failures: int
    milliseconds: int
    why: str
    """When it said nothing, or less than was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTotals:
    """What the fresh jobs for one purpose came to."""

    purpose: ExecutionPurpose
    jobs: int
    passes: int
    """Executions."""
    failures: int
    silent: int
    """Jobs that said nothing."""
    milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CauseCount:
    """Tests that fresh jobs looked into, with one likely cause."""

    cause: Cause
    tests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TestStory:
    """All that is kept of one test."""

    line: TestLine
    markers: tuple[str, ...] | None
    """What pytest calls marks; None where no report told them. Data from outside."""
    first_at: datetime
    last_at: datetime | None
    """When it last was in a run, as far as that is kept."""
    signatures: tuple[SignatureCount, ...]
    """Of single attempts that are kept, the most frequent first."""
    attempts: tuple[AttemptLine, ...]
    """Newest first."""
    weeks: tuple[WeekCount, ...]
    """Weeks in which it ran, oldest first."""
    events: tuple[tuple[Happening, datetime], ...]
    """Oldest first."""
    rerun_milliseconds: int
    """Of its executions after the first of a run, of those that are kept."""
    cause: Named | None
    """None for a test that no fresh job has looked into."""
    executions: tuple[ExecutionLine, ...]
    """Fresh jobs that are kept, the newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TestCost:
    """What one test's executions after the first of a run took."""

    test: str
    rerun_milliseconds: int
    reruns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteFigures:
    """What a suite did since then."""

    tests: int
    """In a whole run of the target branch."""
    runs: int
    in_trouble: int
    """Runs that the infrastructure gate left out."""
    flaky_runs: int
    """Runs in which a test failed and passed, without those in trouble."""
    flaky_ppm: int
    """Of a million tests in runs, so many failed and passed; without runs in trouble."""
    executions: int
    milliseconds: int
    rerun_milliseconds: int
    signatures: tuple[SignatureCount, ...]
    """Most frequent first."""
    costs: tuple[TestCost, ...]
    """Most expensive first."""
    verdicts: tuple[tuple[Verdict, int], ...]
    """Now, of tests that have failed at least once, and of the others in the last whole run of the target
    branch; while there was none, of all others."""
    causes: tuple[CauseCount, ...]
    """Most frequent first."""
    fresh: tuple[ExecutionTotals, ...]
    """Fresh jobs by what they were for."""
    quarantine_days: tuple[int, ...]
    """For each test that is quarantined by the evidence now, since when; ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteWeek:
    """What a suite did in one week."""

    monday: date
    runs: int
    in_trouble: int
    flaky_runs: int
    """Runs in which a test failed and passed, without those in trouble."""
    flaky_ppm: int
    """Of a million tests in runs, so many failed and passed; without runs in trouble."""
    milliseconds: int
    rerun_milliseconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """What the evidence did to one test's quarantine."""

    test: str
    what: Happening
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineSeen:
    """The quarantine file, as a worker last read it."""

    sha: str
    content: str
    """Data from outside; empty when the commit had none."""
    read_at: datetime


class TestRecords(JobRecords, Protocol):
    """Reads only. Synchronous."""

    def listed(
        self,
        repository: str,
        *,
        verdict: Verdict | None = None,
        quarantined: bool | None = None,
        order: Order = "changed",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[TestLine], int]:
        """Tests that have failed at least once, and how many there are without the limit."""
        ...

    def story(self, repository: str, test: str) -> TestStory | None:
        """None for a test that is not known, or that has only ever passed."""
        ...

    def figures(self, repository: str, *, since: datetime, now: datetime) -> SuiteFigures: ...

    def by_week(self, repository: str, *, since: datetime, now: datetime) -> list[SuiteWeek]:
        """Weeks with runs in that time, oldest first."""
        ...

    def happened(self, repository: str, *, since: datetime, now: datetime) -> list[Happened]:
        """What quarantines did in that time, oldest first."""
        ...

    def quarantine_seen(self, repository: str) -> QuarantineSeen | None:
        """None where no worker has looked yet."""
        ...
