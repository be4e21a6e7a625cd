"""What is promised before a rollout is what simulated rollouts then need."""

import math
import random

import pytest

from leverframe.model.releases import Count
from leverframe.model.topology import GateRules
from workflows.release.foresight import Traffic, outlook
from workflows.release.judge import rule_tests
from workflows.release.sequential import Exposure, Mixture, plus

RULES = GateRules()


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


@pytest.mark.parametrize(("share", "ratio"), [(0.25, 5.0), (0.25, 2.0), (0.05, 10.0)])
def test_harm_is_found_about_when_it_was_said(share: float, ratio: float) -> None:
    plan = outlook(RULES, Traffic(rps=100, base_error=0.02, weights=(share * 100,)), excludes=2.0)
    said = next(sight for sight in plan.steps[0].red if sight.ratio == ratio)
    assert said.canary_requests is not None
    found = needed(rule_tests(RULES).harm, share=share, base=0.02, ratio=ratio, enough=-math.log(RULES.alpha))
    assert found / 1.6 - 100 <= said.canary_requests <= found * 1.6 + 100


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
