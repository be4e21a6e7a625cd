"""What a quarantine hides, which is as little as it can: only the failures that it was made for, only after
the test passed at the same commit, and only while the test is as flaky as it was.
"""

from math import ceil, log

from agents.flaky_tests.bounds import Bounds, upper
from agents.flaky_tests.evidence import repeated
from agents.flaky_tests.history import MOST_SIGNATURES, Mask, Quarantine, Usual
from agents.flaky_tests.observation import Attempts
from leverframe_pytest.quarantine import EXECUTIONS, MOST_EXECUTIONS

RATES = (0.35, 0.6, 0.9)
"""Failure rates that a regression may bring."""
STUCK = (0.5, 0.95)
"""Shares of runs in which a broken test only fails."""
_WRONGLY_RED = 0.01
_LEARNED_EVERY = 50
_UNSUSPECTED = 10.0
_ABOVE = 1.3
_BACK = 10
"""Runs with a pass after which a test that was stuck is as flaky as before again."""


def reexecutions(quarantine: Quarantine) -> int:
    """How often a quarantined test that only failed is executed again before it may be red.

    So often that a test that is merely as flaky as it was fails them all in 1 % of the cases, at most 15.
    """
    rate = min(quarantine.usual.most_failed, 0.95)
    wanted = ceil(log(_WRONGLY_RED) / log(rate)) if rate > 0 else EXECUTIONS
    return max(EXECUTIONS, min(wanted, MOST_EXECUTIONS))


def hides(quarantine: Quarantine | None, seen: Attempts) -> bool:
    """Whether the failures of a test in one run, re-executions included, can't fail the build.

    Without a pass at the same commit the test may be broken there. A failure that the quarantine was not made
    for fails the build as ever, also when another execution passed.
    """
    return (
        quarantine is not None
        and quarantine.mask is Mask.ON
        and seen.both
        and set(seen.signatures) <= set(quarantine.masked)
    )


def unmasked(quarantine: Quarantine, signatures: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the signatures that the quarantine does not hide."""
    return tuple(signature for signature in signatures if signature not in quarantine.masked)


def with_signatures(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    """The newest MOST_SIGNATURES of both, each once, the newest last."""
    kept = [signature for signature in known if signature not in more]
    return (*kept, *more)[-MOST_SIGNATURES:]


def after_run(quarantine: Quarantine, seen: Attempts, bounds: Bounds) -> Quarantine:
    """After one more run of the test: whether it is still as flaky as it was.

    Two e-detectors against the test's own upper bounds, so that each lifts the quarantine of a test that did
    not change at most once in `bounds.runs_to_false_unmask` runs in the mean.
    """
    usual = _weighed(quarantine.usual, seen)
    passing = 0 if seen.only_failed else quarantine.passing + 1
    mask = quarantine.mask
    if mask is Mask.ON and _mean(usual.stuck) >= bounds.runs_to_false_unmask:
        mask = Mask.STUCK
    elif mask is Mask.ON and _mean(usual.shifted) >= bounds.runs_to_false_unmask:
        mask = Mask.SHIFTED
    elif mask is Mask.STUCK and passing >= _BACK:
        mask, usual = Mask.ON, usual._replace(stuck=(0.0,) * len(STUCK), shifted=(0.0,) * len(RATES))
    return quarantine._replace(usual=_learned(usual), passing=passing, mask=mask)


def after_passes(quarantine: Quarantine, runs: int) -> Quarantine:
    """After so many runs that passed at once, in closed form. They only lower the evidence of a change."""
    usual = quarantine.usual
    usual = usual._replace(
        runs=usual.runs + runs,
        shifted=_after_passes(usual.shifted, RATES, usual.most_failed, runs),
        stuck=_after_passes(usual.stuck, STUCK, usual.most_only_failed, runs),
    )
    return quarantine._replace(usual=_learned(usual), passing=quarantine.passing + runs)


def _weighed(usual: Usual, seen: Attempts) -> Usual:
    return usual._replace(
        runs=usual.runs + 1,
        failed=usual.failed + seen.first_failed,
        only_failed=usual.only_failed + seen.only_failed,
        shifted=_after(usual.shifted, RATES, usual.most_failed, hit=seen.first_failed),
        stuck=_after(usual.stuck, STUCK, usual.most_only_failed, hit=seen.only_failed),
    )


def _learned(usual: Usual) -> Usual:
    """The bounds of what was seen so far, unless something seems to have changed."""
    suspected = max(_mean(usual.shifted), _mean(usual.stuck)) >= _UNSUSPECTED
    if suspected or usual.runs - usual.known < _LEARNED_EVERY:
        return usual
    most = upper(usual.failed, usual.runs)
    learned = usual._replace(
        known=usual.runs,
        most_failed=most,
        # A run in which it only fails is one whose first execution fails.
        most_only_failed=min(most, upper(usual.only_failed, usual.runs)),
    )
    if usual.runs < 1000:
        return learned
    return learned._replace(
        runs=usual.runs // 2,
        known=usual.runs // 2,
        failed=usual.failed // 2,
        only_failed=usual.only_failed // 2,
    )


def _after(
    evidence: tuple[float, ...], rates: tuple[float, ...], most: float, *, hit: bool
) -> tuple[float, ...]:
    """One step of the e-detector of a rate of at most `most`; rates that are hardly above it say nothing."""
    return tuple(
        min((value + 1.0) * ((rate / most) if hit else (1.0 - rate) / (1.0 - most)), 1e30)
        if rate >= _ABOVE * most
        else 0.0
        for value, rate in zip(evidence, rates, strict=True)
    )


def _after_passes(
    evidence: tuple[float, ...], rates: tuple[float, ...], most: float, runs: int
) -> tuple[float, ...]:
    return tuple(
        repeated(value, (1.0 - rate) / (1.0 - most), runs) if rate >= _ABOVE * most else 0.0
        for value, rate in zip(evidence, rates, strict=True)
    )


def _mean(evidence: tuple[float, ...]) -> float:
    return sum(evidence) / len(evidence)
