"""The sequential test keeps its promise: by exact enumeration, and for rollouts that stop when they like."""

import math
import random
from collections.abc import Iterator
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.releases import Count
from workflows.release.sequential import (
    NANO,
    Battery,
    Exposure,
    Mixture,
    bounds,
    clearance,
    faultless,
    harm,
    log_mean,
    plus,
)


def alone(null: float, alternative: float) -> Mixture:
    return Mixture(null, (alternative,), (1.0,))


def exposed(canary: tuple[int, int], stable: tuple[int, int]) -> Exposure:
    return Exposure(
        canary=Count(bad=canary[0], total=canary[1]), stable=Count(bad=stable[0], total=stable[1])
    )


def hypergeometric(both: int, canary: int, stable: int) -> Iterator[tuple[int, Fraction]]:
    """How many of the bad events fall on the canary when it does not matter where they fall."""
    for bad in range(max(0, both - stable), min(both, canary) + 1):
        ways = math.comb(canary, bad) * math.comb(stable, both - bad)
        yield bad, Fraction(ways, math.comb(canary + stable, both))


@pytest.mark.parametrize("alternative", [1.2, 2.0, 10.0])
@pytest.mark.parametrize(("canary", "stable"), [(1, 30), (7, 20), (15, 15), (30, 4)])
def test_a_poll_adds_no_evidence_on_average_when_both_arms_are_alike(
    canary: int, stable: int, alternative: float
) -> None:
    test = alone(1.0, alternative)
    for both in range(1, canary + stable + 1):
        mean = sum(
            chance * Fraction(math.exp(test.by_ratio(exposed((bad, canary), (both - bad, stable)))[0] / NANO))
            for bad, chance in hypergeometric(both, canary, stable)
        )
        assert mean <= 1 + Fraction(1, 10**9), both


@pytest.mark.parametrize(("null", "true"), [(1.25, 1.25), (1.25, 1.0), (1.25, 0.2), (2.0, 1.7)])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_a_tolerated_ratio_adds_no_evidence_of_harm_on_average(
    null: float, true: float, share: float
) -> None:
    check_mean(alone(null, 5.0), true, share)


@pytest.mark.parametrize(("null", "true"), [(2.0, 2.0), (2.0, 3.0), (5.0, 40.0)])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5])
def test_a_harm_adds_no_clearance_on_average(null: float, true: float, share: float) -> None:
    check_mean(alone(null, 1.0), true, share)


def check_mean(test: Mixture, true: float, share: float) -> None:
    """Poisson counts: given their sum, the canary's are binomial."""
    canary, stable = round(10_000 * share), round(10_000 * (1 - share))
    on_canary = share * true / (share * true + 1 - share)
    for both in (1, 2, 5, 20):
        mean = math.fsum(
            math.comb(both, bad)
            * on_canary**bad
            * (1 - on_canary) ** (both - bad)
            * math.exp(test.by_ratio(exposed((bad, canary), (both - bad, stable)))[0] / NANO)
            for bad in range(both + 1)
        )
        assert mean <= 1 + 1e-9


@pytest.mark.parametrize("rate", [0.01, 0.012, 0.3])
def test_a_rate_that_matters_is_not_called_faultless_on_average(rate: float) -> None:
    for total in (1, 40):
        mean = math.fsum(
            math.comb(total, bad)
            * rate**bad
            * (1 - rate) ** (total - bad)
            * math.exp(alone(0.01, 0.001).by_rate(Count(bad=bad, total=total))[0] / NANO)
            for bad in range(total + 1)
        )
        assert mean <= 1 + 1e-9


