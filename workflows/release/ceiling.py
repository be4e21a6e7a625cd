"""How much one stretch of time may say for harm: neither a burst nor a cold start decides alone. Pure.

Counts of real services scatter more than chance has it: an instance has a bad minute, and new ones are slow
until they are warm. So the evidence of one stretch is capped for each alternative, which costs none of the
promises (see `sequential`). The shape was found by simulation (`bench/canary.py`): of those under which good
releases survive bursts and cold starts it finds harm the soonest.

- The ceiling falls with the bad events that the stretch rests on: where they are few, chance alone makes the
  scatter, and a low ceiling would only cost sight; where they are many, what exceeds chance are bursts.
- It is higher for a large harm, which a burst seldom looks like, and whose alternative has a small weight.
- While instances get warm, harms below `COLD` say nothing, unless the cold minutes of this rollout that are
  over were like its warm ones (see `Start`); the others are measured against a tolerance of a cold start.
"""

import math
from dataclasses import dataclass
from functools import cached_property

from leverframe.model.frozen import Frozen
from workflows.release.sequential import NANO, Battery, Evidence, Mixture

LEAST, MOST = 0.22, 1 / 3
"""Of what red needs: the ceiling for a harm of twice, with many bad events and with none. Those of larger
harms are higher in proportion."""

HALFWAY = 5.0
"""Bad events of a tolerated canary at which the ceiling is halfway down."""

WHOLE = 0.97
"""The highest share of what red needs that any stretch may say."""

COLD, TOLERATED = 5.0, 2.5
"""Harms of so many times and more count from the first look on, but against this tolerance: a cold start of
three times speaks against them."""

NO_COLD_START, SURELY = 3.0, 6.0
"""With so many nats of evidence that a rollout's instances do not start cold, smaller harms begin to count
while they get warm; with so many they count as at any other time."""

STARTS = 3.0
"""A cold start is one of so many times the rate afterwards."""


class Start(Frozen):
    """Bad events of the canary while its instances got warm and when they were, beside those expected."""

    cold: int = 0
    cold_expected: float = 0.0
    warm: int = 0
    warm_expected: float = 0.0

    def plus(self, bad: int, expected: float, *, cold: bool) -> "Start":
        """With one poll more."""
        if cold:
            more = {"cold": self.cold + bad, "cold_expected": self.cold_expected + expected}
        else:
            more = {"warm": self.warm + bad, "warm_expected": self.warm_expected + expected}
        return self.model_copy(update=more)

    @property
    def trust(self) -> float:
        """How much of a small harm counts while instances get warm: 0 for nothing, 1 for all of it.

        Given all of them, the bad events of the cold time are binomial. The likelihood ratio of "no cold
        start" to "one of `STARTS` times" decides, whatever the ratio of the canary to stable is.
        """
        if not self.cold_expected or not self.warm_expected:
            return 0.0
        as_started = STARTS * self.cold_expected + self.warm_expected
        as_good = self.cold_expected + self.warm_expected
        log = (self.cold + self.warm) * math.log(as_started / as_good) - self.cold * math.log(STARTS)
        return round(min(1.0, max(0.0, (log - NO_COLD_START) / (SURELY - NO_COLD_START))), 9)


def while_cold(test: Mixture) -> Battery:
    """The same alternatives in the same order, while instances get warm: large ones against `TOLERATED`."""
    below = sum(ratio < COLD for ratio in test.alternatives)
    small = Mixture(test.null, test.alternatives[:below], test.weights[:below])
    large = Mixture(max(test.null, TOLERATED), test.alternatives[below:], test.weights[below:])
    return Battery((small, large))


@dataclass(frozen=True)
class Ceiling:
    """The ceilings of the alternatives of one test."""

    needed: float
    """What red needs, in nats."""
    alternatives: tuple[float, ...]

    @cached_property
    def _scales(self) -> tuple[float, ...]:
        return tuple(NANO * self.needed * max(1.0, ratio / 2) for ratio in self.alternatives)

    @cached_property
    def _top(self) -> int:
        return int(NANO * WHOLE * self.needed)

    @cached_property
    def _below_cold(self) -> int:
        return sum(ratio < COLD for ratio in self.alternatives)

    def under(
        self, stretch: Evidence, expected: float, before: Evidence, *, cold: bool, trust: float = 0.0
    ) -> Evidence:
        """The evidence of before and of a stretch under its ceilings.

        `expected` are the bad events that a tolerated canary would have shown in that stretch; `cold`:
        instances get warm in it, and of the small harms only the share `trust` counts, which must have been
        known before the stretch.
        """
        height, top = LEAST + (MOST - LEAST) / (1 + expected / HALFWAY), self._top
        heights = [int(height * scale) if height * scale < top else top for scale in self._scales]
        if cold:
            below = self._below_cold
            heights[:below] = [int(trust * each) for each in heights[:below]]
        rows = zip(before, stretch, heights, strict=True)
        return tuple([had + (more if more < most else most) for had, more, most in rows])
