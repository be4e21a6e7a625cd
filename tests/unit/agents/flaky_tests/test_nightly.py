"""Who is executed again at night, and how often, when there is not enough for all."""

from hypothesis import given
from hypothesis import strategies as st

from agents.flaky_tests.healing import executions_today
from agents.flaky_tests.history import Mask, Quarantine, Rate
from agents.flaky_tests.nightly import FIRST, next_batch, planned
from tests.unit.agents.flaky_tests.lives import AT

PLENTY = 10**6


def quarantine(*, clean: int, needed: int = 300, claimed: bool = False, mask: Mask = Mask.ON) -> Quarantine:
    return Quarantine(
        at=AT,
        masked=("s",),
        rate=Rate(failures=8, units=400, clean=clean),
        needed=needed,
        as_of=500,
        mask=mask,
        fix_claimed=claimed,
    )


QUARANTINES = st.dictionaries(
    st.integers(0, 50),
    st.builds(
        quarantine,
        clean=st.integers(0, 400),
        claimed=st.booleans(),
        mask=st.sampled_from(Mask),
    ),
)


@given(QUARANTINES, st.integers(0, 2_000), st.integers(0, 400), st.randoms(use_true_random=False))
def test_a_night_stays_within_its_budget_and_wastes_none_whatever_the_order_of_the_tests(  # type: ignore[no-untyped-def]
    quarantines: dict[int, Quarantine], budget: int, night: int, dice
) -> None:
    plan = planned(quarantines, budget, night)
    wanted = planned(quarantines, PLENTY, night)
    assert sum(plan.values()) == min(budget, sum(wanted.values()))
    assert all(0 < count <= wanted[test] for test, count in plan.items())
    mixed = list(quarantines)
    dice.shuffle(mixed)
    assert planned({test: quarantines[test] for test in mixed}, budget, night) == plan


@given(QUARANTINES)
def test_with_enough_for_all_each_test_gets_what_its_own_record_asks_for(
    quarantines: dict[int, Quarantine],
) -> None:
    stuck = {test for test, one in quarantines.items() if one.mask is Mask.STUCK and not one.fix_claimed}
    asked = {test: executions_today(one) for test, one in quarantines.items() if test not in stuck}
    assert planned(quarantines, PLENTY, 0) == {test: count for test, count in asked.items() if count}


def test_claimed_fixes_go_first_then_what_is_nearest_to_healing() -> None:
    quarantines = {
        1: quarantine(clean=10),
        2: quarantine(clean=200),
        3: quarantine(clean=100, claimed=True),
        4: quarantine(clean=250),
        5: quarantine(clean=260, claimed=True),
    }
    plan = planned(quarantines, 40 + 200 + 17 + 2, 3)
    assert plan == {5: 40, 3: 200, 4: 17, 2: 2}


def test_tests_that_wait_take_turns_when_one_of_them_fits_in_a_night() -> None:
    waiting = {test: quarantine(clean=10) for test in range(9)}
    nights = [planned(waiting, 5, night) for night in range(9)]
    assert {test for plan in nights for test in plan} == set(waiting)


def test_a_test_that_only_fails_now_is_not_executed_at_night_until_a_commit_claims_to_fix_it() -> None:
    assert planned({1: quarantine(clean=0, mask=Mask.STUCK)}, PLENTY, 0) == {}
    assert planned({1: quarantine(clean=0, mask=Mask.STUCK, claimed=True)}, PLENTY, 0) == {1: 300}
    assert planned({1: quarantine(clean=0, mask=Mask.SHIFTED)}, PLENTY, 0)


@given(st.integers(1, 400))
def test_a_night_ends_for_a_test_with_its_first_failure_or_with_all_its_executions(count: int) -> None:
    executed = rounds = 0
    while more := next_batch(count, executed, failures=0):
        executed, rounds = executed + more, rounds + 1
    assert executed == count
    assert rounds <= 8
    assert next_batch(count, min(FIRST, count), failures=1) == 0
