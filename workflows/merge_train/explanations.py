"""Explanations: which sets of faults account for everything that is red, and how likely each one is.

A red path has at least one fault in it: a change that is bad in itself, two that don't go together, or a
flake. The explanations are found best first and share out the certainty between them, as in consistency-
based diagnosis (Reiter 1987; de Kleer and Williams 1987): each red splits them by its first fault in a fixed
order, so that no two explanations overlap and their weights are the exact odds of the faults they name.
"""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

from workflows.merge_train.line import places

KEPT = 24
"""So many explanations are kept, the likeliest ones."""

TRIED = 400
"""So many half-made explanations are looked at, at the most."""


@dataclass(frozen=True, slots=True)
class Red:
    """A red path: its members, and the chance that all of its runs were flakes."""

    members: int
    flake: float
    last: int = -1
    """Where at least 0: only this member can be to blame, since it does not apply to the others."""


@dataclass(frozen=True, slots=True)
class Priors:
    """What was believed before anything was red."""

    good: tuple[float, ...]
    """For each place the chance that it is good in itself; 1 once it was proven."""
    clash: float
    """The chance that two good changes don't go together."""
    together: tuple[int, ...]
    """For each place those that it is proven to go together with."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """One set of faults that accounts for every red path."""

    weight: float
    """The chance that this is how it is; those of all explanations add up to one."""
    bad: int
    """Places that are bad in themselves."""
    good: int
    """Places that it takes for good in themselves."""
    clashes: tuple[tuple[int, int], ...]
    """A place, and those before it of which one does not go together with it."""


@dataclass(frozen=True, slots=True)
class _Half:
    """An explanation of the first reds."""

    weight: float
    bad: int = 0
    good: int = 0
    clashes: tuple[tuple[int, int], ...] = ()
    told: tuple[tuple[int, int], ...] = ()
    """Clashes that it rules out."""


def explained(reds: list[Red], priors: Priors) -> tuple[Explanation, ...]:
    """The likeliest explanations of all of these red paths, likeliest first; one without reds."""
    found: list[_Half] = []
    counter = 0
    heap: list[tuple[float, int, int, _Half]] = [(-1.0, 0, 0, _Half(1.0))]
    while heap and len(found) < KEPT and counter < TRIED:
        _, _, at, half = heapq.heappop(heap)
        if at == len(reds):
            found.append(half)
            continue
        for more in _split(half, reds[at], priors):
            counter += 1
            heapq.heappush(heap, (-more.weight, counter, at + 1, more))
    total = sum(half.weight for half in found)
    if not total:
        return (Explanation(1.0, 0, 0, ()),)
    return tuple(Explanation(half.weight / total, half.bad, half.good, half.clashes) for half in found)


def _split(half: _Half, red: Red, priors: Priors) -> Iterator[_Half]:
    """The explanations that account for this red, too, told apart by its first fault."""
    if half.bad & red.members if red.last < 0 else half.bad >> red.last & 1:
        yield half
        return
    shown = 0.0
    for at, partners in half.clashes:
        if red.members >> at & 1 and red.members & partners:
            # One of the partners is meant; the red shows it if that one is in it.
            shown = max(shown, (red.members & partners).bit_count() / partners.bit_count())
    if shown >= 1:
        yield half
        return
    left = half.weight
    if shown:
        yield _Half(left * shown, half.bad, half.good, half.clashes, half.told)
        left *= 1 - shown
    good, told = half.good, half.told
    for chance, at, partners in _faults(half, red, priors):
        if chance <= 0:
            continue
        if partners:
            yield _Half(left * chance, half.bad, good, (*half.clashes, (at, partners)), told)
            told = (*told, (at, partners))
        else:
            yield _Half(left * chance, half.bad | 1 << at, good, half.clashes, told)
            good |= 1 << at
        left *= 1 - chance
    yield _Half(left * red.flake, half.bad, good, half.clashes, told)


def _faults(half: _Half, red: Red, priors: Priors) -> list[tuple[float, int, int]]:
    """The faults that would show in the red: their chances, the place, its partners for a clash."""
    found = []
    before = 0
    for at in places(red.members):
        if red.last < 0 or red.last == at:
            if not half.good >> at & 1:
                found.append((1 - priors.good[at], at, 0))
            partners = before & ~priors.together[at]
            for one, ruled_out in half.told:
                if one == at:
                    partners &= ~ruled_out
            if partners:
                found.append((1 - (1 - priors.clash) ** partners.bit_count(), at, partners))
        before |= 1 << at
    return sorted(found, key=lambda one: (-one[0], one[1], one[2]))
