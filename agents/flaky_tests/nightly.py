"""The night's fresh executions of quarantined tests: how many of which, within what policy allows.

Where there is not enough for all, fixes that a commit claims are verified first, then the stretches that are
nearest to healing, since each execution ends most quarantines there. The others take turns.
"""

from collections.abc import Mapping

from agents.flaky_tests.healing import executions_today, promising
from agents.flaky_tests.history import Mask, Quarantine

FIRST = 5
"""Executions that are asked for at once; then as many again as passed, so that 400 are seven rounds."""


def planned(quarantines: Mapping[int, Quarantine], budget: int, night: int) -> dict[int, int]:
    """Executions by test, each in an environment of its own; tests with none are left out.

    `quarantines`: caught up with the tests' runs. `budget`: executions for all of them together. `night`:
    numbered, so that those that take turns begin at another test each night.
    """
    wanted = {
        test: count
        for test, quarantine in quarantines.items()
        if _tells(quarantine) and (count := executions_today(quarantine)) > 0
    }
    plan, left = dict[int, int](), budget
    for test in _in_order(wanted, quarantines, night):
        count = min(wanted[test], left)
        if count <= 0:
            break
        plan[test], left = count, left - count
    return plan


def next_batch(count: int, executed: int, failures: int) -> int:
    """How many of a test's `count` executions to ask for now; 0 when the night is over for it.

    The first failure ends a clean stretch, and what would come after it can't heal the test tonight.
    """
    if failures:
        return 0
    return min(max(executed, FIRST), count - executed)


def _tells(quarantine: Quarantine) -> bool:
    """What only fails now would fail all executions, which says nothing, until a commit claims to fix it."""
    return quarantine.mask is not Mask.STUCK or quarantine.fix_claimed


def _in_order(wanted: Mapping[int, int], quarantines: Mapping[int, Quarantine], night: int) -> list[int]:
    def left(test: int) -> tuple[int, int]:
        quarantine = quarantines[test]
        return quarantine.needed - quarantine.rate.clean, test

    claimed = sorted((test for test in wanted if quarantines[test].fix_claimed), key=left)
    near = sorted(
        (test for test in wanted if not quarantines[test].fix_claimed and promising(quarantines[test])),
        key=left,
    )
    others = sorted(wanted.keys() - set(claimed) - set(near))
    start = night % max(len(others), 1)
    return [*claimed, *near, *others[start:], *others[:start]]
