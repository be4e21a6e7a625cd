"""Live executions lead to what the fold in memory says of the same executions, as the bench folds them."""

import itertools
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, select

from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import suite_states, test_executions
from activities.executions_port import Asking
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import Conditions, observe_probe
from agents.flaky_tests.history import History
from agents.flaky_tests.observation import Attempts, Run
from agents.flaky_tests.probes import EXECUTIONS, probe, recheck, tells
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.stored_form import restored_suite
from agents.flaky_tests.suite import Suite, fold, in_trouble, with_probe
from leverframe.model.executions import Executed
from tests.backends.test_executions_contract import BULK, came_to, fold_now, take_in, told
from tests.fakes.result_reports import BEGAN, SENSITIVE, SIGNATURE
from tests.fakes.stores import store_at

SIGNS = st.sampled_from([".", ".", "F.", "F.", "FF", "F", "F", ".F"])
REPOSITORIES = itertools.count()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return store_at(Path(tmp_path_factory.mktemp("executions")) / "store.db")


def drawn(seed: int, *what: object) -> Callable[[int], int]:
    """How many of so many executions fail: the same for the same job, whoever asks."""

    def failures(count: int) -> int:
        chance = random.Random(f"{seed} {what}")  # noqa: S311  reproducible, not secret
        return chance.choice([0, chance.randint(0, count)])

    return failures


class Reference:
    """The fold in memory, with executions as in the bench."""

    def __init__(self, seed: int, bounds: Bounds) -> None:
        self.seed, self.bounds = seed, bounds
        self.suite, self.shelf = Suite(), MemoryShelf()

    def run(self, number: int, tests: Mapping[int, str], sha: str, at: datetime, now: datetime) -> None:
        passed = {test for test, signs in tests.items() if signs == "."}
        others = {test: _attempts(signs) for test, signs in tests.items() if signs != "."}
        run = Run(sha=sha, branch="main", main=True, at=at, passed=passed, others=others)
        if not in_trouble(self.suite, run, self.shelf):
            again = {test: self._again(test, number, one) for test, one in others.items()}
            run = replace(run, others=again)
        noise = self.suite.noise.bound
        folded = fold(self.suite, run, self.shelf, self.bounds)
        self.suite = folded.suite
        for change in folded.changes:
            if not folded.in_trouble and change.test in run.others:
                self._probe(change.test, change.after, number, now, noise)

    def _again(self, test: int, number: int, attempts: Attempts) -> Attempts:
        count = recheck(self.shelf.history(test), self.shelf.seen(test), attempts, 10**6)
        if not count:
            return attempts
        failures = min(drawn(self.seed, "recheck", number, test, 0)(count), count)
        return replace(attempts, passes=int(failures < count), failures=attempts.failures + failures)

    def _probe(self, test: int, history: History, number: int, now: datetime, noise: float) -> None:
        seen, place = self.shelf.seen(test), 0
        while asked := probe(history, seen, self.bounds, 10**6):
            jobs = []
            for _ in asked.kinds:
                jobs.append((EXECUTIONS, drawn(self.seed, "probe", number, test, place)(EXECUTIONS)))
                place += 1
            conditions = Conditions(noise, self.bounds)
            after = observe_probe(history, tuple(jobs), seen, now, conditions)
            self.suite = with_probe(self.suite, history, after)
            history = after
            self.shelf.keep(test, history)
            if not tells(jobs, len(asked.kinds)):
                break


def _attempts(signs: str) -> Attempts:
    failures = signs.count("F")
    return Attempts(
        passes=signs.count("."),
        failures=failures,
        first_failed=signs[0] == "F",
        signatures=(SIGNATURE,) if failures else (),
    )


def answers(store: ResultsStore, repository: str, seed: int) -> Iterable[Executed]:
    """Of all open orders, in any order and some twice."""
    chance, found = random.Random(seed), []  # noqa: S311  reproducible, not secret
    with store._engine.connect() as connection:
        c = test_executions.c
        rows = {
            row.id: row
            for row in connection.execute(select(test_executions).where(c.repository == repository))
        }
    for order in store.open_orders(repository, limit=999):
        row = rows[order.id]
        if row.series == "cause":
            failures = 0
        else:
            failures = drawn(seed, row.purpose, int(row.series), row.number, row.place)(order.executions)
        found.append(came_to(order, failures))
    chance.shuffle(found)
    return [*found, *found[:3]]


@settings(max_examples=12, deadline=None)
@given(st.lists(st.lists(SIGNS, min_size=3, max_size=3), min_size=1, max_size=10), st.integers(0, 99))
def test_live_executions_lead_to_exactly_what_the_fold_in_memory_says(
    shared: Engine, runs: list[list[str]], seed: int
) -> None:
    store, reference = ResultsStore(shared), Reference(seed, SENSITIVE)
    repository, asking = f"r{next(REPOSITORIES)}", Asking(a_day=10**9, checks=("slow",))
    names = [*BULK, "a", "b", "c"]
    for number, signs in enumerate(runs, 1):
        at = BEGAN + timedelta(hours=3 * number)
        now, sha = at + timedelta(hours=1), f"{number:040x}"
        tests = {**BULK, **dict(zip("abc", signs, strict=True))}
        told(store, tests, run=number, sha=sha, at=at, repository=repository)
        reference.run(number, {names.index(test): sign for test, sign in tests.items()}, sha, at, now)
        while True:
            fold_now(store, now=now, asking=asking, bounds=SENSITIVE, repository=repository)
            done = list(answers(store, repository, seed))
            if not done:
                break
            take_in(store, done, at=now, asking=asking, bounds=SENSITIVE, repository=repository)
    for known in store.known(repository, ["a", "b", "c"]):
        assert known.history == reference.shelf.history(names.index(known.test))
    with shared.connect() as connection:
        state = connection.execute(
            select(suite_states.c.state).where(suite_states.c.repository == repository)
        ).scalar_one()
    assert restored_suite(state) == reference.suite
