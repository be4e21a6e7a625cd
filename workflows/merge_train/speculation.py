"""Speculation: which trial is needed how likely. Lazy best-first search over who of those ahead will land.

For one change the likeliest base holds everybody ahead who lands rather than not. Every other base flips
some of them, and costs the odds of each flip; walked in the order of these costs, with "one more flip"
and "the next flip in the place of the last" as successors, bases come out likeliest first, none twice.
"""

import heapq
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workflows.merge_train.beliefs import Beliefs
from workflows.merge_train.line import Line, places

SURE = 1e-9


@dataclass(frozen=True, slots=True)
class Wanted:
    """One possible trial: the change at a place on a base, and the chance that its result is needed."""

    needed: float
    base: int
    place: int


def likeliest(line: Line, beliefs: Beliefs, chosen: Iterable[int], threshold: float) -> Iterator[Wanted]:
    """For each chosen place, in order, its likeliest base; only those at or above the threshold."""
    reckoned, log_held = 0, 0.0
    for at in chosen:
        ahead = line.ahead[at]
        if ahead & reckoned == reckoned:
            fresh, start = ahead & ~reckoned, log_held
        else:
            fresh, start = ahead, 0.0
        for other in places(fresh):
            lands = beliefs.lands[other]
            start += math.log(max(lands, 1 - lands, SURE))
        reckoned, log_held = ahead, start
        needed = math.exp(start)
        if needed >= threshold:
            yield Wanted(needed, ahead & beliefs.likely, at)


def best_first(
    line: Line, beliefs: Beliefs, chosen: Iterable[int], threshold: float, limit: int
) -> Iterator[Wanted]:
    """Every trial that is needed with at least this chance, likeliest first; at most `limit`.

    Among equals the earlier change comes first.
    """
    heap: list[tuple[float, int, tuple[int, ...], int]] = [
        (-first.needed, first.place, (), first.base) for first in likeliest(line, beliefs, chosen, threshold)
    ]
    heapq.heapify(heap)
    flips: dict[int, list[tuple[float, int]]] = {}
    while heap and limit > 0:
        negative, at, flipped, best = heapq.heappop(heap)
        base = best
        if at not in flips:
            flips[at] = _flips(beliefs, line.ahead[at], threshold / -negative)
        costs = flips[at]
        for number in flipped:
            base ^= 1 << costs[number][1]
        limit -= 1
        yield Wanted(-negative, base, at)
        following = flipped[-1] + 1 if flipped else 0
        if following < len(costs):
            more = -negative * costs[following][0]
            if more >= threshold:
                heapq.heappush(heap, (-more, at, (*flipped, following), best))
            if flipped:
                swapped = -negative / costs[flipped[-1]][0] * costs[following][0]
                if swapped >= threshold:
                    heapq.heappush(heap, (-swapped, at, (*flipped[:-1], following), best))


def _flips(beliefs: Beliefs, ahead: int, least: float) -> list[tuple[float, int]]:
    """What each flip multiplies the chance by, dearest last; flips that lead nowhere are left out."""
    found = []
    for other in places(ahead):
        lands = beliefs.lands[other]
        ratio = min(lands, 1 - lands) / max(lands, 1 - lands)
        if ratio >= least and ratio > SURE:
            found.append((ratio, other))
    return sorted(found, key=lambda flip: (-flip[0], flip[1]))
