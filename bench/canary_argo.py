"""How Argo Rollouts assesses one metric of an analysis, written from its documentation and its table tests.

A measurement is successful, failed, inconclusive or an error. Failed and inconclusive ones are counted over
the whole analysis, in a row or not, and end it when there are more than their limit. Errors are counted in a
row, are not measurements, and end it when there are more than theirs. Failed beats inconclusive beats error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Measured = Literal["successful", "failed", "inconclusive", "error"]
Phase = Literal["pending", "running", "successful", "failed", "inconclusive", "error"]


@dataclass(frozen=True)
class Metric:
    """Its limits, with Argo's defaults."""

    failures: int = 0
    inconclusive: int = 0
    errors_in_a_row: int = 4
    count: int | None = None
    """Measurements after which it is over; None: as long as the rollout goes on."""

    def phase(self, measured: Sequence[Measured], *, over: bool = False) -> Phase:
        """Where the metric stands. `over`: the analysis is being ended from outside."""
        if measured.count("failed") > self.failures:
            return "failed"
        if measured.count("inconclusive") > self.inconclusive:
            return "inconclusive"
        if errors_at_the_end(measured) > self.errors_in_a_row:
            return "error"
        if over or (self.count is not None and len(measured) - measured.count("error") >= self.count):
            return "successful"
        return "running" if measured else "pending"


def errors_at_the_end(measured: Sequence[Measured]) -> int:
    """How many errors there were in a row until now."""
    found = 0
    for one in reversed(measured):
        if one != "error":
            break
        found += 1
    return found
