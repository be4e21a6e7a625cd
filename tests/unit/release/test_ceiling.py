"""One stretch of time never decides alone, and a ceiling costs none of the promises."""

import math
import random
from datetime import UTC, datetime, timedelta

import pytest

from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.ceiling import COLD, TOLERATED, Ceiling, Start, while_cold
from workflows.release.gate_state import Poll
from workflows.release.judge import begin, observe
from workflows.release.sequential import NANO, Battery, Evidence, Exposure, Mixture, harm, plus

RULES = GateRules()
TEST = harm(RULES.r0)
NEEDED = -math.log(RULES.alpha)
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


def adds_nothing(
    test: Mixture | Battery, ratio: float, share: float, polls: tuple[int, int], *, cold: bool, trust: float
) -> None:
    """Whatever the first poll brought, the second adds nothing on average, for no alternative."""
    nothing: Evidence = (0,) * len(TEST.alternatives)
    for first in range(polls[0] + 1):
        one = exposure(first, polls[0], share)
        expected, stretch = one.tolerable(TEST.null), test.by_ratio(one)
        before = CEILING.under(stretch, expected, nothing, cold=cold, trust=trust)
        after = [0.0] * len(before)
        for bad, chance in enumerate(chances(polls[1], share, ratio)):
            more = exposure(bad, polls[1], share)
            said = CEILING.under(
                plus(stretch, test.by_ratio(more)),
                expected + more.tolerable(TEST.null),
                nothing,
                cold=cold,
                trust=trust,
            )
            after = [had + chance * math.exp(nano / NANO) for had, nano in zip(after, said, strict=True)]
        assert all(
            later <= math.exp(sooner / NANO) * (1 + 1e-9) for later, sooner in zip(after, before, strict=True)
        )


@pytest.mark.parametrize(("cold", "trust"), [(False, 0.0), (True, 0.0), (True, 0.4), (True, 1.0)])
@pytest.mark.parametrize("ratio", [RULES.r0, 0.7])
@pytest.mark.parametrize("share", [0.01, 0.25, 0.5])
def test_a_capped_stretch_adds_no_evidence_on_average_also_while_it_is_under_way(
    share: float, ratio: float, cold: bool, trust: float
) -> None:
    for polls in ((1, 1), (4, 9), (12, 3)):
        adds_nothing(while_cold(TEST) if cold else TEST, ratio, share, polls, cold=cold, trust=trust)


@pytest.mark.parametrize("ratio", [RULES.r0, 0.7])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_what_is_learned_of_cold_starts_costs_none_of_the_promise(share: float, ratio: float) -> None:
    """Every way in which a cold, a warm and another cold stretch can end: together they are worth one."""
    cold_test, nothing = while_cold(TEST), (0,) * len(TEST.alternatives)
    whole, trusts, many = [0.0] * len(TEST.alternatives), set[float](), (6, 40, 8)
    for first, one_chance in enumerate(chances(many[0], share, ratio)):
        for second, other_chance in enumerate(chances(many[1], share, ratio)):
            one, other = exposure(first, many[0], share), exposure(second, many[1], share)
            expected = one.tolerable(TEST.null), other.tolerable(TEST.null)
            said = CEILING.under(cold_test.by_ratio(one), expected[0], nothing, cold=True)
            said = CEILING.under(TEST.by_ratio(other), expected[1], said, cold=False)
            start = Start().plus(first, expected[0], cold=True).plus(second, expected[1], cold=False)
            trusts.add(start.trust)
            for third, last_chance in enumerate(chances(many[2], share, ratio)):
                more = exposure(third, many[2], share)
                ended = CEILING.under(
                    cold_test.by_ratio(more), more.tolerable(TEST.null), said, cold=True, trust=start.trust
                )
                chance = one_chance * other_chance * last_chance
                whole = [had + chance * math.exp(nano / NANO) for had, nano in zip(whole, ended, strict=True)]
    assert max(whole) <= 1 + 1e-9
    assert len(trusts) > 1, "it did learn something"


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


@pytest.mark.parametrize(
    ("cold", "warm", "trust"),
    [
        ((0, 0.0), (90, 60.0), 0.0),  # nothing is known of the start
        ((6, 3.0), (0, 0.0), 0.0),
        ((20, 10.0), (80, 40.0), 1.0),  # twice stable's rate, cold and warm
        ((30, 10.0), (40, 40.0), 0.0),  # three times while cold, and as good as stable afterwards
        ((2, 3.0), (9, 12.0), 0.0),  # as good, but of too few events
        ((10**9, 1e9), (1, 1e-18), 0.0),  # next to nothing was expected of one of them
        ((1, 1e-18), (10**9, 1e9), 0.0),
    ],
)
def test_small_harms_count_while_cold_once_it_is_known_that_there_is_no_cold_start(
    cold: tuple[int, float], warm: tuple[int, float], trust: float
) -> None:
    start = Start().plus(*cold, cold=True).plus(*warm, cold=False)
    assert start.trust == trust


def test_a_small_harm_says_nothing_while_cold_without_trust_and_the_share_of_it_with_some() -> None:
    boundless, nothing = (10**15,) * len(TEST.alternatives), (0,) * len(TEST.alternatives)
    warm = CEILING.under(boundless, 0.0, nothing, cold=False)
    for trust in (0.0, 0.5, 1.0):
        said = CEILING.under(boundless, 0.0, nothing, cold=True, trust=trust)
        for ratio, nano, whole in zip(TEST.alternatives, said, warm, strict=True):
            assert nano == (int(trust * whole) if ratio < COLD else whole)


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
