"""One test, executed in fresh jails: what the command is told, and what its reports are taken for.

Each execution has a jail of its own, so that nothing which one leaves behind makes the next one pass or fail.
The command stays the check's own; the test, which anybody may have named, is in the environment alone.
"""

import json
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from activities.left_reports import branch_of, contents
from activities.other_times import other_time
from activities.ports import ReportsPlace
from leverframe.model.changes import CheckResult
from leverframe.model.errors import BadInput
from leverframe.model.executions import MOST_EXECUTIONS, Executed, ExecutionOrder, Kind
from leverframe.model.test_reports import Attempt
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read

LONGEST_SECONDS = 3_600
"""After so long no further execution of a job begins; each is within the check's own time limit."""

RunOnce = Callable[[ReportsPlace], CheckResult]
"""Runs the check's command in a fresh jail, with the place of its reports."""


class _Said(NamedTuple):
    """What one execution came to; without attempts `why` says why."""

    attempts: tuple[Attempt, ...] = ()
    why: str = ""


def executed(order: ExecutionOrder, target: str, run_once: RunOnce) -> Executed:
    """Execute the test as often as it is asked for, one fresh jail after the other.

    What can't be taken for an execution of this test ends it: what was counted before stands. `target`: the
    repository's branch.
    """
    counted, why, spent, now = list[Attempt](), "", 0.0, datetime.now(UTC)
    for number in range(1, order.executions + 1):
        with tempfile.TemporaryDirectory() as directory:
            place = ReportsPlace(
                into=Path(directory) / "reports.tar",
                environment=told(order, number, branch_of(target), now),
            )
            result = run_once(place)
            said = _said(order, number, result, place.into)
        counted += said.attempts
        spent += result.seconds
        why = said.why
        if not why and number < order.executions and spent >= LONGEST_SECONDS:
            why = f"no more than {number} executions fit into {LONGEST_SECONDS // 60} minutes"
        if why or len(counted) >= order.executions:
            break
        if order.until_pass and counted[-1].outcome == "pass":
            break
    counted = counted[:MOST_EXECUTIONS]
    failures = [attempt for attempt in counted if attempt.outcome != "pass"]
    return Executed(
        order=order.id,
        passes=len(counted) - len(failures),
        failures=len(failures),
        fingerprints=tuple(dict.fromkeys(attempt.fingerprint for attempt in failures)),
        milliseconds=sum(attempt.duration_ms for attempt in counted),
        why=why[:500],
    )


def told(order: ExecutionOrder, number: int, branch: str, now: datetime) -> Mapping[str, str]:
    """The environment of one execution, which is that of all others of the job. `now`: when the job began.

    A healthy test is a function of its commit and its environment, so that in one environment it fails in
    each execution or in none. Only the order is another one each time: it is what runs of test runners differ
    in, and a test that bears only some orders is flaky.
    """
    seed = order.seed + number - 1 if order.kind is Kind.SHUFFLED else order.seed
    environment = {
        "LEVERFRAME_ONLY": json.dumps([order.test.stored()]),
        "LEVERFRAME_KIND": order.kind.value,
        "LEVERFRAME_SEED": str(seed),
        "LEVERFRAME_RUN": _run(order, number),
        "LEVERFRAME_SHA": order.sha,
        "LEVERFRAME_BRANCH": branch,
        "LEVERFRAME_JOB": order.check,
    }
    if order.kind is Kind.CLOCK:
        other = other_time(seed, now)
        environment["TZ"] = other.zone
        environment["LEVERFRAME_CLOCK"] = str(int(other.at.timestamp()))
    if order.kind is Kind.SEED:
        environment["PYTHONHASHSEED"] = str(seed)
    return environment


def _run(order: ExecutionOrder, number: int) -> str:
    return f"{order.id}/{number}"


def _said(order: ExecutionOrder, number: int, result: CheckResult, place: Path) -> _Said:
    """The attempts of the test in what came out of the jail, which repository code has written."""
    if result.outcome == "inconclusive":
        return _Said(why=f"the command ended without a word on the test: {_told_by(result)}")
    bodies, broken = contents(place) if place.is_file() else ([], "")
    if broken:
        return _Said(why=broken)
    facts = Facts(repository=order.repository, source="car", run=_run(order, number), sha=order.sha)
    why = f"the command left no results: {_told_by(result)}"
    for body in bodies:
        try:
            report = read(body, facts, now=datetime.now(UTC))
        except BadInput as error:
            why = f"no results can be used: {error}"
            continue
        # Of several reports the first: others tell the same execution once more, in another form.
        return _of_the_test(order, report.attempts)
    return _Said(why=why)


def _told_by(result: CheckResult) -> str:
    """How the command ended, and the line of its output that most likely says why."""
    lines = [line.strip() for line in result.log.splitlines() if line.strip()]
    telling = [line for line in lines if "error" in line.casefold()] or lines
    return f"{result.summary}: {telling[-1][:200]}" if telling else result.summary


def _of_the_test(order: ExecutionOrder, attempts: tuple[Attempt, ...]) -> _Said:
    test = order.test.stored()
    if any(attempt.test != test for attempt in attempts):
        return _Said(
            why="the command ran other tests than it was told: selects_tests needs our pytest plugin there, "
            "or a command that does the same"
        )
    executions = tuple(attempt for attempt in attempts if attempt.outcome != "skip")
    return _Said(executions) if executions else _Said(why="the test was skipped")
