"""What came of fresh executions: folded into the tests' histories, once, when a series is complete."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, case, delete, select, update

from activities.backends.results_asking import CAUSE, Asker, Wish, give_up, kinds_to_name, tally_of
from activities.backends.results_fold import Standing, lock
from activities.backends.results_gathering import day_of
from activities.backends.results_nights import NIGHTS, plan_tests, set_state, state_of, wanted_tonight
from activities.backends.results_numbers import chunks
from activities.backends.results_shelf import StoreShelf, keep_histories, replace_rows
from activities.backends.results_tables import (
    suite_states,
    test_causes,
    test_events,
    test_executions,
    test_fixes,
    test_nights,
    test_states,
    tests,
)
from activities.backends.store_sql import answering, reading, to_micros
from activities.executions_port import Asking, TookIn
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.causes import named, tallied
from agents.flaky_tests.detector import Conditions, observe_executions, observe_probe
from agents.flaky_tests.history import History
from agents.flaky_tests.nightly import next_batch
from agents.flaky_tests.probes import EXECUTIONS, probe, tells
from agents.flaky_tests.stored_form import stored_suite
from agents.flaky_tests.suite import with_probe
from leverframe.model.executions import Executed, ExecutionOrder, Kind
from leverframe.model.untrusted import Untrusted

STALE = 20
"""A discordance is probed no further once the test had so many more runs."""
_FIRST = {"recheck": 0, "probe": 1, "night": 2}

_e = test_executions.c


class ResultExecutions:
    """Implements `Executions`."""

    _engine: Engine

    def open_orders(self, repository: str, *, limit: int) -> list[ExecutionOrder]:
        """See `Executions.open_orders`."""
        query = (
            select(test_executions, tests.c.test)
            .join(tests, (tests.c.repository == _e.repository) & (tests.c.number == _e.number))
            .where(_e.repository == repository, _e.folded_at.is_(None), _e.outcome.is_(None))
            .order_by(case(_FIRST, value=_e.purpose), _e.asked_at, _e.number, _e.place)
            .limit(limit)
        )
        with answering(), reading(self._engine) as connection:
            return [
                ExecutionOrder(
                    id=row.id,
                    repository=row.repository,
                    sha=row.sha,
                    check=row.check_name,
                    test=Untrusted(row.test),
                    kind=Kind(row.kind),
                    executions=row.executions,
                    until_pass=row.until_pass,
                    # Of what is asked alone, so that the same order varies the same.
                    seed=int(row.id[:8], 16) % 2**31,
                )
                for row in connection.execute(query)
            ]

    def take_in(
        self,
        repository: str,
        done: Sequence[Executed],
        *,
        unfit: Sequence[str] = (),
        at: datetime,
        bounds: Bounds,
        asking: Asking,
    ) -> TookIn:
        """See `Executions.take_in`."""
        with answering(), self._engine.begin() as connection:
            standing = lock(connection, repository)
            answered = _answer(connection, repository, done, unfit, to_micros(at))
            give_up(connection, repository, at)
            return _Taking(Asker(connection, repository, asking, at), standing, bounds).fold(answered)

    def plan_night(
        self,
        repository: str,
        *,
        tip: str,
        at: datetime,
        asking: Asking,
        contains: Callable[[str, str], bool],
    ) -> int:
        """See `Executions.plan_night`."""
        day = day_of(at)
        with answering(), self._engine.begin() as connection:
            standing = lock(connection, repository)
            if state_of(connection, repository)[0] >= day:
                return 0
            set_state(connection, repository, night=day)
            asker = Asker(connection, repository, asking, at)
            if not asker.may_ask(tip):
                return 0
            budget = min(asker.left, asking.a_day // NIGHTS)
            plan_tests(asker, standing, tip, day, wanted_tonight(asker, tip, day, contains, budget))
            return asker.asked

    def night_due(self, repository: str, *, at: datetime) -> bool:
        """See `Executions.night_due`."""
        quarantined = select(test_states.c.number).where(
            test_states.c.repository == repository, test_states.c.quarantined
        )
        with answering(), reading(self._engine) as connection:
            planned_to = state_of(connection, repository)[0]
            return planned_to < day_of(at) and connection.execute(quarantined.limit(1)).first() is not None

    def has_work(self, repository: str, *, at: datetime, asking: Asking) -> bool:
        """See `Executions.has_work`."""
        if not (asking.a_day and asking.checks):
            return False
        waiting = select(_e.id).where(
            _e.repository == repository, _e.folded_at.is_(None), _e.purpose != "recheck"
        )
        rechecked = select(_e.id).where(
            _e.repository == repository,
            *(_e.purpose == "recheck", _e.folded_at.is_(None), _e.outcome.is_(None)),
        )
        with answering(), reading(self._engine) as connection:
            if connection.execute(waiting.limit(1)).first() or connection.execute(rechecked.limit(1)).first():
                return True
        return self.night_due(repository, at=at)

    def read_to(self, repository: str) -> str:
        """See `Executions.read_to`."""
        with answering(), reading(self._engine) as connection:
            return state_of(connection, repository)[1]

    def note_read_to(self, repository: str, sha: str) -> None:
        """See `Executions.note_read_to`."""
        with answering(), self._engine.begin() as connection:
            set_state(connection, repository, read_to=sha)


@dataclass(slots=True)
class _Taking:
    """Folds every complete series of a repository, in one transaction that holds its lock."""

    asker: Asker
    standing: Standing
    bounds: Bounds
    quarantined: int = 0
    released: int = 0

    def fold(self, answered: int) -> TookIn:
        """All series that have an answer to each of their orders, in an order that is always the same."""
        series = _complete(self.asker.connection, self.asker.repository)
        shelf = StoreShelf(self.asker.connection, self.asker.repository, {rows[0].number for rows in series})
        for rows in series:
            if rows[0].purpose == "night":
                self._night(rows, shelf)
            else:
                self._probe(rows, shelf)
        return TookIn(
            answered=answered,
            asked=self.asker.asked,
            quarantined=self.quarantined,
            released=self.released,
        )

    def _probe(self, rows: Sequence[Row[Any]], shelf: StoreShelf) -> None:
        """One batch of jobs. What quarantined the test meanwhile needs no more of them, but for its cause."""
        first, said = rows[0], [row for row in rows if row.passes + row.failures]
        _mark(self.asker, rows)
        self._tally(first.number, said)
        before = shelf.history(first.number)
        if before is None:
            return
        jobs = tuple((row.passes + row.failures, row.failures) for row in said)
        if first.series != CAUSE and before.quarantine is None and said:
            seen = shelf.seen(first.number)
            conditions = Conditions(noise=first.noise, bounds=self.bounds)
            after = observe_probe(before, jobs, seen, self.asker.at, conditions)
            suite = with_probe(self.standing.suite, before, after)
            if suite is not self.standing.suite:
                self._keep_suite(Standing(suite, self.standing.tests))
            self._keep(shelf, first.number, before, after)
            before = after
        if tells(jobs, len(rows)) and self.asker.may_ask(first.sha):
            self._go_on(first, before, shelf.seen(first.number))

    def _go_on(self, first: Row[Any], history: History, seen: int) -> None:
        """Ask for the next batch of the discordance, or for jobs that tell the cause."""
        kinds: Sequence[Kind] = ()
        series = first.series
        if history.quarantine is not None:
            kinds, series = kinds_to_name(self.asker, first.number), CAUSE
        elif series != CAUSE and _fresh(history, seen) and not self.asker.open_series(first.number):
            wanted = probe(history, (history.last or 0) + 1, self.bounds, self.asker.left)
            kinds = wanted.kinds if wanted else ()
        if kinds:
            self.asker.ask(_wish_like(first, series, kinds, EXECUTIONS))

    def _night(self, rows: Sequence[Row[Any]], shelf: StoreShelf) -> None:
        """One round of a test's night: the next one, or the whole night into its history."""
        first, history = rows[0], shelf.history(rows[0].number)
        failures, executions = (
            sum(row.failures for row in rows),
            sum(row.passes + row.failures for row in rows),
        )
        night = test_nights.c
        count = self.asker.connection.execute(
            select(night.planned).where(
                night.repository == self.asker.repository,
                night.day == int(first.series),
                night.number == first.number,
            )
        ).scalar()
        going_on = history is not None and history.quarantine is not None and 2 * executions >= len(rows)
        if going_on and count and self.asker.may_ask(first.sha):
            more = min(next_batch(count, len(rows), failures), self.asker.left)
            if more > 0:
                self.asker.ask(_wish_like(first, first.series, [Kind.AS_IT_RAN] * more, 1))
                return
        _mark(self.asker, rows)
        if history is not None and executions:
            seen, result = shelf.seen(first.number), (failures, executions)
            after = observe_executions(history, result, seen, self.asker.at, self.bounds)
            self._keep(shelf, first.number, history, after)

    def _keep(self, shelf: StoreShelf, number: int, before: History, after: History) -> None:
        """The new history, and what happened to the test's quarantine."""
        connection, repository = self.asker.connection, self.asker.repository
        at = to_micros(self.asker.at)
        shelf.keep(number, after)
        keep_histories(connection, repository, {number: after}, shelf.seen, at)
        entered = after.quarantines > before.quarantines
        left = before.quarantine is not None and after.quarantine is None
        self.quarantined += entered
        self.released += left
        for what in [*(["quarantined"] if entered else []), *(["released"] if left else [])]:
            event = {
                "repository": repository,
                "number": number,
                "run_number": self.standing.suite.runs,
                "what": what,
                "at": at,
            }
            replace_rows(connection, test_events, [event], ("repository", "number", "run_number", "what"))
        if left:
            ours = test_fixes.c.repository == repository
            connection.execute(delete(test_fixes).where(ours, test_fixes.c.number == number))

    def _keep_suite(self, standing: Standing) -> None:
        self.standing = standing
        self.asker.connection.execute(
            update(suite_states)
            .where(suite_states.c.repository == self.asker.repository)
            .values(state=stored_suite(standing.suite))
        )

    def _tally(self, number: int, said: Sequence[Row[Any]]) -> None:
        """Count what the kinds of jobs of the test came to, and name its cause."""
        if not said:
            return
        connection, repository = self.asker.connection, self.asker.repository
        jobs = ((Kind(row.kind), row.passes + row.failures, row.failures) for row in said)
        tally = tallied(tally_of(connection, repository, number, self.asker.at), jobs)
        cause = named(tally)
        row = {
            "repository": repository,
            "number": number,
            "tally": json.dumps({kind.value: list(counts) for kind, counts in tally.items()}),
            "cause": cause.cause.value,
            "why": cause.why,
            "at": to_micros(self.asker.at),
        }
        replace_rows(connection, test_causes, [row], ("repository", "number"))


