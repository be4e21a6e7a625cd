"""Reports that come late, or by two ways: on SQLite always, on PostgreSQL when there is one."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, select

from activities.backends import results_late
from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import test_runs
from tests.fakes.result_reports import BEGAN, fold_all, report, tell

FLAKY = "tests/test_a.py::test_flaky"
CALM = "tests/test_b.py::test_calm"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def store(engine: Engine) -> ResultsStore:
    return ResultsStore(engine)


def test_a_shard_that_comes_after_its_run_was_folded_says_the_same_as_one_in_time(
    store: ResultsStore, engine: Engine
) -> None:
    for repository, wait in (("shop", HOUR), ("till", timedelta(0))):
        for number in range(12):
            run, at = {"run": str(number), "sha": str(number), "repository": repository}, BEGAN + number * DAY
            store.keep(report({CALM: "."}, at=at, **run), at=at)
            if wait:
                fold_all(store, repository=repository, now=at + wait)
            slow = report({FLAKY: "F." if number % 2 else "."}, job="slow", at=at, **run)
            store.keep(slow, at=at + wait)
            fold_all(store, repository=repository, now=at + 2 * HOUR)
            # An attempt that its run or a late part had, sent as another job's, changes nothing but a count.
            store.keep(report({FLAKY: "FF", CALM: "F"}, job="again", at=at, **run), at=at + 2 * HOUR)
            assert fold_all(store, repository=repository, now=at + 3 * HOUR) == []
    late, in_time = store.known("shop", [CALM]), store.known("till", [CALM])
    assert [(one.test, one.seen, one.missed, one.last_at) for one in late] == [
        (one.test, one.seen, one.missed, one.last_at) for one in in_time
    ]
    for flaky, calm in (late, in_time):
        assert calm.history is None
        assert flaky.history is not None
        assert flaky.history.discordant == 6
        assert flaky.history.quarantine is not None
    assert store.suite("shop").tests == 1
    with engine.connect() as connection:
        c = test_runs.c
        query = select(c.run, c.left_out).where(c.repository == "shop", c.sha == "3").order_by(c.number)
        assert connection.execute(query).all() == [("3", 3), ("3 (late, 7)", 0)]


def test_a_late_part_of_a_run_in_trouble_is_only_counted(store: ResultsStore) -> None:
    store.keep(report({f"tests/test_c.py::test_{n}": "F." for n in range(9)}), at=BEGAN)
    (folded,) = fold_all(store, now=BEGAN + HOUR)
    assert folded.in_trouble
    store.keep(report({FLAKY: "F."}, job="slow"), at=BEGAN + HOUR)
    assert fold_all(store, now=BEGAN + DAY) == []


@pytest.mark.parametrize("fetched_first", [True, False])
@pytest.mark.parametrize("wait", [HOUR, timedelta(0)])
def test_a_run_that_is_uploaded_and_fetched_is_one_in_whatever_order(
    store: ResultsStore, engine: Engine, fetched_first: bool, wait: timedelta
) -> None:
    """Of a pull request the job names the merge that it tests, and GitHub the head."""
    signs = {FLAKY: "F.", CALM: "."}
    uploaded = report(signs, run="88.1", sha="merge", branch="work", job="unit")
    fetched = replace(uploaded, source="github", sha="head", job="tests-unit")
    for number, one in enumerate([fetched, uploaded] if fetched_first else [uploaded, fetched]):
        at = BEGAN + number * wait
        assert store.keep(one, at=at).new
        assert not store.keep(one, at=at).new
        if wait:
            fold_all(store, now=at + wait)
    fold_all(store, now=BEGAN + DAY)
    flaky, calm = store.known("shop", [FLAKY, CALM])
    assert (flaky.seen, calm.seen, store.suite("shop").runs) == (1, 1, 1)
    assert flaky.history is not None
    assert flaky.history.discordant == 1
    with engine.connect() as connection:
        kept = connection.execute(select(test_runs.c.sha, test_runs.c.left_out)).one()
    assert kept == ("head" if fetched_first else "merge", 3)


def test_runs_of_one_name_that_came_the_same_way_are_told_apart_by_their_commits(
    store: ResultsStore,
) -> None:
    for sha in ("a1", "b2"):
        store.keep(report({CALM: "."}, run="nightly", sha=sha), at=BEGAN)
    assert len(fold_all(store, now=BEGAN + DAY)) == 2


def test_a_report_of_a_run_that_is_too_old_to_be_known_is_only_counted(
    store: ResultsStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_late, "KEPT", 2)
    tell(store, [{CALM: "."}] * 3)
    for run in ("1", "2"):
        store.keep(report({FLAKY: "."}, run=run, sha=f"{int(run):040x}", job="slow"), at=BEGAN)
    (folded,) = fold_all(store, now=BEGAN + DAY)
    assert folded.run == "2 (late, 2)"
    with engine.connect() as connection:
        counts = select(test_runs.c.left_out).order_by(test_runs.c.number)
        assert connection.execute(counts).scalars().all() == [1, 0, 0, 0]
