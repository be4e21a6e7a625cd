"""The gate against the rules of rollout controllers and a naive test, on the same simulated rollouts.

    python -m bench.canary [--rollouts N] [--seed N] [--cells]

A rollout gives the canary 1, 5, 25 and 50 % of the traffic, ten minutes each; events are Poisson at the rates
of the cell. Every rule sees the same draws. `false` is the share of good releases taken back, in percent. For
harm the columns are power (%), the median minute of the decision and the mean bad requests that the canary
served. The worlds are ours, not production's, and N rollouts leave about ± 100/√N per cent of noise in a
power. A cold start that outlasts the warm-up looks like harm: with polls of 15 s, the two looks cover half a
minute of its two.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from bench.canary_peers import PEERS, Rule, Seen
from bench.detector import poisson, seeded
from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.judge import Poll, begin, observe
from workflows.release.sequential import Exposure

STEPS = (1.0, 5.0, 25.0, 50.0)
MINUTES = 10
AT = datetime(2026, 1, 1, tzinfo=UTC)
TARGETS = (
    "Targets: false ≤ 1 % in every cell and world; at 100 rps, 0.5 % and 15 s polls: 2x in ≥ 99 % of "
    "rollouts with ≤ 70 bad requests, 5x within 8 minutes, 10x within 3; 20 signals in < 5 ms."
)

Rates = Callable[[float, float, random.Random], tuple[float, float]]
"""Minute of the rollout, minute of the step, dice → what multiplies the canary's and stable's rate."""


@dataclass(frozen=True)
class Cell:
    """One service and its release."""

    rps: float
    base: float
    harm: float = 1.0

    def drawn(self, dice: random.Random, rates: Rates, poll: int = 60) -> list[Seen]:
        """One rollout."""
        polls: list[Seen] = []
        held: tuple[float, float] = (1.0, 1.0)
        for number in range(len(STEPS) * MINUTES * 60 // poll):
            weight = STEPS[number * poll // (MINUTES * 60)]
            if number * poll % 60 == 0:
                held = rates(number * poll / 60, number * poll / 60 % MINUTES, dice)
            canary = round(self.rps * poll * weight / 100)
            stable = round(self.rps * poll) - canary
            bad = poisson(canary * self.base * self.harm * held[0], dice)
            other = poisson(stable * self.base * held[1], dice)
            polls.append((weight, min(bad, canary), canary, min(other, stable), stable))
        return polls


def calm(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
    return 1.0, 1.0


def outage(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
    return (5.0, 5.0) if 25 <= minute < 35 else (1.0, 1.0)


def ramp(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
    return 1 + 3 * minute / 40, 1 + 3 * minute / 40


def bursts(variation: float) -> Rates:
    def drawn(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
        return dice.gammavariate(variation**-2, variation**2), 1.0

    return drawn


def cold(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
    return (3.0, 1.0) if of_step < 2 else (1.0, 1.0)


def late(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
    return (5.0, 1.0) if minute >= 15 else (1.0, 1.0)


WORLDS: dict[str, Rates] = {
    "calm": calm,
    "shared outage 5x": outage,
    "shared ramp to 4x": ramp,
    "bursty canary 0.5": bursts(0.5),
    "bursty canary 1": bursts(1.0),
    "cold start 3x": cold,
}


def gate(polls: Sequence[Seen], base: float) -> int | None:
    """Our judge, as it stands at the live gate."""
    rules = GateRules()
    state = begin(rules, {"errors": SignalRules()}, steps=len(STEPS))
    for number, (weight, bad, total, other_bad, other_total) in enumerate(polls, start=1):
        seen = Exposure(canary=Count(bad=bad, total=total), stable=Count(bad=other_bad, total=other_total))
        poll = Poll(at=AT, weight=weight, signals={"errors": seen})
        state, judgement = observe(rules, state, poll, None)
        if judgement.finding == "red":
            return number
    return None


RULES: dict[str, Rule] = {"leverframe": gate, **PEERS}


@dataclass(frozen=True)
class Found:
    """What one rule came to over many rollouts."""

    power: float
    minutes: float | None
    exposed: float

    def __str__(self) -> str:
        when = f"{self.minutes:.1f}" if self.minutes is not None else "–"
        return f"{self.power:.1f} / {when} / {self.exposed:.0f}"


def tried(rule: Rule, rollouts: Sequence[Sequence[Seen]], base: float, poll: int = 60) -> Found:
    ends = [rule(polls, base) for polls in rollouts]
    minutes = [end * poll / 60 for end in ends if end is not None]
    exposed = [sum(one[1] for one in polls[:end]) for polls, end in zip(rollouts, ends, strict=True)]
    return Found(
        power=100 * len(minutes) / len(rollouts),
        minutes=statistics.median(minutes) if minutes else None,
        exposed=statistics.fmean(exposed),
    )


def rollouts(cell: Cell, rates: Rates, options: argparse.Namespace, poll: int = 60) -> list[list[Seen]]:
    dice = seeded(f"canary {options.seed} {cell} {rates.__name__} {poll}")
    return [cell.drawn(dice, rates, poll) for _ in range(options.rollouts)]


def table(title: str, columns: Sequence[str], rows: Iterator[tuple[str, list[str]]]) -> None:
    print(f"\n{title}\n")
    print("| rule | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def harms(rps: float, base: float, options: argparse.Namespace) -> None:
    ratios = (1.0, 1.2, 2.0, 5.0, 10.0)
    drawn = {ratio: rollouts(Cell(rps, base, ratio), calm, options) for ratio in ratios}

    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, rule in RULES.items():
            found = {ratio: tried(rule, drawn[ratio], base) for ratio in ratios}
            yield name, [f"{found[1.0].power:.1f}", *(str(found[ratio]) for ratio in ratios[1:])]

    columns = ("false %", *(f"{ratio:g}x: % / min / bad" for ratio in ratios[1:]))
    table(f"{rps:g} rps, base {base:.1%}, polls of 60 s", columns, rows())


def stress(rps: float, base: float, options: argparse.Namespace) -> None:
    drawn = {name: rollouts(Cell(rps, base), rates, options) for name, rates in WORLDS.items()}

    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, rule in RULES.items():
            yield name, [f"{tried(rule, seen, base).power:.1f}" for seen in drawn.values()]

    table(f"Good releases in a bad world, {rps:g} rps, base {base:.1%}: false %", tuple(WORLDS), rows())


def often(options: argparse.Namespace) -> None:
    """Polls of 15 s, at 100 rps and 0.5 %."""
    cells: list[str] = []
    for ratio in (1.0, 2.0, 5.0, 10.0):
        cells.append(str(tried(gate, rollouts(Cell(100, 0.005, ratio), calm, options, 15), 0.005, 15)))
    for rates in (bursts(0.5), bursts(1.0), cold):
        cells.append(f"{tried(gate, rollouts(Cell(100, 0.005), rates, options, 15), 0.005, 15).power:.1f}")
    columns = ("good", "2x", "5x", "10x", "bursty 0.5: false %", "bursty 1: false %", "cold start: false %")
    table("100 rps, base 0.5%, polls of 15 s: % / min / bad", columns, iter([("leverframe", cells)]))


def begins_late(options: argparse.Namespace) -> None:
    drawn = rollouts(Cell(100, 0.005), late, options)

    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, rule in RULES.items():
            yield name, [str(tried(rule, drawn, 0.005))]

    table("5x from minute 15 on, 100 rps, base 0.5%", ("% / min / bad",), rows())


def speed() -> None:
    """One poll of 20 signals, against one of a single signal."""
    taken: dict[int, float] = {}
    for count in (1, 20):
        rules = GateRules()
        state = begin(rules, {f"signal-{number}": SignalRules() for number in range(count)}, steps=5)
        seen = Exposure(canary=Count(bad=3, total=600), stable=Count(bad=60, total=11_400))
        poll = Poll(at=AT, weight=5, signals=dict.fromkeys(state.signals, seen))
        times: list[float] = []
        for _ in range(200):
            began = time.perf_counter()
            state, _ = observe(rules, state, poll, 2.0)
            times.append(time.perf_counter() - began)
        taken[count] = statistics.median(times) * 1000
    ratio = taken[20] / taken[1]
    print(f"\nOne poll of 20 signals: {taken[20]:.2f} ms, {ratio:.1f} times one of a single signal.")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rollouts", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cells", action="store_true", help="all nine cells, not only three")
    options = parser.parse_args()
    every = [(rps, base) for rps in (10, 100, 1000) for base in (0.001, 0.005, 0.02)]
    for rps, base in every if options.cells else [(10, 0.02), (100, 0.005), (1000, 0.001)]:
        harms(rps, base, options)
    for rps, base in ((100, 0.001), (100, 0.005), (1000, 0.005)):
        stress(rps, base, options)
    often(options)
    begins_late(options)
    speed()
    print(f"\n{TARGETS}")


if __name__ == "__main__":
    main()
