"""Reports of tests in the store, and their fold: on SQLite always, on PostgreSQL when there is one."""

import threading
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, func, select

from activities.backends import results_fold, results_numbers, results_shelf
from activities.backends.results_packing import unpacked
from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import (
    metadata,
    test_attempts,
    test_days,
    test_events,
    test_reports,
    test_runs,
    test_states,
    tests,
)
from agents.flaky_tests.history import Verdict
from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_MARKERS
from tests.fakes.result_reports import (
    BEGAN,
    SETTLE,
    SIGNATURE,
    fold_all,
    report,
    tell,
)

FLAKY = "tests/test_a.py::test_flaky"
CALM = "tests/test_b.py::test_calm"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def store(engine: Engine) -> ResultsStore:
    return ResultsStore(engine)


def _contents(engine: Engine, repository: str = "shop") -> dict[str, list[Any]]:
    """All that the store has of one repository but its name, and the names of reports that hold it."""
    with engine.connect() as connection:
        return {
            table.name: sorted(
                tuple(str(value) for name, value in row._mapping.items() if name not in ("repository", "id"))
                for row in connection.execute(select(table).where(table.c.repository == repository))
            )
            for table in metadata.sorted_tables
            if table.name in RESULTS
        }


RESULTS = {
    *("test_reports", "test_suites", "suite_states", "tests", "test_pages", "test_states", "test_runs"),
    *("test_attempts", "test_events", "test_days", "test_commits", "test_fixes", "quarantine_changes"),
}


def _count(engine: Engine, table: Any) -> int:
    with engine.connect() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_a_report_that_is_sent_again_is_one_and_keeps_its_first_time(store: ResultsStore) -> None:
    first = store.keep(report({CALM: "."}), at=BEGAN)
    again = store.keep(report({CALM: "."}), at=BEGAN + HOUR)
    assert (first.new, again.new) == (True, False)
    assert (again.id, again.received_at) == (first.id, BEGAN)
    assert store.keep(report({CALM: "F"}), at=BEGAN).new
    assert store.keep(report({CALM: "."}, job="other"), at=BEGAN).new


def test_a_report_without_attempts_is_refused(store: ResultsStore) -> None:
    with pytest.raises(BadInput, match="has no attempts"):
        store.keep(report({}), at=BEGAN)


def test_a_test_too_many_is_refused_and_nothing_is_kept(
    store: ResultsStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_numbers, "MOST_TESTS", 2)
    store.keep(report({FLAKY: ".", CALM: "."}), at=BEGAN)
    with pytest.raises(BadInput, match="shop would have 3 tests, and 2 are kept"):
        store.keep(report({"tests/test_c.py::test_new": "."}, run="2"), at=BEGAN)
    assert _count(engine, test_reports) == 1
    assert store.keep(report({CALM: "."}, run="2"), at=BEGAN).new


def test_marks_are_known_once_told_and_only_the_target_takes_them_away(engine: Engine) -> None:
    store = ResultsStore(engine, {"shop": "main"})

    def known_after(run: str, branch: str, markers: tuple[str, ...] | None) -> tuple[str, ...] | None:
        store.keep(report({CALM: "."}, run=run, branch=branch, markers=markers), at=BEGAN)
        return store.known("shop", [CALM])[0].markers

    assert known_after("1", "main", None) is None
    assert known_after("2", "old", ()) == ()
    assert known_after("3", "main", ("security", "slow")) == ("security", "slow")
    assert known_after("4", "main", None) == ("security", "slow")
    assert known_after("5", "old", ("web",)) == ("security", "slow", "web")
    assert known_after("6", "main", ("slow",)) == ("slow",)
    many = tuple(f"mark{number:02}" for number in range(MOST_MARKERS))
    assert known_after("7", "old", many) == ("slow",)
    assert known_after("8", "old", ()) == ("slow",)


def test_only_the_target_moves_a_test_to_another_file(engine: Engine) -> None:
    store = ResultsStore(engine, {"shop": "main"})

    def known_after(run: str, branch: str, path: str) -> str:
        one = report({CALM: "."}, run=run, branch=branch)
        one = replace(one, attempts=tuple(attempt._replace(path=path) for attempt in one.attempts))
        store.keep(one, at=BEGAN)
        return store.known("shop", [CALM])[0].path

    assert known_after("1", "work", "") == ""
    assert known_after("2", "work", "security/test_b.py") == "security/test_b.py"
    assert known_after("3", "work", "harmless/test_b.py") == "security/test_b.py"
    assert known_after("4", "main", "moved/test_b.py") == "moved/test_b.py"
    assert known_after("5", "main", "") == "moved/test_b.py"