def test_looking_400_times_at_good_releases_in_a_drifting_world_is_rarely_red() -> None:
    """Both arms share a rate that triples and falls while the split ramps up: pooled tests fail at that."""
    dice = random.Random(7)  # noqa: S311 - reproducible, not secret
    test, alpha, red = harm(1.0), 0.05, 0
    for _ in range(100):
        evidence = test.nothing
        for look in range(400):
            share = (0.01, 0.05, 0.25, 0.5)[look // 100]
            rate = 0.02 * (3 if 150 <= look < 250 else 1)
            canary, stable = round(100 * share), round(100 * (1 - share))
            bad = [sum(dice.random() < rate for _ in range(arm)) for arm in (canary, stable)]
            evidence = plus(evidence, test.by_ratio(exposed((bad[0], canary), (bad[1], stable))))
            if test.log(evidence) >= -math.log(alpha):
                red += 1
                break
    assert red / 100 <= alpha


@given(st.integers(0, 200), st.integers(0, 200))
def test_without_both_arms_there_is_no_evidence(bad: int, more: int) -> None:
    for seen in (exposed((bad, bad + more), (0, 0)), exposed((0, 0), (bad, bad + more))):
        assert harm(1.25).by_ratio(seen) == harm(1.25).nothing
        assert clearance(2.0).by_ratio(seen) == clearance(2.0).nothing


@given(st.integers(0, 49), st.integers(50, 500), st.integers(0, 50), st.integers(50, 5000))
def test_one_more_bad_event_on_the_canary_speaks_for_harm_and_against_clearance(
    bad: int, canary: int, other: int, stable: int
) -> None:
    less, more = exposed((bad, canary), (other, stable)), exposed((bad + 1, canary), (other, stable))
    for test, sign in ((harm(1.25), 1), (clearance(2.0), -1)):
        before, after = test.log(test.by_ratio(less)), test.log(test.by_ratio(more))
        assert sign * (after - before) >= 0


def test_weights_are_shares_and_every_alternative_lies_on_its_side() -> None:
    for test in (harm(1.0), harm(1.25), harm(9.9), harm(60.0)):
        assert math.isclose(sum(test.weights), 1)
        assert min(test.alternatives) > test.null
    for test in (clearance(1.2), clearance(10.0), faultless(0.001)):
        assert math.isclose(sum(test.weights), 1)
        assert max(test.alternatives) < test.null


def test_mixtures_of_very_large_evidence_do_not_overflow() -> None:
    assert log_mean([(0.5, 5000.0), (0.5, -5000.0)]) == pytest.approx(5000 - math.log(2))


def test_more_bad_events_than_exposure_are_no_count() -> None:
    with pytest.raises(ValueError, match="5 bad events can't be among 4"):
        Count(bad=5, total=4)


@pytest.mark.parametrize("bad", [0, 1, 3, 10, 60])
def test_bounds_hold_nearly_always(bad: int) -> None:
    """A rate at the upper bound rarely gives so few bad events, and one at the lower bound so many."""
    low, high = bounds(Count(bad=bad, total=1000))
    assert sum(poisson(events, 1000 * high) for events in range(bad + 1)) < 0.007
    assert low == 0 or 1 - sum(poisson(events, 1000 * low) for events in range(bad)) < 0.007


def poisson(events: int, mean: float) -> float:
    return math.exp(events * math.log(mean) - mean - math.lgamma(events + 1)) if mean else float(events == 0)


def test_a_rate_above_one_is_no_hypothesis() -> None:
    assert harm(2.0).by_rate(Count(bad=5, total=9), 0.6) == harm(2.0).nothing


@given(st.integers(0, 60), st.integers(60, 900), st.integers(0, 90), st.integers(0, 9000))
def test_a_battery_finds_what_its_tests_find_one_by_one(
    bad: int, canary: int, other: int, stable: int
) -> None:
    tests = tuple(clearance(level) for level in (10.0, 3.0, 1.5))
    battery, seen = Battery(tests), exposed((bad, canary), (min(other, stable), stable))
    row = battery.by_ratio(seen)
    assert row == tuple(nano for test in tests for nano in test.by_ratio(seen))
    alone = battery.by_rate(seen.canary, 0.01)
    assert alone == tuple(nano for test in tests for nano in test.by_rate(seen.canary, 0.01))
    each = [plus(test.nothing, test.by_ratio(seen)) for test in tests]
    enough = [test.log(had) >= 3.0 for test, had in zip(tests, each, strict=True)]
    assert battery.reached(row, 3.0) == enough
