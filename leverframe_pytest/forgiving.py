"""A failure that is quarantined fails the build unless the test then passes, at the same commit.

A failure may be forgiven only when its test is quarantined today for just this failure signature. The test is
then executed again, with fixtures of its module and below made anew, until it passes, as often as its entry
says. Only a pass forgives what came before it: a test that is broken fails each time, and stays red. What
ends the process, a timeout, a failed subtest and a module that can't be collected are never forgiven.

Reports are changed when they are logged rather than when they are made, so that rerun plugins see the
failure and run the test again first. With pytest-xdist that happens in the worker.
"""

import re
import time
from collections.abc import Generator
from datetime import date
from typing import Any

import pytest

from leverframe_pytest import quarantine
from leverframe_pytest.quarantine import LONGEST_SECONDS
from leverframe_pytest.reports import (
    AGAIN,
    COUNTED,
    FORGIVEN,
    REPEATED,
    SIGNATURE,
    is_part,
    note_signature,
    ran_again,
)

_PHASES = ("setup", "call", "teardown")
_TIMEOUT = re.compile(r"Timeout \(?>?\s*\d")
"""How pytest-timeout begins its failures."""
_LONGEST_PROPERTY = 4_000
_TOO_LONG = f"it did not pass within {LONGEST_SECONDS // 60} minutes, executed again and again"


class _UnderWay:
    """A quarantined test whose executions are under way in this process."""

    def __init__(self, entry: quarantine.Entry) -> None:
        self.entry = entry
        self.left = entry.executions
        """Executions that may still follow."""
        self.repeating = False
        self.withheld: pytest.TestReport | None = None
        """The last failure that is forgiven if a pass follows."""
        self.here: pytest.TestReport | None = None
        """The same, if it is of the present execution."""
        self.strange: pytest.TestReport | None = None
        """Another failure, after which a rerun plugin ran the test again."""
        self.counted = False
        """Whether a failure counts: then nothing that follows forgives it."""
        self.failed = self.called = False
        """Of the present execution: a skipped one was never called."""

    @property
    def passed(self) -> bool:
        """Whether the present execution has passed so far."""
        return self.called and not self.failed

    @property
    def wants_more(self) -> bool:
        """Whether another execution may forgive what failed."""
        hopeful = self.withheld is not None and self.strange is None and not self.counted
        return hopeful and self.failed and self.left > 0

    def observe(self, report: pytest.TestReport) -> None:
        """Each execution begins with its setup, also those of rerun plugins."""
        if report.when == "setup":
            self.failed = self.called = False
            self.here = None
            self.left -= self.repeating
        if report.failed or ran_again(report):
            self.failed = True
            if ran_again(report) and getattr(report, SIGNATURE) not in self.entry.signatures:
                self.strange = report
        elif report.when == "call" and report.passed and not is_part(report):
            self.called = True