def test_reports_are_announced_once_the_oldest_first(store: ResultsStore) -> None:
    kept = [
        store.keep(report({CALM: "."}, run=str(number)), at=BEGAN + number * HOUR) for number in (3, 1, 2)
    ]
    waiting = store.unannounced(before=BEGAN + 3 * HOUR, limit=5)
    assert [one.id for one in waiting] == [kept[1].id, kept[2].id]
    store.mark_announced([kept[1].id, kept[0].id], BEGAN)
    assert [one.id for one in store.unannounced(before=BEGAN + 9 * HOUR, limit=5)] == [kept[2].id]


def test_a_run_is_folded_once_its_newest_report_is_old_enough(store: ResultsStore) -> None:
    store.keep(report({CALM: "."}, job="one"), at=BEGAN)
    store.keep(report({FLAKY: "F."}, job="two"), at=BEGAN + timedelta(minutes=9))
    assert fold_all(store, now=BEGAN + timedelta(minutes=18)) == []
    (folded,) = fold_all(store, now=BEGAN + timedelta(minutes=19))
    assert (folded.tests, folded.flaky, folded.failed) == (2, 1, 0)
    assert store.suite("shop").waiting == 0


def test_shards_may_come_in_any_order(store: ResultsStore, engine: Engine) -> None:
    shards = [({CALM: "."}, "one"), ({FLAKY: "F."}, "two"), ({"tests/test_c.py::test_c": "s"}, "three")]
    for repository, order in (("shop", (0, 1, 2)), ("till", (0, 2, 1))):
        store.keep(
            report({CALM: ".", FLAKY: ".", "tests/test_c.py::test_c": "."}, run="0", repository=repository),
            at=BEGAN,
        )
        for place in order:
            signs, job = shards[place]
            store.keep(report(signs, job=job, repository=repository), at=BEGAN + HOUR)
        fold_all(store, repository=repository, now=BEGAN + 2 * HOUR)
    ours, theirs = _contents(engine), _contents(engine, "till")
    assert ours == theirs


def test_an_attempt_that_comes_again_or_after_its_run_changes_nothing_but_a_count(
    store: ResultsStore, engine: Engine
) -> None:
    store.keep(report({FLAKY: "F.", CALM: "."}), at=BEGAN)
    store.keep(report({CALM: "F"}, job="again"), at=BEGAN)
    fold_all(store, now=BEGAN + HOUR)
    before = _contents(engine)
    store.keep(report({CALM: "FF", FLAKY: "F"}, job="late"), at=BEGAN + HOUR)
    assert fold_all(store, now=BEGAN + 2 * HOUR) == []
    after = _contents(engine)
    left_out = [one.name for one in test_runs.columns if one.name != "repository"].index("left_out")
    assert (before["test_runs"][0][left_out], after["test_runs"][0][left_out]) == ("1", "4")
    for table in RESULTS - {"test_runs", "test_reports"}:
        assert after[table] == before[table]


def test_a_flaky_test_is_known_with_its_evidence_and_a_calm_one_when_it_is_named(
    store: ResultsStore, engine: Engine
) -> None:
    tell(store, [{FLAKY: "F." if number % 2 else ".", CALM: "."} for number in range(12)])
    (flaky,) = store.known("shop", [])
    assert (flaky.test, flaky.path, flaky.seen) == (FLAKY, "tests/test_a.py", 12)
    assert flaky.history is not None
    assert flaky.history.quarantine is not None
    assert flaky.history.quarantine.masked == (SIGNATURE,)
    both = store.known("shop", [CALM, "tests/unheard_of.py::test_x"])
    assert [one.test for one in both] == [FLAKY, CALM]
    assert both[1].history is None
    assert store.suite("shop").tests == 2
    with engine.connect() as connection:
        assert [row.what for row in connection.execute(select(test_events))] == ["quarantined"]
        assert connection.execute(select(test_states.c.verdict)).scalar_one() == Verdict.FLAKY


