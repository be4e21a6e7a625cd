"""The gate against the rules of rollout controllers and a naive test, on the same simulated rollouts.

    python -m bench.canary [--rollouts N] [--seed N] [--cells]

A rollout gives the canary 1, 5, 25 and 50 % of the traffic, ten minutes each; events are Poisson at the rates
of the cell. Every rule sees the same draws. `false` is the share of good releases taken back, in percent. For
harm the columns are power (%), the median minute of the decision and the mean bad requests that the canary
served. The worlds are ours, not production's, and a share of 1 % is known to ± 0.5 from 400 rollouts. Ends
with each target and whether it was met.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.canary_peers import PEERS, Rule, Seen
from bench.detector import poisson, seeded
from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.judge import Poll, begin, observe
from workflows.release.sequential import Exposure

STEPS = (1.0, 5.0, 25.0, 50.0)
MINUTES = 10
AT = datetime(2026, 1, 1, tzinfo=UTC)


class Targets:
    """What was promised, beside what was measured."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, bool]] = []

    def hold(self, name: str, measured: str, met: bool) -> None:
        self._rows.append((name, measured, met))

    def show(self) -> None:
        print("\n| target | measured | |\n|---|---|---|")
        for name, measured, met in self._rows:
            print(f"| {name} | {measured} | {'met' if met else 'MISSED'} |")


TARGETS = Targets()

Rates = Callable[[float, float, random.Random], tuple[float, float]]
"""Minute of the rollout, minute of the step, dice → what multiplies the canary's and stable's rate."""


