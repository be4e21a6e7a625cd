"""The ladder: which move follows which poll."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.releases import Count, HealthDocument, SignalCounts
from leverframe.model.topology import CanaryPlan, CanaryStep, GateRules, SignalRules
from workflows.release.canary import Ladder, Move

CANARY, STABLE, OTHER = "c" * 40, "a" * 40, "d" * 40
T0 = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = CanaryPlan(
    steps=(
        CanaryStep(percent=5, min_requests=20, min_seconds=10, max_seconds=100),
        CanaryStep(percent=100, min_requests=20, min_seconds=10, max_seconds=100),
    ),
    poll_seconds=5,
    gate=GateRules(warm_up=1, cold_seconds=0, burst_seconds=0),
    hold_seconds=1000,
)
LOOKS = PLAN.gate.looks(PLAN.poll_seconds, 2)
"""Looks after the first one of a step, until it may be left."""


def at(seconds: float) -> datetime:
    return T0 + timedelta(seconds=seconds)


def document(
    seconds: float,
    canary: tuple[int, int] = (0, 0),
    stable: tuple[int, int] = (0, 0),
    *,
    percent: int = 5,
    named: str | None = CANARY,
    started: datetime = T0,
    more: dict[str, tuple[tuple[int, int], tuple[int, int]]] | None = None,
) -> HealthDocument:
    return HealthDocument(
        service="shop",
        taken_at=at(seconds),
        stable=STABLE,
        canary=named,
        canary_percent=percent,
        signals={
            "errors": counted(canary, stable, started),
            **{name: counted(*arms, started) for name, arms in (more or {}).items()},
        },
    )


def counted(canary: tuple[int, int], stable: tuple[int, int], since: datetime = T0) -> SignalCounts:
    """Exposure and bad events of both arms."""
    arms = {CANARY: canary, STABLE: stable}
    return SignalCounts(
        since=since, arms={sha: Count(bad=bad, total=total) for sha, (total, bad) in arms.items()}
    )


def ladder() -> Ladder:
    return Ladder.at_the_foot(CANARY, PLAN, T0)


def polled(start: Ladder, *polls: tuple[float, HealthDocument | None]) -> tuple[Ladder, Move]:
    """The ladder after some polls, and the last move."""
    move: Move | None = None
    for seconds, seen in polls:
        start, move = start.observed(seen, at(seconds))
    assert move is not None
    return start, move


def looks(
    canary: tuple[int, int],
    stable: tuple[int, int],
    *,
    times: int,
    begin: float = 0,
    percent: int = 5,
    before: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
    started: datetime = T0,
) -> list[tuple[float, HealthDocument | None]]:
    """A first look and so many more, five seconds apart, with so much traffic and so many errors in each."""
    (c, ce), (s, se) = before
    return [
        (
            begin + 5 * number,
            document(
                begin + 5 * number,
                (c + number * canary[0], ce + number * canary[1]),
                (s + number * stable[0], se + number * stable[1]),
                percent=percent,
                started=started,
            ),
        )
        for number in range(times + 1)
    ]


def test_the_first_document_of_a_step_only_opens_the_count() -> None:
    after, move = polled(ladder(), (0, document(0, (500, 400), (500, 0))))
    assert move.kind == "hold"
    assert after.latest is not None


def test_counts_from_before_the_step_are_not_held_against_it() -> None:
    before = ((500, 400), (9000, 0))
    _, move = polled(ladder(), *looks((30, 0), (500, 0), times=LOOKS, before=before))
    assert move.kind == "advance"
    assert (move.verdict.canary_requests, move.verdict.canary_errors) == (30 * (LOOKS - 1), 0)


def test_a_step_is_not_left_before_harm_could_have_shown() -> None:
    _, move = polled(ladder(), *looks((500, 0), (9500, 0), times=LOOKS - 1))
    assert (move.kind, move.verdict.reason.rpartition("; ")[2]) == ("hold", "harm could not show so early")


def test_red_takes_the_release_back_with_its_evidence_in_words() -> None:
    _, move = polled(ladder(), *looks((30, 9), (600, 1), times=PLAN.gate.warm_up + 4))
    assert (move.kind, move.verdict.colour) == ("take_back", "red")
    assert move.verdict.evidence >= 20
    assert "30.0 %), stable " in move.verdict.reason
    assert move.verdict.reason.startswith("errors: canary ")


def test_the_last_step_promotes() -> None:
    first, _ = polled(ladder(), *looks((30, 0), (600, 6), times=LOOKS))
    before = ((30 * LOOKS, 0), (600 * LOOKS, 6 * LOOKS))
    _, move = polled(
        first.climbed(at(5 * LOOKS)),
        *looks((60, 0), (0, 0), times=LOOKS, begin=5 * LOOKS, percent=100, before=before),
    )
    assert move.kind == "promote"


def test_at_the_top_the_control_is_what_stable_did_on_the_steps_before() -> None:
    first, _ = polled(ladder(), *looks((30, 0), (600, 6), times=LOOKS))
    before = ((30 * LOOKS, 0), (600 * LOOKS, 6 * LOOKS))
    top, move = polled(
        first.climbed(at(5 * LOOKS)),
        *looks((60, 12), (2, 0), times=LOOKS, begin=5 * LOOKS, percent=100, before=before),
    )
    assert top.gate.signals["errors"].control == Count(bad=6 * (LOOKS - 1), total=600 * (LOOKS - 1))
    assert move.kind == "take_back"
    assert (move.verdict.stable_requests, move.verdict.stable_errors) == (600 * (LOOKS - 1), 6 * (LOOKS - 1))
    assert "stable in the earlier steps" in move.verdict.reason


def strict(**step: object) -> Ladder:
    """A ladder whose step must exclude twice stable's rate."""
    steps = (PLAN.steps[0].model_copy(update={"excludes": 2.0, **step}), PLAN.steps[1])
    return Ladder.at_the_foot(CANARY, PLAN.model_copy(update={"steps": steps}), T0)


