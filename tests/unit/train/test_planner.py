"""What the train does next, from one snapshot."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.model.changes import Author, Car, CarEjected, CheckResult, Enqueue, Priority
from leverframe.model.topology import Check
from workflows.merge_train import board
from workflows.merge_train.planner import (
    Action,
    Compose,
    Eject,
    Idle,
    Land,
    Letter,
    Ride,
    RunCheck,
    Settled,
    Tell,
    TrainState,
    judge,
    plan,
)
from workflows.merge_train.queue import Queue, put, withdraw

AT = datetime(2026, 3, 1, tzinfo=UTC)
CAR = Car(change="shop/1", sha="c" * 40, base="b" * 40, tree="d" * 40, head="a" * 40, paths=("app.py",))
UNIT, LINT = Check(name="unit", command=("true",)), Check(name="lint", command=("true",))
OUTCOMES = ("passed", "failed", "inconclusive")
ESCAPE = "\x1b[31m"


def ran(outcome: str, check: str = "unit", sha: str = CAR.sha, log: str = "") -> CheckResult:
    return CheckResult.model_validate(
        {"check": check, "sha": sha, "outcome": outcome, "seconds": 1, "summary": "said", "log": log}
    )


def queued(*changes: str, name: str = "ada") -> Queue:
    queue = Queue()
    for change in changes:
        author = Author(kind="person", name=name)
        asked = Enqueue(change=change, head="a" * 40, priority=Priority.NORMAL, author=author)
        queue = put(queue, asked, request=change, at=AT)
    return queue


def riding(*results: CheckResult, required: tuple[Check, ...] = (UNIT,)) -> TrainState:
    ride = Ride(sequence=1, car=CAR, required=required, results=results)
    return TrainState(queue=queued("shop/1", "shop/2"), rides=(ride,))


def ejected(action: Action) -> CarEjected:
    assert isinstance(action, Eject)
    return action.outcome


def test_an_empty_train_is_idle() -> None:
    assert plan(TrainState()) == Idle()


def test_the_first_in_line_is_composed() -> None:
    state = TrainState(queue=queued("shop/1", "shop/2"))
    assert plan(state) == Compose(state.queue.items[0])


def test_nobody_overtakes_a_car_that_rides() -> None:
    state = riding()
    hotfix = Enqueue(
        change="shop/3", head="a" * 40, priority=Priority.HOTFIX, author=Author(kind="person", name="ada")
    )
    state = state.model_copy(update={"queue": put(state.queue, hotfix, request="r", at=AT)})
    action = plan(state)
    assert isinstance(action, RunCheck)
    assert action.item.change == "shop/1"


def test_a_ride_without_a_car_is_composed_again() -> None:
    state = riding()
    moved = state.model_copy(update={"rides": (state.rides[0].model_copy(update={"car": None}),)})
    assert plan(moved) == Compose(state.queue.items[0])


def test_required_checks_run_one_after_the_other_and_then_the_car_lands_with_their_results() -> None:
    both = (UNIT, LINT)
    first = plan(riding(required=both))
    second = plan(riding(ran("passed"), required=both))
    assert isinstance(first, RunCheck)
    assert isinstance(second, RunCheck)
    assert (first.check, second.check) == (UNIT, LINT)
    results = (ran("passed"), ran("passed", "lint"))
    state = riding(*results, required=both)
    assert plan(state) == Land(state.queue.items[0], CAR, results)


def test_a_car_that_needs_no_check_lands_at_once() -> None:
    assert isinstance(plan(riding(required=())), Land)


def test_a_result_of_another_commit_proves_nothing() -> None:
    assert isinstance(plan(riding(ran("passed", sha="e" * 40))), RunCheck)


@pytest.mark.parametrize(
    ("outcomes", "verdict"),
    [
        ([], "run"),
        (["passed"], "passed"),
        (["failed"], "run"),
        (["failed", "passed"], "passed"),
        (["failed", "failed"], "failed"),
        (["inconclusive", "inconclusive"], "run"),
        (["inconclusive", "inconclusive", "passed"], "passed"),
        (["inconclusive", "inconclusive", "inconclusive"], "inconclusive"),
        (["failed", "inconclusive", "inconclusive"], "run"),
        (["failed", "inconclusive", "failed"], "failed"),
    ],
)
def test_a_red_is_confirmed_once_and_a_run_without_a_verdict_is_repeated_twice(
    outcomes: list[str], verdict: str
) -> None:
    assert judge(tuple(ran(outcome) for outcome in outcomes)) == verdict


def test_a_confirmed_red_is_taken_off_with_the_end_of_its_log_as_inert_text() -> None:
    log = f"{ESCAPE}boom ``` @here"
    outcome = ejected(plan(riding(ran("failed"), ran("failed", log=log))))
    assert outcome.reason == "check_failed"
    assert "boom" in outcome.detail
    assert ESCAPE not in outcome.detail
    assert outcome.detail.endswith("\n````")
    assert "enqueue the new head" in outcome.detail.splitlines()[0]


def test_no_verdict_at_all_is_not_called_the_changes_fault() -> None:
    outcome = ejected(plan(riding(*[ran("inconclusive")] * 3)))
    assert outcome.reason == "check_inconclusive"
    assert "Nothing says that the change is at fault" in outcome.detail


def test_what_is_withdrawn_leaves_before_anything_else_happens_even_while_it_rides() -> None:
    state = riding(ran("passed"))
    state = state.model_copy(update={"queue": withdraw(state.queue, "shop/1")})
    assert ejected(plan(state)).reason == "withdrawn"


def test_letters_are_sent_first() -> None:
    letter = Letter(to=("run/1",), outcome=CarEjected(change="shop/9", reason="empty", detail="x"))
    assert plan(riding().model_copy(update={"letters": (letter,)})) == Tell(letter)


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(["unit", "lint"])), max_size=12))
def test_every_car_comes_to_an_end_and_lands_only_with_every_required_check_green(
    script: list[tuple[str, str]],
) -> None:
    answers = {name: [outcome for outcome, check in script if check == name] for name in ("unit", "lint")}
    results: list[CheckResult] = []
    for _ in range(2 * 5 + 1):
        state = riding(*results, required=(UNIT, LINT))
        action = plan(state)
        assert plan(TrainState.model_validate_json(state.model_dump_json())) == action
        if not isinstance(action, RunCheck):
            break
        name = action.check.name
        results.append(ran(answers[name].pop(0) if answers[name] else "failed", name))
    assert isinstance(action, Land | Eject)
    if isinstance(action, Land):
        assert [(run.check, run.outcome) for run in action.results] == [
            ("unit", "passed"),
            ("lint", "passed"),
        ]


def test_the_board_shows_who_rides_who_waits_and_how_rides_ended_without_outside_markup() -> None:
    hostile = "<b>|[x](y)|\n# @all"
    outcome = CarEjected(change="shop/9", reason="check_failed", detail="Red.\n\n```text\nlog\n```")
    state = riding(ran("failed")).model_copy(
        update={
            "queue": queued("shop/1", "shop/2", name=hostile),
            "settled": (Settled(head="a" * 40, outcome=outcome, settled_at=AT),),
        }
    )
    shown = board.markdown("shop", state)
    assert "car `cccccccccccc` on `bbbbbbbbbbbb`; unit run 2" in shown
    assert "left (check_failed): Red." in shown
    assert "log" not in shown
    assert "<b>" not in shown
    assert "[x](y)" not in shown
    assert len([line for line in shown.splitlines() if line.startswith("| 1 |")]) == 1
