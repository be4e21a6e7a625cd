"""A made-up suite with real failure rates: what each test does in each run, and what a rerun would show.

2,400 runs are 120 days of 20 runs, a quarter of them on main, each at a commit of its own, with up to two
retries. Of 2,000 sound tests 500 are active: changes of people break them in 0.5 % of their runs, and main
in one of 1,000. 700 tests are flaky from some run on, half of them execution by execution, half by
environment, where everything in one job fails together. A third stays so, a third is fixed 1,000 runs later,
a third really breaks then. 60 more begin to fail 70 % of the time, as a regression may make them.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import log

from agents.flaky_tests.observation import Attempts
from bench.detector import seeded
from bench.flaky_rates import drawn

RUNS, A_DAY, MAIN_EVERY, RETRIES = 2_400, 20, 4, 2
QUIET, ACTIVE, FLAKY, SHIFTING = 1_500, 500, 700, 60
LATER = 1_000
NOISE = 1e-5
BREAKS, REGRESSIONS, REGRESSED_RUNS = 0.005, 0.001, 20
BAD_ENVIRONMENT = 0.8
"""What fails by environment fails so often in a bad one."""
CLAIMED, FALSELY = 0.8, 0.3
"""Fixes that their commit claims; still flaky tests for which one commit claims a fix that is none."""
OUTAGES = {"calm": 0, "outage": 600, "stress": 100}
"""Runs from one outage to the next; each hits 1 to 50 % of the tests."""
_HIT = 0.7


@dataclass(slots=True)
class Truth:
    """One test, as only the world knows it."""

    number: int
    kind: str
    """quiet, active, stays, fixed, breaks, shifts"""
    rate: float = 0.0
    by_environment: bool = False
    onset: int = RUNS
    turns: int = RUNS
    """When it is fixed, breaks or shifts."""
    claims: tuple[int, ...] = ()
    """Runs at which a commit claims to fix it."""
    breaks: frozenset[int] = frozenset()
    """Runs in which the change under test breaks it."""
    regressed: frozenset[int] = frozenset()
    """Runs in which it is broken on main."""

    def rate_at(self, run: int) -> float:
        if run < self.onset or (run >= self.turns and self.kind == "fixed"):
            return NOISE
        return 0.7 if run >= self.turns and self.kind == "shifts" else self.rate

    def broken_at(self, run: int) -> bool:
        return run in self.breaks or run in self.regressed or (self.kind == "breaks" and run >= self.turns)

    @property
    def flaky(self) -> bool:
        return self.kind not in ("quiet", "active")


@dataclass(slots=True)
class World:
    """The tests, and what they do by themselves: run → test → attempts, all other tests pass at once."""

    seed: str
    truths: list[Truth]
    runs: list[dict[int, Attempts]]
    outages: frozenset[int]
    executed: int = field(default=0)

    def executions(self, test: int, run: int, jobs: int, each: int, purpose: str) -> list[int]:
        """Failures in each of so many fresh jobs at the run's commit; the same whoever asks."""
        truth = self.truths[test]
        if truth.broken_at(run):
            return [each] * jobs
        dice = seeded(f"{self.seed} {test} {run} {purpose}")
        return [_failures(truth, run, each, dice) for _ in range(jobs)]


def made(seed: int, name: str) -> World:
    """The world of that name; the same seed makes the same tests in each."""
    dice = seeded(f"tests {seed}")
    truths = list(_truths(dice))
    runs: list[dict[int, Attempts]] = [{} for _ in range(RUNS)]
    for truth in truths:
        own = seeded(f"runs {seed} {truth.number}")
        for run in _troubled(truth, own):
            if attempts := _attempts(truth, run, own):
                runs[run][truth.number] = attempts
    outages = frozenset(_outages(OUTAGES[name], seeded(f"outages {seed} {name}")))
    for run in sorted(outages):
        _hit(runs[run], truths, run, seeded(f"outage {seed} {name} {run}"))
    return World(f"{seed} {name}", truths, runs, outages)