class Forgiver:
    """Executes again what failed as it is quarantined for, and says what was forgiven and what counts."""

    def __init__(self, entries: dict[str, quarantine.Entry] | str, *, today: date) -> None:
        self._problem = entries if isinstance(entries, str) else ""
        self._entries = {} if isinstance(entries, str) else entries
        self._today = today
        self._now: _UnderWay | None = None
        self._refused: dict[str, str] = {}
        """Quarantined test → why its failure counts all the same."""
        self._forgiven: dict[str, str] = {}

    def pytest_report_header(self) -> str | None:
        if self._problem:
            return f"quarantine: {self._problem}"
        return f"quarantine: {len(self._entries)} tests" if self._entries else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        entry = self._entries.get(item.nodeid)
        if entry is None or self._now is not None:
            return (yield)
        self._now = now = _UnderWay(entry)
        try:
            done = yield
            now.repeating, why = True, ""
            until = time.monotonic() + LONGEST_SECONDS
            for _ in range(entry.executions):
                if not now.wants_more:
                    break
                if why := _TOO_LONG if time.monotonic() >= until else _not_fresh(item):
                    break
                # The whole hook, so that what other plugins put around a test is around this execution, too.
                item.ihook.pytest_runtest_protocol(item=item, nextitem=nextitem)
            if now.withheld is not None and not now.counted and (now.strange or not now.passed):
                report = now.strange or now.withheld
                why = self._another(report) if now.strange else why
                self._count(item, report, why or "it was executed again, and did not pass")
        finally:
            self._now = None
        return done

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        note_signature(report)
        if report.nodeid not in self._entries:
            return
        now = self._now if self._now is not None and self._now.entry.test == report.nodeid else None
        if now is not None and not hasattr(report, REPEATED):
            now.observe(report)
        if report.failed:
            self._judge(report, now)
        if now is not None and now.withheld is not None and report.when == "teardown":
            if now.here is not None:
                # JUnit files keep no failure of a test that is executed again, but properties.
                text = now.here.longreprtext[-_LONGEST_PROPERTY:]
                signature = getattr(now.here, SIGNATURE)
                report.user_properties += [
                    ("quarantined_failure", text),
                    ("quarantined_signature", signature),
                ]
            elif now.passed and not now.counted and now.strange is None:
                setattr(report, FORGIVEN, getattr(now.withheld, SIGNATURE))
        if hasattr(report, FORGIVEN):  # here, or by the worker that it ran on
            self._forgiven[report.nodeid] = getattr(report, FORGIVEN)

    def _judge(self, report: pytest.TestReport, now: _UnderWay | None) -> None:
        why = getattr(report, COUNTED, "") or self._why_not(report, now)
        if why:
            self._refused[report.nodeid] = why
            setattr(report, COUNTED, why)
            if now is not None:
                now.counted = True
        elif now is not None:
            setattr(report, AGAIN, True)
            report.outcome = "rerun"  # type: ignore[assignment]  # as rerun plugins call it
            now.withheld = now.here = report

    def _why_not(self, report: pytest.TestReport, now: _UnderWay | None) -> str:
        """Why the failure counts; empty if the test is executed again."""
        entry = self._entries[report.nodeid]
        if report.when not in _PHASES:
            return "its process died"
        if is_part(report):
            return "a part of it failed, which is not executed again by itself"
        if _TIMEOUT.search(report.longreprtext):
            return "it timed out"
        if self._today >= entry.expires:
            return f"its quarantine expired on {entry.expires}"
        if getattr(report, SIGNATURE) not in entry.signatures:
            return self._another(report)
        if now is None:
            return "it can't be executed again here"
        if now.left <= 0:
            return f"it never passed at this commit, executed {entry.executions} times again"
        return ""

    @staticmethod
    def _another(report: pytest.TestReport) -> str:
        return f"the failure {getattr(report, SIGNATURE)} is another one than it is quarantined for"

    def _count(self, item: pytest.Item, report: pytest.TestReport, why: str) -> None:
        """Say once more that it failed, now for good."""
        report.__dict__.pop(AGAIN, None)
        setattr(report, COUNTED, why)
        setattr(report, REPEATED, True)
        report.outcome = "failed"
        item.ihook.pytest_runtest_logreport(report=report)

    def pytest_report_teststatus(self, report: pytest.TestReport) -> tuple[str, str, object] | None:
        if not hasattr(report, AGAIN):
            return None
        return "rerun", "R", ("RERUN", {"yellow": True})

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


def _not_fresh(item: pytest.Item) -> str:
    """Tear down all that the last execution left, but for what the session and its packages share.

    Why it can't be; empty if it was: what would fail there must not get lost.
    """
    shared = [node for node in item.listchain() if isinstance(node, (pytest.Session, pytest.Directory))][-1]
    try:
        item.session._setupstate.teardown_exact(shared)  # type: ignore[arg-type]
    except pytest.exit.Exception:
        raise
    except (Exception, pytest.fail.Exception, pytest.skip.Exception) as error:
        return f"what it shares with other tests can't be torn down: {type(error).__name__}"
    if getattr(item, "_instance", None) is not None:
        # pytest keeps the object of a test's class, and with it what the last execution left there.
        del item._instance  # type: ignore[attr-defined]
        item._obj = None  # type: ignore[attr-defined]
    return ""
