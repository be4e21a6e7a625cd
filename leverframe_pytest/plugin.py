"""The hooks: attempts are written down, and quarantined failures don't fail the build.

A failure is forgiven only when its test is quarantined today for just this failure signature. A test that is
forgiven still runs, and still shows what failed. What ends the process, a timeout and a module that can't be
collected stay red. A quarantine file that can't be read forgives nothing.

Reports are changed when they are logged rather than when they are made, so that rerun plugins see the
failure and run the test again first. With pytest-xdist that happens in the worker; attempts are written by
the main process.
"""

import os
import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from leverframe_pytest import quarantine, results
from leverframe_pytest.signatures import fingerprint

_PHASES = ("setup", "call", "teardown")
_TIMEOUT = re.compile(r"Timeout \(?>?\s*\d")
"""How pytest-timeout begins its failures."""
_SIGNATURE = "leverframe_signature"
_FORGIVEN = "leverframe_forgiven"
_LONGEST_PROPERTY = 4_000


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("leverframe", "Leverframe: attempts and quarantine")
    group.addoption(
        "--leverframe-results",
        metavar="FILE",
        default=os.environ.get("LEVERFRAME_RESULTS"),
        help="append one JSON line for each attempt (default: LEVERFRAME_RESULTS)",
    )
    group.addoption(
        "--leverframe-quarantine",
        metavar="FILE",
        default=quarantine.PLACE,
        help="the quarantine file, from the root directory (default: %(default)s); an empty name is none",
    )


def pytest_configure(config: pytest.Config) -> None:
    worker = hasattr(config, "workerinput")
    config.pluginmanager.register(
        Forgiver(_read(config), today=datetime.now(UTC).date()), "leverframe-forgiver"
    )
    if worker or not (named := config.getoption("leverframe_results")):
        return
    try:
        run = results.this_run(os.environ, config.rootpath)
    except results.NotKnown as error:
        raise pytest.UsageError(f"--leverframe-results: {error}") from error
    config.pluginmanager.register(Recorder(config.rootpath / named, run), "leverframe-recorder")


def _read(config: pytest.Config) -> dict[str, quarantine.Entry] | str:
    """The entries, or why there are none."""
    named = config.getoption("leverframe_quarantine")
    path: Path = config.rootpath / named
    if not named or not path.exists():
        return {}
    try:
        return quarantine.read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, quarantine.Unreadable) as error:
        return f"{named} can't be read, so nothing is quarantined: {error}"


