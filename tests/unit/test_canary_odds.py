"""What a bench may say of its targets: intervals, and when one is met, missed or open."""

import math

import pytest

from bench.canary_odds import ENOUGH, Measured, mean, share


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    [(0, 100, 0.0, 3.6217), (5, 10, 18.7086, 81.2914), (10, 10, 69.1503, 100.0)],
)
def test_the_interval_of_a_share_is_the_exact_one(hits: int, tries: int, low: float, high: float) -> None:
    measured = share(hits, tries)
    assert (measured.low, measured.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@pytest.mark.parametrize(("hits", "tries"), [(3, 200), (40, 4000)])
def test_at_each_bound_what_was_seen_or_more_of_it_has_a_chance_of_a_fortieth(hits: int, tries: int) -> None:
    def exactly(k: int, p: float) -> float:
        return math.comb(tries, k) * p**k * (1 - p) ** (tries - k)

    measured = share(hits, tries)
    low, high = measured.low / 100, measured.high / 100
    assert sum(exactly(k, high) for k in range(hits + 1)) == pytest.approx(0.025)
    assert 1 - sum(exactly(k, low) for k in range(hits)) == pytest.approx(0.025)


@pytest.mark.parametrize(
    ("hits", "tries", "verdict"),
    [
        (3, 200, "open"),  # 1.5 %, and anything from 0.3 to 4.3
        (0, 200, "open"),
        (0, 400, "met"),
        (15, 200, "MISSED"),
        (10, ENOUGH, "met"),  # the estimate decides
        (11, ENOUGH, "MISSED"),
    ],
)
def test_a_target_is_met_or_missed_only_where_so_many_rollouts_can_tell(
    hits: int, tries: int, verdict: str
) -> None:
    assert share(hits, tries).keeps(1.0) == verdict


def test_a_floor_is_held_from_below() -> None:
    assert Measured(99.5, 99.1, 99.8, 500).keeps(99, at_least=True) == "met"
    assert Measured(98.0, 97.0, 98.9, 500).keeps(99, at_least=True) == "MISSED"
    assert Measured(99.5, 98.5, 99.8, 500).keeps(99, at_least=True) == "open"
    assert Measured(99.5, 98.5, 99.8, 5000).keeps(99, at_least=True) == "met"


def test_the_interval_of_a_mean_shrinks_with_the_root_of_its_rollouts() -> None:
    few, many = mean([60.0, 80.0] * 50), mean([60.0, 80.0] * 5000)
    assert (few.value, many.value) == (70, 70)
    assert (few.high - few.low) / (many.high - many.low) == pytest.approx(10, rel=0.01)
