"""How much one stretch of time may say for harm: neither a burst nor a cold start decides alone. Pure.

Counts of real services scatter more than chance has it: an instance has a bad minute, and new ones are slow
until they are warm. So the evidence of one stretch is capped for each alternative, which costs none of the
promises (see `sequential`). The shape was found by simulation (`bench/canary.py`): of those under which good
releases survive bursts and cold starts it finds harm the soonest.

- The ceiling falls with the bad events that the stretch rests on: where they are few, chance alone makes the
  scatter, and a low ceiling would only cost sight; where they are many, what exceeds chance are bursts.
- It is higher for a large harm, which a burst seldom looks like, and whose alternative has a small weight.
- While instances get warm, harms below `COLD` say nothing, or but a little where the stretches before have
  spoken for them; the others are measured against a tolerance of a cold start.
"""

from dataclasses import dataclass
from functools import cached_property

from workflows.release.sequential import NANO, Battery, Evidence, Mixture

LEAST, MOST = 1 / 6, 1 / 2
"""Of what red needs: the ceiling for a harm of twice, with many bad events and with none."""

HALFWAY = 5.0
"""Bad events of a tolerated canary at which the ceiling is halfway down."""

SLOPE = 0.7
"""The exponent with which the ceiling rises with the alternative."""

WHOLE = 0.97
"""The highest share of what red needs that any stretch may say."""

COLD, TOLERATED = 5.0, 2.5
"""Harms of so many times and more count from the first look on, but against this tolerance: a cold start of
three times speaks against them."""

HEARD, COLD_MORE = 1 / 3, 0.3
"""Smaller harms say nothing meanwhile, unless the stretches before have said more for them than the first
share of what red needs: then the second share of the rest."""


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
        return tuple(NANO * self.needed * max(1.0, (ratio / 2) ** SLOPE) for ratio in self.alternatives)

    @cached_property
    def _top(self) -> int:
        return int(NANO * WHOLE * self.needed)

    @cached_property
    def _below_cold(self) -> int:
        return sum(ratio < COLD for ratio in self.alternatives)

    def under(self, stretch: Evidence, expected: float, before: Evidence, *, cold: bool) -> Evidence:
        """The evidence of before and of a stretch under its ceilings.

        `expected` are the bad events that a tolerated canary would have shown in that stretch; `cold`:
        instances get warm in it.
        """
        height, top = LEAST + (MOST - LEAST) / (1 + expected / HALFWAY), self._top
        heights = [int(height * scale) if height * scale < top else top for scale in self._scales]
        if cold:
            heights = self._when_cold(heights, before)
        rows = zip(before, stretch, heights, strict=True)
        return tuple([had + (more if more < most else most) for had, more, most in rows])

    def _when_cold(self, heights: list[int], before: Evidence) -> list[int]:
        heard, below = int(NANO * HEARD * self.needed), self._below_cold
        small = zip(heights[:below], before, strict=False)
        return [min(height, max(int(COLD_MORE * (had - heard)), 0)) for height, had in small] + heights[
            below:
        ]
