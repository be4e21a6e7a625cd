"""The simulated rollouts that `bench.canary` judges: services, and the worlds that their canaries meet."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bench.canary_peers import Seen
from bench.detector import poisson, seeded

STEPS = (1.0, 5.0, 25.0, 50.0)
MINUTES = 10
"""Of each step."""

Rates = Callable[[float, float, random.Random], tuple[float, float]]
"""Minute of the rollout, minute of the step, dice → what multiplies the canary's and stable's rate."""


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


GOOD: Mapping[str, Rates] = MappingProxyType(
    {
        "calm": calm,
        "shared outage 5x": outage,
        "shared ramp to 4x": ramp,
        "bursty canary 0.5": bursts(0.5),
        "bursty canary 1": bursts(1.0),
        "cold start 3x": starts_cold(3.0),
    }
)
"""Where a release without harm must not be taken back."""

BEYOND: Mapping[str, Rates] = MappingProxyType(
    {"cold start 5x": starts_cold(5.0), "cold start 3x, 4 min": starts_cold(3.0, 4)}
)
"""Cold starts beyond what the defaults are made for."""

WORLDS: Mapping[str, Rates] = MappingProxyType({**GOOD, **BEYOND, "5x from minute 15 on": late})


@dataclass(frozen=True)
class Cell:
    """One service and its release, in one world, looked at every so many seconds."""

    rps: float
    base: float
    harm: float = 1.0
    world: str = "calm"
    poll: int = 60

    def rollouts(self, seed: int, first: int, count: int) -> list[list[Seen]]:
        """So many rollouts from this number on. Each has dice of its own, so batches can be cut anyhow."""
        # Bursts begin when they like, not with a step; between polls of a minute that makes no difference.
        phases = range(0, 60, self.poll) if self.world.startswith("bursty") else (0,)
        return [
            self._drawn(seeded(f"canary {seed} {self} {number}"), phases[number % len(phases)])
            for number in range(first, first + count)
        ]

    def _drawn(self, dice: random.Random, phase: int) -> list[Seen]:
        """One rollout. `phase`: seconds by which its minutes are late."""
        polls: list[Seen] = []
        rates, poll = WORLDS[self.world], self.poll
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