def test_a_test_that_whole_runs_of_main_lack_is_missed_and_partial_runs_and_branches_say_nothing(
    store: ResultsStore,
) -> None:
    every = {f"tests/test_c.py::test_{number}": "." for number in range(9)}
    tell(store, [{**every, CALM: "."}])
    tell(store, [every] * 3)
    assert store.known("shop", [CALM])[0].missed == 3
    tell(store, [{"tests/test_c.py::test_0": "."}])
    tell(store, [every], branch="topic")
    assert store.known("shop", [CALM])[0].missed == 3
    last = store.known("shop", [CALM])[0].last_at
    tell(store, [{CALM: "."}], branch="topic")
    assert store.known("shop", [CALM])[0].last_at == BEGAN + 7 * HOUR != last


def test_attempts_of_tests_that_did_more_than_pass_are_kept_one_by_one(
    store: ResultsStore, engine: Engine
) -> None:
    store.keep(report({FLAKY: "F.", CALM: "."}, job="linux"), at=BEGAN)
    store.keep(report({"tests/test_c.py::test_skipped": "s"}, job="mac"), at=BEGAN)
    fold_all(store, now=BEGAN + HOUR)
    with engine.connect() as connection:
        rows = connection.execute(select(test_attempts).order_by(test_attempts.c.attempt)).all()
        run = connection.execute(select(test_runs)).one()
    assert [(row.job, row.outcome, row.fingerprint, row.milliseconds) for row in rows] == [
        ("linux", "fail", SIGNATURE, 100),
        ("linux", "pass", "", 200),
    ]
    assert (run.executions, run.milliseconds, run.rerun_milliseconds) == (3, 400, 200)


def test_a_pass_at_once_is_kept_when_another_job_shows_that_the_test_did_more(
    store: ResultsStore, engine: Engine
) -> None:
    store.keep(report({CALM: "."}, job="first"), at=BEGAN)
    second = report({CALM: ".F"}, job="second")
    store.keep(second, at=BEGAN + SETTLE)
    (folded,) = fold_all(store, now=BEGAN + HOUR)
    assert folded.flaky == 1
    with engine.connect() as connection:
        rows = connection.execute(select(test_attempts).order_by(test_attempts.c.attempt)).all()
        assert connection.execute(select(test_runs.c.executions)).scalar_one() == 2
    assert [(row.job, row.outcome) for row in rows] == [("first", "pass"), ("second", "fail")]


def test_a_report_that_cant_be_read_is_left_out_and_holds_up_no_other(
    store: ResultsStore, engine: Engine
) -> None:
    kept = store.keep(report({CALM: "."}), at=BEGAN)
    with engine.begin() as connection:
        connection.execute(
            test_reports.update().where(test_reports.c.id == kept.id).values(payload=b"\x09damaged")
        )
    store.keep(report({CALM: "."}, run="2"), at=BEGAN + HOUR)
    folded = fold_all(store, now=BEGAN + 2 * HOUR)
    assert [one.tests for one in folded] == [0, 1]
    with engine.connect() as connection:
        complaints = connection.execute(
            select(test_reports.c.complaints).where(test_reports.c.id == kept.id)
        ).scalar_one()
    assert "its form is not 1" in complaints


@pytest.mark.parametrize(
    ("step", "after"), [*(("replace_rows", after) for after in range(4)), ("_mark_folded", 0)]
)
def test_a_fold_that_dies_in_the_middle_and_is_tried_again_is_the_fold_that_went_well(
    store: ResultsStore, engine: Engine, monkeypatch: pytest.MonkeyPatch, step: str, after: int
) -> None:
    runs = [{FLAKY: "F." if number % 2 else ".", CALM: "."} for number in range(5)]
    for repository in ("shop", "till"):
        tell(store, runs, repository=repository)
        told = report({FLAKY: "F.", CALM: "F"}, run="last", sha="b2", repository=repository)
        store.keep(told, at=BEGAN + 20 * HOUR)
    before, left = _contents(engine), [after]
    for module in (results_fold, results_shelf):
        write = getattr(module, step, None)

        def dying(*told: Any, write: Any = write) -> None:
            if not left[0]:
                raise RuntimeError("killed")
            left[0] -= 1
            write(*told)

        monkeypatch.setattr(module, step, dying, raising=False)
    with pytest.raises(RuntimeError, match="killed"):
        fold_all(store, now=BEGAN + 21 * HOUR)
    assert _contents(engine) == before
    monkeypatch.undo()
    fold_all(store, now=BEGAN + 21 * HOUR)
    fold_all(store, repository="till", now=BEGAN + 21 * HOUR)
    assert _contents(engine) == _contents(engine, "till") != before