def test_a_step_that_must_exclude_harm_is_not_left_by_time() -> None:
    _, move = polled(strict(), *looks((30, 0), (570, 3), times=LOOKS))
    assert move.kind == "hold"
    assert move.verdict.reason.endswith("10 times stable's rate is excluded; 2 times must be")
    _, move = polled(strict(), *looks((300, 1), (5700, 30), times=LOOKS + 3))
    assert (move.kind, move.verdict.excluded) == ("advance", 2.0)


SLOW = "slower than 100 ms"


def with_signal(name: str, rules: SignalRules | None = None) -> Ladder:
    """A ladder whose gate watches one signal more."""
    signals = {**PLAN.signals, name: rules or SignalRules()}
    return Ladder.at_the_foot(CANARY, PLAN.model_copy(update={"signals": signals}), T0)


def test_latency_is_a_signal_of_its_own() -> None:
    start = with_signal(SLOW)
    polls = [
        (
            5 * n,
            document(5 * n, (50 * n, 0), (950 * n, 0), more={SLOW: ((50 * n, 50 * n), (950 * n, 0))}),
        )
        for n in range(LOOKS + 2)
    ]
    _, move = polled(start, *polls)
    assert move.kind == "take_back"
    assert move.verdict.reason.startswith("slower than 100 ms: canary")