def _truths(dice: random.Random) -> Iterator[Truth]:
    number = 0
    for kind, count in (("quiet", QUIET), ("active", ACTIVE), ("flaky", FLAKY), ("shifts", SHIFTING)):
        for place in range(count):
            truth = Truth(number, kind)
            if kind in ("flaky", "shifts"):
                _make_flaky(truth, place, dice)
            if kind != "quiet":
                truth.breaks = frozenset(r for r in _chosen(BREAKS, 0, RUNS, dice) if r % MAIN_EVERY)
            if kind == "active":
                starts = list(_chosen(REGRESSIONS, 0, RUNS, dice))
                truth.regressed = frozenset(
                    run for start in starts for run in range(start, min(start + REGRESSED_RUNS, RUNS))
                )
            yield truth
            number += 1


def _make_flaky(truth: Truth, place: int, dice: random.Random) -> None:
    shifts = truth.kind == "shifts"
    truth.rate = drawn(dice)
    while shifts and not 0.005 <= truth.rate <= 0.2:
        truth.rate = drawn(dice)
    truth.kind = "shifts" if shifts else ("stays", "fixed", "breaks")[place % 3]
    truth.by_environment = place % 2 == 1
    truth.onset = dice.randrange(0, 600)
    if truth.kind != "stays":
        truth.turns = truth.onset + LATER
    claims = []
    if truth.kind == "fixed" and dice.random() < CLAIMED:
        claims.append(truth.turns)
    if dice.random() < FALSELY:
        claims.append(dice.randrange(truth.onset, min(truth.onset + LATER, RUNS)))
    truth.claims = tuple(sorted(claims))


def _chosen(chance: float, start: int, end: int, dice: random.Random) -> Iterator[int]:
    """Numbers from start to end, each with the chance, by the gaps between them."""
    at = start - 1
    while chance > 0:
        at += 1 + int(log(1.0 - dice.random()) / log(1.0 - chance)) if chance < 1 else 1
        if at >= end:
            return
        yield at


def _troubled(truth: Truth, dice: random.Random) -> list[int]:
    """The runs whose first execution fails, before outages."""
    found = {*truth.breaks, *truth.regressed}
    for start, end in ((0, truth.onset), (truth.onset, truth.turns), (truth.turns, RUNS)):
        if start >= min(end, RUNS):
            continue
        if truth.broken_at(start) and truth.kind == "breaks" and start >= truth.turns:
            found.update(range(start, RUNS))
        else:
            found.update(_chosen(truth.rate_at(start), start, min(end, RUNS), dice))
    return sorted(found)


def _attempts(truth: Truth, run: int, dice: random.Random) -> Attempts:
    """Of a run whose first execution failed."""
    failures = 1
    again = BAD_ENVIRONMENT if truth.by_environment else truth.rate_at(run)
    if truth.by_environment and run >= truth.turns and truth.kind == "shifts":
        again = truth.rate_at(run)
    broken = truth.broken_at(run)
    for _ in range(RETRIES):
        if not broken and dice.random() >= again:
            return _seen(1, failures)
        failures += 1
    return _seen(0, failures)


def _failures(truth: Truth, run: int, each: int, dice: random.Random) -> int:
    rate = truth.rate_at(run)
    if truth.by_environment and rate < BAD_ENVIRONMENT * 0.999:
        if dice.random() >= rate / BAD_ENVIRONMENT:
            return 0
        rate = BAD_ENVIRONMENT
    return sum(dice.random() < rate for _ in range(each))


def _outages(gap: int, dice: random.Random) -> Iterator[int]:
    if gap:
        for start in range(0, RUNS, gap):
            yield start + dice.randrange(gap)


def _hit(run: dict[int, Attempts], truths: list[Truth], number: int, dice: random.Random) -> None:
    share = dice.uniform(0.01, 0.5)
    for truth in truths:
        if dice.random() >= share or truth.number in run or dice.random() >= _HIT:
            continue
        failures = 1
        while failures <= RETRIES and dice.random() < _HIT:
            failures += 1
        run[truth.number] = _seen(int(failures <= RETRIES), failures)


def _seen(passes: int, failures: int) -> Attempts:
    return Attempts(passes=passes, failures=failures, first_failed=True, signatures=("same",))
