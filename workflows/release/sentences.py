"""Counts and chances in words, as verdicts say them. Pure."""

import math
from collections.abc import Collection

from leverframe.model.releases import Count


def compared(signal: str, canary: Count, control: Count, where: str, ratio: float | None) -> str:
    """`errors: canary 9 of 61 (14.8 %), stable 2 of 1,204 (0.2 %), 89 times stable's rate`."""
    counts = f"{signal}: canary {_share(canary)}, {where} {_share(control)}"
    if ratio is None or ratio == math.inf:
        return counts
    return f"{counts}, {ratio:.2g} times stable's rate"


def one_in(strength: float) -> str:
    """`1 time in 20,000`: two digits, rounded down."""
    digits = max(0, math.floor(math.log10(max(strength, 1))) - 1)
    return f"1 time in {int(strength // 10**digits * 10**digits):,}"


def together(names: Collection[str]) -> str:
    """`errors and latency`, or `all 7 signals`."""
    return " and ".join(names) if len(names) < 4 else f"all {len(names)} signals"


def _share(count: Count) -> str:
    counted = f"{count.bad:,} of {count.total:,}"
    return f"{counted} ({100 * count.bad / count.total:.1f} %)" if count.total else counted
