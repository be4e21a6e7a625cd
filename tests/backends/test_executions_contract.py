"""Orders of fresh executions in the store: asked once, answered once, folded into the tests' histories."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Engine, select

from activities.backends.results_asking import MOST_TESTS
from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import test_causes
from activities.executions_port import NOTHING, PATIENCE, Asking, TookIn
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.history import History
from agents.flaky_tests.probes import FEW_JOBS, probe
from leverframe.model.executions import Executed, ExecutionOrder, Kind
from tests.fakes.result_reports import BEGAN, SENSITIVE, SETTLE, SIGNATURE, report

FLAKY = "tests/test_a.py::test_flaky"
CALM = "tests/test_b.py::test_calm"
BULK = {f"tests/bulk.py::test_{number}": "." for number in range(30)}
SHA = f"{1:040x}"
LATER = BEGAN + timedelta(hours=1)
PLENTY = Asking(a_day=5_000, checks=("unit", "slow"))
PATIENT = Bounds(runs_to_false_quarantine=1e12)
"""Nothing is quarantined soon."""


@pytest.fixture
def store(engine: Engine) -> ResultsStore:
    return ResultsStore(engine)


def told(
    store: ResultsStore,
    signs: Mapping[str, str],
    *,
    run: int = 1,
    sha: str = SHA,
    at: datetime = BEGAN,
    repository: str = "shop",
) -> None:
    store.keep(
        report({**BULK, **signs}, run=str(run), sha=sha, at=at, repository=repository, job="slow"), at=at
    )


def fold_now(
    store: ResultsStore,
    *,
    now: datetime = LATER,
    asking: Asking = PLENTY,
    bounds: Bounds = PATIENT,
    repository: str = "shop",
) -> int:
    """The runs that could be folded."""
    runs = 0
    while store.fold_next(
        repository,
        target="main",
        settled_before=now - SETTLE,
        at=now,
        bounds=bounds,
        contains=lambda fix, sha: True,
        asking=asking,
    ):
        runs += 1
    return runs


def take_in(
    store: ResultsStore,
    done: Sequence[Executed] = (),
    *,
    unfit: Sequence[str] = (),
    at: datetime = LATER,
    asking: Asking = PLENTY,
    bounds: Bounds = PATIENT,
    repository: str = "shop",
) -> TookIn:
    return store.take_in(repository, done, unfit=unfit, at=at, bounds=bounds, asking=asking)


def came_to(order: ExecutionOrder, failures: int = 0) -> Executed:
    passes = 1 if order.until_pass and failures < order.executions else order.executions - failures
    return Executed(
        order=order.id,
        passes=passes,
        failures=failures,
        fingerprints=(SIGNATURE,) if failures else (),
        milliseconds=30,
    )


def history_of(store: ResultsStore, test: str, repository: str = "shop") -> History:
    (known,) = [one for one in store.known(repository, [test]) if one.test == test]
    assert known.history is not None
    return known.history


def test_a_run_waits_for_its_recheck_and_is_folded_with_it(store: ResultsStore) -> None:
    told(store, {FLAKY: "F"})
    assert fold_now(store) == 0
    (order,) = store.open_orders("shop", limit=9)
    assert (order.test.stored(), order.sha, order.check) == (FLAKY, SHA, "slow")
    assert (order.executions, order.until_pass, order.kind) == (3, True, Kind.AS_IT_RAN)
    assert fold_now(store) == 0
    assert take_in(store, [came_to(order, failures=1)]).answered == 1
    assert fold_now(store) == 1
    history = history_of(store, FLAKY)
    assert (history.discordant, history.broken) == (1, False)
    story = store.story("shop", FLAKY)
    assert story is not None
    assert [(one.attempt, one.outcome) for one in story.attempts] == [(3, "pass"), (2, "fail"), (1, "fail")]


def test_a_run_is_folded_without_rechecks_that_nobody_makes_and_a_late_answer_changes_nothing(
    store: ResultsStore,
) -> None:
    told(store, {FLAKY: "F"})
    assert fold_now(store) == 0
    (order,) = store.open_orders("shop", limit=9)
    late = LATER + PATIENCE["recheck"]
    assert fold_now(store, now=late) == 1
    before = history_of(store, FLAKY)
    assert take_in(store, [came_to(order)], at=late).answered == 0
    assert history_of(store, FLAKY) == before
    assert before.discordant == 0
    assert store.open_orders("shop", limit=9) == []


def test_other_runs_do_not_wait(store: ResultsStore) -> None:
    told(store, {FLAKY: "F"})
    told(store, {FLAKY: "."}, run=2, sha=f"{2:040x}", at=BEGAN + timedelta(minutes=1))
    assert fold_now(store) == 1


def test_what_policy_does_not_allow_is_not_asked(store: ResultsStore) -> None:
    for number, asking in enumerate((NOTHING, Asking(a_day=9), Asking(checks=("unit",))), 1):
        told(store, {FLAKY: "F"}, run=number, sha=f"{number:040x}")
        assert fold_now(store, asking=asking) == 1
    assert store.open_orders("shop", limit=9) == []


def test_the_budget_of_a_day_is_spent_when_it_is_asked_for(store: ResultsStore) -> None:
    asking = Asking(a_day=8, checks=("slow",))
    told(store, {FLAKY: "F", CALM: "F", "tests/test_c.py::test_c": "F", "tests/test_d.py::test_d": "F"})
    assert fold_now(store, asking=asking) == 0
    orders = store.open_orders("shop", limit=99)
    # A quarter is for probes.
    assert [order.executions for order in orders] == [3, 3]
    # What an answer did not need is there again.
    take_in(store, [came_to(order) for order in orders], asking=asking)
    fold_now(store, asking=asking)
    assert [order.executions for order in store.open_orders("shop", limit=99)] == [3, 3]
    told(store, {"tests/bulk.py::test_1": "F"}, run=2, sha=f"{2:040x}", at=LATER)
    assert fold_now(store, now=LATER + timedelta(hours=1), asking=asking) == 1
    # The next day has a budget of its own.
    morrow = LATER + timedelta(days=1)
    told(store, {"tests/bulk.py::test_2": "F"}, run=3, sha=f"{3:040x}", at=morrow)
    assert fold_now(store, now=morrow + timedelta(hours=1), asking=asking) == 0


def test_a_commit_that_can_not_be_had_is_not_asked_of_again_and_costs_nothing(store: ResultsStore) -> None:
    told(store, {FLAKY: "F"})
    fold_now(store)
    (order,) = store.open_orders("shop", limit=9)
    take_in(store, unfit=[order.id])
    assert fold_now(store) == 1
    told(store, {CALM: "F"}, run=2)
    assert fold_now(store) == 1
    told(store, {CALM: "F"}, run=3, sha="not-a-commit")
    assert fold_now(store) == 1
    assert store.open_orders("shop", limit=9) == []


def test_a_run_in_trouble_and_one_that_a_change_broke_are_not_executed_again_at_length(
    store: ResultsStore,
) -> None:
    for repository, signs in (("shop", "F"), ("till", "F.")):
        told(store, dict.fromkeys(BULK, signs), repository=repository)
        assert fold_now(store, repository=repository) == 1
        assert store.open_orders(repository, limit=9) == []
    many = {f"tests/many.py::test_{number}": "." for number in range(1_500)}
    broken = dict.fromkeys(list(many)[: MOST_TESTS + 5], "F")
    told(store, {**many, **broken}, run=2, sha=f"{2:040x}")
    assert fold_now(store) == 0
    assert len(store.open_orders("shop", limit=99)) == MOST_TESTS


def test_of_a_run_only_some_tests_are_probed(store: ResultsStore) -> None:
    told(store, dict.fromkeys(BULK, "F"))
    fold_now(store)
    # They were not calm any more, so that this is no trouble by the gate.
    told(store, dict.fromkeys(BULK, "F."), run=2, sha=f"{2:040x}")
    fold_now(store)
    assert len({order.test for order in store.open_orders("shop", limit=999)}) == MOST_TESTS


def test_probes_follow_a_discordance_until_they_are_worth_it_no_more(store: ResultsStore) -> None:
    told(store, {FLAKY: "F."})
    assert fold_now(store) == 1
    orders = store.open_orders("shop", limit=99)
    assert [order.kind for order in orders][:4] == [
        Kind.AS_IT_RAN, Kind.SHUFFLED, Kind.AS_IT_RAN, Kind.PARALLEL,
    ]  # fmt: skip
    assert len({order.id for order in orders}) == 8
    assert {order.seed for order in orders} != {0}
    # Half of a batch is not folded.
    assert take_in(store, [came_to(order) for order in orders[:4]]) == TookIn(answered=4)
    done = [came_to(order, failures=order.kind is Kind.SHUFFLED) for order in orders[4:]]
    assert take_in(store, done) == TookIn(answered=4, asked=8)
    assert take_in(store, done) == TookIn()
    assert history_of(store, FLAKY).probes == 8
    while orders := store.open_orders("shop", limit=99):
        take_in(store, [came_to(order) for order in orders])
    ended = history_of(store, FLAKY)
    assert 8 < ended.probes <= FEW_JOBS
    assert probe(ended, 1, PATIENT, 999) is None


def test_what_quarantines_a_test_is_looked_into_until_its_cause_has_a_name(store: ResultsStore) -> None:
    told(store, {FLAKY: "F."})
    fold_now(store, bounds=SENSITIVE)
    asked = 0
    while orders := store.open_orders("shop", limit=99):
        asked += len(orders)
        shuffled = [came_to(order, failures=order.kind is Kind.SHUFFLED) for order in orders]
        take_in(store, shuffled, bounds=SENSITIVE)
    history = history_of(store, FLAKY)
    assert history.quarantine is not None
    assert history.probes < asked
    ((cause, why),) = causes(store)
    assert cause == "order"
    assert re.fullmatch(r"it failed in (\d) of \1 jobs in another order and in 0 of \d+ others", why)


def test_a_test_that_a_run_quarantines_is_looked_into_at_that_run(store: ResultsStore) -> None:
    for run in range(1, 4):
        told(store, {FLAKY: "F."}, run=run, sha=f"{run:040x}", at=BEGAN + timedelta(minutes=run))
    # The probes of the first one have no answer yet.
    assert fold_now(store, bounds=SENSITIVE) == 3
    assert history_of(store, FLAKY).quarantine is not None
    orders = store.open_orders("shop", limit=99)
    assert len({order.sha for order in orders}) == 2
    assert len([order for order in orders if order.kind is Kind.AS_IT_RAN]) == 4


def causes(store: ResultsStore) -> list[tuple[str, str]]:
    with store._engine.connect() as connection:
        return [(row.cause, row.why) for row in connection.execute(select(test_causes))]


def test_probes_that_say_nothing_are_not_asked_for_again(store: ResultsStore) -> None:
    told(store, {FLAKY: "F."})
    fold_now(store)
    orders = store.open_orders("shop", limit=99)
    silent = [Executed(order=order.id, why="it was not collected") for order in orders]
    assert take_in(store, silent).asked == 0
    assert history_of(store, FLAKY).probes == 0


def test_jobs_that_all_fail_never_quarantine(store: ResultsStore) -> None:
    """A test that the commit broke: one pass by mistake, and then it fails whatever one does."""
    told(store, {FLAKY: "F."})
    fold_now(store, bounds=SENSITIVE)
    orders = store.open_orders("shop", limit=99)
    took = take_in(store, [came_to(one, failures=one.executions) for one in orders], bounds=SENSITIVE)
    # Nor are there more of them.
    assert (took.quarantined, took.asked) == (0, 0)
    assert history_of(store, FLAKY).quarantine is None


def quarantined(store: ResultsStore) -> datetime:
    """The test is quarantined; its probes are over."""
    now = BEGAN
    for number in range(1, 20):
        now = BEGAN + timedelta(hours=number)
        signs = {FLAKY: "F." if number % 2 else "."}
        told(store, signs, run=number, sha=f"{number:040x}", at=now - timedelta(hours=1))
        fold_now(store, now=now, asking=NOTHING, bounds=SENSITIVE)
    assert history_of(store, FLAKY).quarantine is not None
    return now + timedelta(days=1)


def night(store: ResultsStore, now: datetime, asking: Asking = PLENTY) -> int:
    return store.plan_night("shop", tip=SHA, at=now, asking=asking, contains=lambda fix, sha: fix != "f" * 40)


def test_a_night_is_planned_once_and_ends_with_the_first_failure(store: ResultsStore) -> None:
    now = quarantined(store)
    assert store.has_work("shop", at=now, asking=PLENTY)
    assert (night(store, now), night(store, now)) == (5, 0)
    orders = store.open_orders("shop", limit=99)
    assert {(one.executions, one.kind, one.sha) for one in orders} == {(1, Kind.AS_IT_RAN, SHA)}
    before = history_of(store, FLAKY)
    took = take_in(store, [came_to(one, one is orders[2]) for one in orders], at=now, bounds=SENSITIVE)
    assert took == TookIn(answered=5)
    after = history_of(store, FLAKY)
    assert before.quarantine
    assert after.quarantine
    assert after.quarantine.rate.failures == before.quarantine.rate.failures + 1
    assert not store.has_work("shop", at=now, asking=PLENTY)
    assert store.has_work("shop", at=now + timedelta(days=1), asking=PLENTY)


def test_a_claimed_fix_is_verified_in_rounds_of_one_night(store: ResultsStore) -> None:
    now = quarantined(store)
    assert store.claim_fix("shop", FLAKY, SHA)
    assert night(store, now) == 5
    rounds = []
    while orders := store.open_orders("shop", limit=999):
        rounds.append(len(orders))
        took = take_in(store, [came_to(one) for one in orders], at=now, bounds=SENSITIVE)
    assert rounds[:2] == [5, 5]
    assert took.released == 1
    assert history_of(store, FLAKY).quarantine is None
    story = store.story("shop", FLAKY)
    assert story is not None
    assert story.events[-1] == ("released", now)


def test_a_test_whose_fix_the_tip_lacks_is_not_executed_there(store: ResultsStore) -> None:
    now = quarantined(store)
    assert store.claim_fix("shop", FLAKY, "f" * 40)
    assert night(store, now) == 0


def test_a_night_takes_half_of_the_day_at_most(store: ResultsStore) -> None:
    now = quarantined(store)
    assert night(store, now, Asking(a_day=6, checks=("slow",))) == 3


def test_what_a_night_began_without_the_claimed_fix_counts_neither_for_nor_against_it(
    store: ResultsStore,
) -> None:
    now = quarantined(store)
    assert night(store, now) == 5
    first, *others = store.open_orders("shop", limit=99)
    take_in(store, [came_to(first)], at=now, bounds=SENSITIVE)
    assert store.claim_fix("shop", FLAKY, SHA)
    claimed = history_of(store, FLAKY).quarantine
    assert take_in(store, [came_to(one, 1) for one in others], at=now, bounds=SENSITIVE).answered == 0
    assert history_of(store, FLAKY).quarantine == claimed
    assert not store.open_orders("shop", limit=99)
    assert night(store, now + timedelta(days=1)) == 5


ELSEWHERE = Asking(a_day=5_000, checks=("unit",))
"""No check is the job in which the tests failed."""


def test_what_fails_elsewhere_is_not_rechecked_where_it_may_pass(store: ResultsStore) -> None:
    told(store, {FLAKY: "F"})
    assert fold_now(store, asking=ELSEWHERE) == 1
    assert not store.open_orders("shop", limit=9)


def test_the_nights_of_a_test_that_ran_elsewhere_count_once_it_failed_in_the_sandbox(
    store: ResultsStore,
) -> None:
    now = quarantined(store)
    assert night(store, now, ELSEWHERE) == 0
    told(store, {CALM: "F."}, run=99, sha=f"{99:040x}", at=now)
    told(store, {CALM: "F."}, run=100, sha=f"{100:040x}", at=now)
    now += timedelta(days=1)
    fold_now(store, now=now, asking=ELSEWHERE, bounds=SENSITIVE)
    orders = store.open_orders("shop", limit=99)
    take_in(store, [came_to(one, 1) for one in orders], at=now, asking=ELSEWHERE, bounds=SENSITIVE)
    assert history_of(store, CALM).quarantine is not None
    night(store, now, ELSEWHERE)
    assert {one.test.stored() for one in store.open_orders("shop", limit=99) if one.executions == 1} == {CALM}
