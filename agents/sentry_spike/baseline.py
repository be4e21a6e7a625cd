"""How many events a tick should bring, learned from whole days of the stream itself.

expected = level × weekend × ten-minutes-of-day × correction. The level is a mean of daily totals whose
weight halves every 1.5 days; each finer factor is shrunk to its parent, so that a few events teach
little. Days are winsorised before they teach: one spike must not become the new normal.

The dispersion φ is quasi-Poisson (Wedderburn 1974, "Quasi-likelihood functions", Biometrika 61): the
squared deviations of ten-minute counts over their expectation, never below 1.
"""

from math import exp, expm1, sqrt

from pydantic import Field

from leverframe.model.frozen import Frozen

DAY = 86_400
BIN = 600
"""Ten minutes: the finest season that is learned."""
BINS = DAY // BIN
BINS_PER_HOUR = 6

_LEVEL_DECAY = 2 ** (-1 / 1.5)
_SHAPE_DECAY = 2 ** (-1 / 7)
_WEEKEND_DECAY = 2 ** (-1 / 28)
_PRIOR_EVENTS = 0.5
_SHRINK_EVENTS = 10.0
"""Events of the parent's shape that each bin starts with, times φ: clustered events teach less."""
_MOST_ACTIVE = 0.98
_WINSOR_OVER_MEDIAN = 4.0
_WINSOR_OVER_BURST = 1.5
_WINSOR_OVER_EXPECTED = 3.0
_USUAL_HOURS = 5


