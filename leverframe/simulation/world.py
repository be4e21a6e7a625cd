"""The world around the planner: runners that take their time, a target that moves, and the truth.

The same `plan()` that drives the real train is called after every event, with the same snapshot; only the
results of the builds come from the workload's truth in the place of a CI.
"""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from leverframe.model.changes import Priority
from leverframe.model.topology import TrainRules
from leverframe.simulation.workload import Arrival, Workload
from workflows.merge_train.lane import Eject, Entry, Path, Plan, Snapshot, Trial
from workflows.merge_train.moves import after_landing, after_leaving, green_before
from workflows.merge_train.record import Record, decided, ran
from workflows.merge_train.window import Clamp, after_failed, after_landed

START = datetime(2026, 1, 5, tzinfo=UTC)

Planner = Callable[[Snapshot, TrainRules, Record], Plan]


@dataclass(slots=True)
class Run:
    """One run of a trial's checks that is going on."""

    path: Path
    ends_at: float
    minutes: float
    passes: bool
    """What its end will show."""
    truth: bool
    """Whether it would pass without flakes."""


@dataclass(slots=True)
class Tally:
    """What is counted while the world runs."""

    turnaround: dict[int, float] = field(default_factory=dict)
    """Change → minutes from its arrival to its decision."""
    landed: list[int] = field(default_factory=list)
    rejected: list[int] = field(default_factory=list)
    builds: int = 0
    """Trials that were started, also those cancelled later."""
    aborted: int = 0
    repeats: int = 0
    """Runs of failed checks on a commit that was tested already."""
    busy_minutes: float = 0.0
    """Of all runners together."""
    plans: int = 0


