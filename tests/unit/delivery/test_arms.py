"""What the overlay's SHA means for what runs, without a process in sight."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.delivery.arms import REMEMBERED, Arms, Plan, abort, promote, reconcile, weigh
from leverframe.model.errors import Conflict
from leverframe.model.releases import Environment

A, B, C, D = ("a" * 40, "b" * 40, "c" * 40, "d" * 40)


def after(
    environment: Environment, wanted: str | None, arms: Arms, *, running: str = "", healthy: str = ""
) -> Plan:
    """A plan, with SHAs written as the letters they consist of."""
    return reconcile(
        environment,
        wanted,
        arms,
        running=frozenset(letter * 40 for letter in running),
        healthy=frozenset(letter * 40 for letter in healthy),
    )


def test_dev_starts_a_new_sha_and_keeps_the_old_one_until_it_is_healthy() -> None:
    plan = after("dev", B, Arms(stables=(A,)), running="a", healthy="a")
    assert plan == Plan(arms=Arms(stables=(A,)), start=(B,), stop=())


def test_dev_switches_and_stops_the_old_one_when_the_new_one_is_healthy() -> None:
    plan = after("dev", B, Arms(stables=(A,)), running="ab", healthy="ab")
    assert plan == Plan(arms=Arms(stables=(A, B)), start=(), stop=(A,))


def test_the_first_sha_in_production_becomes_stable_when_it_is_healthy() -> None:
    assert after("production", A, Arms()) == Plan(arms=Arms(), start=(A,))
    assert after("production", A, Arms(), running="a", healthy="a").arms == Arms(stables=(A,))


def test_a_first_sha_that_never_gets_healthy_is_replaced_by_the_next() -> None:
    assert after("production", B, Arms(), running="a") == Plan(arms=Arms(), start=(B,), stop=(A,))


def test_another_sha_in_production_becomes_the_canary_at_no_share() -> None:
    plan = after("production", B, Arms(stables=(A,)), running="a", healthy="a")
    assert plan == Plan(arms=Arms(stables=(A,), canary=B), start=(B,))


def test_the_canary_keeps_its_share_while_the_overlay_names_it() -> None:
    arms = Arms(stables=(A,), canary=B, percent=25)
    assert after("production", B, arms, running="ab", healthy="ab") == Plan(arms=arms)


def test_a_newer_sha_replaces_the_canary_and_begins_at_no_share() -> None:
    plan = after("production", C, Arms(stables=(A,), canary=B, percent=25), running="ab", healthy="ab")
    assert plan == Plan(arms=Arms(stables=(A,), canary=C), start=(C,), stop=(B,))


def test_the_overlay_put_back_to_stable_removes_the_canary() -> None:
    plan = after("production", A, Arms(stables=(A,), canary=B, percent=25), running="ab", healthy="ab")
    assert plan == Plan(arms=Arms(stables=(A,)), stop=(B,))


def test_an_aborted_sha_is_not_tried_again_while_the_overlay_still_names_it() -> None:
    arms = abort(Arms(stables=(A,), canary=B, percent=5), B)
    plan = after("production", B, arms, running="ab", healthy="ab")
    assert plan == Plan(arms=Arms(stables=(A,), aborted=B), stop=(B,))


def test_an_aborted_sha_is_tried_again_after_the_overlay_named_another() -> None:
    aborted = Arms(stables=(A,), aborted=B)
    back = after("production", A, aborted, running="a", healthy="a").arms
    assert back.aborted is None
    assert after("production", B, back, running="a", healthy="a").arms.canary == B


def test_going_back_to_a_former_stable_needs_no_canary_and_forgets_what_came_after() -> None:
    arms = Arms(stables=(A, B, C), canary=D, percent=5)
    coming = after("production", A, arms, running="cd", healthy="cd")
    assert coming == Plan(arms=Arms(stables=(A, B, C)), start=(A,), stop=(D,))
    there = after("production", A, coming.arms, running="ac", healthy="ac")
    assert there == Plan(arms=Arms(stables=(A,)), stop=(C,))


def test_an_overlay_without_a_sha_changes_nothing() -> None:
    arms = Arms(stables=(A,), canary=B, percent=5)
    assert after("production", None, arms, running="ab", healthy="ab") == Plan(arms=arms)


def test_after_a_restart_the_saved_arms_are_started_again() -> None:
    arms = Arms(stables=(A,), canary=B, percent=5)
    assert after("production", None, arms) == Plan(arms=arms, start=(A, B))


def test_only_the_canary_can_be_weighed() -> None:
    assert weigh(Arms(stables=(A,), canary=B), B, 25).percent == 25
    with pytest.raises(Conflict, match="the canary is bbbbbbbbbbbb"):
        weigh(Arms(stables=(A,), canary=B), C, 25)


def test_promoting_makes_the_canary_stable_and_again_changes_nothing() -> None:
    promoted = promote(Arms(stables=(A,), canary=B, percent=100), B)
    assert promoted == Arms(stables=(A, B))
    assert promote(promoted, B) == promoted
    with pytest.raises(Conflict, match="there is no canary"):
        promote(promoted, C)


def test_stable_can_not_be_aborted() -> None:
    with pytest.raises(Conflict, match="is stable"):
        abort(Arms(stables=(A,)), A)


def test_aborting_another_commit_leaves_the_canary_alone() -> None:
    arms = Arms(stables=(A,), canary=B, percent=5)
    assert abort(arms, C) == arms


def test_the_history_of_stables_is_bounded() -> None:
    arms = Arms()
    for number in range(3 * REMEMBERED):
        arms = arms.with_stable(f"{number:040x}")
    assert len(arms.stables) == REMEMBERED
    assert arms.stable == f"{3 * REMEMBERED - 1:040x}"


SHAS = st.sampled_from((A, B, C))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("overlay"), SHAS),
        st.tuples(st.just("healthy"), SHAS),
        st.tuples(st.just("abort"), SHAS),
    ),
    max_size=30,
)


@given(STEPS)
def test_no_unproven_sha_gets_a_share_without_the_gate(steps: list[tuple[str, str]]) -> None:
    """Whatever the overlay, health and aborts do, the share stays 0 and stable was first or stable before."""
    arms, wanted, running, healthy = Arms(), A, frozenset[str](), frozenset[str]()
    for kind, sha in steps:
        if kind == "overlay":
            wanted = sha
        elif kind == "healthy":
            healthy |= {sha}
        elif arms.stable != sha:
            arms = abort(arms, sha)
        before = arms
        plan = reconcile("production", wanted, arms, running=running, healthy=healthy & running)
        arms, running = plan.arms, (running | set(plan.start)) - set(plan.stop)
        assert arms.percent == 0
        if before.stable is not None:
            assert arms.stable in before.stables
        assert {arms.stable, arms.canary} - {None} <= running
