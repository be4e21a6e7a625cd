"""Reports that come late, or by two ways: on SQLite always, on PostgreSQL when there is one."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select, update

from activities.backends import results_fold, results_late
from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import suite_states, test_runs
from agents.flaky_tests.gate import Gate
from agents.flaky_tests.stored_form import restored_suite
from tests.fakes.result_reports import BEGAN, fold_all, report, tell
from tests.fakes.stores import store_at

FLAKY = "tests/test_a.py::test_flaky"
CALM = "tests/test_b.py::test_calm"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
REPOSITORIES = itertools.count()


@pytest.fixture
def store(engine: Engine) -> ResultsStore:
    return ResultsStore(engine)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return store_at(Path(tmp_path_factory.mktemp("late")) / "store.db")


def flakes(since: int, until: int) -> dict[str, str]:
    """Tests that each fail, then pass."""
    return {f"tests/test_c.py::test_{number}": "F." for number in range(since, until)}


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


def test_an_outage_is_seen_though_each_late_part_has_little_of_it_and_the_first_fold_of_each_dies(
    store: ResultsStore, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(*_: object) -> None:
        raise RuntimeError("killed")

    bulk = {f"tests/bulk.py::test_{number}": "." for number in range(200)}
    tell(store, [bulk])
    shards = [bulk | flakes(0, 2), flakes(2, 4), flakes(4, 6), flakes(6, 8)]
    troubled = []
    for place, signs in enumerate(shards):
        now = BEGAN + DAY + place * HOUR
        shard = report(signs, run="8", sha="b8", job=f"shard {place}", at=now)
        store.keep(shard, at=now)
        with monkeypatch.context() as killing:
            killing.setattr(results_fold, "_mark_folded", dying)
            with pytest.raises(RuntimeError, match="killed"):
                fold_all(store, now=now + HOUR)
        for _ in range(2):
            store.keep(shard, at=now)
            troubled += [one.in_trouble for one in fold_all(store, now=now + HOUR)]
    # Two, then two more are not too much for one run; six are, and then nothing more is added to it.
    assert troubled == [False, False, True]
    discordant = {
        one.test: (one.seen, one.history.discordant if one.history else 0)
        for one in store.known("shop", list(flakes(0, 8)))
    }
    assert discordant == dict.fromkeys(flakes(0, 4), (1, 1)) | dict.fromkeys(flakes(4, 8), (0, 0))
    with engine.connect() as connection:
        c = test_runs.c
        query = select(c.part_of, c.tests, c.calm_failing, c.calm_both, c.left_out).order_by(c.number)
        assert connection.execute(query).all() == [
            (None, 200, 0, 0, 0),
            (None, 202, 2, 2, 4),
            (2, 2, 2, 2, 0),
            (2, 2, 2, 2, 0),
        ]


def test_a_late_part_of_a_run_that_an_older_release_folded_is_judged_by_itself(
    store: ResultsStore, engine: Engine
) -> None:
    tell(store, [{CALM: "."}] * 3)
    store.keep(report(flakes(0, 4), run="8"), at=BEGAN + DAY)
    fold_all(store, now=BEGAN + DAY + HOUR)
    with engine.begin() as connection:
        connection.execute(update(test_runs).values(calm_failing=None, calm_both=None))
    for place, signs in enumerate([flakes(4, 8), flakes(8, 13)], 1):
        now = BEGAN + DAY + place * HOUR
        store.keep(report(signs, run="8", job=f"slow {place}"), at=now)
        (folded,) = fold_all(store, now=now + HOUR)
        assert folded.in_trouble == (place == 2)


@settings(max_examples=15, deadline=None)
@given(
    usual=st.integers(0, 2),
    signs=st.lists(st.sampled_from([".", ".", ".", "F.", "F.", "FF"]), min_size=12, max_size=36),
    cuts=st.lists(st.integers(1, 35), max_size=4, unique=True).map(sorted),
)
def test_parts_of_a_run_never_say_more_than_a_run_without_trouble_could(
    shared: Engine, usual: int, signs: list[str], cuts: list[int]
) -> None:
    """Where no part trips, they say what the whole run says; and where it trips, so does one of them.

    That part and all after it say nothing. Those before it, which were folded when nobody could know, have
    no more calm tests that were discordant than an ordinary run may have.
    """
    store, number = ResultsStore(shared), next(REPOSITORIES)
    tests = {f"tests/test_a.py::test_{place}": sign for place, sign in enumerate(signs)}
    cuts = [0, *(cut for cut in cuts if cut < len(signs)), len(signs)]
    parts = [dict(list(tests.items())[since:until]) for since, until in pairwise(cuts)]
    troubled = dict[str, list[bool]]()
    for repository, shards in ((f"whole{number}", [tests]), (f"parts{number}", parts)):
        troubled[repository] = []
        for place in range(len(parts) + 1):
            # An ordinary run before each part, and one at the end.
            now = BEGAN + place * DAY
            ordinary = {f"tests/of_{place}.py::test_{test}": "F." for test in range(usual)}
            told = report({"tests/bulk.py::test_it": ".", **ordinary}, run=f"o{place}", repository=repository)
            store.keep(told, at=now)
            assert not any(one.in_trouble for one in fold_all(store, repository=repository, now=now + HOUR))
            for shard in shards[place : place + 1]:
                late = report(shard, run="1", sha="b1", job=str(place), repository=repository)
                store.keep(late, at=now + HOUR)
                folded = fold_all(store, repository=repository, now=now + 2 * HOUR)
                troubled[repository] += [one.in_trouble for one in folded]
    (whole, in_whole), (spread, in_parts) = troubled.items()
    assert True not in in_parts[:-1]
    says = {repository: _says(store, repository, tests) for repository in troubled}
    if True not in in_parts:
        assert in_whole == [False]
        assert says[spread] == says[whole]
    else:
        assert len(in_parts) < len(parts) or in_whole == [True]
        before = {test for part in parts[: len(in_parts) - 1] for test in part}
        assert all(said == (0, 0) for test, said in says[spread].items() if test not in before)
        assert sum(discordant for _, discordant in says[spread].values()) <= max(5 * usual, 4)
    if len(in_parts) == len(parts):
        assert _gate(shared, spread) == _gate(shared, whole)


def _says(store: ResultsStore, repository: str, tests: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Of each test: its counted runs, and in how many it was discordant."""
    return {
        one.test: (one.seen, one.history.discordant if one.history else 0)
        for one in store.known(repository, list(tests))
    }


def _gate(engine: Engine, repository: str) -> Gate:
    c = suite_states.c
    with engine.connect() as connection:
        state = connection.execute(select(c.state).where(c.repository == repository)).scalar_one()
    return restored_suite(state).gate


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
