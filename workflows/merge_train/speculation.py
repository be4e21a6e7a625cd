"""Speculation: which trial is needed how likely, given who of those ahead will land.

For one change the likeliest base holds everybody ahead who lands in the likeliest explanation of what is
red. Every other base blames somebody else for a red, or doubts one more change; each is needed with a
smaller chance, and the chances of all bases of one change add up to one.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workflows.merge_train.beliefs import Beliefs
from workflows.merge_train.line import Line, places

SURE = 1e-12

DOUBTED = 6
"""So many changes are doubted beside the likeliest explanation, the least likely to land first."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One possible trial: the change at a place on a base, and the chance that its result is needed."""

    needed: float
    base: int
    place: int


def likeliest(line: Line, beliefs: Beliefs, chosen: Iterable[int]) -> Iterator[Wanted]:
    """For each chosen place, in order, its likeliest base."""
    reckoned, log_held = 0, 0.0
    for at in chosen:
        ahead = line.ahead[at]
        if ahead & reckoned == reckoned:
            fresh, start = ahead & ~reckoned, log_held
        else:
            fresh, start = ahead, 0.0
        for other in places(fresh):
            lands = beliefs.alone[other]
            start += math.log(max(lands if beliefs.likely >> other & 1 else 1 - lands, SURE))
        reckoned, log_held = ahead, start
        base = ahead & beliefs.likely
        yield Wanted(min(1.0, math.exp(start) * beliefs.explained(ahead, base)), base, at)


def best_first(line: Line, beliefs: Beliefs, chosen: Iterable[int], threshold: float) -> list[Wanted]:
    """Every trial needed with at least this chance, likeliest first; among equals the earlier change."""
    found: list[Wanted] = []
    for first in likeliest(line, beliefs, chosen):
        if first.needed < threshold * 0.2:
            continue
        found += (one for one in _others(line, beliefs, first) if one.needed >= threshold)
        if first.needed >= threshold:
            found.append(first)
    return sorted(found, key=lambda one: (-one.needed, one.place, one.base))


def _others(line: Line, beliefs: Beliefs, first: Wanted) -> Iterator[Wanted]:
    """The bases next to the likeliest one: another culprit for a red, or one more change in doubt."""
    ahead = line.ahead[first.place]
    bases = set()
    for one in beliefs.accusations:
        blamed = one.members & ~beliefs.likely
        for at in places(one.members & ahead & beliefs.likely):
            bases.add((first.base | blamed & ahead) & ~(1 << at))
        bases.add(first.base | blamed & ahead)
    doubted = sorted(places(ahead), key=lambda at: (abs(beliefs.lands[at] - 0.5), at))[:DOUBTED]
    bases |= {first.base ^ 1 << at for at in doubted}
    for base in sorted(bases - {first.base}):
        yield Wanted(beliefs.needed(ahead, base), base, first.place)