class Season(Frozen):
    """What completed days have taught. All sums are decayed, so they stay bounded."""

    events: float = 0.0
    days: float = 0.0
    weekend_ratios: float = 0.0
    weekend_days: float = 0.0
    shape: tuple[float, ...] = Field(default=(0.0,) * BINS, min_length=BINS, max_length=BINS)
    correction: float = 1.0
    squares: float = 0.0
    square_events: float = 0.0
    active_seen: float = 0.0
    active_expected: float = 0.0
    clump_squares: float = 0.0
    clump_variance: float = 0.0

    @property
    def level(self) -> float:
        """Events per weekday."""
        return (self.events + _PRIOR_EVENTS) / self.days if self.days else _PRIOR_EVENTS

    @property
    def weekend(self) -> float:
        """How a weekend day compares with a weekday."""
        return min(5.0, max(0.2, (self.weekend_ratios + 1) / (self.weekend_days + 1)))

    @property
    def dispersion(self) -> float:
        """φ of the counts."""
        return max(1.0, (self.squares + 5) / (self.square_events + 5))

    @property
    def active_dispersion(self) -> float:
        """φ of the active ticks."""
        return max(1.0, (self.clump_squares + 5) / (self.clump_variance + 5))

    def share(self, bin_: int) -> float:
        """The share of a day's events that ten minutes of the day bring; the shares add up to 1."""
        shrink = _SHRINK_EVENTS * self.dispersion
        first = bin_ - bin_ % BINS_PER_HOUR
        hour = sum(self.shape[first : first + BINS_PER_HOUR])
        of_day = (hour + shrink) / (sum(self.shape) + 24 * shrink)
        return of_day * (self.shape[bin_] + shrink) / (hour + BINS_PER_HOUR * shrink)

    def day_total(self, day: int) -> float:
        """Events expected on a day (days since 1970), before the correction."""
        return self.level * (self.weekend if is_weekend(day) else 1.0)

    def rate(self, second: int, tick_seconds: int) -> float:
        """Events expected in the tick that holds a second of Unix time."""
        day, within = divmod(second, DAY)
        return self.day_total(day) * self.correction * self.share(within // BIN) * tick_seconds / BIN

    def active_chance(self, rate: float) -> float:
        """The chance that a tick with this rate has any event; clustered events leave more ticks empty."""
        seen = min(1.0, (self.active_seen + 5) / (self.active_expected + 5))
        return min(_MOST_ACTIVE, -expm1(-rate) * seen)


class Today(Frozen):
    """The day that is going on; it teaches when it is over."""

    counts: tuple[int, ...] = Field(default=(0,) * BINS, min_length=BINS, max_length=BINS)
    first_bin: int = 0
    """Where the day's record begins: above 0 only on the subject's first day."""
    active: int = 0
    active_expected: float = 0.0
    bin_active: int = 0
    bin_expected: float = 0.0
    bin_variance: float = 0.0
    clump_squares: float = 0.0
    clump_variance: float = 0.0

    def with_ticks(self, bin_: int, *, count: int, ticks: int, poisson: float, chance: float) -> "Today":
        """The day after `ticks` equal ticks of `count` events each, all within one ten-minute bin.

        A `chance` of 0 says that nothing was expected yet: then active ticks teach nothing.
        """
        active = ticks if count and chance else 0
        counts = self.counts
        if count:
            counts = (*counts[:bin_], counts[bin_] + count * ticks, *counts[bin_ + 1 :])
        return Today(
            counts=counts,
            first_bin=self.first_bin,
            active=self.active + active,
            active_expected=self.active_expected + ticks * poisson,
            bin_active=self.bin_active + active,
            bin_expected=self.bin_expected + ticks * chance,
            bin_variance=self.bin_variance + ticks * chance * (1 - chance),
            clump_squares=self.clump_squares,
            clump_variance=self.clump_variance,
        )

    def with_bin_closed(self) -> "Today":
        """The day once a ten-minute bin is over: its active ticks are compared with what was expected."""
        return self.model_copy(
            update={
                "clump_squares": self.clump_squares + (self.bin_active - self.bin_expected) ** 2,
                "clump_variance": self.clump_variance + self.bin_variance,
                "bin_active": 0,
                "bin_expected": 0.0,
                "bin_variance": 0.0,
            }
        )


def is_weekend(day: int) -> bool:
    """Whether a day, counted from Thursday 1 January 1970, is a Saturday or a Sunday (UTC)."""
    return (day + 3) % 7 >= 5


def poisson_active(rate: float) -> float:
    """P(at least one event) under Poisson."""
    return 1.0 - exp(-rate)


def learn(season: Season, today: Today, day: int) -> Season:
    """The season after a day is over."""
    counts = _winsorised(season, today, day)
    total = sum(counts)
    seen = (BINS - today.first_bin) / BINS
    # The first day starts late: what was not seen is taken to be like what was seen.
    filled = [total / (BINS - today.first_bin)] * today.first_bin + counts[today.first_bin :]
    squares, square_events = _deviations(season, counts, today.first_bin)
    expected = season.day_total(day)
    phi = season.dispersion
    weekend = is_weekend(day)
    ratio = min(5.0, total / seen / season.level) if weekend and season.days >= 1 else None
    return Season(
        events=season.events * _LEVEL_DECAY + total / (season.weekend if weekend else 1.0),
        days=season.days * _LEVEL_DECAY + seen,
        weekend_ratios=season.weekend_ratios * _WEEKEND_DECAY + (ratio or 0.0),
        weekend_days=season.weekend_days * _WEEKEND_DECAY + (ratio is not None),
        shape=tuple(old * _SHAPE_DECAY + new for old, new in zip(season.shape, filled, strict=True)),
        correction=min(1.6, max(0.8, (total + 4 * phi) / (expected + 4 * phi))) if season.days > 1.5 else 1.0,
        squares=season.squares * _SHAPE_DECAY + squares,
        square_events=season.square_events * _SHAPE_DECAY + square_events,
        active_seen=season.active_seen * _SHAPE_DECAY + today.active,
        active_expected=season.active_expected * _SHAPE_DECAY + today.active_expected,
        clump_squares=season.clump_squares * _SHAPE_DECAY + today.clump_squares,
        clump_variance=season.clump_variance * _SHAPE_DECAY + today.clump_variance,
    )


def _winsorised(season: Season, today: Today, day: int) -> list[float]:
    """The day's ten-minute counts, each cut to what its neighbours or its own history make plausible."""
    busy = sorted(count for count in today.counts if count)
    if not busy:
        return [0.0] * BINS
    hours = [max(today.counts[first : first + BINS_PER_HOUR]) for first in range(0, BINS, BINS_PER_HOUR)]
    # What comes in five separate hours is how the stream is; one spike fills fewer.
    usual_burst = sorted(hours)[-_USUAL_HOURS]
    plain = max(_WINSOR_OVER_MEDIAN * busy[len(busy) // 2], _WINSOR_OVER_BURST * usual_burst)
    total, phi = season.day_total(day) * season.correction, season.dispersion
    cut = []
    for bin_, count in enumerate(today.counts):
        expected = total * season.share(bin_) if count > plain else 0.0
        limit = _WINSOR_OVER_EXPECTED * (expected + sqrt(phi * expected))
        cut.append(min(float(count), max(plain, limit)))
    return cut


def _deviations(season: Season, counts: list[float], first_bin: int) -> tuple[float, float]:
    """Σ(x−E)² and ΣE over the day's bins, E scaled to the day's own total: shape counts, level does not."""
    shares = [season.share(bin_) for bin_ in range(first_bin, BINS)]
    scale = sum(counts) / sum(shares)
    squares = sum(
        (count - share * scale) ** 2 for count, share in zip(counts[first_bin:], shares, strict=True)
    )
    return squares, sum(counts)
