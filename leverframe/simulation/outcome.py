"""What one simulated strategy came to, in the numbers that teams compare."""

from collections.abc import Callable
from typing import Literal, get_args

from leverframe.model.frozen import Frozen
from leverframe.model.topology import TrainRules
from leverframe.simulation.workload import Workload
from leverframe.simulation.world import Tally, World
from workflows.merge_train.lane import Entry, Plan, Snapshot
from workflows.merge_train.planning import plan
from workflows.merge_train.predictor import ByRecord, Predictor
from workflows.merge_train.record import Record

Strategy = Literal["serial", "batch", "window", "aimd", "speculate", "oracle"]
"""The strategies of `TrainRules`, and `oracle`: each change at once on those who will land before it."""

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)

MOST_WINDOW = 1000
"""The widest window that `TrainRules` takes: only runners limit the oracle."""


class Outcome(Frozen):
    """The result of a simulation. Minutes are from a change's arrival to its decision."""

    strategy: Strategy
    landed: int
    p50_minutes: float
    p95_minutes: float
    p99_minutes: float
    builds_per_change: float
    """Trials that were started, for each change; repetitions on the same commit don't count."""
    aborted_share: float
    """Of these trials, how many were cancelled."""
    false_rejections: int
    """Changes that left although they would have landed without flakes."""
    max_wait_minutes: float


class Knowing:
    """The predictor that knows who will land."""

    def __init__(self, fates: dict[int, bool]) -> None:
        self.fates = fates

    def passing(self, entries: tuple[Entry, ...], record: Record) -> tuple[float, ...]:
        return tuple(float(self.fates[entry.sequence]) for entry in entries)

    def clashing(self, record: Record) -> float:
        return 0.0

    def flaking(self, record: Record) -> float:
        return 0.0


def simulated(workload: Workload, strategy: Strategy, rules: TrainRules) -> tuple[Outcome, Tally]:
    """Run the workload under the strategy; `rules` gives everything else."""
    predictor: Predictor = Knowing(workload.fates()) if strategy == "oracle" else ByRecord()
    chosen = rules.model_copy(
        update={
            "strategy": "window" if strategy == "oracle" else strategy,
            "lane_mode": "composed" if workload.composed else "chain",
            **({"window": MOST_WINDOW} if strategy == "oracle" else {}),
        }
    )
    tally = World(workload, chosen, _with(predictor)).run()
    return _outcome(strategy, workload, tally), tally


def _with(predictor: Predictor) -> Callable[[Snapshot, TrainRules, Record], Plan]:
    def planned(snapshot: Snapshot, rules: TrainRules, record: Record) -> Plan:
        return plan(snapshot, rules, record, predictor)

    return planned


def _outcome(strategy: Strategy, workload: Workload, tally: Tally) -> Outcome:
    waits = sorted(tally.turnaround.values())
    fates = workload.fates()
    return Outcome(
        strategy=strategy,
        landed=len(tally.landed),
        p50_minutes=percentile(waits, 0.50),
        p95_minutes=percentile(waits, 0.95),
        p99_minutes=percentile(waits, 0.99),
        builds_per_change=round(tally.builds / max(1, len(waits)), 4),
        aborted_share=round(tally.aborted / max(1, tally.builds), 4),
        false_rejections=sum(fates[number] for number in tally.rejected),
        max_wait_minutes=round(waits[-1], 3) if waits else 0.0,
    )


def percentile(ordered: list[float], share: float) -> float:
    """Between the two nearest ranks; 0 for nothing."""
    if not ordered:
        return 0.0
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return round(ordered[low] + (at - low) * (ordered[high] - ordered[low]), 3)
