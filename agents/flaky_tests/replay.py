"""A history, row by row, through the same fold as live reports, in bounded memory.

Rows of several runs may be mixed. A run ends when no row of it came for IDLE of the history's own time, or
when MOST_OPEN others are open and it has waited longest, or with the history. A row that comes later than
that, or again, changes nothing and is counted.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import verdict
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.observation import PASS, Run, attempts
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.suite import Suite, fold
from agents.flaky_tests.words import explained
from leverframe.model.errors import BadInput
from leverframe_pytest.signatures import fingerprint

IDLE = timedelta(hours=2)
MOST_OPEN = 32
"""Runs that are open at once; each costs a byte a test."""
_CLOSED = 100_000
"""Runs that are known to have ended."""
_COMMITS = 64
"""Commits of which it is known what passed there."""
MOST_TESTS = 1_000_000
MOST_ATTEMPTS = 100
"""Attempts of one test in one run that are kept."""
MAIN = frozenset({"main", "master", "trunk", "develop"})

_ABSENT, _OTHER = 0, 3
"""Marks of a test in a run; 1 and 2 are a pass at attempt 0 or 1 and no other row."""
_AS_PASSED = bytes([0, 1, 1, 0]) + bytes(252)


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


@dataclass(slots=True)
class _Open:
    """A run whose rows still come."""

    sha: str
    branch: str
    last: datetime
    marks: bytearray
    """One for each test."""
    others: dict[int, dict[int, tuple[str, str]]] = field(default_factory=dict)


class _Passed(Collection[int]):
    """The tests that have the mark 1."""

    def __init__(self, marks: bytes) -> None:
        self._marks, self._count = marks, marks.count(1)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, test: object) -> bool:
        return isinstance(test, int) and test < len(self._marks) and self._marks[test] == 1

    def __iter__(self) -> Iterator[int]:
        find, at = self._marks.find, -1
        while (at := find(1, at + 1)) >= 0:
            yield at


class Replay:
    """Takes rows in the order of time; asks for the verdicts at the end."""

    def __init__(self, bounds: Bounds, main: frozenset[str] = MAIN) -> None:
        self.bounds, self.main = bounds, main
        self.suite, self.shelf = Suite(), MemoryShelf()
        self.quarantines = self.repeated = self.late = 0
        self._numbers: dict[str, int] = {}
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._commits: OrderedDict[str, bytes] = OrderedDict()

    @property
    def runs(self) -> int:
        """Runs that have ended, those with trouble of the infrastructure among them."""
        return self.suite.runs

    def add(self, row: Row) -> None:
        """One row; one whose time goes back is taken as it comes. Raises BadInput for too many tests."""
        run = self._open.get(row.run)
        if run is None:
            run = self._begin(row)
            if run is None:
                return
        elif row.at > run.last:
            run.last = row.at
            self._open.move_to_end(row.run)
            self._end_idle(row.at)
        number = self._numbers.get(row.test)
        if number is None:
            number = self._new(row.test)
        marks = run.marks
        if number >= len(marks):
            marks.extend(bytes(number + 1024 - len(marks)))
        if marks[number] == _ABSENT and row.outcome == PASS and 0 <= row.attempt <= 1:
            marks[number] = row.attempt + 1
            return
        self._detail(run, number, row)

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

    def _begin(self, row: Row) -> _Open | None:
        """A run's first row; None if the run has ended."""
        if row.run in self._closed:
            self.late += 1
            return None
        self._end_idle(row.at)
        if len(self._open) >= MOST_OPEN:
            self._end(next(iter(self._open)))
        run = _Open(sha=row.sha, branch=row.branch, last=row.at, marks=bytearray(len(self._numbers)))
        self._open[row.run] = run
        return run

    def _new(self, test: str) -> int:
        if len(self._numbers) >= MOST_TESTS:
            raise BadInput(f"more than {MOST_TESTS:,} tests: give a part of the history")
        return self._numbers.setdefault(test, len(self._numbers))

    def _detail(self, run: _Open, number: int, row: Row) -> None:
        """A row that is more than a first pass."""
        mark = run.marks[number]
        if mark not in (_ABSENT, _OTHER):
            if row.attempt == mark - 1:
                self.repeated += 1
                return
            run.others[number] = {mark - 1: (PASS, "")}
        run.marks[number] = _OTHER
        known = run.others.setdefault(number, {})
        if row.attempt in known or len(known) >= MOST_ATTEMPTS:
            self.repeated += 1
            return
        known[row.attempt] = (row.outcome, "" if row.outcome == PASS else fingerprint(row.signature))

    def _end_idle(self, now: datetime) -> None:
        while self._open:
            oldest = next(iter(self._open))
            if now - self._open[oldest].last <= IDLE:
                return
            self._end(oldest)

    def _end(self, name: str) -> None:
        """Fold a run."""
        run = self._open.pop(name)
        self._closed[name] = None
        if len(self._closed) > _CLOSED:
            self._closed.popitem(last=False)
        seen = {number: attempts(rows) for number, rows in run.others.items()}
        others = {number: one for number, one in seen.items() if one is not None}
        before, passed = self._commits.get(run.sha, b""), _Passed(bytes(run.marks.translate(_AS_PASSED)))
        folded = fold(
            self.suite,
            Run(
                sha=run.sha,
                branch=run.branch,
                main=run.branch in self.main,
                at=run.last,
                passed=passed,
                others=others,
                passed_before=frozenset(
                    number
                    for number, one in others.items()
                    if one.only_failed and number < len(before) and before[number]
                ),
            ),
            self.shelf,
            self.bounds,
        )
        self.suite = folded.suite
        self.quarantines += sum(change.quarantined for change in folded.changes)
        if not folded.in_trouble:
            self._remember(run, {number for number, one in others.items() if one.passes})

    def _remember(self, run: _Open, passed: set[int]) -> None:
        """What passed at the run's commit, for later runs at it."""
        marks = run.marks.translate(_AS_PASSED)
        for number in passed:
            marks[number] = 1
        before = self._commits.pop(run.sha, b"")
        both = int.from_bytes(before, "little") | int.from_bytes(marks, "little")
        self._commits[run.sha] = both.to_bytes(max(len(before), len(marks)), "little")
        if len(self._commits) > _COMMITS:
            self._commits.popitem(last=False)
