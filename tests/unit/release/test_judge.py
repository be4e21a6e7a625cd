"""What the judge finds: harm by evidence, clearance by evidence, and a reason when it finds neither."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.releases import Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.back_test import back_test
from workflows.release.gate_state import GateState, Judgement, Poll
from workflows.release.judge import begin, observe
from workflows.release.sequential import Exposure

T0 = datetime(2026, 1, 1, tzinfo=UTC)
RULES = GateRules()
ERRORS = {"errors": SignalRules()}


def exposed(canary: tuple[int, int], stable: tuple[int, int]) -> Exposure:
    return Exposure(
        canary=Count(bad=canary[0], total=canary[1]), stable=Count(bad=stable[0], total=stable[1])
    )


GOOD = exposed((5, 1000), (95, 19_000))
FIVE_TIMES = exposed((25, 1000), (95, 19_000))
CATASTROPHE = exposed((900, 1000), (95, 19_000))
NOTHING_BAD = exposed((0, 1000), (0, 19_000))
SILENCE = exposed((0, 0), (0, 0))


def trace(*polls: tuple[float, dict[str, Exposure]]) -> list[Poll]:
    return [
        Poll(at=T0 + timedelta(seconds=15 * number), weight=weight, signals=signals)
        for number, (weight, signals) in enumerate(polls)
    ]


def judged(
    polls: list[Poll], signals: tuple[str, ...] = ("errors",), rules: GateRules = RULES
) -> tuple[GateState, list[Judgement]]:
    state, said = begin(rules, dict.fromkeys(signals, SignalRules()), steps=4), list[Judgement]()
    for number, poll in enumerate(polls):
        at = T0 + timedelta(seconds=15 * number)
        state, judgement = observe(rules, state, poll.model_copy(update={"at": at}), 2.0)
        said.append(judgement)
    return state, said


def errors(seen: Exposure, times: int, weight: float = 5) -> list[Poll]:
    return trace(*[(weight, {"errors": seen})] * times)


def test_a_good_release_is_cleared_and_says_of_what() -> None:
    _, said = judged(errors(GOOD, 20))
    assert said[-1].finding == "cleared"
    assert said[-1].explanation.endswith(f"{said[-1].excluded:g} times stable's rate is excluded for errors")


def test_a_harmful_release_is_red_with_the_ratio_the_counts_and_the_chance() -> None:
    _, said = judged(errors(FIVE_TIMES, 10))
    red = next(one for one in said if one.finding == "red")
    assert red.evidence >= 1 / RULES.alpha
    assert red.explanation.startswith("errors: canary 2")
    assert ", 5 times stable's rate; " in red.explanation
    assert red.explanation.endswith(f"at most 1 time in {int(red.evidence)}")


def test_even_a_catastrophe_needs_more_than_one_minute_and_no_more_than_the_next_look() -> None:
    _, said = judged(errors(CATASTROPHE, 6))
    assert [one.finding for one in said] == [*["thin_data"] * 4, *["red"] * 2]


@pytest.mark.parametrize("burst_seconds", [0, 15, 60, 300])
@pytest.mark.parametrize("alpha", [0.2, 0.05, 1e-6])
def test_one_stretch_never_decides_alone(burst_seconds: float, alpha: float) -> None:
    rules = GateRules(alpha=alpha, burst_seconds=burst_seconds, cold_seconds=0)
    _, said = judged(errors(CATASTROPHE, max(1, round(burst_seconds / 15)) + 1), rules=rules)
    assert all(one.finding != "red" for one in said[:-1])
    assert said[-1].finding == "red", "a catastrophe needs no more than the next look"


def test_a_minute_of_errors_in_a_good_hour_takes_nothing_back() -> None:
    _, said = judged([*errors(GOOD, 40), *errors(CATASTROPHE, 4), *errors(GOOD, 40)])
    assert all(one.finding != "red" for one in said)


def test_a_cold_start_at_every_step_is_no_harm_and_clears_nobody() -> None:
    cold = exposed((15, 1000), (95, 19_000))
    polls = trace(
        *[(weight, {"errors": seen}) for weight in (1, 5, 25, 50) for seen in [cold] * 8 + [GOOD] * 24]
    )
    state, said = judged(polls)
    assert all(one.finding != "red" for one in said)
    for step in range(4):
        assert {one.excluded for one in said[32 * step : 32 * step + 8]} == {None}
    assert said[-1].finding == "cleared"
    assert state.signals["errors"].seen.canary.bad == 8 * 15 + 24 * 5


def test_what_can_not_be_compared_teaches_nothing_of_how_instances_start() -> None:
    alone = exposed((50, 1000), (0, 0))
    state, _ = judged([*errors(GOOD, 20), *errors(alone, 20, weight=25)])
    start = state.signals["errors"].start
    assert (start.cold, start.warm) == (8 * 5, 12 * 5)
    state, _ = judged([*errors(GOOD, 20), *errors(GOOD, 20, weight=100)])
    assert state.signals["errors"].start == start


def test_small_harms_count_in_a_cold_minute_once_the_rollout_knows_its_cold_minutes() -> None:
    """Twice the errors from the start: silent in the cold minutes of the first step, and not in the next."""
    twice = exposed((12, 1000), (95, 19_000))
    state, said = judged([*errors(twice, 14), *errors(twice, 8, weight=25)])
    assert all(one.evidence <= 1 for one in said[:8])
    assert state.signals["errors"].trust > 0
    assert said[-1].evidence > said[13].evidence


def test_looks_that_are_told_not_to_count_say_nothing() -> None:
    _, said = judged(errors(CATASTROPHE, 4), rules=GateRules(warm_up=3, cold_seconds=0, burst_seconds=0))
    assert [one.finding for one in said] == [*["warming_up"] * 3, "thin_data"]
    assert said[2].evidence == 1.0


def test_an_outage_that_both_arms_share_is_no_harm_of_the_release() -> None:
    bad = exposed((300, 1000), (5700, 19_000))
    _, said = judged([*errors(GOOD, 10), *errors(bad, 20)])
    assert all(one.finding != "red" for one in said)


def test_a_signal_that_can_not_be_read_is_neither_green_nor_red() -> None:
    cleared, _ = judged(errors(GOOD, 20))
    _, blind = observe(RULES, cleared, trace((5, {}))[0], 2.0)
    assert blind.finding == "blind"
    _, back = observe(RULES, cleared, errors(GOOD, 1)[0], 2.0)
    assert back.finding == "cleared"


@given(
    st.lists(st.sampled_from([SILENCE, exposed((0, 0), (50, 9000)), exposed((3, 400), (0, 0))]), max_size=40)
)
def test_without_traffic_on_both_arms_nothing_is_green_and_nothing_red(seen: list[Exposure]) -> None:
    _, said = judged(trace(*[(5, {"errors": one}) for one in seen]), rules=GateRules(negligible=0.0001))
    assert all(one.finding not in ("red", "cleared") for one in said)


def test_the_reason_for_holding_tells_thin_data_from_no_control() -> None:
    _, thin = judged(errors(exposed((0, 3), (1, 60)), 5))
    assert thin[-1].finding == "thin_data"
    _, alone = judged(errors(exposed((3, 900), (0, 0)), 5, weight=100))
    assert alone[-1].finding == "no_control"
    assert alone[-1].explanation.endswith("there is nothing to compare with")


def test_a_faultless_canary_is_cleared_although_nothing_can_be_compared() -> None:
    _, said = judged(errors(NOTHING_BAD, 20))
    assert said[-1].finding == "cleared"
    assert said[7].finding == "thin_data"


def test_no_ratio_is_claimed_where_the_canarys_own_rate_was_enough() -> None:
    both = trace(*[(5, {"errors": NOTHING_BAD, "latency": GOOD})] * 40)
    faultless, mixed = judged(errors(NOTHING_BAD, 40))[1][-1], judged(both, ("errors", "latency"))[1][-1]
    assert faultless.finding == mixed.finding == "cleared"
    assert faultless.explanation.endswith("; a rate of 0.05 % or more is excluded for errors")
    ratio = f"{mixed.excluded:g} times stable's rate, or a rate of 0.05 %, is excluded"
    assert mixed.explanation.endswith(f"{ratio} for errors and latency")


def test_harm_that_begins_late_shows_although_a_long_good_past_speaks_against_it() -> None:
    for polls in (
        [*errors(GOOD, 400), *errors(FIVE_TIMES, 80)],
        [*errors(GOOD, 400), *errors(FIVE_TIMES, 48, weight=25)],
    ):
        _, said = judged(polls)
        assert all(one.finding != "red" for one in said[:400])
        assert said[-1].finding == "red"


def test_every_signal_must_be_cleared_and_one_is_enough_for_red() -> None:
    both = {"errors": GOOD, "latency": SILENCE}
    _, said = judged(trace(*[(5, both)] * 20), ("errors", "latency"))
    assert said[-1].finding == "thin_data"
    _, said = judged(trace(*[(5, {"errors": GOOD, "latency": FIVE_TIMES})] * 20), ("errors", "latency"))
    red = next(one for one in said if one.finding == "red")
    assert red.explanation.startswith("latency: ")


def test_what_one_step_cleared_says_nothing_for_the_next() -> None:
    _, said = judged([*errors(GOOD, 20), *errors(GOOD, 3, weight=25)])
    assert [one.finding for one in said[-4:]] == ["cleared", *["thin_data"] * 3]


counts = st.tuples(st.integers(0, 20), st.integers(20, 500))
exposures = st.builds(exposed, counts, counts)


@given(st.lists(st.tuples(st.sampled_from([1.0, 5.0]), exposures), max_size=12))
def test_verdicts_replay_bit_for_bit_also_through_a_store(steps: list[tuple[float, Exposure]]) -> None:
    polls = trace(*[(weight, {"errors": seen}) for weight, seen in steps])
    _, said = judged(polls)
    state, again = begin(RULES, ERRORS, steps=4), list[Judgement]()
    for poll in polls:
        state = GateState.model_validate_json(state.model_dump_json())
        state, judgement = observe(RULES, state, Poll.model_validate_json(poll.model_dump_json()), 2.0)
        again.append(judgement)
    assert again == said


def test_a_back_test_tells_where_it_would_have_been_red() -> None:
    polls = [*errors(GOOD, 20, weight=1), *errors(FIVE_TIMES, 40)]
    found = back_test(RULES, enumerate(polls, start=1), ERRORS, steps=2, excludes=2.0)
    assert (found.verdict, found.weight) == ("red", 5)
    assert found.decided_line is not None
    assert 33 <= found.decided_line <= 50
    assert found.decided_at == polls[found.decided_line - 1].at


def test_a_back_test_is_green_only_when_the_last_step_was_cleared() -> None:
    whole = [*errors(GOOD, 20, weight=1), *errors(GOOD, 20)]
    found = back_test(RULES, enumerate(whole, start=1), ERRORS, steps=2, excludes=2.0)
    assert (found.verdict, found.weight) == ("green", 5)
    assert found.decided_line is not None
    assert found.decided_line > 22
    short = back_test(RULES, enumerate(whole[:24], start=1), ERRORS, steps=2, excludes=2.0)
    assert (short.verdict, short.decided_line, short.weight) == ("inconclusive", None, 5)


def test_full_traffic_at_the_end_leaves_what_was_cleared() -> None:
    alone = exposed((100, 20_000), (0, 0))
    polls = [*errors(GOOD, 20, weight=50), *errors(alone, 5, weight=100)]
    found = back_test(RULES, enumerate(polls, start=1), ERRORS, steps=2, excludes=2.0)
    assert (found.verdict, found.weight) == ("green", 50)


def test_at_full_traffic_harm_shows_against_what_stable_did_before() -> None:
    broken = exposed((900, 20_000), (0, 0))
    polls = [*errors(GOOD, 20, weight=50), *errors(broken, 40, weight=100)]
    found = back_test(RULES, enumerate(polls, start=1), ERRORS, steps=2, excludes=2.0)
    assert (found.verdict, found.weight) == ("red", 100)
    assert "stable in the earlier steps 1,900 of 380,000 (0.5 %)" in found.explanation


def test_nothing_is_inconclusive() -> None:
    assert back_test(RULES, [], ERRORS, steps=2, excludes=2.0).verdict == "inconclusive"


def test_the_evidence_is_the_average_of_the_signals_by_their_weights() -> None:
    bad = Exposure(canary=Count(bad=6, total=100), stable=Count(bad=9, total=900))
    fine = Exposure(canary=Count(bad=1, total=100), stable=Count(bad=9, total=900))
    alone = [judged(trace(*[(10.0, {"errors": seen})] * 4))[1][-1].evidence for seen in (bad, fine)]

    def together(weights: tuple[float, float]) -> float:
        rules = {"errors": SignalRules(weight=weights[0]), "restarts": SignalRules(weight=weights[1])}
        state = begin(RULES, rules, steps=4)
        for poll in trace(*[(10.0, {"errors": bad, "restarts": fine})] * 4):
            state, said = observe(RULES, state, poll, None)
        return said.evidence

    for weights in ((1.0, 1.0), (9.0, 1.0), (1.0, 4.0)):
        share = weights[0] / sum(weights)
        assert together(weights) == pytest.approx(share * alone[0] + (1 - share) * alone[1], rel=1e-4)


def test_a_gate_without_a_signal_that_must_clear_is_refused() -> None:
    for signals in ({}, {"restarts": SignalRules(must_clear=False)}):
        with pytest.raises(ValueError, match="could never be green"):
            begin(RULES, signals, steps=4)
