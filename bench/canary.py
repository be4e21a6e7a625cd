"""The gate against the rules of rollout controllers and a naive test, on the same simulated rollouts.

    python -m bench.canary [--rollouts N] [--good N] [--most N] [--seed N] [--cells] [--processes N]

A rollout gives the canary 1, 5, 25 and 50 % of the traffic, ten minutes each; events are Poisson at the rates
of the cell. Every rule sees the same draws. `false` is the share of good releases taken back, in percent. For
harm the columns are power (%), the median minute of the decision and the mean bad requests that the canary
served. The worlds are ours, not production's.

The peers are tried on `--rollouts` (200). Where something is promised of our gate, that is too few: 1 % of
them is two, and two more or less are chance. So good releases are tried on `--good` (1,000), and twice as
many, and again, as long as the interval has 1 % in it, up to `--most` (8,000); harm on `--most`. Ends with
each target, the exact interval of what was measured (a little too narrow where it was looked at several
times), and whether it was met by the rule in `canary_odds`.
"""

import argparse
import os
import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from bench.canary_odds import Targets, mean, share
from bench.canary_peers import PEERS, Seen
from bench.canary_worlds import BEYOND, GOOD, STEPS, Cell
from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.gate_state import Poll
from workflows.release.judge import begin, observe
from workflows.release.sequential import Exposure

AT = datetime(2026, 1, 1, tzinfo=UTC)
OURS: Mapping[str, GateRules] = {
    "leverframe": GateRules(),
    "leverframe, cold_seconds = 0": GateRules(cold_seconds=0),
    "leverframe, burst_seconds = 0": GateRules(burst_seconds=0),
}
FALSE = 1.0
"""Percent of good releases that may be taken back."""
BATCH = 50
"""Rollouts that one process judges at a time."""


def judged(polls: Sequence[Seen], poll_seconds: int, rules: GateRules) -> int | None:
    """The number of the red poll, or None: our judge, as it stands at the live gate."""
    state = begin(rules, {"errors": SignalRules()}, steps=len(STEPS))
    for number, (weight, bad, total, other_bad, other_total) in enumerate(polls, start=1):
        seen = Exposure(canary=Count(bad=bad, total=total), stable=Count(bad=other_bad, total=other_total))
        at = AT + timedelta(seconds=poll_seconds * number)
        poll = Poll(at=at, weight=weight, signals={"errors": seen})
        state, judgement = observe(rules, state, poll, None)
        if judgement.finding == "red":
            return number
    return None


@dataclass(frozen=True)
class Found:
    """What one rule came to over many rollouts: of each the poll of its end, None for none, and its bad
    requests."""

    ends: tuple[int | None, ...]
    bad: tuple[int, ...]
    poll: int

    def __add__(self, other: "Found") -> "Found":
        return Found(self.ends + other.ends, self.bad + other.bad, self.poll)

    @property
    def tries(self) -> int:
        return len(self.ends)

    @property
    def stopped(self) -> int:
        return sum(end is not None for end in self.ends)

    @property
    def power(self) -> float:
        return 100 * self.stopped / self.tries

    @property
    def minutes(self) -> float | None:
        minutes = [end * self.poll / 60 for end in self.ends if end is not None]
        return statistics.median(minutes) if minutes else None

    def __str__(self) -> str:
        when = f"{self.minutes:.1f}" if self.minutes is not None else "–"
        return f"{self.power:.1f} / {when} / {statistics.fmean(self.bad):.0f}"


def batch(rule: str, cell: Cell, seed: int, first: int, count: int) -> list[tuple[int | None, int]]:
    """One rule over some of a cell's rollouts."""
    found: list[tuple[int | None, int]] = []
    for polls in cell.rollouts(seed, first, count):
        end = judged(polls, cell.poll, OURS[rule]) if rule in OURS else PEERS[rule](polls, cell.base)
        found.append((end, sum(one[1] for one in polls[:end])))
    return found


class Bench:
    """What is run, and on how many rollouts."""

    def __init__(self, options: argparse.Namespace, pool: ProcessPoolExecutor) -> None:
        self.options, self._pool = options, pool
        self.targets = Targets()

    def tried(self, rule: str, cell: Cell, count: int | None = None) -> Found:
        return self._tried(rule, cell, 0, count or self.options.rollouts)

    def good(self, cell: Cell) -> Found:
        """Our gate on a good release, of which at most one in a hundred may be taken back."""
        found = self.tried("leverframe", cell, self.options.good)
        while (measured := share(found.stopped, found.tries)).low <= FALSE < measured.high:
            more = min(found.tries, self.options.most - found.tries)
            if more <= 0:
                break
            found += self._tried("leverframe", cell, found.tries, more)
        name = f"false ≤ 1 %: {cell.world}, {cell.rps:g} rps, {cell.base:.1%}, polls of {cell.poll} s"
        self.targets.hold(name, measured, measured.keeps(FALSE))
        return found

    def _tried(self, rule: str, cell: Cell, first: int, count: int) -> Found:
        waiting = [
            self._pool.submit(batch, rule, cell, self.options.seed, start, min(BATCH, first + count - start))
            for start in range(first, first + count, BATCH)
        ]
        found = [one for each in waiting for one in each.result()]
        return Found(tuple(end for end, _ in found), tuple(bad for _, bad in found), cell.poll)


