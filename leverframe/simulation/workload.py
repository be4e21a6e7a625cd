"""Workloads: who asks to land what and when, how long its build runs, and the truth about it.

The truth does not depend on any strategy: a change is good or not, and two changes go together or not.
`Demand` draws them as in the literature on submit queues: Poisson arrivals, log-normal durations, single
defects, conflicts of pairs among neighbours in time that touch the same target, flaky runs.
"""

import math
import random
from dataclasses import dataclass

SIGMA = 0.4
"""Spread of the durations' logarithm: half of the builds lie within ± 27 % of the median."""

LONGEST = 4.0
"""No build takes more than so many times the median."""

NEIGHBOURS = 4
"""How many arrivals before it a change may clash with: a guess that a team replaces by its own."""

MOST_CHANGES = 2_000
"""The most that people may ask to be tried at once: a strategy takes a minute or two for them."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One change: when it asks, what it costs, and the truth about it."""

    number: int
    """Counted from 1, in the order of arrival."""
    at: float
    """Minutes since the start."""
    minutes: float
    """How long its build runs."""
    good: bool
    targets: tuple[str, ...] = ()
    """What it touches, sorted; empty means everything."""
    clashes: frozenset[int] = frozenset()
    """Earlier changes with which it does not go together, though each passes without the other."""


@dataclass(frozen=True, slots=True)
class Workload:
    """Changes in the order of arrival, and how often a run of a good car is red."""

    arrivals: tuple[Arrival, ...]
    flake: float = 0.0
    seed: int = 0
    composed: bool = False
    """Whether changes that share no target land past each other."""

    def fates(self) -> dict[int, bool]:
        """Who lands when everybody is judged in order and nothing flakes: the oracle's knowledge."""
        landed: set[int] = set()
        for one in self.arrivals:
            if one.good and landed.isdisjoint(one.clashes):
                landed.add(one.number)
        return {one.number: one.number in landed for one in self.arrivals}


@dataclass(frozen=True, slots=True)
class Demand:
    """A stationary stream of changes, in numbers that a team can count."""

    arrivals_per_hour: float
    build_minutes: float
    """The median."""
    failure: float
    """The share of changes that are bad in themselves."""
    conflict: float
    """The chance of a conflict between two neighbours that touch the same target."""
    flake: float = 0.0
    targets: int = 1
    touched: int = 1
    """How many of the targets one change touches."""
    neighbours: int = NEIGHBOURS
    """With so many arrivals before it a change may conflict."""
    hours: float = 16.0
    seed: int = 0

    def drawn(self) -> Workload:
        """One draw; the same seed gives the same changes, whatever the strategy."""
        dice = random.Random(f"demand {self.seed}")  # noqa: S311 - reproducible, not secret
        names = [f"target-{number:03d}" for number in range(self.targets)]
        arrivals: list[Arrival] = []
        at = 0.0
        while True:
            at += dice.expovariate(self.arrivals_per_hour / 60)
            if at > self.hours * 60:
                break
            drawn = math.exp(dice.gauss(math.log(self.build_minutes), SIGMA))
            good = dice.random() >= self.failure
            targets = tuple(sorted(dice.sample(names, self.touched))) if self.targets > 1 else ()
            clashes = frozenset(
                other.number
                for other in arrivals[max(0, len(arrivals) - self.neighbours) :]
                if dice.random() < self.conflict and _meet(targets, other.targets)
            )
            arrivals.append(
                Arrival(
                    len(arrivals) + 1, at, min(drawn, LONGEST * self.build_minutes), good, targets, clashes
                )
            )
        return Workload(tuple(arrivals), self.flake, self.seed, composed=self.targets > 1)


def _meet(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    return not one or not other or not set(one).isdisjoint(other)
