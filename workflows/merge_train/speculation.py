"""Speculation: which trial is needed how likely, given who of those ahead will land.

For one change each explanation of what is red has a likeliest base: everybody ahead who lands by it.
Explanations that agree on it add up. A base that doubts somebody whom nothing accuses is not worth a test: it would count
only for the one of several changes that is bad, and a wait for that one's own result is shorter.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from workflows.merge_train.beliefs import Beliefs, log_odds
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
    reckoned, log_usual = 0, 0.0
    for at in chosen:
        ahead = line.ahead[at]
        if ahead & reckoned != reckoned:
            reckoned, log_usual = 0, 0.0
        for other in places(ahead & ~reckoned):
            log_usual += log_odds(beliefs.usual[other], beliefs.usually >> other & 1)
        reckoned = ahead
        chances = _bases(beliefs, ahead, log_usual, floor)
        ordered = sorted(chances.items(), key=lambda one: (-one[1], one[0]))
        yield [
            Wanted(min(1.0, chance), base, at)
            for rank, (base, chance) in enumerate(ordered)
            if rank == 0 or chance >= floor
        ]


def _bases(beliefs: Beliefs, ahead: int, log_usual: float, floor: float) -> dict[int, float]:
    chances: dict[int, float] = {}
    for view in beliefs.views:
        base = ahead & view.likely
        log = log_usual
        for other in places(ahead & (view.likely ^ beliefs.usually)):
            inside = base >> other & 1
            log += log_odds(beliefs.usual[other], inside) - log_odds(beliefs.usual[other], 1 - inside)
        chances[base] = chances.get(base, 0.0) + beliefs.seen(view, ahead, base, log)
    return chances
