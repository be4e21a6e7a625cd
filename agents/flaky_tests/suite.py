"""The fold of one run over a suite: the same for live reports, a replay and the bench.

A test that passes in its only execution costs one number on the shelf; only tests with a failure, or whose
passes matter one by one, are folded by themselves.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Protocol

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import Conditions, isolated, observe
from agents.flaky_tests.gate import Counts, Earlier, Gate
from agents.flaky_tests.history import History
from agents.flaky_tests.noise import Noise
from agents.flaky_tests.observation import Run


class Shelf(Protocol):
    """Where the tests' histories lie: in memory, or in a store. A test is a number."""

    def seen(self, test: int) -> int:
        """The number of the test's counted runs."""
        ...

    def history(self, test: int) -> History | None:
        """None for a test that has only ever passed."""
        ...

    def keep(self, test: int, history: History) -> None: ...

    def attentive(self) -> Iterable[int]:
        """The tests whose passes matter one by one."""
        ...

    def count(self, tests: Iterable[int]) -> None:
        """One more counted run for each of the tests."""
        ...


@dataclass(frozen=True, slots=True)
class Suite:
    """What is known of a repository's suite as a whole."""

    noise: Noise = field(default_factory=Noise)
    gate: Gate = field(default_factory=Gate)
    runs: int = 0
    in_trouble: int = 0
    """Runs that the infrastructure gate left out."""


@dataclass(frozen=True, slots=True)
class Change:
    """What a run changed for one test: its history before and after."""

    test: int
    before: History | None
    after: History

    @property
    def quarantined(self) -> bool:
        was = self.before.quarantines if self.before else 0
        return self.after.quarantines > was

    @property
    def released(self) -> bool:
        return bool(self.before and self.before.quarantine) and self.after.quarantine is None


@dataclass(frozen=True, slots=True)
class Folded:
    """A suite after a run, with what the run changed, by the tests' numbers."""

    suite: Suite
    in_trouble: bool
    counts: Counts
    changes: tuple[Change, ...]


def fold(suite: Suite, run: Run, shelf: Shelf, bounds: Bounds, earlier: Earlier | None = None) -> Folded:
    """Fold one run, or with `earlier` a further part of one that was folded, of other tests.

    Every test is folded with what was known before the run, so their order does not matter. The shelf has the
    new histories afterwards.
    """
    counts = _counts(run, shelf)
    trouble, gate = suite.gate.judge(counts, earlier)
    one_by_one = [*run.others, *(test for test in shelf.attentive() if test in run.passed)]
    conditions = Conditions(noise=suite.noise.bound, in_trouble=trouble, bounds=bounds)
    changes, alone = [], 0
    for test in one_by_one:
        before, seen = shelf.history(test), shelf.seen(test)
        if before is None and not run.of(test).failures:
            continue
        start = before or History(passed_once=seen > 0)
        after = observe(start, test, run, seen, conditions)
        if after is start and before is not None:
            continue
        alone += isolated(before, after)
        shelf.keep(test, after)
        changes.append(Change(test, before, after))
    if not trouble:
        shelf.count(run.passed)
        shelf.count(run.others)
    return Folded(
        suite=Suite(
            noise=suite.noise if trouble else suite.noise.after(runs=counts.tests, isolated=alone),
            gate=gate,
            runs=suite.runs + 1,
            in_trouble=suite.in_trouble + trouble,
        ),
        in_trouble=trouble,
        counts=counts,
        changes=tuple(sorted(changes, key=lambda change: change.test)),
    )


def in_trouble(suite: Suite, run: Run, shelf: Shelf) -> bool:
    """Whether the infrastructure gate would leave the run out."""
    return suite.gate.judge(_counts(run, shelf))[0]


def with_probe(suite: Suite, before: History, after: History) -> Suite:
    """The suite after a probe of one test: a discordance that has company is no noise."""
    if before.alone and not after.alone:
        return replace(suite, noise=suite.noise.with_company())
    return suite


def _counts(run: Run, shelf: Shelf) -> Counts:
    failing = both = 0
    for test, attempts in run.others.items():
        if attempts.failures and _calm(shelf, test):
            failing += attempts.first_failed
            both += attempts.both
    return Counts(tests=len(run.others) + len(run.passed), failing=failing, both=both)


def _calm(shelf: Shelf, test: int) -> bool:
    history = shelf.history(test)
    return history is None or history.calm(shelf.seen(test))
