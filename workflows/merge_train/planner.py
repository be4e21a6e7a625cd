"""The planner of a train: what to do next, from one snapshot. Pure, and the only place that judges.

Every event is only a reason to plan again, so a duplicate or a late one changes nothing. One car rides
at a time here; a wider window is a longer `TrainState.rides` and nothing else outside this file.
"""

from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from leverframe.model.changes import Car, CarEjected, CarOutcome, CheckResult
from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.releases import Artifact
from leverframe.model.topology import Check
from leverframe.model.untrusted import Untrusted
from workflows.merge_train.queue import Queue, Queued

FAILURES_TO_EJECT = 2
"""A red is confirmed once on the same commit before anybody is blamed."""

INCONCLUSIVE_TO_EJECT = 3
"""A run without a verdict is repeated twice."""

WINDOW = 1
"""How many cars ride at once."""

LOG_SHOWN = 2000


class Ride(Frozen):
    """One queued change on its way, as far as it has come."""

    sequence: int
    car: Car | None = None
    required: tuple[Check, ...] = ()
    results: tuple[CheckResult, ...] = ()
    """Every run on exactly `car.sha`, in order."""
    artifact: Artifact | None = None
    releases: str | None = None
    """The service to release once the car is in; None when only overlays change."""
    compositions: int = Field(default=0, ge=0)
    """How often a car was composed: more than once when the target moved."""


class Settled(Frozen):
    """How a ride ended; kept for a while, so that asking again is answered."""

    head: Sha
    requests: tuple[str, ...] = ()
    """Ids of the requests that asked for the ride."""
    outcome: CarOutcome
    settled_at: Instant


class Letter(Frozen):
    """An outcome that somebody still has to be told."""

    to: tuple[str, ...]
    outcome: CarOutcome


class TrainState(Frozen):
    """Everything the train knows: the snapshot to plan from, and what it carries into its next run."""

    queue: Queue = Queue()
    rides: tuple[Ride, ...] = ()
    letters: tuple[Letter, ...] = ()
    settled: tuple[Settled, ...] = ()
    """The newest outcomes, oldest first; bounded."""


@dataclass(frozen=True)
class Tell:
    """Send the first letter."""

    letter: Letter


@dataclass(frozen=True)
class Compose:
    """Build the item's car on the target's tip."""

    item: Queued


@dataclass(frozen=True)
class RunCheck:
    """Run one check on the car's commit."""

    item: Queued
    car: Car
    check: Check


@dataclass(frozen=True)
class Land:
    """Everything required is green on exactly this commit."""

    item: Queued
    car: Car
    results: tuple[CheckResult, ...]


@dataclass(frozen=True)
class Eject:
    """Take the item off."""

    item: Queued
    outcome: CarEjected


@dataclass(frozen=True)
class Idle:
    """Nothing to do until somebody asks."""


Action = Tell | Compose | RunCheck | Land | Eject | Idle


def plan(state: TrainState) -> Action:
    """The next thing to do. The same snapshot always gives the same action."""
    if state.letters:
        return Tell(state.letters[0])
    for item in state.queue.items:
        if item.leaving is not None:
            return Eject(item, _left(item, item.leaving))
    for ride in state.rides:
        item = _item(state, ride)
        return Compose(item) if ride.car is None else _drive(item, ride, ride.car)
    waiting = [
        item for item in state.queue.items if not any(ride.sequence == item.sequence for ride in state.rides)
    ]
    if waiting and len(state.rides) < WINDOW:
        return Compose(waiting[0])
    return Idle()


def judge(runs: tuple[CheckResult, ...]) -> Literal["passed", "failed", "inconclusive", "run"]:
    """What a check's runs on one commit say together; `run`: once more."""
    outcomes = [run.outcome for run in runs]
    if "passed" in outcomes:
        return "passed"
    if outcomes.count("failed") >= FAILURES_TO_EJECT:
        return "failed"
    if outcomes.count("inconclusive") >= INCONCLUSIVE_TO_EJECT:
        return "inconclusive"
    return "run"


def _drive(item: Queued, ride: Ride, car: Car) -> Action:
    """The next step of a car: a check, or its end."""
    green = []
    for check in ride.required:
        runs = tuple(run for run in ride.results if run.check == check.name and run.sha == car.sha)
        match judge(runs):
            case "run":
                return RunCheck(item, car, check)
            case "failed":
                return Eject(item, _red(item, car, runs))
            case "inconclusive":
                return Eject(item, _unproven(item, car, runs))
            case "passed":
                green.append(next(run for run in runs if run.outcome == "passed"))
    return Land(item, car, tuple(green))


def _item(state: TrainState, ride: Ride) -> Queued:
    item = state.queue.get(ride.sequence)
    if item is None:
        raise AssertionError(f"ride {ride.sequence} has no item in the queue")
    return item


def _left(item: Queued, why: Literal["withdrawn", "head_moved"]) -> CarEjected:
    said = {
        "withdrawn": "The change was withdrawn; enqueue it again to land it.",
        "head_moved": f"A newer head was enqueued, so {item.head[:12]} gives way to it; nothing to do.",
    }
    return CarEjected(change=item.change, reason=why, detail=said[why])


def _red(item: Queued, car: Car, runs: tuple[CheckResult, ...]) -> CarEjected:
    last = [run for run in runs if run.outcome == "failed"][-1]
    detail = (
        f"Check {last.check} failed {FAILURES_TO_EJECT} times on {car.sha[:12]} "
        f"({item.head[:12]} merged onto {car.base[:12]}): {Untrusted(last.summary).for_markdown()}. "
        "Push a fix and enqueue the new head."
    )
    return CarEjected(change=item.change, reason="check_failed", detail=detail + _log(last))


def _unproven(item: Queued, car: Car, runs: tuple[CheckResult, ...]) -> CarEjected:
    last = runs[-1]
    detail = (
        f"Check {last.check} gave no verdict on {car.sha[:12]} in {len(runs)} runs: "
        f"{Untrusted(last.summary).for_markdown()}. Nothing says that the change is at fault; "
        "enqueue it again once the runner is well."
    )
    return CarEjected(change=item.change, reason="check_inconclusive", detail=detail + _log(last))


def _log(run: CheckResult) -> str:
    """The end of the output as a block of Markdown; what it says is data."""
    if not run.log:
        return ""
    return f"\n\n{Untrusted(run.log[-LOG_SHOWN:]).for_markdown_block(LOG_SHOWN)}"
