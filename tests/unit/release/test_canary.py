"""The ladder: which move follows which poll."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.releases import ArmCounts, HealthDocument
from leverframe.model.topology import CanaryPlan, CanaryStep
from workflows.release.canary import BLIND_PATIENCE, Ladder, Move
from workflows.release.judge import Arm, judge

CANARY, STABLE, OTHER = "c" * 40, "a" * 40, "d" * 40
T0 = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = CanaryPlan(
    steps=(
        CanaryStep(percent=5, min_requests=20, min_seconds=10, max_seconds=100),
        CanaryStep(percent=100, min_requests=20, min_seconds=10, max_seconds=100),
    ),
    poll_seconds=5,
)


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
) -> HealthDocument:
    return HealthDocument(
        service="shop",
        router_started_at=started,
        taken_at=at(seconds),
        stable=STABLE,
        canary=named,
        canary_percent=percent,
        arms=(
            ArmCounts(sha=CANARY, requests=canary[0], errors=canary[1]),
            ArmCounts(sha=STABLE, requests=stable[0], errors=stable[1]),
        ),
    )


def ladder() -> Ladder:
    return Ladder(sha=CANARY, plan=PLAN, opened_at=T0)


def polled(start: Ladder, *polls: tuple[float, HealthDocument | None]) -> tuple[Ladder, Move]:
    """The ladder after some polls, and the last move."""
    move: Move | None = None
    for seconds, seen in polls:
        start, move = start.observed(seen, at(seconds), judge)
    assert move is not None
    return start, move


def test_the_first_document_of_a_step_only_opens_the_count() -> None:
    after, move = polled(ladder(), (0, document(0, (500, 400), (500, 0))))
    assert move.kind == "hold"
    assert after.baseline is not None


def test_counts_from_before_the_step_are_not_held_against_it() -> None:
    _, move = polled(
        ladder(), (0, document(0, (500, 400), (9000, 0))), (15, document(15, (530, 400), (9500, 0)))
    )
    assert move.kind == "advance"
    assert (move.verdict.canary_requests, move.verdict.canary_errors) == (30, 0)


def test_red_takes_the_release_back() -> None:
    _, move = polled(ladder(), (0, document(0)), (5, document(5, (30, 9), (600, 1))))
    assert (move.kind, move.verdict.colour) == ("take_back", "red")


def test_the_last_step_promotes() -> None:
    first, _ = polled(ladder(), (0, document(0)), (15, document(15, (30, 0), (600, 6))))
    top = first.climbed(at(15), document(15, (30, 0), (600, 6)))
    _, move = polled(
        top,
        (15, document(15, (30, 0), (600, 6), percent=100)),
        (30, document(30, (90, 0), (600, 6), percent=100)),
    )
    assert move.kind == "promote"


def test_at_the_top_the_control_is_what_stable_did_on_the_steps_before() -> None:
    first, _ = polled(ladder(), (0, document(0)), (15, document(15, (30, 0), (600, 6))))
    top = first.climbed(at(15), document(15, (30, 0), (600, 6)))
    assert top.carried == Arm(requests=600, errors=6)
    stragglers = (602, 6)
    _, move = polled(
        top,
        (15, document(15, (30, 0), (600, 6), percent=100)),
        (30, document(30, (90, 12), stragglers, percent=100)),
    )
    assert move.kind == "take_back"
    assert (move.verdict.stable_requests, move.verdict.stable_errors) == (600, 6)
    assert "stable in the earlier steps" in move.verdict.reason


def test_a_restarted_router_means_a_fresh_count_and_no_verdict() -> None:
    after, move = polled(
        ladder(), (0, document(0, (10, 0))), (15, document(15, (900, 900), (900, 0), started=at(10)))
    )
    assert move.kind == "hold"
    assert "anew" in move.verdict.reason
    _, move = polled(after, (30, document(30, (930, 900), (1500, 0), started=at(10))))
    assert move.kind == "advance"


def test_a_step_that_is_not_green_in_time_is_taken_back() -> None:
    _, move = polled(ladder(), (0, document(0)), (101, document(101, (5, 0), (100, 0))))
    assert (move.kind, move.verdict.colour) == ("take_back", "hold")
    assert "not green within 100 seconds" in move.verdict.reason


def test_being_blind_holds_and_does_not_use_up_the_steps_time() -> None:
    polls = [(float(second), None) for second in range(5, 200, 5)]
    after, move = polled(ladder(), (0, document(0)), *polls)
    assert move.kind == "hold"
    _, move = polled(after, (205, document(205, (30, 0), (600, 0))))
    assert move.kind == "advance"


def test_being_blind_for_too_long_is_taken_back() -> None:
    limit = 100 * BLIND_PATIENCE
    after, move = polled(ladder(), (0, None), (limit, None))
    assert move.kind == "hold"
    _, move = polled(after, (limit + 1, None))
    assert move.kind == "take_back"


def test_a_lost_weight_is_set_again() -> None:
    after, move = polled(ladder(), (0, document(0)), (5, document(5, percent=0)))
    assert move.kind == "reweigh"
    assert after.baseline is None


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
        stand, move = stand.observed(None if blind else seen, at(now), judge)
        if move.kind == "advance":
            assert move.verdict.canary_requests >= 20
        if move.kind != "hold":
            return
        seeing += 0 if was_blind else 20
        in_the_dark = in_the_dark + 20 if was_blind and blind else 0
        was_blind = blind
        assert blind or seeing <= 100
        assert in_the_dark <= 100 * BLIND_PATIENCE


def test_a_ladder_survives_being_written_down() -> None:
    after, _ = polled(ladder(), (0, document(0)), (5, document(5, (3, 0), (60, 0))))
    assert Ladder.model_validate_json(after.model_dump_json()) == after