def table(title: str, columns: Sequence[str], rows: Iterator[tuple[str, list[str]]]) -> None:
    print(f"\n{title}\n")
    print("| rule | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def harms(bench: Bench, rps: float, base: float) -> None:
    ratios = (1.2, 2.0, 5.0, 10.0)

    def rows() -> Iterator[tuple[str, list[str]]]:
        for rule in ("leverframe", *PEERS):
            cell = Cell(rps, base)
            none = bench.good(cell) if rule == "leverframe" else bench.tried(rule, cell)
            found = [bench.tried(rule, replace(cell, harm=ratio)) for ratio in ratios]
            yield rule, [f"{none.power:.1f}", *map(str, found)]

    columns = ("false %", *(f"{ratio:g}x: % / min / bad" for ratio in ratios))
    table(f"{rps:g} rps, base {base:.1%}, polls of 60 s", columns, rows())


def stress(bench: Bench, rps: float, base: float) -> None:
    def rows() -> Iterator[tuple[str, list[str]]]:
        for rule in ("leverframe", *PEERS):
            cells = [Cell(rps, base, world=world) for world in GOOD]
            ours = rule == "leverframe"
            found = [
                # The calm ones have been judged, and their target held, with the harms.
                bench.good(cell)
                if ours and cell.world != "calm"
                else bench.tried(rule, cell, bench.options.good if ours else None)
                for cell in cells
            ]
            yield rule, [f"{each.power:.1f}" for each in found]

    table(f"Good releases in a bad world, {rps:g} rps, base {base:.1%}: false %", tuple(GOOD), rows())


def often(bench: Bench) -> None:
    """Polls of 15 s, at 100 rps and 0.5 %: what is promised."""
    ratios = (2.0, 5.0, 10.0, 100.0)
    cell = Cell(100, 0.005, poll=15)
    found = [bench.tried("leverframe", replace(cell, harm=ratio), bench.options.most) for ratio in ratios]
    title = "100 rps, base 0.5%, polls of 15 s: % / min / bad"
    table(title, [f"{ratio:g}x" for ratio in ratios], iter([("leverframe", [*map(str, found)])]))
    twice, five, ten, _ = found
    power, bad = share(twice.stopped, twice.tries), mean(twice.bad)
    hold = bench.targets.hold
    hold("2x: power ≥ 99 %", power, power.keeps(99, at_least=True))
    hold("2x: ≤ 70 bad requests on average", bad, bad.keeps(70))
    for ratio, each, within in ((5, five, 8), (10, ten, 3)):
        soon = share(sum((end or 10**6) * each.poll <= within * 60 for end in each.ends), each.tries)
        half = soon.keeps(50, at_least=True)
        hold(f"{ratio}x: half of them within {within} minutes", f"median {each.minutes}; {soon}", half)


def bad_worlds_often(bench: Bench) -> None:
    """The same worlds with polls of 15 s, and cold starts beyond what the defaults are made for."""
    for rps, base in ((100, 0.001), (100, 0.005), (1000, 0.005)):
        rules = tuple(OURS) if (rps, base) == (100, 0.005) else ("leverframe",)

        def rows(rules: Sequence[str], rps: float, base: float) -> Iterator[tuple[str, list[str]]]:
            for rule in rules:
                cells = [Cell(rps, base, world=world, poll=15) for world in (*GOOD, *BEYOND)]
                found = [
                    bench.good(cell)
                    if rule == "leverframe" and cell.world in GOOD
                    else bench.tried(rule, cell)
                    for cell in cells
                ]
                yield rule, [f"{each.power:.1f}" for each in found]

        title = f"Good releases in a bad world, {rps:g} rps, base {base:.1%}, polls of 15 s: false %"
        table(title, (*GOOD, *BEYOND), rows(rules, rps, base))


def begins_late(bench: Bench) -> None:
    cell = Cell(100, 0.005, world="5x from minute 15 on")
    rows = ((rule, [str(bench.tried(rule, cell))]) for rule in ("leverframe", *PEERS))
    table("5x from minute 15 on, 100 rps, base 0.5%", ("% / min / bad",), rows)


def speed(targets: Targets) -> None:
    """One poll of 20 signals in processor time, also beside a plain loop: machines differ, and are shared."""
    taken: dict[int, float] = {}
    for count in (1, 20):
        rules = GateRules()
        state = begin(rules, {f"signal-{number}": SignalRules() for number in range(count)}, steps=5)
        seen = Exposure(canary=Count(bad=3, total=600), stable=Count(bad=60, total=11_400))
        signals, times = dict.fromkeys(state.signals, seen), list[float]()
        for number in range(200):
            poll = Poll(at=AT + timedelta(seconds=15 * number), weight=5, signals=signals)
            began = time.process_time()
            state, _ = observe(rules, state, poll, 2.0)
            times.append(time.process_time() - began)
        taken[count] = statistics.median(times) * 1000
    began, total = time.process_time(), 0.0
    for number in range(200_000):
        total += number * 0.5
    loop = (time.process_time() - began) / 200_000 * 1e9
    print(
        f"\nOne poll of 20 signals: {taken[20]:.2f} ms, {taken[20] / taken[1]:.1f} times one of a single "
        f"signal, {taken[20] * 1e6 / loop:.0f} additions of two floats at {loop:.0f} ns."
    )
    targets.hold("20 signals in < 5 ms", f"{taken[20]:.2f} ms", "met" if taken[20] < 5 else "MISSED")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--good", type=int, default=1000)
    parser.add_argument("--most", type=int, default=8000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", action="store_true", help="all nine cells, not only three")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    every = [(rps, base) for rps in (10, 100, 1000) for base in (0.001, 0.005, 0.02)]
    with ProcessPoolExecutor(options.processes) as pool:
        bench = Bench(options, pool)
        for rps, base in every if options.cells else [(10, 0.02), (100, 0.005), (1000, 0.001)]:
            harms(bench, rps, base)
        for rps, base in ((100, 0.001), (100, 0.005), (1000, 0.005)):
            stress(bench, rps, base)
        often(bench)
        bad_worlds_often(bench)
        begins_late(bench)
    speed(bench.targets)
    bench.targets.show()


if __name__ == "__main__":
    main()
