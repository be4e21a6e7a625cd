"""The bound on false quarantines, by enumeration where that can be done."""

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.flaky_tests.bounds import NEVER, Bounds, clean_units, lower, upper
from agents.flaky_tests.evidence import (
    NONE,
    RATES,
    Evidence,
    after_discordance,
    after_job,
    after_quiet,
    strength,
)
from agents.flaky_tests.gate import Counts, Gate
from agents.flaky_tests.noise import ASSUMED, LEAST, MOST, Noise


def step(evidence: Evidence, discordant: bool, noise: float) -> Evidence:
    return after_discordance(evidence, noise) if discordant else after_quiet(evidence, 1)


@given(
    noise=st.floats(1e-5, 0.2),
    share=st.floats(0, 1),
    start=st.lists(st.floats(0, 1e6), min_size=len(RATES), max_size=len(RATES)),
)
def test_the_evidence_less_the_runs_falls_in_expectation_for_a_healthy_test(
    noise: float, share: float, start: list[float]
) -> None:
    true = noise * share
    before = tuple(start)
    expected = true * strength(after_discordance(before, noise)) + (1 - true) * strength(
        after_quiet(before, 1)
    )
    assert expected <= (strength(before) + 1) * (1 + 1e-9)


@given(executions=st.integers(1, 30), noise=st.floats(1e-5, 0.01), share=st.floats(0, 1))
def test_a_job_does_not_raise_the_evidence_on_a_healthy_test_in_expectation(
    executions: int, noise: float, share: float
) -> None:
    before = (100.0,) * len(RATES)
    hit = min(executions * noise * share, 1.0)
    expected = hit * strength(after_job(before, executions, noise, hit=True)) + (1 - hit) * strength(
        after_job(before, executions, noise, hit=False)
    )
    assert expected <= strength(before) * (1 + 1e-9)


@pytest.mark.parametrize("noise", [0.01, 0.2])
@pytest.mark.parametrize("ceiling", [20.0, 50.0, 200.0])
def test_a_healthy_test_alarms_within_n_runs_with_a_chance_of_at_most_n_divided_by_a(
    noise: float, ceiling: float
) -> None:
    runs, alarmed = 9, 0.0
    for pattern in product((False, True), repeat=runs):
        chance, evidence, passed = 1.0, NONE, False
        for discordant in pattern:
            chance *= noise if discordant else 1 - noise
            evidence = step(evidence, discordant, noise)
            passed = passed or strength(evidence) >= ceiling
        alarmed += chance * passed
    assert alarmed <= runs / ceiling


def test_the_mean_number_of_runs_to_a_false_alarm_is_at_least_a() -> None:
    dice, noise, ceiling, lengths = random.Random(5), 0.01, 300.0, []  # noqa: S311  reproducible
    for _ in range(60):
        evidence, runs = NONE, 0
        while strength(evidence) < ceiling:
            runs += 1
            evidence = step(evidence, dice.random() < noise, noise)
        lengths.append(runs)
    assert sum(lengths) / len(lengths) >= ceiling


@given(st.integers(0, 300), st.floats(0, 1e5))
def test_quiet_runs_folded_at_once_are_quiet_runs_folded_one_by_one(runs: int, start: float) -> None:
    evidence = (start,) * len(RATES)
    one_by_one = evidence
    for _ in range(runs):
        one_by_one = after_quiet(one_by_one, 1)
    assert after_quiet(evidence, runs) == pytest.approx(one_by_one, rel=1e-9)


def test_evidence_stays_finite() -> None:
    evidence = NONE
    for _ in range(1_000):
        evidence = after_discordance(evidence, 1e-5)
    assert strength(evidence) < float("inf")


def test_bounds_on_a_rate_are_those_of_the_gamma_distribution() -> None:
    assert lower(1, 100) == pytest.approx(0.105 / 100, rel=0.1)
    assert lower(5, 100) == pytest.approx(2.433 / 100, rel=0.01)
    assert upper(0, 100) == pytest.approx(4.605 / 100, rel=0.02)
    assert upper(10, 1000) == pytest.approx(20.14 / 1000, rel=0.01)
    assert (lower(0, 100), upper(3, 0)) == (0.0, 1.0)


def test_a_rare_flake_needs_more_clean_units_than_a_frequent_one_and_a_recidivist_more_than_both() -> None:
    bounds = Bounds()
    assert clean_units(0.5, 0.01) == 7
    assert clean_units(0.001, 0.01) == 4603
    assert clean_units(0.0, 0.01) == NEVER
    first, again = bounds.release_level(1, 0.001), bounds.release_level(2, 0.001)
    assert (first, again) == (0.005, 0.00125)
    assert bounds.release_level(1, 0.5) == pytest.approx(1 / 15_000)


def test_the_noise_is_assumed_first_and_learned_from_the_bulk_then() -> None:
    noise = Noise()
    assert noise.bound == pytest.approx(ASSUMED, rel=0.01)
    for _ in range(1_000):
        noise = noise.after(runs=2_000, isolated=0)
    assert noise.bound == LEAST


@pytest.mark.parametrize("true", [5e-5, 2e-4, 5e-4])
def test_the_learned_noise_bounds_the_true_one_though_noise_has_company_by_chance(true: float) -> None:
    dice, noise, last = random.Random(3), Noise(), dict[int, tuple[int, bool]]()  # noqa: S311
    for run in range(1_500):
        isolated = 0
        for test in {dice.randrange(1_000) for _ in range(_poisson(1_000 * true, dice))}:
            before = last.get(test)
            alone = before is None or run - before[0] > 500
            isolated += alone - (not alone and before is not None and before[1])
            last[test] = (run, alone)
        noise = noise.after(runs=1_000, isolated=isolated)
    assert true <= noise.bound <= 5 * true


def test_noise_beyond_belief_is_bounded_too() -> None:
    assert Noise().after(runs=10, isolated=10**9).bound == MOST


def _poisson(mean: float, dice: random.Random) -> int:
    count, left = 0, dice.expovariate(1.0)
    while left < mean:
        count, left = count + 1, left + dice.expovariate(1.0)
    return count


def test_the_gate_trips_for_many_calm_tests_at_once_and_not_for_the_ordinary() -> None:
    gate = Gate()
    for _ in range(200):
        trips, gate = gate.judge(Counts(1_000, failing=3, both=1))
        assert not trips
    assert not gate.judge(Counts(1_000, failing=12, both=4))[0]
    assert gate.judge(Counts(1_000, failing=12, both=9))[0]
    assert gate.judge(Counts(1_000, failing=60, both=0))[0]
    assert len(gate.both) == len(gate.failing) == 102