@dataclass(frozen=True)
class Cell:
    """One service and its release."""

    rps: float
    base: float
    harm: float = 1.0

    def drawn(self, dice: random.Random, rates: Rates, poll: int = 60, phase: int = 0) -> list[Seen]:
        """One rollout. `phase`: seconds by which its minutes are late."""
        polls: list[Seen] = []
        held: tuple[float, float] = (1.0, 1.0)
        for number in range(len(STEPS) * MINUTES * 60 // poll):
            weight = STEPS[number * poll // (MINUTES * 60)]
            if number == 0 or number * poll % 60 == phase:
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


def starts_cold(times: float, minutes: float = 2) -> Rates:
    def drawn(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
        return (times, 1.0) if of_step < minutes else (1.0, 1.0)

    return drawn


def late(minute: float, of_step: float, dice: random.Random) -> tuple[float, float]:
    return (5.0, 1.0) if minute >= 15 else (1.0, 1.0)


WORLDS: dict[str, Rates] = {
    "calm": calm,
    "shared outage 5x": outage,
    "shared ramp to 4x": ramp,
    "bursty canary 0.5": bursts(0.5),
    "bursty canary 1": bursts(1.0),
    "cold start 3x": starts_cold(3.0),
}


def gate(polls: Sequence[Seen], base: float) -> int | None:
    """Our judge, as it stands at the live gate."""
    return judged(polls, 60)


def judged(polls: Sequence[Seen], poll_seconds: int, rules: GateRules = GateRules()) -> int | None:  # noqa: B008
    """The number of the red poll, or None."""
    state = begin(rules, {"errors": SignalRules()}, steps=len(STEPS))
    for number, (weight, bad, total, other_bad, other_total) in enumerate(polls, start=1):
        seen = Exposure(canary=Count(bad=bad, total=total), stable=Count(bad=other_bad, total=other_total))
        at = AT + timedelta(seconds=poll_seconds * number)
        poll = Poll(at=at, weight=weight, signals={"errors": seen})
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
    # Bursts begin when they like, not with a step; between polls of a minute that makes no difference.
    phases = range(0, 60, poll) if rates.__qualname__.startswith("bursts") else (0,)
    return [cell.drawn(dice, rates, poll, phases[n % len(phases)]) for n in range(options.rollouts)]


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
            if rule is gate:
                falsely(f"{rps:g} rps, {base:.1%}, polls of 60 s", found[1.0].power)
            yield name, [f"{found[1.0].power:.1f}", *(str(found[ratio]) for ratio in ratios[1:])]

    columns = ("false %", *(f"{ratio:g}x: % / min / bad" for ratio in ratios[1:]))
    table(f"{rps:g} rps, base {base:.1%}, polls of 60 s", columns, rows())


def stress(rps: float, base: float, options: argparse.Namespace) -> None:
    drawn = {name: rollouts(Cell(rps, base), rates, options) for name, rates in WORLDS.items()}

    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, rule in RULES.items():
            found = [tried(rule, seen, base).power for seen in drawn.values()]
            if rule is gate:
                for world, power in zip(drawn, found, strict=True):
                    falsely(f"{world}, {rps:g} rps, {base:.1%}, polls of 60 s", power)
            yield name, [f"{power:.1f}" for power in found]

    table(f"Good releases in a bad world, {rps:g} rps, base {base:.1%}: false %", tuple(WORLDS), rows())


def falsely(where: str, power: float) -> None:
    TARGETS.hold(f"false ≤ 1 %: {where}", f"{power:.1f} %", power <= 1.0)


def often(options: argparse.Namespace) -> None:
    """Polls of 15 s, at 100 rps and 0.5 %: what is promised."""
    rule = partial(in_15_seconds, rules=GateRules())
    found = {
        ratio: tried(rule, rollouts(Cell(100, 0.005, ratio), calm, options, 15), 0.005, 15)
        for ratio in (1.0, 2.0, 5.0, 10.0, 100.0)
    }
    cells = [str(each) for each in found.values()]
    table("100 rps, base 0.5%, polls of 15 s: % / min / bad", [f"{ratio:g}x" for ratio in found],
          iter([("leverframe", cells)]))  # fmt: skip
    falsely("100 rps, 0.5%, polls of 15 s", found[1.0].power)
    twice, five, ten = found[2.0], found[5.0], found[10.0]
    TARGETS.hold("2x: power ≥ 99 %", f"{twice.power:.1f} %", twice.power >= 99)
    TARGETS.hold("2x: ≤ 70 bad requests on average", f"{twice.exposed:.1f}", twice.exposed <= 70)
    TARGETS.hold("5x: within 8 minutes", f"{five.minutes}", (five.minutes or 99) <= 8)
    TARGETS.hold("10x: within 3 minutes", f"{ten.minutes}", (ten.minutes or 99) <= 3)


def in_15_seconds(polls: Sequence[Seen], base: float, rules: GateRules) -> int | None:
    return judged(polls, 15, rules)


def bad_worlds_often(options: argparse.Namespace) -> None:
    """The same worlds with polls of 15 s, and cold starts beyond what the defaults are made for."""
    settings = {
        "leverframe": GateRules(),
        "leverframe, cold_seconds = 0": GateRules(cold_seconds=0),
        "leverframe, burst_seconds = 0": GateRules(burst_seconds=0),
    }
    worlds = WORLDS | {
        "cold start 5x": starts_cold(5.0),
        "cold start 3x, 4 min": starts_cold(3.0, 4),
    }
    for rps, base in ((100, 0.001), (100, 0.005), (1000, 0.005)):
        drawn = {name: rollouts(Cell(rps, base), rates, options, 15) for name, rates in worlds.items()}

        def rows(
            drawn: dict[str, list[list[Seen]]], rps: float, base: float
        ) -> Iterator[tuple[str, list[str]]]:
            for name, rules in settings.items():
                if name != "leverframe" and (rps, base) != (100, 0.005):
                    continue
                rule = partial(in_15_seconds, rules=rules)
                found = {world: tried(rule, seen, base, 15).power for world, seen in drawn.items()}
                if name == "leverframe":
                    for world in WORLDS:
                        falsely(f"{world}, {rps:g} rps, {base:.1%}, polls of 15 s", found[world])
                yield name, [f"{power:.1f}" for power in found.values()]

        title = f"Good releases in a bad world, {rps:g} rps, base {base:.1%}, polls of 15 s: false %"
        table(title, tuple(worlds), rows(drawn, rps, base))


def begins_late(options: argparse.Namespace) -> None:
    drawn = rollouts(Cell(100, 0.005), late, options)

    def rows() -> Iterator[tuple[str, list[str]]]:
        for name, rule in RULES.items():
            yield name, [str(tried(rule, drawn, 0.005))]

    table("5x from minute 15 on, 100 rps, base 0.5%", ("% / min / bad",), rows())


def speed() -> None:
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
    TARGETS.hold("20 signals in < 5 ms", f"{taken[20]:.2f} ms", taken[20] < 5)


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
    bad_worlds_often(options)
    begins_late(options)
    speed()
    TARGETS.show()


if __name__ == "__main__":
    main()
