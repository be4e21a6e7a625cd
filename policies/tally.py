"""A tally: amounts in the order of their time. What a window holds is found by bisection, without a scan."""

from bisect import bisect_left, bisect_right
from datetime import datetime

Key = tuple[str, ...]
"""What tells two rows of the same instant apart."""


class Tally:
    """Amounts by time and key, each at most once, with running totals.

    `after` is always exclusive: a window is half open, so what is exactly as old as the window is out.
    """

    __slots__ = ("_dropped", "_rows", "_totals")

    def __init__(self) -> None:
        self._rows: list[tuple[datetime, Key]] = []
        self._totals: list[int] = []
        """The amount up to and with each row, plus what was dropped from the front before."""
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, at: datetime, key: Key, amount: int = 1) -> None:
        """One more row. Later than all others, as is usual, it moves none of them."""
        position = bisect_left(self._rows, (at, key))
        self._rows.insert(position, (at, key))
        self._totals.insert(position, self._before(position) + amount)
        self._shift(position + 1, amount)

    def drop(self, at: datetime, key: Key) -> None:
        """Take one row out. Raises KeyError when there is none."""
        position = bisect_left(self._rows, (at, key))
        if position == len(self._rows) or self._rows[position] != (at, key):
            raise KeyError(key)
        amount = self._totals[position] - self._before(position)
        del self._rows[position], self._totals[position]
        if position == 0:
            self._dropped += amount
        else:
            self._shift(position, -amount)

    def total(self, after: datetime | None) -> int:
        """The amount of everything later than `after`; None: of everything."""
        return (self._totals[-1] if self._totals else self._dropped) - self._before(self._first(after))

    def keys(self, after: datetime | None) -> list[tuple[datetime, Key]]:
        """The rows later than `after`, oldest first."""
        return self._rows[self._first(after) :]

    def last(self, count: int) -> list[Key]:
        """The keys of the newest rows, oldest of them first."""
        return [key for _, key in self._rows[-count:]]

    def newest(self) -> datetime | None:
        """The time of the newest row."""
        return self._rows[-1][0] if self._rows else None

    def relief(self, after: datetime | None, amount: int) -> datetime | None:
        """The time of the row with which, oldest first, `amount` of what is later than `after` has passed.

        None when there is not so much.
        """
        before = self._before(self._first(after))
        position = bisect_left(self._totals, before + amount)
        return self._rows[position][0] if position < len(self._rows) else None

    def _first(self, after: datetime | None) -> int:
        return 0 if after is None else bisect_right(self._rows, after, key=lambda row: row[0])

    def _before(self, position: int) -> int:
        return self._totals[position - 1] if position else self._dropped

    def _shift(self, position: int, amount: int) -> None:
        for index in range(position, len(self._totals)):
            self._totals[index] += amount