def crashing(start: Ladder, looks: int, *, each: int) -> Move:
    """The last move when the canary restarts in so many of the five seconds between two looks."""
    seconds = [5 * number for number in range(looks)]
    restarts = {s: ((s, each * s // 5), (s, s // 50)) for s in seconds}
    polls = [(s, document(s, (6 * s, 0), (114 * s, 0), more={"restarts": restarts[s]})) for s in seconds]
    return polled(start, *polls)[1]


def test_a_canary_that_keeps_dying_is_taken_back_although_no_request_fails() -> None:
    move = crashing(with_signal("restarts", SignalRules(must_clear=False)), 60, each=1)
    assert (move.kind, move.verdict.colour) == ("take_back", "red")
    assert move.verdict.reason.startswith("restarts: canary")


def test_a_signal_that_need_not_clear_keeps_no_step_from_being_green() -> None:
    steps = (PLAN.steps[0].model_copy(update={"excludes": 10.0}), PLAN.steps[1])
    for must_clear, kind in ((False, "advance"), (True, "hold")):
        signals = {**PLAN.signals, "restarts": SignalRules(must_clear=must_clear)}
        plan = PLAN.model_copy(update={"steps": steps, "signals": signals})
        looks = plan.looks + 1
        still = {"restarts": ((5, 0), (5, 0))}
        polls = [(5 * n, document(5 * n, (300 * n, n), (5700 * n, 20 * n), more=still)) for n in range(looks)]
        assert polled(Ladder.at_the_foot(CANARY, plan, T0), *polls)[1].kind == kind


def test_a_signal_that_can_not_be_read_holds_without_using_up_the_steps_time() -> None:
    start = with_signal(SLOW)
    blind = [(s, seen) for s, seen in looks((30, 0), (570, 0), times=40)]
    held, move = polled(start, *blind)
    assert move.kind == "hold"
    assert move.verdict.reason == (
        "slower than 100 ms can't be read (its source does not report it): holding, blind"
    )
    why = document(201, (1210, 0), (22990, 0)).model_copy(update={"blind": {SLOW: "no such metric"}})
    assert "(no such metric)" in polled(held, (201, why))[1].verdict.reason
    limit = PLAN.hold_seconds
    _, move = polled(held, (limit + 1, document(limit + 1, (1300, 0), (30_000, 0))))
    assert (move.kind, move.verdict.colour) == ("take_back", "hold")
    assert "for longer than 1000 seconds" in move.verdict.reason


def test_red_is_seen_although_another_signal_is_blind() -> None:
    _, move = polled(with_signal(SLOW), *looks((30, 9), (600, 1), times=PLAN.gate.warm_up + 6))
    assert (move.kind, move.verdict.colour) == ("take_back", "red")


def test_each_signal_begins_anew_with_its_own_source() -> None:
    def seen(number: int, started: datetime, slow: int) -> tuple[float, HealthDocument]:
        both = document(5 * number, (30 * number, 0), (570 * number, 0))
        counts = counted((slow, 0), (slow, 0), started)
        return 5 * number, both.model_copy(update={"signals": {**both.signals, SLOW: counts}})

    held, _ = polled(with_signal(SLOW), seen(0, T0, 100), seen(1, T0, 200), seen(2, T0, 300))
    held, move = polled(held, seen(3, at(14), 5))
    assert (move.kind, "the counts of slower than 100 ms began anew" in move.verdict.reason) == ("hold", True)
    assert held.gate.signals["errors"].seen.canary.total == 60
    held, _ = polled(held, seen(4, at(14), 25))
    assert held.gate.signals[SLOW].seen.canary.total == 100 + 20


def test_a_restarted_router_means_a_fresh_count_and_no_verdict() -> None:
    after, move = polled(
        ladder(), (0, document(0, (10, 0))), (15, document(15, (900, 900), (900, 0), started=at(10)))
    )
    assert move.kind == "hold"
    assert "anew" in move.verdict.reason
    before = ((900, 900), (900, 0))
    _, move = polled(after, *looks((30, 0), (600, 0), times=LOOKS, begin=20, before=before, started=at(10)))
    assert move.kind == "advance"


def test_a_step_that_is_not_green_in_time_is_undecided_and_holds_until_its_bound() -> None:
    after, move = polled(ladder(), (0, document(0)), (101, document(101, (5, 0), (100, 0))))
    assert (move.kind, move.verdict.colour) == ("hold", "hold")
    still = after.standstill(at(101))
    assert still is not None
    assert (still.kind, still.since, still.until) == ("undecided", at(100), at(1100))
    _, move = polled(after, (1100, document(1100, (6, 0), (110, 0))))
    assert move.kind == "hold"
    _, move = polled(after, (1101, document(1101, (6, 0), (110, 0))))
    assert (move.kind, move.verdict.colour) == ("take_back", "hold")
    assert move.verdict.reason.endswith("not green within 100 seconds, nor while it was held for 1000 more")


def test_a_plan_may_have_an_undecided_step_taken_back_at_once() -> None:
    start = Ladder.at_the_foot(CANARY, PLAN.model_copy(update={"undecided": "roll_back"}), T0)
    after, move = polled(start, (0, document(0)), (101, document(101, (5, 0), (100, 0))))
    assert (move.kind, move.verdict.colour) == ("take_back", "hold")
    assert move.verdict.reason.endswith("not green within 100 seconds")
    assert after.standstill(at(101)) is None


def test_an_undecided_step_goes_on_when_the_evidence_comes_after_all_and_back_when_it_is_red() -> None:
    late, _ = polled(ladder(), (0, document(0)), (500, document(500, (5, 0), (100, 0))))
    before = ((5, 0), (100, 0))
    _, move = polled(late, *looks((30, 0), (600, 0), times=LOOKS, begin=505, before=before))
    assert move.kind == "advance"
    _, move = polled(late, *looks((30, 20), (600, 0), times=LOOKS, begin=505, before=before))
    assert (move.kind, move.verdict.colour) == ("take_back", "red")


def test_while_a_person_holds_an_undecided_step_nobody_is_paged_and_no_bound_passes() -> None:
    late, _ = polled(ladder(), (0, document(0)), (500, document(500, (5, 0), (100, 0))))
    held, move = late.observed(document(9000, (6, 0), (110, 0)), at(9000), held=True)
    held, move = held.observed(document(99_000, (6, 0), (120, 0)), at(99_000), held=True)
    assert move.kind == "hold"
    assert held.standstill(at(99_000)) is None


def test_being_blind_holds_and_does_not_use_up_the_steps_time() -> None:
    polls = [(float(second), None) for second in range(5, 200, 5)]
    after, move = polled(ladder(), (0, document(0)), *polls)
    assert move.kind == "hold"
    _, move = polled(after, *looks((30, 0), (600, 0), times=LOOKS, begin=205))
    assert move.kind == "advance"


def test_a_person_holds_a_step_for_longer_than_it_may_take_and_red_ends_that() -> None:
    held = ladder()
    for seconds, seen in looks((30, 0), (600, 0), times=60):
        held, move = held.observed(seen, at(seconds), held=True)
        assert move.kind == "hold"
    assert move.verdict.reason.endswith("a person holds it here")
    before = ((1800, 0), (36_000, 0))
    _, move = polled(held, *looks((30, 0), (600, 0), times=1, begin=305, before=before))
    assert move.kind == "advance"
    for seconds, seen in looks((30, 20), (600, 0), times=20, begin=305, before=before):
        held, move = held.observed(seen, at(seconds), held=True)
    assert (move.kind, move.verdict.colour) == ("take_back", "red")


def test_people_leave_a_step_and_what_the_gate_saw_stays_in_the_verdict() -> None:
    stand, move = polled(ladder(), *looks((3, 0), (60, 0), times=2))
    left = stand.left(move, "ada and bob had the step left")
    assert (left.kind, left.verdict.colour) == ("advance", "hold")
    assert left.verdict.reason.startswith("ada and bob had the step left; errors: canary 0 of 3")


def test_being_blind_is_a_standstill_after_a_while_and_taken_back_only_at_its_bound() -> None:
    after, _ = polled(ladder(), (0, None), (299, None))
    assert after.standstill(at(299)) is None
    after, move = polled(after, (1000, None))
    assert (move.kind, move.verdict.colour) == ("hold", "hold")
    still = after.standstill(at(1000))
    assert still is not None
    assert (still.kind, still.since, still.until, still.outage) == ("blind", at(300), at(1000), T0)
    _, move = polled(after, (1001, None))
    assert (move.kind, move.verdict.colour) == ("take_back", "hold")
    assert move.verdict.reason.endswith("holding, blind; for longer than 1000 seconds")


def test_a_lost_weight_is_set_again() -> None:
    after, move = polled(ladder(), (0, document(0)), (5, document(5, percent=0)))
    assert move.kind == "reweigh"
    assert after.latest is None


def test_a_canary_that_is_another_commit_is_lost() -> None:
    assert polled(ladder(), (0, document(0, named=OTHER)))[1].kind == "lost"
    assert polled(ladder(), (0, document(0, named=None)))[1].kind == "lost"


POLLS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40), st.booleans(), st.booleans()), min_size=1, max_size=60
)