class Forgiver:
    """Turns the failures that are quarantined into expected ones."""

    def __init__(self, entries: dict[str, quarantine.Entry] | str, *, today: date) -> None:
        self._problem = entries if isinstance(entries, str) else ""
        self._entries = {} if isinstance(entries, str) else entries
        self._today = today
        self._refused: dict[str, str] = {}
        """Quarantined test → why its failure counts all the same."""
        self._forgiven: dict[str, str] = {}
        self._texts: dict[str, str] = {}
        """Forgiven failures that JUnit files have yet to see."""

    def pytest_report_header(self) -> str | None:
        if self._problem:
            return f"quarantine: {self._problem}"
        return f"quarantine: {len(self._entries)} tests" if self._entries else None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if getattr(report, _FORGIVEN, False):  # by the worker it ran on
            self._forgiven[report.nodeid] = getattr(report, _SIGNATURE)
        self._judge(report)
        if report.when == "teardown" and report.nodeid in self._texts:
            # JUnit files keep no failure of a test that was expected to fail, but properties.
            report.user_properties.append(("quarantined_failure", self._texts.pop(report.nodeid)))

    def _judge(self, report: pytest.TestReport) -> None:
        if not (report.failed or _ran_again(report)):
            return
        if not hasattr(report, _SIGNATURE):
            setattr(report, _SIGNATURE, _signature(report))
        entry = self._entries.get(report.nodeid)
        if entry is None or not report.failed:
            return
        if why := self._why_not(entry, report):
            self._refused[report.nodeid] = why
            return
        self._forgive(entry, report)

    def _why_not(self, entry: quarantine.Entry, report: pytest.TestReport) -> str:
        """Why the failure is not forgiven; empty if it is."""
        signature = getattr(report, _SIGNATURE)
        if report.when not in _PHASES:
            return "its process died"
        if _TIMEOUT.search(report.longreprtext):
            return "it timed out"
        if self._today >= entry.expires:
            return f"its quarantine expired on {entry.expires}"
        if signature not in entry.signatures:
            return f"the failure {signature} is another one than it is quarantined for"
        return ""

    def _forgive(self, entry: quarantine.Entry, report: pytest.TestReport) -> None:
        self._texts[report.nodeid] = report.longreprtext[-_LONGEST_PROPERTY:]
        report.outcome = "skipped"
        report.wasxfail = f"quarantined until {entry.expires}, {entry.owner}"
        setattr(report, _FORGIVEN, True)
        self._forgiven[report.nodeid] = getattr(report, _SIGNATURE)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if not (self._forgiven or self._refused or self._problem):
            return
        terminalreporter.section("quarantine")
        if self._problem:
            terminalreporter.line(self._problem, red=True)
        for test, signature in sorted(self._forgiven.items()):
            entry = self._entries[test]
            where = f", {entry.tracking}" if entry.tracking else ""
            terminalreporter.line(
                f"FORGIVEN {test} [{signature}] until {entry.expires}, {entry.owner}{where}"
            )
        for test, why in sorted(self._refused.items()):
            terminalreporter.line(f"COUNTED {test}: {why}", red=True)


class Recorder:
    """Writes one line for each attempt as soon as it is over."""

    def __init__(self, path: Path, run: results.Run) -> None:
        self._path = path
        self._run = run
        self._phases: defaultdict[str, list[pytest.TestReport]] = defaultdict(list)
        """What the attempt that is under way has reported so far."""
        self._attempts: defaultdict[str, int] = defaultdict(int)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        phases = self._phases[report.nodeid]
        if not phases and report.when == "teardown":  # of an attempt that is written already
            return
        phases.append(report)
        if report.when in ("setup", "call") and not _ran_again(report):
            return
        del self._phases[report.nodeid]
        self._attempts[report.nodeid] += 1
        attempt = _attempt(phases, self._attempts[report.nodeid])
        results.append(self._path, results.line(self._run, attempt))


def _attempt(phases: list[pytest.TestReport], number: int) -> results.Attempt:
    """What one execution came to: its first failure counts."""
    failure = next((report for report in phases if hasattr(report, _SIGNATURE)), None)
    if failure is not None:
        outcome: results.Outcome = "fail" if failure.when == "call" else "error"
    else:
        outcome = "skip" if any(report.skipped for report in phases) else "pass"
    return results.Attempt(
        test=phases[0].nodeid,
        attempt=number,
        at=datetime.fromtimestamp(getattr(phases[0], "start", 0.0), UTC),
        outcome=outcome,
        signature=getattr(failure, _SIGNATURE, None),
        duration_ms=round(1000 * sum(report.duration for report in phases)),
        quarantined=any(getattr(report, _FORGIVEN, False) for report in phases),
    )


def _ran_again(report: pytest.TestReport) -> bool:
    """Whether a rerun plugin executes the test once more after this failure."""
    return str(report.outcome) == "rerun"


def _signature(report: pytest.TestReport) -> str:
    """Where it broke and what it said; line numbers and source text of the way there vary too much."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return fingerprint("\n".join(_last_lines(report.longreprtext)))
    return fingerprint(f"{Path(crash.path).name}\n{crash.message}")


def _last_lines(text: str) -> Iterator[str]:
    """pytest marks the lines of an error with E; without them the last line has to do."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    yield from marked or text.strip().splitlines()[-1:]
