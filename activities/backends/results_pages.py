"""Counts by test: 100,000 tests are 25 rows, so that a run costs 25 writes and not 100,000."""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence

from activities.backends.results_packing import MOST, packed_columns, unpacked_columns

PAGE = 4096
"""Tests in a row."""

SEEN, LAST_RUN, LAST_MAIN = range(3)
"""Of a test: its counted runs, the number of its last run, and of the last whole one of the target branch."""
OF_TEST = 3

RUNS, PASSES, FAILURES, SKIPS, MILLISECONDS = range(5)
"""Of a test on a day: runs that it was in, and its executions in them."""
OF_DAY = 5


class Pages:
    """Counts of many tests. A page is loaded when a test of it is asked for."""

    def __init__(self, width: int, load: Callable[[int], bytes | None]) -> None:
        self._width, self._load = width, load
        self._pages: dict[int, list[array[int]]] = {}
        self._changed: set[int] = set()

    def get(self, test: int, column: int) -> int:
        """0 for a test that nothing was counted of."""
        return self._page(test // PAGE)[column][test % PAGE]

    def count(self, test: int, more: Sequence[int]) -> None:
        """Add to each column of one test. What is more than 32 bits is as much as fits."""
        page = test // PAGE
        self._changed.add(page)
        place = test - page * PAGE
        for column, value in zip(self._page(page), more, strict=True):
            if value:
                column[place] = min(column[place] + value, MOST)

    def add(self, tests: Iterable[int], column: int) -> None:
        """One more for each of the tests."""
        for page, places in _by_page(tests):
            counts = self._page(page)[column]
            self._changed.add(page)
            for place in places:
                counts[place] += 1

    def stamp(self, tests: Iterable[int], column: int, value: int) -> None:
        """At least the value for each of the tests."""
        for page, places in _by_page(tests):
            values = self._page(page)[column]
            self._changed.add(page)
            for place in places:
                values[place] = max(values[place], value)

    def changed(self) -> Iterator[tuple[int, bytes]]:
        """The pages to write, in the order of their numbers."""
        for page in sorted(self._changed):
            yield page, packed_columns(self._pages[page])

    def _page(self, page: int) -> list["array[int]"]:
        columns = self._pages.get(page)
        if columns is None:
            stored = self._load(page)
            empty = [array("I", bytes(4 * PAGE)) for _ in range(self._width)]
            columns = empty if stored is None else unpacked_columns(stored, self._width)
            self._pages[page] = columns
        return columns


def _by_page(tests: Iterable[int]) -> Iterator[tuple[int, list[int]]]:
    """Tests by page, as places in it."""
    pages: dict[int, list[int]] = {}
    for test in tests:
        page = test // PAGE
        try:
            pages[page].append(test - page * PAGE)
        except KeyError:
            pages[page] = [test - page * PAGE]
    yield from pages.items()
