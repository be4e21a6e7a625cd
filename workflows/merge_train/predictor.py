"""The predictor: the chances that the planner starts from, before it has seen a test. Better ones plug in."""

from typing import Protocol

from workflows.merge_train.lane import Entry
from workflows.merge_train.record import PRIOR_WEIGHT, Record


class Predictor(Protocol):
    """Chances between 0 and 1. Pure: the same entries and record give the same chances."""

    def passing(self, entries: tuple[Entry, ...], record: Record) -> tuple[float, ...]:
        """For each change that it is good in itself. 0 and 1 are certainties that no test can shake."""
        ...

    def clashing(self, record: Record) -> float:
        """That two good changes, in line at the same time, don't go together."""
        ...

    def flaking(self, record: Record) -> float:
        """That a run of a good car is red all the same."""
        ...


class ByRecord:
    """Goes by the record alone: a kind's own outcomes, drawn to everybody's while there are few."""

    def passing(self, entries: tuple[Entry, ...], record: Record) -> tuple[float, ...]:
        mean = record.passing.mean
        known = {
            (kind.actor, kind.lanes): (kind.well + PRIOR_WEIGHT * mean)
            / (kind.well + kind.ill + PRIOR_WEIGHT)
            for kind in record.kinds
        }
        return tuple(known.get((entry.actor, entry.lanes), mean) for entry in entries)

    def clashing(self, record: Record) -> float:
        return 1 - record.together.mean

    def flaking(self, record: Record) -> float:
        return 1 - record.steady.mean
