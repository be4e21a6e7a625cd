"""A shelf in memory: for replays, for tests, and for the bench."""

from array import array
from collections.abc import Iterable

from agents.flaky_tests.history import History


class MemoryShelf:
    """Eight bytes for a test that only ever passes; a history for each of the others."""

    def __init__(self) -> None:
        self._seen = array("L")
        self._histories: dict[int, History] = {}
        self._attentive: set[int] = set()

    def seen(self, test: int) -> int:
        return self._seen[test] if test < len(self._seen) else 0

    def history(self, test: int) -> History | None:
        return self._histories.get(test)

    def keep(self, test: int, history: History) -> None:
        self._histories[test] = history
        if history.attentive:
            self._attentive.add(test)
        else:
            self._attentive.discard(test)

    def attentive(self) -> Iterable[int]:
        return tuple(self._attentive)

    def count(self, tests: Iterable[int]) -> None:
        seen = self._seen
        for test in tests:
            try:
                seen[test] += 1
            except IndexError:
                seen.extend([0] * (test + 1 - len(seen)))
                seen[test] += 1