@given(POLLS)
def test_a_step_never_holds_for_ever_and_never_advances_without_requests(
    polls: list[tuple[int, int, bool, bool]],
) -> None:
    """Any mix of traffic, errors, blindness and restarts: sight and blindness are both bounded."""
    now, start, canary, stable, errors = 0.0, T0, 0, 0, 0
    seeing, in_the_dark, was_blind = 0, 0, False
    stand = ladder()
    for requests, failed, blind, restarted in polls:
        now += 20
        if restarted:
            start, canary, stable, errors = at(now), 0, 0, 0
        canary, stable, errors = canary + requests, stable + 100, errors + min(failed, requests)
        seen = document(now, (canary, errors), (stable, 0), started=start)
        stand, move = stand.observed(None if blind else seen, at(now))
        if move.kind == "advance":
            assert move.verdict.canary_requests >= 20
        if move.kind != "hold":
            return
        seeing += 0 if was_blind else 20
        in_the_dark = in_the_dark + 20 if was_blind and blind else 0
        was_blind = blind
        assert blind or seeing <= 100 + PLAN.hold_seconds
        assert in_the_dark <= PLAN.hold_seconds


def test_a_ladder_survives_being_written_down() -> None:
    after, _ = polled(ladder(), (0, document(0)), (5, document(5, (3, 0), (60, 0))))
    assert Ladder.model_validate_json(after.model_dump_json()) == after
