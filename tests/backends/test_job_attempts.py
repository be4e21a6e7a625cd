"""Attempts of CI's jobs in the store: on SQLite always, on PostgreSQL when there is one."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, func, select

from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import job_attempts
from tests.fakes.job_attempts import HOSTILE, executed
from tests.fakes.result_reports import BEGAN, report

DAY = timedelta(days=1)


@pytest.fixture
def store(engine: Engine) -> ResultsStore:
    return ResultsStore(engine)


def test_what_is_told_again_in_any_parts_and_order_is_kept_once(store: ResultsStore, engine: Engine) -> None:
    attempts = [*executed(1, "fail", "pass"), *executed(2, "pass"), *executed(1, "pass", job=HOSTILE)]
    assert store.keep_jobs(attempts) == 4
    assert store.keep_jobs([*reversed(attempts), *executed(3, "pass")]) == 1
    assert store.keep_jobs([*executed(4, "pass"), *executed(4, "pass")]) == 1
    assert store.keep_jobs([]) == 0
    with engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(job_attempts)).scalar() == 6
    first = store.flaky_jobs("shop", since=BEGAN, now=BEGAN + DAY)
    store.keep_jobs(attempts)
    assert store.flaky_jobs("shop", since=BEGAN, now=BEGAN + DAY) == first


def test_only_jobs_with_both_outcomes_in_a_run_are_said_out_of_all_their_runs(store: ResultsStore) -> None:
    for run in range(1, 31):
        store.keep_jobs(executed(run, *(("fail", "pass") if run % 10 == 0 else ("pass",))))
        store.keep_jobs(executed(run, "fail" if run > 20 else "pass", job="broken"))
    store.keep_jobs(executed(30, "fail", "pass", job="unit", source="car"))
    store.keep_jobs(executed(30, "fail", "pass", repository="till"))
    unit, car = store.flaky_jobs("shop", since=BEGAN, now=BEGAN + DAY)
    assert (unit.job, unit.source, unit.runs, unit.failed_runs) == ("CI / unit", "github", 30, 3)
    assert (unit.flaky_runs, unit.commits, unit.lost_ms) == (3, 3, 3 * 120_000)
    assert unit.last.sha == f"{30:040x}"
    assert (car.job, car.source, car.runs, car.flaky_runs) == ("unit", "car", 1, 1)


def test_a_name_from_outside_is_data(store: ResultsStore) -> None:
    store.keep_jobs(executed(1, "fail", "pass", job=HOSTILE))
    (one,) = store.flaky_jobs("shop", since=BEGAN, now=BEGAN + DAY)
    assert one.job == HOSTILE


def test_only_what_ended_in_the_asked_time_counts(store: ResultsStore) -> None:
    for days in range(10):
        store.keep_jobs(executed(days + 1, "fail", "pass", began=BEGAN + days * DAY))
    (one,) = store.flaky_jobs("shop", since=BEGAN + 3 * DAY, now=BEGAN + 7 * DAY)
    assert (one.runs, one.flaky_runs) == (4, 4)
    assert store.flaky_jobs("shop", since=BEGAN + 20 * DAY, now=BEGAN + 30 * DAY) == []


def test_runs_of_which_test_reports_came_are_told_apart(store: ResultsStore) -> None:
    store.keep_jobs([*executed(1, "fail", "pass"), *executed(2, "fail", "pass")])
    store.keep(report({"a.py::b": "F"}, run="2.1"), at=BEGAN)
    (one,) = store.flaky_jobs("shop", since=BEGAN, now=BEGAN + DAY)
    assert (one.flaky_runs, one.reported_runs) == (2, 1)


def test_attempts_are_forgotten_with_those_of_tests(store: ResultsStore) -> None:
    store.keep_jobs([*executed(1, "fail", "pass"), *executed(2, "fail", "pass", began=BEGAN + 5 * DAY)])
    pruned = store.prune(attempts_before=BEGAN + 3 * DAY, days_before=BEGAN)
    assert pruned.jobs == 2
    (one,) = store.flaky_jobs("shop", since=BEGAN, now=BEGAN + 9 * DAY)
    assert one.last.run == "2"


def test_a_large_run_is_kept_at_once(store: ResultsStore) -> None:
    attempts = [one for number in range(700) for one in executed(1, "fail", "pass", job=f"shard {number}")]
    assert store.keep_jobs(attempts) == 1400
    assert len(store.flaky_jobs("shop", since=BEGAN, now=BEGAN + DAY)) == 700
