"""The line: who stands before whom, as sets of places. A set is an integer whose bit n is place n."""

from collections.abc import Iterator
from dataclasses import dataclass

from workflows.merge_train.lane import Entry, Path


@dataclass(frozen=True, slots=True)
class Line:
    """The open entries in the order in which they should land, and what each has to wait for."""

    entries: tuple[Entry, ...]
    place: dict[int, int]
    """Sequence number → place, counted from 0."""
    ahead: tuple[int, ...]
    """For each place the set of earlier places that share a lane with it."""

    def path(self, base: int, place: int) -> Path:
        """The path of the change at a place on a set of earlier ones."""
        return (*(self.entries[at].sequence for at in places(base)), self.entries[place].sequence)

    def read(self, path: Path) -> tuple[int, int] | None:
        """The base as a set, and the place of the last one; None for a path that can't be needed.

        A member that has left, an order that is no longer the line's, or a member that shares no lane.
        """
        base, last = 0, -1
        for sequence in path:
            at = self.place.get(sequence, -1)
            if at <= last:
                return None
            base, last = base | (1 << last if last >= 0 else 0), at
        return None if base & ~self.ahead[last] else (base, last)


def lined_up(entries: tuple[Entry, ...], *, composed: bool) -> Line:
    """The line of these entries; with `composed` only those wait for each other that share a lane."""
    ahead: list[int] = []
    everywhere, by_lane = 0, dict[str, int]()
    for at, entry in enumerate(entries):
        if not composed or not entry.lanes:
            ahead.append((1 << at) - 1)
        else:
            shared = everywhere
            for lane in entry.lanes:
                shared |= by_lane.get(lane, 0)
            ahead.append(shared)
        if not entry.lanes:
            everywhere |= 1 << at
        for lane in entry.lanes:
            by_lane[lane] = by_lane.get(lane, 0) | 1 << at
    return Line(entries, {entry.sequence: at for at, entry in enumerate(entries)}, tuple(ahead))


def places(chosen: int) -> Iterator[int]:
    """The places of a set, lowest first."""
    while chosen:
        lowest = chosen & -chosen
        yield lowest.bit_length() - 1
        chosen ^= lowest
