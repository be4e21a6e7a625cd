"""What is promised before a rollout is what simulated rollouts then need."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.foresight import Traffic, outlook
from workflows.release.gate_state import Poll
from workflows.release.judge import begin, observe, rule_tests
from workflows.release.sequential import Exposure, Mixture, plus

RULES = GateRules()
T0 = datetime(2026, 1, 1, tzinfo=UTC)


def poisson(dice: random.Random, mean: float) -> int:
    """Knuth's product of uniforms: fine for small means."""
    limit, product, count = math.exp(-mean), dice.random(), 0
    while product > limit:
        product *= dice.random()
        count += 1
    return count


def needed(test: Mixture, *, share: float, base: float, ratio: float, enough: float) -> int:
    """Canary requests until nine of ten simulated rollouts are decided."""
    dice, canary = random.Random(11), 100  # noqa: S311 - reproducible, not secret
    stable = round(canary * (1 - share) / share)
    ends: list[int] = []
    for _ in range(60):
        evidence, looks = test.nothing, 0
        while test.log(evidence) < enough:
            looks += 1
            seen = Exposure(
                canary=Count(bad=min(canary, poisson(dice, canary * base * ratio)), total=canary),
                stable=Count(bad=poisson(dice, stable * base), total=stable),
            )
            evidence = plus(evidence, test.by_ratio(seen))
        ends.append(looks * canary)
    return sorted(ends)[53]


def until_red(dice: random.Random, traffic: Traffic, ratio: float) -> float:
    """Minutes until the judge calls one simulated rollout red that stays on its first step."""
    weight, poll = traffic.weights[0], traffic.poll_seconds
    state, minutes = begin(RULES, {"errors": SignalRules()}, steps=4), 0.0
    whole = round(traffic.rps * poll)
    canary = round(whole * weight / 100)
    while True:
        minutes += poll / 60
        seen = Exposure(
            canary=Count(bad=poisson(dice, canary * traffic.base_error * ratio), total=canary),
            stable=Count(bad=poisson(dice, (whole - canary) * traffic.base_error), total=whole - canary),
        )
        at = T0 + timedelta(minutes=minutes)
        state, said = observe(RULES, state, Poll(at=at, weight=weight, signals={"errors": seen}), None)
        if said.finding == "red":
            return minutes


@pytest.mark.parametrize(
    ("rps", "base", "weight", "ratio"),
    [
        (10, 0.005, 50, 5.0),  # few bad events on both arms
        (10, 0.02, 10, 10.0),
        (100, 0.005, 25, 2.0),  # where what a stretch may say is what counts
        (100, 0.005, 10, 5.0),
    ],
)
def test_nine_of_ten_harms_are_found_by_when_it_was_said(
    rps: float, base: float, weight: float, ratio: float
) -> None:
    traffic = Traffic(rps=rps, base_error=base, weights=(weight, 51, 52, 53))
    [said] = [
        sight.minutes for sight in outlook(RULES, traffic, excludes=2.0).steps[0].red if sight.ratio == ratio
    ]
    dice = random.Random(11)  # noqa: S311 - reproducible, not secret
    ends = sorted(until_red(dice, traffic, ratio) for _ in range(60))
    assert said is not None
    assert ends[53] <= 1.15 * said, "what is foretold is not too good to be true"
    assert said <= 2.5 * ends[53], "nor is it made up to be safe"


@pytest.mark.parametrize("level", [5.0, 2.0])
def test_a_good_release_is_cleared_about_when_it_was_said(level: float) -> None:
    plan = outlook(RULES, Traffic(rps=100, base_error=0.02, weights=(25,)), excludes=2.0)
    said = next(sight for sight in plan.steps[0].green if sight.ratio == level)
    assert said.canary_requests is not None
    test = rule_tests(RULES).clearances.tests[RULES.levels.index(level)]
    found = needed(test, share=0.25, base=0.02, ratio=1.0, enough=-math.log(RULES.beta))
    assert found / 1.6 - 100 <= said.canary_requests <= found * 1.6 + 100


def test_thin_traffic_is_told_before_anybody_waits_for_it() -> None:
    plan = outlook(RULES, Traffic(rps=10, base_error=0.001), excludes=2.0)
    assert any("The step at 1 % can't exclude 2 times" in line for line in plan.advice)
    assert outlook(RULES, Traffic(rps=5000, base_error=0.01), excludes=2.0).advice == ()


def test_the_largest_traffic_and_the_smallest_can_be_asked_for() -> None:
    for rps, base, weight, poll in ((1e9, 0.99, 1, 86_400), (1e-6, 1e-12, 0.001, 0.1), (1e9, 1e-9, 99.9, 1)):
        traffic = Traffic(rps=rps, base_error=base, weights=(weight,), poll_seconds=poll)
        assert len(outlook(RULES, traffic, excludes=2.0).steps[0].red) == 4


def test_a_ratio_that_is_tolerated_is_never_found() -> None:
    plan = outlook(GateRules(r0=2.0), Traffic(rps=100, base_error=0.01), excludes=2.0)
    assert plan.steps[0].red[1].minutes is None


def test_without_any_base_rate_only_a_faultless_canary_can_be_cleared() -> None:
    step = outlook(RULES, Traffic(rps=100, base_error=0), excludes=2.0).steps[0]
    assert all(sight.minutes is None for sight in step.red)
    assert all(sight.canary_requests is not None for sight in step.green)


def test_more_traffic_never_takes_longer() -> None:
    waits = [
        outlook(RULES, Traffic(rps=rps, base_error=0.005), excludes=2.0).minutes for rps in (20, 100, 1000)
    ]
    known = [wait for wait in waits if wait is not None]
    assert known == sorted(known, reverse=True)
    assert len(known) == 3
