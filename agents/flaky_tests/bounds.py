"""What the agent promises in numbers, and bounds on a rate from few counts."""

from dataclasses import dataclass
from math import ceil, log, log1p, sqrt

BY_ITSELF = 1e6
"""A for a quarantine that lands by itself."""
BY_A_PERSON = 1e4
"""A for a quarantine that a person approves."""
A_PAIR = 2e5
"""A for a test with two discordances, where that is more. The evidence sums over all runs since which the
test may be flaky, so after a long quiet time each discordance passes 1e4 alone; and among thousands of tests
the noise of months makes some pairs."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The error rates that a repository accepts."""

    runs_to_false_quarantine: float = BY_ITSELF
    """A: the mean number of runs in which a healthy test is quarantined once is at least this."""
    false_release: float = 0.005
    """How often a clean stretch of a test that is still flaky may release it; a quarter for each time that
    it came back."""
    runs_to_false_unmask: float = 1e4
    """The mean number of runs in which an unchanged test's quarantine is lifted once is at least this."""
    units_to_false_release: float = 3e4
    """The mean number of runs and fresh executions in which a test as flaky as ever is released once is at
    least this."""

    def release_level(self, quarantines: int, rate: float) -> float:
        """The chance that one clean stretch may have, for a test quarantined so many times, 1 or more.

        `rate`: a lower bound on how often it shows itself, which is how often a stretch begins.
        """
        stretches = max(self.units_to_false_release * rate, 1.0)
        level = min(self.false_release, 1.0 / stretches)
        return level / 4.0 ** min(max(quarantines - 1, 0), 8)


def lower(failures: int, units: int, z: float = 1.2816) -> float:
    """A lower bound on the failures a unit, 90 % one-sided by default; 0 if none failed.

    The gamma quantile by Wilson and Hilferty (1931): exact for counting until the last of the failures.
    """
    if failures <= 0 or units <= 0:
        return 0.0
    root = 1.0 - 1.0 / (9.0 * failures) - z / (3.0 * sqrt(failures))
    return min(failures * max(root, 0.0) ** 3 / units, 1.0)


def upper(failures: int, units: int, z: float = 2.3263) -> float:
    """An upper bound on the failures a unit, 99 % one-sided by default; 1 if there are no units."""
    if units <= 0:
        return 1.0
    more = failures + 1
    root = 1.0 - 1.0 / (9.0 * more) + z / (3.0 * sqrt(more))
    return min(more * root**3 / units, 1.0)


def clean_units(rate: float, level: float) -> int:
    """So many units without a failure have at most the chance `level` when each fails with chance `rate`."""
    if rate <= 0.0:
        return NEVER
    if rate >= 1.0:
        return 1
    return min(ceil(log(level) / log1p(-rate)), NEVER)


NEVER = 10**9
"""More units than any test will ever run."""
