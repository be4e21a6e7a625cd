"""When a quarantined test is healed, and how many executions find out.

The clean stretch since the last failure is tested against "still flaky at its lower bound or more", or at one
in 1,000 where that is more: a stretch of n units has at most the chance (1 - lower bound)^n, so each stretch
releases a test that is still flaky with a chance of at most `Bounds.false_release`, a quarter of it for each
time that it came back; and since a stretch begins with each failure, less for a test that fails often, so
that `units_to_false_release` holds for it too. A rare flake needs more units than one that fails every other
time; no fixed number of passes or days serves both. A commit that claims to fix the test begins a stretch.
"""

from math import ceil

from agents.flaky_tests.bounds import Bounds, clean_units, lower
from agents.flaky_tests.history import Quarantine, Rate

A_DAY, MORE_A_DAY = 5, 20
"""Fresh executions a day of a quarantined test that nothing is suspected of; of a rare flake more, since its
runs alone would hardly ever begin to look like healing."""
_MONTH = 30
_PROMISING = 0.7
"""Failures that a test as flaky as its lower bound would have shown by now: then it is worth to find out."""
_DAYS = 3
"""Within so many days a promising stretch is decided."""
MOST_A_DAY = 400
RAREST = 1e-3
"""A test that shows itself less often counts as healed: to tell it from a sound one takes more executions
than it is worth."""


def needed(rate: Rate, quarantines: int, bounds: Bounds) -> int:
    """Clean units in a row that heal a test with this record, quarantined so many times."""
    least = _least(rate)
    return clean_units(least, bounds.release_level(quarantines, least))


def _least(rate: Rate) -> float:
    return max(lower(rate.failures, rate.units), RAREST)


def after_units(
    quarantine: Quarantine, units: int, failures: int, quarantines: int, bounds: Bounds
) -> Quarantine:
    """After so many more units."""
    if units == 0:
        return quarantine
    rate = quarantine.rate.after(units, failures)
    if failures == 0:
        return quarantine._replace(rate=rate)
    return quarantine._replace(rate=rate, needed=needed(rate, quarantines, bounds), fix_claimed=False)


def healed(quarantine: Quarantine) -> bool:
    return quarantine.rate.clean >= quarantine.needed


def claim_fix(quarantine: Quarantine) -> Quarantine:
    """A commit claims to fix the test: only what comes after it counts."""
    rate = quarantine.rate
    return quarantine._replace(
        fix_claimed=True, rate=Rate(failures=rate.failures, units=rate.units + rate.clean)
    )


def promising(quarantine: Quarantine) -> bool:
    """Whether the clean stretch looks like healing."""
    return quarantine.rate.clean * _least(quarantine.rate) >= _PROMISING


def executions_today(quarantine: Quarantine, *, most: int = MOST_A_DAY) -> int:
    """Fresh executions of the test that are worth their time today, one environment each.

    Few while it goes on failing; all that is needed once a fix is claimed or the stretch looks like one.
    """
    rate = quarantine.rate
    left = max(quarantine.needed - rate.clean, 0)
    if quarantine.fix_claimed:
        return min(left, most)
    least = _least(rate)
    if promising(quarantine):
        return min(max(ceil(left / _DAYS), A_DAY), left, most)
    usual = ceil(1.0 / (_MONTH * least))
    return min(max(usual, A_DAY), MORE_A_DAY, left, most)
