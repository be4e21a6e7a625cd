"""The reports of one run, put together: what the fold takes, and what is counted and kept of it."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from activities.backends.results_packing import Detail, Packed
from activities.backends.results_pages import Pages
from agents.flaky_tests.open_run import ABSENT, OpenRun
from leverframe.model.test_reports import Outcome

_NAMED = bytes([0]) + bytes([1]) * 255
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class Spent(NamedTuple):
    """What a run cost."""

    executions: int
    milliseconds: int
    rerun_milliseconds: int
    """Of all executions but the first of each test."""


class Gathered:
    """Reports in the order in which they came. An attempt that comes again changes nothing."""

    def __init__(self, *, sha: str, branch: str, tests: int) -> None:
        self.run = OpenRun(sha=sha, branch=branch, last=_EARLIEST, tests=tests)
        self.left_out = 0
        self._passes: list[tuple[str, Packed, frozenset[int]]] = []
        """Job, report, and those of its passes that were known already."""
        self._details: dict[tuple[int, int], tuple[str, Detail]] = {}
        """By test and attempt: the job and what it says."""

    def add(self, job: str, report: Packed, received_at: datetime) -> None:
        """One report. A clock that is ahead of ours is not believed."""
        run = self.run
        run.last = max(run.last, min(report.last, received_at))
        known = frozenset(run.add_passes(report.passed))
        self._passes.append((job, report, known))
        for number in known:
            self._add(job, self._first_pass(number, report))
        for detail in report.details:
            self._add(job, detail)

    def again(self, number: int, job: str, executed: Sequence[tuple[Outcome, str]], took: int) -> None:
        """Further attempts of a test, made elsewhere: outcome and fingerprint of each, after all others.

        `took`: milliseconds of all of them.
        """
        known = self.run.others.get(number) or {1: ("", "")}
        for attempt, (outcome, fingerprint) in enumerate(executed, max(known) + 1):
            each = took // len(executed)
            self._add(job, Detail(number, attempt, outcome, fingerprint, self.run.last, each))

    def job_of(self, number: int) -> str:
        """The job of the last attempt of a test that did not only pass at once; empty if it is not known."""
        attempts = self.run.others.get(number, {})
        kept = [self._details[number, one] for one in attempts if (number, one) in self._details]
        return max(kept, key=lambda pair: pair[1].attempt)[0] if kept else ""

    def marked(self) -> bytes:
        """A byte for each test, 1 for those that a report names."""
        return bytes(self.run.marks.translate(_NAMED))

    def present(self) -> list[int]:
        """Every test that a report names, skipped ones among them."""
        return [number for number, mark in enumerate(self.run.marks) if mark != ABSENT]

    def attempts_of(self, tests: Sequence[int]) -> Iterator[tuple[str, Detail]]:
        """All attempts of tests that did more than pass at once, in the order of tests and attempts."""
        for number in tests:
            for attempt in sorted(self.run.others[number]):
                kept = self._details.get((number, attempt))
                yield kept or self._pass_of(number)

    def count(self, days: Pages) -> Spent:
        """Add each test's executions to its day."""
        executions = spent = reruns = 0
        marks = self.run.marks
        for _, report, known in self._passes:
            for number, milliseconds in zip(report.passed, report.milliseconds, strict=True):
                if marks[number] == 2 and number not in known:
                    executions += 1
                    spent += milliseconds
                    days.count(number, (1, 1, 0, 0, milliseconds))
        by_test: defaultdict[int, list[Detail]] = defaultdict(list)
        for _, detail in self.attempts_of(list(self.run.others)):
            by_test[detail.number].append(detail)
        for (number, _), (_, detail) in self._details.items():
            if number not in self.run.others:
                by_test[number].append(detail)
        for number, details in by_test.items():
            ran = [detail for detail in details if detail.outcome != "skip"]
            passes = sum(detail.outcome == "pass" for detail in ran)
            took = [detail.milliseconds for detail in ran]
            executions += len(ran)
            spent += sum(took)
            reruns += sum(took[1:])
            skips = len(details) - len(ran)
            days.count(number, (1, passes, len(ran) - passes, skips, sum(took)))
        return Spent(executions, spent, reruns)

    def _add(self, job: str, detail: Detail) -> None:
        if self.run.add(detail.number, detail.attempt, detail.outcome, detail.fingerprint):
            self._details[detail.number, detail.attempt] = (job, detail)
        else:
            self.left_out += 1

    def _pass_of(self, number: int) -> tuple[str, Detail]:
        """The pass at once of a test that did more later."""
        for job, report, known in self._passes:
            place = bisect_left(report.passed, number)
            if number not in known and place < len(report.passed) and report.passed[place] == number:
                return job, self._first_pass(number, report)
        raise AssertionError(f"no report has the first pass of test {number}")

    @staticmethod
    def _first_pass(number: int, report: Packed) -> Detail:
        took = report.milliseconds[bisect_left(report.passed, number)]
        return Detail(number, 1, "pass", "", report.last, took)


def day_of(at: datetime) -> int:
    """Days since the Unix epoch, UTC."""
    return int(at.timestamp() // 86_400)