def _fresh(history: History, seen: int) -> bool:
    """Whether the discordance is recent enough to look further."""
    return history.last is not None and seen - history.last <= STALE


def _answer(
    connection: Connection, repository: str, done: Sequence[Executed], unfit: Sequence[str], at: int
) -> int:
    """Keep answers to orders that have none; how many."""
    answered = 0
    for one in done:
        values = {
            "outcome": "done",
            "passes": one.passes,
            "failures": one.failures,
            "fingerprints": json.dumps(one.fingerprints),
            "milliseconds": one.milliseconds,
            "why": Untrusted(one.why).for_terminal(500),
        }
        if one.passes or one.failures:
            values["spent"] = one.passes + one.failures
        answered += _answered(connection, repository, [one.order], at, values)
    why = "git does not have the commit"
    for some in chunks(unfit):
        values = {"outcome": "unfit", "spent": 0, "why": why}
        answered += _answered(connection, repository, some, at, values)
    return answered


def _answered(
    connection: Connection, repository: str, orders: Sequence[str], at: int, values: dict[str, Any]
) -> int:
    unanswered = _e.repository == repository, _e.id.in_(orders), _e.outcome.is_(None)
    found = connection.execute(update(test_executions).where(*unanswered).values(**values, done_at=at))
    return max(found.rowcount, 0)


def _complete(connection: Connection, repository: str) -> list[Sequence[Row[Any]]]:
    """The series of probes and nights that wait for no answer and are not folded, each in its own order."""
    query = (
        select(test_executions)
        .where(_e.repository == repository, _e.folded_at.is_(None), _e.purpose != "recheck")
        .order_by(_e.purpose, _e.series, _e.number, _e.place)
    )
    rows = connection.execute(query).all()
    every = [list(some) for _, some in groupby(rows, key=lambda row: (row.purpose, row.series, row.number))]
    return [series for series in every if all(row.outcome is not None for row in series)]


def _mark(asker: Asker, rows: Sequence[Row[Any]]) -> None:
    for some in chunks(row.id for row in rows):
        asker.connection.execute(
            update(test_executions).where(_e.id.in_(some)).values(folded_at=to_micros(asker.at))
        )


def _wish_like(row: Row[Any], series: str, kinds: Sequence[Kind], executions: int) -> Wish:
    """More of the same at the same commit."""
    return Wish(
        number=row.number,
        purpose=row.purpose,
        series=series,
        sha=row.sha,
        check=row.check_name,
        kinds=kinds,
        executions=executions,
        noise=row.noise,
    )
