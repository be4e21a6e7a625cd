"""The peers' rules, written from their public documentation, without our code.

A rule sees one test's events, runs in which an execution failed, and says from which run to which it keeps
the test quarantined; every failure in between is masked. A day has 20 runs. Where a product lets teams
choose, its documented default is taken; where there is none, the number stands in the rule's name.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import log

from bench.flaky_world import A_DAY, MAIN_EVERY, RUNS

WEEK = 7 * A_DAY


@dataclass(frozen=True, slots=True)
class Event:
    """A run in which an execution of the test failed."""

    run: int
    passed: bool
    """A retry passed."""


Interval = tuple[int, int]
"""From the first run after the decision to the run of the release."""

Events = Sequence[Event]
Rule = Callable[[Events], list[Interval]]


def _intervals(starts: Iterator[int], keeps: Callable[[int], int]) -> list[Interval]:
    """Starts that are not inside the interval before, each until what `keeps` says."""
    found: list[Interval] = []
    for start in starts:
        if not found or start >= found[-1][1]:
            found.append((start + 1, min(keeps(start), RUNS)))
    return found


def _until_quiet(runs: Sequence[int], quiet: int) -> Callable[[int], int]:
    """The first run that has `quiet` runs without an event before it."""

    def keeps(start: int) -> int:
        after = [start, *runs[bisect_right(runs, start) :]]
        for run, following in pairwise([*after, RUNS + quiet]):
            if following - run > quiet:
                return run + quiet
        return RUNS

    return keeps


def _between(runs: Sequence[int], after: int, until: int) -> int:
    return bisect_right(runs, until) - bisect_right(runs, after)


def passed_on_retry(times: int, within: int, quiet: int) -> Rule:
    """So many fail-and-pass runs within so many runs; released after `quiet` runs without one."""

    def rule(events: Events) -> list[Interval]:
        runs = [event.run for event in events if event.passed]
        ends = zip(runs, runs[times - 1 :], strict=False)
        return _intervals((last for first, last in ends if last - first < within), _until_quiet(runs, quiet))

    return rule


def five_passes(events: Events) -> list[Interval]:
    """Harness: one fail-and-pass, released after five consecutive passes."""
    red = [event.run for event in events]
    return _intervals((event.run for event in events if event.passed), _until_quiet(red, 5))


def with_broken_monitor(events: Events) -> list[Interval]:
    """Trunk with its opt-in monitor: a test that failed in 80 % of the last 20 runs is broken, not masked."""
    failed = {event.run for event in events if not event.passed}
    found: list[Interval] = []
    for start, end in passed_on_retry(1, 1, WEEK)(events):
        broken = next(
            (run for run in range(start, end) if sum(r in failed for r in range(run - 19, run + 1)) >= 16),
            end,
        )
        found.append((start, broken))
    return found


def green_reruns(events: Events) -> list[Interval]:
    """PyTorch: three fail-and-pass runs in 100, released after 150 green runs and none red."""
    runs = [event.run for event in events if event.passed]
    red = [event.run for event in events]
    ends = zip(runs, runs[2:], strict=False)
    return _intervals((last for first, last in ends if last - first < 100), _until_quiet(red, 150))


def transitions(events: Events) -> list[Interval]:
    """Three changes between red and green in 20 runs of main, released after a week without one."""
    red = {event.run for event in events if not event.passed}
    mains = range(0, RUNS, MAIN_EVERY)
    flips = [run for before, run in pairwise(mains) if (before in red) != (run in red)]
    ends = zip(flips, flips[2:], strict=False)
    return _intervals(
        (last for first, last in ends if last - first < 20 * MAIN_EVERY), _until_quiet(flips, WEEK)
    )


def failure_rate(share: float) -> Rule:
    """So many first executions of the last 140 runs failed; released when fewer than half of that did."""

    def rule(events: Events) -> list[Interval]:
        runs = [event.run for event in events]
        need = max(int(share * WEEK), 1)
        ends = zip(runs, runs[need - 1 :], strict=False)

        def keeps(start: int) -> int:
            least = max(need // 2, 1)
            return next(
                (run for run in range(start + 1, RUNS) if _between(runs, run - WEEK, run) < least), RUNS
            )

        return _intervals((last for first, last in ends if last - first < WEEK), keeps)

    return rule


_GRID = tuple(10 ** (-4 + 4 * place / 24) for place in range(25))
_BAD = 0.01
"""The share of commits at which the test fails for good."""


def posterior(events: Events) -> list[Interval]:
    """Meta's probabilistic flakiness score: a commit is good or bad; at a good one it fails with chance p.

    The posterior mean of p over the last 280 runs, with a prior of 1/p; 1 % quarantines, half of it releases.
    """
    log_pass = [log((1 - _BAD) * (1 - p * 0.999)) for p in _GRID]
    log_both = [log((1 - _BAD) * p * (1 - p * p * 0.999)) for p in _GRID]
    log_fail = [log(_BAD + (1 - _BAD) * p**3) for p in _GRID]

    @cache
    def of(passed: int, both: int, failed: int) -> float:
        logs = [
            passed * a + both * b + failed * c - log(p)
            for p, a, b, c in zip(_GRID, log_pass, log_both, log_fail, strict=True)
        ]
        top = max(logs)
        weights = [2.718281828 ** (value - top) for value in logs]
        return sum(p * w for p, w in zip(_GRID, weights, strict=True)) / sum(weights)

    both = [event.run for event in events if event.passed]
    failed = [event.run for event in events if not event.passed]

    def mean(at: int) -> float:
        counts = _between(both, at - 2 * WEEK, at), _between(failed, at - 2 * WEEK, at)
        return of(min(at + 1, 2 * WEEK) - sum(counts), *counts)

    def keeps(start: int) -> int:
        return next((run for run in range(start + A_DAY, RUNS, A_DAY) if mean(run) < 0.005), RUNS)

    return _intervals((event.run for event in events if event.passed and mean(event.run) >= 0.01), keeps)


PEERS: dict[str, Rule] = {
    "nothing": lambda events: [],
    "once, 7-day heal (Trunk)": passed_on_retry(1, 1, WEEK),
    "… with its broken monitor": with_broken_monitor,
    "once, 100-run heal (Buildkite)": passed_on_retry(1, 1, 100),
    "once, 5-pass heal (Harness)": five_passes,
    "once, 30-day heal (Datadog)": passed_on_retry(1, 1, 30 * A_DAY),
    "twice in 7 days": passed_on_retry(2, WEEK, WEEK),
    "3 in 100, 150-green heal (PyTorch)": green_reruns,
    "3 flips in 20 main runs": transitions,
    "failure rate 5 %": failure_rate(0.05),
    "failure rate 2 %": failure_rate(0.02),
    "posterior mean 1 % (PFS)": posterior,
}
