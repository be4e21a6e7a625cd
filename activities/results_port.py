"""The ports of test results: reports come in, a fold turns them into what is known of each test."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, Protocol

from activities.executions_port import NOTHING, Asking, Executions
from activities.jobs_port import JobAttempts
from activities.ports import Health
from activities.records_port import QuarantineSeen, TestRecords
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.causes import Named
from agents.flaky_tests.history import History
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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFolded:
    """What one run added to what is known."""

    number: int
    """The runs of a repository are counted as they are folded."""
    run: str
    sha: str
    tests: int
    """That were executed."""
    failed: int
    """That only failed."""
    flaky: int
    """That failed and passed."""
    in_trouble: bool
    quarantined: int
    """Tests whose evidence is now enough."""
    released: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownTest:
    """One test, as the store knows it."""

    test: str
    path: str
    markers: tuple[str, ...] | None
    """What pytest calls marks, sorted; None where no report told them."""
    seen: int
    """Its counted runs."""
    history: History | None
    """None for a test that has only ever passed."""
    missed: int
    """Whole runs of the target branch since it was last in one."""
    last_at: datetime | None
    """When it last was in a run of any branch, as far as that is kept."""
    cause: Named | None = None
    """What fresh jobs say of why it fails; None where none has looked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SuiteSize:
    """A repository's suite."""

    tests: int
    """In a whole run of the target branch; while there was none, in all runs together."""
    runs: int
    """That were folded."""
    waiting: int
    """Reports whose runs are not folded yet."""


ChangeState = Literal["open", "over", "rejected", "asked"]
"""`rejected`: a person closed it; `over`: it landed, or the train gave it up; `asked`: people are or were
asked about it, and nothing of it was opened yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AmendedEntry:
    """What a change of ours does, or would have done, to an entry that stays in the file."""

    test: str
    expired: date
    """The expiry that it had before."""
    expires: date
    masks: tuple[str, ...] = ()
    """Failures that it hides besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantineNote:
    """What a change of ours does, or would have done, to the quarantine file."""

    change: str
    state: ChangeState
    enter: tuple[str, ...]
    leave: tuple[str, ...]
    opened_at: datetime
    amend: tuple[AmendedEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was too old to keep."""

    reports: int
    attempts: int
    days: int
    """Pages of counts."""
    runs: int
    events: int
    """Of quarantines."""
    executions: int = 0
    """Orders of fresh executions, and plans of nights."""
    jobs: int = 0
    """Attempts of CI's jobs."""


class RunFolds(Protocol):
    """The fold of runs, and what it leaves for decisions. Synchronous; several processes may share one."""

    def fold_next(
        self,
        repository: str,
        *,
        target: str,
        settled_before: datetime,
        at: datetime,
        bounds: Bounds,
        contains: Callable[[str, str], bool],
        asking: Asking = NOTHING,
    ) -> RunFolded | None:
        """Fold the oldest run whose newest report came before then; None if there is none.

        All of it or nothing, each run once, whoever asks: others wait. Of a report of a run that was
        folded only tests that the run did not have are folded, as a further part of it; the rest is counted.
        `contains(fix, sha)`: whether a commit has another in its history.
        Within `asking` rechecks are asked for first, and the run waits for them; probes afterwards.

        Raises:
            Unavailable: the store did not answer; nothing was done.
            BadInput: what is stored of a test is of another release.
        """
        ...

    def suite(self, repository: str) -> SuiteSize: ...

    def known(self, repository: str, named: Collection[str]) -> list[KnownTest]:
        """These tests, and all whose quarantine the evidence wants now; sorted by test."""
        ...

    def note(self, repository: str, notes: Sequence[QuarantineNote]) -> None:
        """Remember what changes do; a later note of the same change replaces its state. Idempotent."""
        ...

    def notes(self, repository: str) -> list[QuarantineNote]:
        """Of changes that are open, rejected or asked about, and of all that amend entries, the oldest
        first."""
        ...

    def note_tracking(self, repository: str, change: str, *, tracked: bool) -> None:
        """Whether the issues of a noted change's tests are opened and closed. Idempotent.

        When they are to be opened or closed anew, the forge has refused none of it yet.
        """
        ...

    def note_refused(self, repository: str, change: str) -> int:
        """The forge refused the issues of a change once more; how often so far."""
        ...

    def untracked(self, repository: str, *, most_refusals: int, limit: int) -> list[QuarantineNote]:
        """Changes that are over and whose issues are still to be opened or closed.

        Those that were refused least often first, of these the oldest; none that was refused so often.
        """
        ...

    def note_named(self, repository: str, named: Collection[str], at: datetime) -> None:
        """Remember that the quarantine file names these tests as of then. Idempotent."""
        ...

    def named_at(self, repository: str, among: Collection[str]) -> Mapping[str, datetime]:
        """Those of the tests that the quarantine file was ever seen to name, with when it last was."""
        ...

    def see_quarantine(self, repository: str, seen: QuarantineSeen) -> None:
        """Remember the quarantine file for those who can't read git. Idempotent."""
        ...

    def claim_fix(self, repository: str, test: str, sha: str) -> bool:
        """A commit says that it fixes a quarantined test: only runs that have it count from here on.

        False for a test that is not quarantined by the evidence.
        """
        ...

    def prune(self, *, attempts_before: datetime, days_before: datetime) -> Pruned:
        """Forget single attempts, of tests and of jobs, and folded reports from before then, and counts from
        before then."""
        ...


class Results(Reports, RunFolds, Executions, TestRecords, JobAttempts, Protocol):
    """One store that does all of it."""
