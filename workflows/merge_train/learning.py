"""What a train makes of results and verdicts: a car's standing, the record behind its predictions. Pure."""

from datetime import datetime
from typing import Any

from leverframe.model.changes import CarLanded, CarOutcome, CheckResult
from leverframe.model.topology import TrainRules
from workflows.merge_train import record as records
from workflows.merge_train import sighting
from workflows.merge_train.queue import Queued
from workflows.merge_train.record import Record
from workflows.merge_train.state import Testing, TrainState
from workflows.merge_train.window import after_failed, after_landed

DEV = "dev"

RED_MAIN = "leverframe: the target is red"
AUDIT = "leverframe: the audit"
"""Owners of the freezes that nobody asked for."""


def folded(car: Testing, results: tuple[CheckResult, ...]) -> Testing:
    """The car after one more test of it has ended with these results."""
    green = {result.check: result for result in (*car.passed, *results) if result.outcome == "passed"}
    red = [result for result in results if result.outcome == "failed"]
    silent = [result for result in results if result.outcome == "inconclusive"]
    # A red of another check confirms nothing: it begins to be counted anew.
    same = car.red is not None and any(result.check == car.red.check for result in red)
    failed_runs = (car.failed_runs if same else 0) + 1 if red else car.failed_runs
    return car.model_copy(
        update={
            "running": False,
            "early_red": False,
            "passed": tuple(green.values()),
            "dev": "passed" if car.dev and DEV in green else car.dev,
            "red": _the_same(red, car.red) if red else car.red,
            "silent": silent[-1] if silent else car.silent,
            "failed_runs": failed_runs,
            "inconclusive_runs": car.inconclusive_runs + (bool(silent) and not red),
        }
    )


def _the_same(red: list[CheckResult], before: CheckResult | None) -> CheckResult:
    """The red that confirms the one before, if there is one."""
    again = [result for result in red if before is not None and result.check == before.check]
    return (again or red)[-1]


def tip_is_doubtful(state: TrainState, check: str) -> bool:
    """Whether the target itself might be red on this check.

    A tip that this train landed was green, if the check was required of it. It is doubted all the same once
    a change has been blamed on it for the same check: two in a row may have one reason.
    """
    last = state.landings[-1] if state.landings else None
    if last is None or last.landed != state.tip or check not in last.proven:
        return True
    blamed = 0
    for settled in reversed(state.settled):
        if isinstance(settled.outcome, CarLanded):
            break
        blamed += settled.outcome.reason == "check_failed" and f"Check {check} " in settled.outcome.detail
    return blamed > 0


def run_ended(record: Record, car: Testing, results: tuple[CheckResult, ...], now: datetime) -> Record:
    """The record after a test: how long it took, and whether a red of this very commit was a flake."""
    took = (now - car.began_at).total_seconds() / 60 if car.began_at else 0.0
    silent = any(result.outcome == "inconclusive" for result in results)
    if not results or silent:
        return record
    green = all(result.outcome == "passed" for result in results)
    # A red of a car that nobody knows to be good may be a flake or not.
    return records.ran(record, minutes=took, flaked=car.failed_runs > 0 if green else None)


def decided(state: TrainState, item: Queued, outcome: CarOutcome, rules: TrainRules) -> dict[str, Any]:
    """The parts of the state that learn from a verdict: the record, and AIMD's clamp."""
    landed = isinstance(outcome, CarLanded)
    reason = "" if isinstance(outcome, CarLanded) else outcome.reason
    if not landed and reason not in ("check_failed", "incompatible"):
        return {}
    entry = sighting.entry_of(item)
    record = records.decided(
        state.record,
        entry,
        landed=landed,
        incompatible=reason == "incompatible",
        among=len(state.queue.items) - 1,
    )
    moved = after_landed if landed else after_failed
    return {"record": record, "clamp": moved(state.clamp, rules.window)}


def lost(car: Testing) -> CheckResult | None:
    """What a test that was lost says of the first check that it still owed."""
    if car.facts is None or not car.missing_or_dev:
        return None
    return CheckResult(
        check=car.missing_or_dev[0],
        sha=car.facts.sha,
        outcome="inconclusive",
        seconds=0,
        summary="the test was lost: it said nothing for hours",
    )
