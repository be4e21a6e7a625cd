"""Writes one line for each attempt as soon as it is over."""

from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leverframe_pytest import results
from leverframe_pytest.reports import AGAIN, REPEATED, SIGNATURE, is_part, markers_of, ran_again


class Recorder:
    """A plugin of the main process."""

    def __init__(self, path: Path, run: results.Run, only: frozenset[str] | None = None) -> None:
        """`only`: tests of which lines are written; None: of all."""
        self._path = path
        self._run = run
        self._only = only
        self._phases: defaultdict[str, list[pytest.TestReport]] = defaultdict(list)
        """What the attempt that is under way has reported so far."""
        self._attempts: defaultdict[str, int] = defaultdict(int)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if hasattr(report, REPEATED) or (self._only is not None and report.nodeid not in self._only):
            return
        phases = self._phases[report.nodeid]
        if not phases and report.when == "teardown":  # of an attempt that is written already
            return
        phases.append(report)
        if is_part(report) or (report.when in ("setup", "call") and not ran_again(report)):
            return
        del self._phases[report.nodeid]
        self._attempts[report.nodeid] += 1
        attempt = _attempt(phases, self._attempts[report.nodeid])
        results.append(self._path, results.line(self._run, attempt))


def _attempt(phases: list[pytest.TestReport], number: int) -> results.Attempt:
    """What one execution came to: its first failure counts."""
    failure = next((report for report in phases if hasattr(report, SIGNATURE)), None)
    if failure is not None:
        outcome: results.Outcome = "fail" if failure.when == "call" else "error"
    else:
        outcome = "skip" if any(report.skipped for report in phases) else "pass"
    return results.Attempt(
        test=phases[0].nodeid,
        attempt=number,
        at=datetime.fromtimestamp(getattr(phases[0], "start", 0.0), UTC),
        outcome=outcome,
        signature=getattr(failure, SIGNATURE, None),
        duration_ms=round(1000 * sum(report.duration for report in phases)),
        quarantined=any(hasattr(report, AGAIN) for report in phases),
        markers=markers_of(phases[0]),
    )
