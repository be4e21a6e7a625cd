"""A history, row by row, through the same fold as live reports, in bounded memory.

Rows of several runs may be mixed; a run is its name and its commit. It ends when no row of it came for IDLE
of the history's own time, or when as many others are open as memory is given for and it has waited longest,
or with the history. A row that comes later than that, or again, changes nothing and is counted.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import verdict
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.open_run import OpenRun
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.suite import Suite, fold
from agents.flaky_tests.words import explained
from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_TESTS

IDLE = timedelta(hours=2)
LEAST_OPEN, MOST_OPEN = 32, 1_000
"""Runs that may be open at once, however many tests there are."""
MARKS = 2**24
"""Bytes that open runs may take: each costs one for each test."""
_CLOSED = 100_000
"""Runs that are known to have ended."""
COMMITS = 64
"""Commits of which it is known what passed there."""
MAIN = frozenset({"main", "master", "trunk", "develop"})


class Row(NamedTuple):
    """One attempt of one test in one run."""

    test: str
    run: str
    sha: str
    branch: str
    attempt: int
    at: datetime
    outcome: str
    signature: str | None = None


@dataclass(frozen=True, slots=True)
class Judged:
    """What the replay says of one test."""

    verdict: Verdict
    quarantined_at: datetime | None
    released_at: datetime | None
    evidence: str


class Replay:
    """Takes rows in the order of time; asks for the verdicts at the end."""

    def __init__(self, bounds: Bounds, main: frozenset[str] = MAIN) -> None:
        self.bounds, self.main = bounds, main
        self.suite, self.shelf = Suite(), MemoryShelf()
        self.quarantines = self.repeated = self.late = 0
        self._numbers: dict[str, int] = {}
        self._open: OrderedDict[tuple[str, str], OpenRun] = OrderedDict()
        self._closed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._commits: OrderedDict[str, bytes] = OrderedDict()

    @property
    def runs(self) -> int:
        """Runs that have ended, those with trouble of the infrastructure among them."""
        return self.suite.runs

    def add(self, row: Row) -> None:
        """One row; one whose time goes back is taken as it comes. Raises BadInput for too many tests."""
        test, run_name, sha, _, attempt, at, outcome, signature = row
        name = run_name, sha
        run = self._open.get(name)
        if run is None:
            run = self._begin(name, row)
            if run is None:
                return
        elif at > run.last:
            run.last = at
            self._open.move_to_end(name)
            self._end_idle(at)
        number = self._numbers.get(test)
        if number is None:
            number = self._new(test)
        run.reserve(number)
        if not run.add(number, attempt, outcome, signature):
            self.repeated += 1

    def finish(self) -> None:
        """End the runs that are still open: the history has no more rows."""
        while self._open:
            self._end(next(iter(self._open)))

    def verdicts(self) -> Iterator[tuple[str, Judged]]:
        """What is said of each test, in the order in which they first appeared."""
        for test, number in self._numbers.items():
            history, seen = self.shelf.history(number), self.shelf.seen(number)
            yield (
                test,
                Judged(
                    verdict=verdict(history, seen),
                    quarantined_at=history.quarantined_at if history else None,
                    released_at=history.released_at if history else None,
                    evidence=explained(history, seen, self.bounds),
                ),
            )

    def _begin(self, name: tuple[str, str], row: Row) -> OpenRun | None:
        """A run's first row; None if the run has ended."""
        if name in self._closed:
            self.late += 1
            return None
        self._end_idle(row.at)
        if len(self._open) >= min(max(MARKS // (len(self._numbers) + 1), LEAST_OPEN), MOST_OPEN):
            self._end(next(iter(self._open)))
        run = OpenRun(sha=row.sha, branch=row.branch, last=row.at, tests=len(self._numbers))
        self._open[name] = run
        return run

    def _new(self, test: str) -> int:
        if len(self._numbers) >= MOST_TESTS:
            raise BadInput(f"more than {MOST_TESTS:,} tests: give a part of the history")
        return self._numbers.setdefault(test, len(self._numbers))

    def _end_idle(self, now: datetime) -> None:
        while self._open:
            oldest = next(iter(self._open))
            if now - self._open[oldest].last <= IDLE:
                return
            self._end(oldest)

    def _end(self, name: tuple[str, str]) -> None:
        """Fold a run."""
        run = self._open.pop(name)
        self._closed[name] = None
        if len(self._closed) > _CLOSED:
            self._closed.popitem(last=False)
        before = self._commits.get(run.sha, b"")
        ended = run.ended(main=run.branch in self.main, passed_there=before)
        folded = fold(self.suite, ended, self.shelf, self.bounds)
        self.suite = folded.suite
        self.quarantines += sum(change.quarantined for change in folded.changes)
        if folded.in_trouble:
            return
        self._commits[run.sha] = run.now_passed(before)
        self._commits.move_to_end(run.sha)
        if len(self._commits) > COMMITS:
            self._commits.popitem(last=False)
