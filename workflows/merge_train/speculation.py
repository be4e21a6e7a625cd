"""Speculation: which trial is needed how likely, given who of those ahead will land.

For one change each explanation of what is red has a likeliest base: everybody ahead who lands by it.
Explanations that agree on it add up. A base that doubts somebody whom nothing accuses is not worth a test:
it would count only if just that one is bad, and that one's own result is there sooner.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workflows.merge_train.beliefs import Beliefs, View
from workflows.merge_train.line import Line, places


@dataclass(frozen=True, slots=True)
class Wanted:
    """One possible trial: the change at a place on a base, and the chance that its result is needed."""

    needed: float
    base: int
    place: int


def weighed(line: Line, beliefs: Beliefs, chosen: Iterable[int], floor: float) -> Iterator[list[Wanted]]:
    """For each chosen place, in order, its possible bases, likeliest first.

    The likeliest one always; others as long as they are needed with at least the chance `floor`.
    """
    sums = [0.0] * len(beliefs.views)
    reckoned = 0
    for at in chosen:
        ahead = line.ahead[at]
        if ahead & reckoned != reckoned:
            sums, reckoned = [0.0] * len(beliefs.views), 0
        for number, view in enumerate(beliefs.views):
            sums[number] += _shift(beliefs, view, ahead & ~reckoned)
        reckoned = ahead
        usual = beliefs.log_usual(ahead)
        chances: dict[int, float] = {}
        for view, shift in zip(beliefs.views, sums, strict=True):
            base = ahead & view.likely
            chances[base] = chances.get(base, 0.0) + view.weight * math.exp(usual + shift)
        ordered = sorted(chances.items(), key=lambda one: (-one[1], one[0]))
        yield [
            Wanted(min(1.0, chance), base, at)
            for rank, (base, chance) in enumerate(ordered)
            if rank == 0 or chance >= floor
        ]


def _shift(beliefs: Beliefs, view: View, fresh: int) -> float:
    """How a view moves the logarithm of the chance that these land as it says, not as they usually do."""
    shift = 0.0
    for at in places(fresh & (view.changed | view.likely ^ beliefs.usually)):
        inside = view.likely >> at & 1
        logs = beliefs.logs[at]
        shift += logs[inside] - logs[beliefs.usually >> at & 1]
        if view.changed >> at & 1:
            shift += view.shifts[at][inside]
    return shift
