"""A run whose attempts still come, in whatever order: the same for live reports and a replay.

An attempt of a test that is known already changes nothing.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from agents.flaky_tests.observation import PASS, Attempts, Run, attempts
from leverframe.model.test_reports import MOST_ATTEMPT
from leverframe_pytest.signatures import fingerprint

ABSENT = 0
_OTHER = 3
"""Marks of a test in a run; 1 and 2 are a pass at attempt 0 or 1 and no other row."""
_AS_PASSED = bytes([0, 1, 1, 0]) + bytes(252)
_MORE = 1024


class Passed(Collection[int]):
    """The tests that have the mark 1."""

    def __init__(self, marks: bytes) -> None:
        self._marks, self._count = marks, marks.count(1)

    def __len__(self) -> int:
        return self._count

    def __contains__(self, test: object) -> bool:
        return isinstance(test, int) and test < len(self._marks) and self._marks[test] == 1

    def __iter__(self) -> Iterator[int]:
        find, at = self._marks.find, -1
        while (at := find(1, at + 1)) >= 0:
            yield at


class OpenRun:
    """A byte for each test, and what is known of those that did more than pass once."""

    __slots__ = ("branch", "last", "marks", "others", "sha")

    def __init__(self, *, sha: str, branch: str, last: datetime, tests: int) -> None:
        self.sha, self.branch, self.last = sha, branch, last
        self.marks = bytearray(tests)
        self.others: dict[int, dict[int, tuple[str, str]]] = {}

    def reserve(self, number: int) -> None:
        """Make room for the mark of a test."""
        if number >= len(self.marks):
            self.marks.extend(bytes(number + _MORE - len(self.marks)))

    def add_passes(self, numbers: Iterable[int]) -> list[int]:
        """Tests that passed at attempt 1. Those are given back of which more was known already."""
        marks, known = self.marks, []
        for number in numbers:
            if marks[number] == ABSENT:
                marks[number] = 2
            else:
                known.append(number)
        return known

    def add(self, number: int, attempt: int, outcome: str, signature: str | None) -> bool:
        """One attempt; False for one that changes nothing."""
        mark = self.marks[number]
        if mark == ABSENT and outcome == PASS and 0 <= attempt <= 1:
            self.marks[number] = attempt + 1
            return True
        if mark not in (ABSENT, _OTHER):
            if attempt == mark - 1:
                return False
            self.others[number] = {mark - 1: (PASS, "")}
        self.marks[number] = _OTHER
        known = self.others.setdefault(number, {})
        if attempt in known or len(known) >= MOST_ATTEMPT:
            return False
        known[attempt] = (outcome, "" if outcome == PASS else fingerprint(signature))
        return True

    def ended(self, *, main: bool, passed_there: bytes) -> Run:
        """The whole run. `passed_there`: what passed at its commit before, see `now_passed`."""
        others = self._executed()
        return Run(
            sha=self.sha,
            branch=self.branch,
            main=main,
            at=self.last,
            passed=Passed(bytes(self.marks.translate(_AS_PASSED))),
            others=others,
            passed_before=frozenset(
                number
                for number, one in others.items()
                if one.only_failed and number < len(passed_there) and passed_there[number]
            ),
        )

    def now_passed(self, passed_there: bytes) -> bytes:
        """What has passed at the commit once this run is counted, a byte for each test."""
        marks = self.marks.translate(_AS_PASSED)
        for number, one in self._executed().items():
            if one.passes:
                marks[number] = 1
        both = int.from_bytes(passed_there, "little") | int.from_bytes(marks, "little")
        return both.to_bytes(max(len(passed_there), len(marks)), "little")

    def _executed(self) -> dict[int, Attempts]:
        """Those that did more than pass once; a test that was only skipped was not executed."""
        seen = ((number, attempts(rows)) for number, rows in self.others.items())
        return {number: one for number, one in seen if one is not None}
