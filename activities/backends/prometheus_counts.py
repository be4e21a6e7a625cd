"""Samples of Prometheus as counts: how much the series of one arm grew since an instant. Pure.

The growth is added up series by series, since pods come and go: the growth of a sum would take a pod that
ends for a counter that went back. Within a series a value below the one before is a restart from zero, as in
Prometheus' own `increase`; unlike it, nothing is extrapolated to the edges of a window, so growths of
adjacent polls add up and stay whole numbers.
"""

import itertools
import math
from collections.abc import Collection, Iterable, Sequence

from leverframe.model.errors import Unavailable

Series = Sequence[tuple[float, float]]
"""Time in seconds and value, ascending in time."""

BORN_AFTER_SECONDS = 120.0
"""A series that shows up so long after the service's first sample was born then, and counts from zero. Until
then it may be a Prometheus that has just begun to look at old processes."""

PRESENT_SECONDS = 300.0
"""Two samples of an instance that are further apart leave a gap; Prometheus' own lookback."""


def first_sample(all_series: Iterable[Series]) -> float:
    """The time of the earliest sample; infinite without any."""
    return min((series[0][0] for series in all_series if series), default=math.inf)


def last_sample(all_series: Iterable[Series]) -> float:
    """The time of the latest sample; minus infinite without any."""
    return max((series[-1][0] for series in all_series if series), default=-math.inf)


def grown(all_series: Collection[Series], since: float, seen_from: float) -> float:
    """How much counters grew after `since`. `seen_from`: when anything of the service was first seen.

    Raises:
        Unavailable: a value is no count.
    """
    return math.fsum(_grown(series, since, seen_from) for series in all_series if series)


def _grown(series: Series, since: float, seen_from: float) -> float:
    began, first = series[0]
    born = began > since and began > seen_from + BORN_AFTER_SECONDS
    before, growth = _count(0.0 if born else first), 0.0
    for at, value in series:
        growth_now = value - before if _count(value) >= before else value
        if at > since:
            growth += growth_now
        before = value
    return growth


def _count(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise Unavailable(f"a counter shows {value}")
    return value


def present(all_series: Collection[Series], since: float) -> float:
    """For how many seconds after `since` instances were there: times between samples, added up by series."""
    return math.fsum(_present(series, since) for series in all_series if series)


def _present(series: Series, since: float) -> float:
    seconds = 0.0
    for (before, _), (after, _) in itertools.pairwise(series):
        if after - before <= PRESENT_SECONDS:
            seconds += max(0.0, after - max(before, since))
    return seconds
