"""One stretch of time never decides alone, and a ceiling costs none of the promises."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.ceiling import COLD, TOLERATED, Ceiling, while_cold
from workflows.release.judge import Poll, begin, observe
from workflows.release.sequential import NANO, Battery, Evidence, Exposure, Mixture, harm, plus

TEST = harm(1.02)
NEEDED = math.log(20)
CEILING = Ceiling(NEEDED, TEST.alternatives)


def exposure(bad: int, both: int, share: float) -> Exposure:
    canary = round(10_000 * share)
    return Exposure(canary=Count(bad=bad, total=canary), stable=Count(bad=both - bad, total=10_000 - canary))


def chances(both: int, share: float, ratio: float) -> list[float]:
    """Of each number of bad events on the canary, when its rate is so many times stable's: binomial."""
    on_canary = share * ratio / (share * ratio + 1 - share)
    return [
        math.comb(both, bad) * on_canary**bad * (1 - on_canary) ** (both - bad) for bad in range(both + 1)
    ]


def mean(test: Mixture | Battery, ratio: float, share: float, polls: tuple[int, int], *, cold: bool) -> None:
    """Whatever the first poll brought, the second adds nothing on average, for no alternative."""
    nothing: Evidence = (0,) * len(TEST.alternatives)
    for first in range(polls[0] + 1):
        one = exposure(first, polls[0], share)
        expected, stretch = one.tolerable(TEST.null), test.by_ratio(one)
        before = CEILING.under(stretch, expected, nothing, cold=cold)
        after = [0.0] * len(before)
        for bad, chance in enumerate(chances(polls[1], share, ratio)):
            more = exposure(bad, polls[1], share)
            said = CEILING.under(
                plus(stretch, test.by_ratio(more)),
                expected + more.tolerable(TEST.null),
                nothing,
                cold=cold,
            )
            after = [had + chance * math.exp(nano / NANO) for had, nano in zip(after, said, strict=True)]
        assert all(
            later <= math.exp(sooner / NANO) * (1 + 1e-9) for later, sooner in zip(after, before, strict=True)
        )


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("ratio", [1.02, 0.7])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
def test_a_capped_stretch_adds_no_evidence_on_average_also_while_it_is_under_way(
    share: float, ratio: float, cold: bool
) -> None:
    for polls in ((1, 1), (4, 9), (12, 3)):
        mean(while_cold(TEST) if cold else TEST, ratio, share, polls, cold=cold)


@pytest.mark.parametrize("expected", [0.0, 0.3, 5.0, 1e6])
def test_no_stretch_says_all_that_red_needs_and_little_where_bad_events_are_many(expected: float) -> None:
    boundless = (10**15,) * len(TEST.alternatives)
    nothing = (0,) * len(TEST.alternatives)
    said = CEILING.under(boundless, expected, nothing, cold=False)
    assert TEST.log(said) < NEEDED
    assert said <= CEILING.under(boundless, 0.0, nothing, cold=False)
    assert list(said) == sorted(said), "a larger harm may show sooner"


def test_what_speaks_against_harm_is_never_capped() -> None:
    against = tuple(-(10**12) for _ in TEST.alternatives)
    assert CEILING.under(against, 50.0, against, cold=True) == plus(against, against)


def test_a_cold_start_that_is_tolerated_says_nothing_for_harm() -> None:
    """Two minutes at many bad events, the rate of the canary that high: no alternative gains by it."""
    nothing = (0,) * len(TEST.alternatives)
    both = 4000
    seen = exposure(round(both * 0.25 * TOLERATED / (0.25 * TOLERATED + 0.75)), both, 0.25)
    said = CEILING.under(while_cold(TEST).by_ratio(seen), seen.tolerable(TEST.null), nothing, cold=True)
    assert max(said) <= 0
    large = [nano for nano, ratio in zip(said, TEST.alternatives, strict=True) if ratio >= COLD]
    assert max(large) < 0


def test_what_warm_stretches_have_said_for_a_small_harm_lets_a_cold_one_add_a_little() -> None:
    boundless, heard = (10**15,) * len(TEST.alternatives), round(0.8 * NEEDED * NANO)
    before = (heard,) * len(TEST.alternatives)
    added = [
        nano - heard
        for nano, ratio in zip(
            CEILING.under(boundless, 0.0, before, cold=True), TEST.alternatives, strict=True
        )
        if ratio < COLD
    ]
    assert all(0.1 * NEEDED < nano / NANO < 0.2 * NEEDED for nano in added)


@pytest.mark.parametrize("null", [1.0, 1.02, 3.0, 8.0])
def test_while_instances_get_warm_the_alternatives_stay_in_their_order(null: float) -> None:
    test = harm(null)
    small, large = while_cold(test).tests
    assert small.alternatives + large.alternatives == test.alternatives
    assert all(part.null < min(part.alternatives, default=math.inf) for part in (small, large))


def test_stopping_when_one_likes_rarely_takes_back_a_release_as_bad_as_is_tolerated() -> None:
    """Whole rollouts at r0 itself, with a split that grows and a rate that moves for both arms."""
    dice, rules, red = random.Random(3), GateRules(alpha=0.1), 0  # noqa: S311 - reproducible, not secret
    for _ in range(40):
        state = begin(rules, {"errors": SignalRules()}, steps=4)
        for look in range(48):
            weight = (1.0, 5.0, 25.0, 50.0)[look // 12]
            rate = 0.02 * (4 if 15 <= look < 30 else 1)
            canary = round(40 * weight)
            seen = Exposure(
                canary=Count(bad=events(dice, canary * rate * rules.r0), total=canary),
                stable=Count(bad=events(dice, (4000 - canary) * rate), total=4000 - canary),
            )
            at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=15 * look)
            state, said = observe(rules, state, Poll(at=at, weight=weight, signals={"errors": seen}), None)
            if said.finding == "red":
                red += 1
                break
    assert red / 40 <= rules.alpha


def events(dice: random.Random, expected: float) -> int:
    """Poisson."""
    waited, count = dice.expovariate(1.0), 0
    while waited < expected:
        waited, count = waited + dice.expovariate(1.0), count + 1
    return count