class World:
    """One workload under one set of rules. `run()` once; the tally is the result."""

    def __init__(self, workload: Workload, rules: TrainRules, planner: Planner) -> None:
        self.workload, self.rules, self.planner = workload, rules, planner
        self.arrivals = {one.number: one for one in workload.arrivals}
        self.tally = Tally()
        self.record, self.clamp = Record(), Clamp()
        self.now = 0.0
        self.entries: tuple[Entry, ...] = ()
        self.trials: tuple[Trial, ...] = ()
        self.green: tuple[Path, ...] = ()
        self.runs: dict[Path, Run] = {}
        self.landed: set[int] = set()
        self.pending: list[tuple[float, int, Run]] = []
        self.counter = 0

    def run(self) -> Tally:
        """Until every change is decided."""
        for one in self.workload.arrivals:
            self._until(one.at)
            self.now = one.at
            self.entries += (_entry(one),)
            self._settle()
        self._until(float("inf"))
        if self.entries:
            raise AssertionError(f"the planner left {[entry.sequence for entry in self.entries]} undecided")
        return self.tally

    def _until(self, limit: float) -> None:
        while self.pending and self.pending[0][0] <= limit:
            self.now, _, run = heapq.heappop(self.pending)
            if self.runs.get(run.path) is run:
                self._ended(run)
                self._settle()

    def _ended(self, run: Run) -> None:
        del self.runs[run.path]
        self.tally.busy_minutes += run.minutes
        trial = next(one for one in self.trials if one.path == run.path)
        known = run.passes and not trial.overtaken
        self.record = ran(self.record, minutes=run.minutes, flaked=trial.failed_runs > 0 if known else None)
        self._put(
            trial.model_copy(
                update={
                    "state": "passed" if run.passes else "failed",
                    "failed_runs": trial.failed_runs + (not run.passes),
                }
            )
        )

    def _settle(self) -> None:
        while True:
            self.tally.plans += 1
            plan = self.planner(self._snapshot(), self.rules, self.record)
            for path in plan.cancel:
                self._drop(path)
                self.trials = tuple(trial for trial in self.trials if trial.path != path)
            for ejected in plan.ejected:
                self._eject(ejected)
            if plan.land is not None:
                self._land(plan.land.path)
            elif not plan.ejected:
                break
        for path in plan.again:
            trial = next(one for one in self.trials if one.path == path)
            self.tally.repeats += 1
            self._put(trial.model_copy(update={"state": "running", "runs": trial.runs + 1}))
            self._go(path, trial.runs + 1)
        for path in plan.start:
            self.tally.builds += 1
            self._put(Trial(path=path, state="running", began_at=self._instant()))
            self._go(path, 1)

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            entries=self.entries,
            trials=self.trials,
            passed_before=self.green,
            clamp=self.clamp.limit,
            now=self._instant(),
        )

    def _instant(self) -> datetime:
        return START + timedelta(minutes=self.now)

    def _put(self, trial: Trial) -> None:
        self.trials = (*(one for one in self.trials if one.path != trial.path), trial)

    def _go(self, path: Path, number: int) -> None:
        truth = self._truth(path)
        passes = truth and not self._flakes(path, number)
        minutes = max(self.arrivals[one].minutes for one in self._tested_here(path))
        run = Run(path, self.now + minutes, minutes, passes, truth)
        self.runs[path] = run
        self.counter += 1
        heapq.heappush(self.pending, (run.ends_at, self.counter, run))

    def _tested_here(self, path: Path) -> tuple[int, ...]:
        """Those that this trial is the first to test: more than one in a batch."""
        known = {trial.path for trial in self.trials}
        length = len(path)
        while (
            self.rules.strategy in ("batch", "speculate")
            and self.rules.batch > 1
            and length > 1
            and path[: length - 1] not in known
        ):
            length -= 1
        return path[length - 1 :]

    def _truth(self, path: Path) -> bool:
        below = self.landed | set(path)
        return all(
            self.arrivals[one].good
            and below.isdisjoint(self.arrivals[one].clashes)
            and not any(one in self.arrivals[other].clashes for other in self.landed if other > one)
            for one in path
        )

    def _flakes(self, path: Path, number: int) -> bool:
        if not self.workload.flake:
            return False
        name = f"flake {self.workload.seed} {path} {len(self.landed)} {number}"
        return random.Random(name).random() < self.workload.flake  # noqa: S311 - reproducible, not secret

    def _drop(self, path: Path) -> None:
        run = self.runs.pop(path, None)
        if run is not None:
            self.tally.aborted += 1
            self.tally.busy_minutes += run.minutes - (run.ends_at - self.now)

    def _eject(self, ejected: Eject) -> None:
        number = ejected.sequence
        self.tally.rejected.append(number)
        if ejected.reason in ("check_failed", "incompatible"):
            self.clamp = after_failed(self.clamp, self.rules.window)
        self._decided(number, landed=False, incompatible=ejected.reason == "incompatible")
        kept = after_leaving(self.trials, number)
        self._keep(kept, {number})

    def _land(self, path: Path) -> None:
        entries = self.entries
        for number in path:
            self.landed.add(number)
            self.tally.landed.append(number)
            self.clamp = after_landed(self.clamp, self.rules.window)
            self._decided(number, landed=True, incompatible=False)
        kept = after_landing(self.trials, path, entries, composed=self.workload.composed)
        moved = {
            trial.path: trial.path[len(path) :] for trial in self.trials if trial.path[: len(path)] == path
        }
        for old, new in moved.items():
            if new and old in self.runs:
                run = self.runs.pop(old)
                stale = self.runs.pop(new, None)
                if stale is not None:
                    self.tally.aborted += 1
                    self.tally.busy_minutes += stale.minutes - (stale.ends_at - self.now)
                run.path = new
                self.runs[new] = run
        self._keep(kept, set(path))

    def _keep(self, kept: tuple[Trial, ...], gone: set[int]) -> None:
        self.green = tuple(
            path
            for path in dict.fromkeys((*self.green, *green_before(self.trials, kept)))
            if gone.isdisjoint(path)
        )
        self.trials = kept
        held = {trial.path for trial in kept}
        for path in [path for path in self.runs if path not in held]:
            self._drop(path)

    def _decided(self, number: int, *, landed: bool, incompatible: bool) -> None:
        entry = next(one for one in self.entries if one.sequence == number)
        self.entries = tuple(one for one in self.entries if one.sequence != number)
        self.tally.turnaround[number] = self.now - self.arrivals[number].at
        self.record = decided(
            self.record, entry, landed=landed, incompatible=incompatible, among=len(self.entries)
        )


def _entry(one: Arrival) -> Entry:
    return Entry(
        sequence=one.number,
        priority=Priority.NORMAL,
        actor="person",
        lanes=one.targets,
        enqueued_at=START + timedelta(minutes=one.at),
    )