def test_folds_of_one_repository_at_once_fold_each_run_once(engine: Engine) -> None:
    store = ResultsStore(engine)
    for number in range(6):
        store.keep(report({CALM: ".", FLAKY: "F."}, run=str(number), sha=str(number)), at=BEGAN)
    folded: list[int] = []
    threads = [
        threading.Thread(
            target=lambda: folded.extend(one.number for one in fold_all(store, now=BEGAN + HOUR))
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(folded) == [1, 2, 3, 4, 5, 6]
    assert store.known("shop", [CALM])[0].seen == 6


def test_doors_that_see_new_tests_at_once_give_each_one_number(engine: Engine) -> None:
    store = ResultsStore(engine)
    names = [f"tests/test_many.py::test_{number}" for number in range(40)]

    def keep(first: int) -> None:
        for number in range(first, first + 20):
            store.keep(report(dict.fromkeys(names[number : number + 10], "."), run=str(first)), at=BEGAN)

    threads = [threading.Thread(target=keep, args=(first,)) for first in (0, 5, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with engine.connect() as connection:
        rows = connection.execute(select(tests.c.number, tests.c.test)).all()
    assert sorted(row.number for row in rows) == list(range(len(rows)))
    assert len({row.test for row in rows}) == len(rows)


def test_only_runs_with_the_claimed_fix_say_whether_a_test_heals(store: ResultsStore) -> None:
    now = tell(store, [{FLAKY: "F." if number % 2 else ".", CALM: "."} for number in range(12)])
    assert store.claim_fix("shop", FLAKY, "f1")
    assert store.claim_fix("shop", FLAKY, "f1")
    assert not store.claim_fix("shop", CALM, "f1")
    assert not store.claim_fix("shop", "tests/unheard_of.py::test_x", "f1")
    for sha in ("old", "new"):
        store.keep(report({FLAKY: "F.", CALM: "."}, run=sha, sha=sha), at=now)
    claimed = store.known("shop", [])[0].history
    fold_all(store, now=now + HOUR, lacking=[("f1", "old"), ("f1", "new")])
    still = store.known("shop", [])[0].history
    assert claimed is not None
    assert still is not None
    assert still.quarantine is not None
    assert claimed.quarantine is not None
    assert still.quarantine.fix_claimed
    assert still.discordant == claimed.discordant
    store.keep(report({FLAKY: "F.", CALM: "."}, run="newer", sha="newer"), at=now + HOUR)
    fold_all(store, now=now + 2 * HOUR)
    refuted = store.known("shop", [])[0].history
    assert refuted is not None
    assert refuted.quarantine is not None
    assert not refuted.quarantine.fix_claimed


def test_what_is_old_is_forgotten_and_what_is_known_stays(store: ResultsStore, engine: Engine) -> None:
    now = tell(store, [{FLAKY: "F." if number % 2 else ".", CALM: "."} for number in range(12)])
    waiting = store.keep(report({CALM: "."}, run="waits"), at=BEGAN)
    known = store.known("shop", [CALM])
    middle = BEGAN + 7 * HOUR + timedelta(minutes=30)
    pruned = store.prune(attempts_before=middle, days_before=middle)
    assert (pruned.reports, pruned.attempts, pruned.runs, pruned.days) == (7, 6, 7, 0)
    assert pruned.events == 1
    assert store.prune(attempts_before=middle, days_before=middle).attempts == 0
    assert store.known("shop", [CALM]) == known
    assert store.unannounced(before=now, limit=1)[0].id == waiting.id
    assert store.prune(attempts_before=middle, days_before=now + timedelta(days=2)).days == 1
    assert _count(engine, test_days) == 0


def test_a_payload_of_tests_that_pass_is_small_and_comes_back(store: ResultsStore, engine: Engine) -> None:
    many = {f"tests/test_many.py::test_{number}": "." for number in range(3_000)}
    store.keep(report(many), at=BEGAN)
    with engine.connect() as connection:
        payload = connection.execute(select(test_reports.c.payload)).scalar_one()
    assert len(payload) < 300
    assert list(unpacked(payload).passed) == list(range(3_000))
