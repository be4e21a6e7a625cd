"""Measures that say of how much they were made: spans with their count, rates with their uncertainty.

Durations are exact, shares are integers in parts per million. What can't be said is None, with the reason.
"""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal

from pydantic import Field

from leverframe.model.frozen import Frozen

ENOUGH_FOR_P90 = 10
"""With fewer spans the nearest-rank 90th percentile is only the largest one."""

Z95 = Decimal("1.959963984540054")

NOTHING_ENDED = "not enough data: no deployment ended in this time"


class Spans(Frozen):
    """How long something took."""

    count: int = Field(ge=0)
    median: timedelta | None = None
    """The middle one; of an even count, halfway between the two in the middle."""
    p90: timedelta | None = None
    """Nearest rank: nine in ten took no longer."""
    why: str = ""
    """What is missing, in words."""

    @classmethod
    def of(cls, spans: Iterable[timedelta], *, what: str) -> "Spans":
        """Measure them. `what` names them for the sentence that says that there are none."""
        ordered = sorted(spans)
        count = len(ordered)
        if not ordered:
            return cls(count=0, why=f"not enough data: no {what} in this time")
        low, high = ordered[(count - 1) // 2], ordered[count // 2]
        if count < ENOUGH_FOR_P90:
            why = f"not enough data for a 90th percentile: {count} of {ENOUGH_FOR_P90}"
            return cls(count=count, median=low + (high - low) // 2, why=why)
        return cls(count=count, median=low + (high - low) // 2, p90=ordered[-(-9 * count // 10) - 1])


class Rate(Frozen):
    """A share of deployments."""

    count: int = Field(ge=0)
    of: int = Field(ge=0)
    ppm: int | None = None
    low_ppm: int | None = None
    """The Wilson score interval at 95 % (Wilson, JASA 22, 1927): what so few deployments can't tell apart."""
    high_ppm: int | None = None
    why: str = ""

    @classmethod
    def among(cls, count: int, of: int) -> "Rate":
        """`count` of so many; nothing is no zero."""
        if of == 0:
            return cls(count=count, of=0, why=NOTHING_ENDED)
        share, squared, total = Decimal(count) / of, Z95 * Z95, Decimal(of)
        middle = share + squared / (2 * total)
        reach = Z95 * (share * (1 - share) / total + squared / (4 * total * total)).sqrt()
        scale = 1 + squared / total
        return cls(
            count=count,
            of=of,
            ppm=_ppm(share),
            low_ppm=max(0, _ppm((middle - reach) / scale)),
            high_ppm=min(1_000_000, _ppm((middle + reach) / scale)),
        )


def _ppm(share: Decimal) -> int:
    return round(share * 1_000_000)
