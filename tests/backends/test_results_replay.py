"""What the store makes of reports, one after the other, is what a replay of all attempts says."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import (
    suite_states,
)
from agents.flaky_tests.replay import Replay, Row
from agents.flaky_tests.stored_form import restored_suite
from leverframe.model.test_reports import Attempt
from tests.fakes.result_reports import (
    BEGAN,
    SENSITIVE,
    attempts,
    fold_all,
    report,
)
from tests.fakes.stores import store_at

HOUR = timedelta(hours=1)
SIGNS = st.sampled_from([".", ".", ".", "F.", "F.", "FF", "FFF", "s", "E.", "F", ".F", ""])
ONE_RUN = st.tuples(
    st.lists(SIGNS, min_size=3, max_size=3), st.sampled_from(["main", "topic"]), st.integers(0, 5)
)
"""Of three tests; the branch; which of six commits."""


REPOSITORIES = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return store_at(Path(tmp_path_factory.mktemp("results")) / "store.db")


def _shards(signs: Mapping[str, str], at: datetime, cut: int) -> list[tuple[Attempt, ...]]:
    rows = attempts(signs, at)
    return [some for some in (rows[:cut], rows[cut:]) if some]


@settings(max_examples=15, deadline=None)
@given(st.lists(ONE_RUN, min_size=1, max_size=25), st.integers(0, 6), st.data())
def test_live_reports_lead_to_exactly_what_a_replay_says(
    shared: Engine, runs: list[tuple[list[str], str, int]], cut: int, data: st.DataObject
) -> None:
    store, replay = ResultsStore(shared), Replay(SENSITIVE, main=frozenset({"main"}))
    repository = f"r{next(REPOSITORIES)}"
    bulk = {f"tests/bulk.py::test_{number}": "." for number in range(30)}
    for number, (signs, branch, sha) in enumerate(runs):
        at = BEGAN + number * 3 * HOUR
        all_signs = {**dict(zip("abc", signs, strict=True)), **bulk}
        shards = _shards(all_signs, at, cut)
        for job, some in enumerate(shards):
            told = report(
                {}, run=str(number), sha=str(sha), branch=branch, job=str(job), repository=repository
            )
            told = replace(told, attempts=some)
            for _ in range(data.draw(st.integers(1, 2))):
                store.keep(told, at=at + timedelta(seconds=job))
        fold_all(store, repository=repository, now=at + HOUR)
        for row in (row for some in shards for row in some):
            replay.add(
                Row(
                    test=row.test,
                    run=str(number),
                    sha=str(sha),
                    branch=branch,
                    attempt=row.attempt,
                    at=row.at,
                    outcome=row.outcome,
                    signature=row.fingerprint,
                )
            )
    replay.finish()
    known = {one.test: one for one in store.known(repository, ["a", "b", "c", *bulk])}
    judged = dict(replay.verdicts())
    assert known.keys() == judged.keys()
    numbers = {test: number for number, test in enumerate(judged)}
    for test, one in known.items():
        assert one.history == replay.shelf.history(numbers[test])
        assert one.seen == replay.shelf.seen(numbers[test])
    with shared.connect() as connection:
        kept = connection.execute(
            select(suite_states.c.state).where(suite_states.c.repository == repository)
        ).scalar_one()
    assert restored_suite(kept) == replay.suite
