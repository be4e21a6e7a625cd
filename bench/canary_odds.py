"""What was measured with how sure one can be of it, beside what was promised.

A share has the exact interval of Clopper and Pearson (1934), a mean the normal one; both of 95 %. A target is

    met      the estimate keeps it, from `ENOUGH` rollouts or more, or the whole interval does
    MISSED   the estimate breaks it, from `ENOUGH` rollouts or more, or the whole interval does
    open     else: so few rollouts can't tell
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

ENOUGH = 1000
"""Rollouts from which on the estimate itself counts."""

TAIL = 0.025
"""Of each side."""


@dataclass(frozen=True)
class Measured:
    """An estimate from so many rollouts, and its interval."""

    value: float
    low: float
    high: float
    tries: int
    unit: str = ""

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.value:.2f}{unit} ({self.low:.2f} to {self.high:.2f}, {self.tries:,})"

    def keeps(self, limit: float, *, at_least: bool = False) -> Literal["met", "MISSED", "open"]:
        """How it stands to a limit, which it must not exceed or, `at_least`, not fall below."""
        inside = [(each >= limit) if at_least else (each <= limit) for each in (self.low, self.high)]
        if all(inside):
            return "met"
        if not any(inside):
            return "MISSED"
        if self.tries < ENOUGH:
            return "open"
        kept = self.value >= limit if at_least else self.value <= limit
        return "met" if kept else "MISSED"


def share(hits: int, tries: int) -> Measured:
    """A share in percent, with Clopper's and Pearson's interval."""
    low = 0.0 if not hits else _root(lambda p: 1 - _at_most(hits - 1, tries, p) < TAIL)
    high = 1.0 if hits == tries else _root(lambda p: _at_most(hits, tries, p) > TAIL)
    return Measured(100 * hits / tries, 100 * low, 100 * high, tries, "%")


def mean(values: Sequence[float]) -> Measured:
    """A mean, with the normal interval."""
    middle = statistics.fmean(values)
    around = 1.96 * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf
    return Measured(middle, middle - around, middle + around, len(values))


def _root(below: Callable[[float], bool]) -> float:
    """Where a condition that holds for small shares ends."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return low


def _at_most(hits: int, tries: int, p: float) -> float:
    """The chance of at most so many hits."""
    if not 0 < p < 1:
        return float(p == 0 or hits >= tries)
    logs = [
        math.lgamma(tries + 1)
        - math.lgamma(k + 1)
        - math.lgamma(tries - k + 1)
        + k * math.log(p)
        + (tries - k) * math.log1p(-p)
        for k in range(hits + 1)
    ]
    return min(1.0, math.fsum(map(math.exp, logs)))


class Targets:
    """What was promised, beside what was measured."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str]] = []

    def hold(self, name: str, measured: object, verdict: str) -> None:
        self._rows.append((name, str(measured), verdict))

    def show(self) -> None:
        print("\n| target | measured (95 % interval, rollouts) | |\n|---|---|---|")
        for row in self._rows:
            print("| " + " | ".join(row) + " |")
        counts = [f"{sum(row[2] == each for row in self._rows)} {each}" for each in ("met", "MISSED", "open")]
        print(f"\n{', '.join(counts)}.")
