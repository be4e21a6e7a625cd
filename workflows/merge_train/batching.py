"""Batching: one test for several changes that wait together. Ordered prefixes only.

Every candidate is the tip plus a prefix of those who land, so a green one proves all of it; two disjoint
halves on one base can never both land. A red batch is bisected by beliefs alone: its members are suspects
now, so the next batch that may still pass is about half as long, down to one, which is a verdict.
"""

import math
from collections.abc import Iterator

from workflows.merge_train.beliefs import Beliefs
from workflows.merge_train.lane import Path
from workflows.merge_train.line import Line
from workflows.merge_train.speculation import Wanted

MOST = 8
"""No batch is longer: the studies on batching see no gain beyond."""

LANDS = 0.5
"""A batch is only as long as it lands more likely than not: its base holds, and all of it passes."""


def grouped(
    line: Line,
    beliefs: Beliefs,
    singles: list[Wanted],
    *,
    tested: frozenset[Path],
    served: int,
    most: int,
) -> Iterator[tuple[Wanted, Path]]:
    """The trials of the likeliest chain, neighbours without one joined to batches of at most `most`.

    `singles` has the likeliest base of each change, in order. `tested`: paths that have a trial. `served`:
    places that a running or green trial of this chain covers already.
    """
    group: list[Wanted] = []
    for one in singles:
        if served >> one.place & 1:
            yield from _closed(line, group, tested)
            group = []
        elif not _joins(line, beliefs, one):
            yield from _closed(line, [one], tested)
        elif group and _fits(line, beliefs, group, one, most):
            group.append(one)
        else:
            yield from _closed(line, group, tested)
            group = [one]
    yield from _closed(line, group, tested)


def longest(beliefs: Beliefs, wanted: list[Wanted], free: int, allowed: int) -> int:
    """How many changes one test may cover: one as long as runners are not the bottleneck.

    As many as wait for each free runner, not more than 1/√p with p the share of changes that fail, where
    one test for several pays best (Dorfman), and never more than the rules or `MOST` allow.
    """
    if free <= 0 or len(wanted) <= free or allowed <= 1:
        return 1
    fails = sum(1 - beliefs.lands(one.place) for one in wanted) / len(wanted)
    dorfman = math.floor(1 / math.sqrt(max(fails, 1e-4)))
    return max(1, min(math.ceil(len(wanted) / free), dorfman, allowed, MOST))


def _joins(line: Line, beliefs: Beliefs, one: Wanted) -> bool:
    entry = line.entries[one.place]
    return not entry.solo and not entry.override and bool(beliefs.likely >> one.place & 1)


def _fits(line: Line, beliefs: Beliefs, group: list[Wanted], one: Wanted, most: int) -> bool:
    """Whether the change may be the next of the group: it stands on exactly those, and they likely pass."""
    first = group[0]
    together = first.base | sum(1 << member.place for member in group)
    doubtful = line.ahead[first.place] & ~first.base
    if len(group) >= most or one.base != together or line.ahead[one.place] & ~together != doubtful:
        return False
    chance = math.prod(beliefs.lands(member.place) for member in (*group, one))
    return first.needed * chance >= LANDS


def _closed(line: Line, group: list[Wanted], tested: frozenset[Path]) -> Iterator[tuple[Wanted, Path]]:
    """The group as trials; a batch that was red already gives way to a shorter one."""
    while group:
        for length in range(len(group), 0, -1):
            last = group[length - 1]
            path = line.path(last.base, last.place)
            if path not in tested:
                yield Wanted(group[0].needed, last.base, last.place), path
                break
        else:
            length = 1
        group = group[length:]


def covered(line: Line, paths: list[Path], singles: list[Wanted]) -> int:
    """The places that one of these running or green paths covers, where its base is the likeliest one.

    Not those before somebody who is left out: until that one is decided, the path can't land them.
    """
    best = {one.place: one.base for one in singles}
    chosen = 0
    for path in paths:
        read = line.read(path)
        if read is not None and best.get(read[1]) == read[0]:
            left_out = line.ahead[read[1]] & ~read[0]
            chosen |= (read[0] | 1 << read[1]) >> left_out.bit_length() << left_out.bit_length()
    return chosen & sum(1 << one.place for one in singles)
