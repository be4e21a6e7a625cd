"""Lives of tests, told run by run: `F` only failed, `B` failed and passed, `.` passed, ` ` took no part."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import verdict
from agents.flaky_tests.history import History, Verdict
from agents.flaky_tests.observation import Attempts, Run
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.suite import Shelf, Suite, fold
from agents.flaky_tests.words import explained

AT = datetime(2026, 3, 2, tzinfo=UTC)
PERSON = Bounds(runs_to_false_quarantine=1e4)
BULK = 50
"""Healthy tests beside those that are told of."""


def only_failed(*signatures: str) -> Attempts:
    return Attempts(0, 3, True, signatures or ("s",))


def both(*signatures: str) -> Attempts:
    return Attempts(1, 1, True, signatures or ("s",))


SIGNS = {"F": only_failed(), "B": both()}


class Lives:
    """A suite of BULK healthy tests, and of those whose lives are told; the first of these is test 0."""

    def __init__(self, bounds: Bounds | None = None, shelf: Shelf | None = None) -> None:
        self.bounds = bounds or Bounds()
        self.suite, self.shelf, self.number = Suite(), shelf or MemoryShelf(), 0

    def tell(self, *lives: str, sha: str = "", branch: str = "main") -> "Lives":
        """So many runs, one for each character of the lives."""
        for signs in zip(*lives, strict=True):
            others = {test: SIGNS[sign] for test, sign in enumerate(signs) if sign in SIGNS}
            passed = {test for test, sign in enumerate(signs) if sign == "."}
            self.run(others, passed, sha=sha, branch=branch)
        return self

    def run(
        self,
        others: dict[int, Attempts],
        passed: Iterable[int] = (),
        *,
        sha: str = "",
        branch: str = "main",
        lacks_fix: frozenset[int] = frozenset(),
        passed_before: frozenset[int] = frozenset(),
    ) -> None:
        self.number += 1
        bulk = frozenset(range(1_000, 1_000 + BULK))
        run = Run(
            sha=sha or f"{self.number:040x}",
            branch=branch,
            main=branch == "main",
            at=AT + timedelta(hours=self.number),
            passed=(bulk | frozenset(passed)) - others.keys(),
            others=others,
            lacks_fix=lacks_fix,
            passed_before=passed_before,
        )
        self.suite = fold(self.suite, run, self.shelf, self.bounds).suite

    def history(self, test: int = 0) -> History:
        history = self.shelf.history(test)
        assert history is not None
        return history

    def verdict(self, test: int = 0) -> Verdict:
        return verdict(self.shelf.history(test), self.shelf.seen(test))

    def words(self, test: int = 0) -> str:
        return explained(self.shelf.history(test), self.shelf.seen(test), self.bounds)
