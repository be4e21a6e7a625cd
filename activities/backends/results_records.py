"""What people ask of test results, answered from the store."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Engine, Row, Select, cast, func, select

from activities.backends.results_executed import cause_counts, causes_of, executions_of, totals
from activities.backends.results_numbers import chunks, key_of
from activities.backends.results_packing import unpacked_columns
from activities.backends.results_pages import LAST_RUN, OF_DAY, OF_TEST, PAGE, SEEN, Pages
from activities.backends.results_shelf import pages_of
from activities.backends.results_tables import (
    quarantine_files,
    suite_states,
    test_attempts,
    test_days,
    test_events,
    test_pages,
    test_runs,
    test_states,
    tests,
)
from activities.backends.results_verdicts import quarantined_since
from activities.backends.results_verdicts import verdicts as verdict_counts
from activities.backends.store_sql import answering, from_micros, reading, to_micros
from activities.records_port import (
    AttemptLine,
    Happened,
    Happening,
    Order,
    QuarantineSeen,
    SignatureCount,
    SuiteFigures,
    SuiteWeek,
    TestCost,
    TestLine,
    TestStory,
    WeekCount,
)
from agents.flaky_tests.bounds import BY_A_PERSON, Bounds
from agents.flaky_tests.causes import Named
from agents.flaky_tests.detector import verdict as verdict_of
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.stored_form import restored
from agents.flaky_tests.words import explained

MOST_LISTED = 20_000
"""Tests that a list is made of: those that changed last."""
MOST_SHOWN = 50
"""Attempts of a test, and signatures or tests of a suite."""

_BOUNDS = Bounds(runs_to_false_quarantine=BY_A_PERSON)
_EPOCH = date(1970, 1, 1)
_FAILED = ("fail", "error")

_ORDERS: dict[Order, Callable[[TestLine], Any]] = {
    "changed": lambda line: (-line.changed_at.timestamp(), line.test),
    "test": lambda line: line.test,
    "flaky": lambda line: (-line.discordant, line.test),
}
_a = test_attempts.c
_OF_RUN = tuple(
    test_runs.c[name]
    for name in ("number", "part_of", "in_trouble", "tests", "flaky", "milliseconds", "rerun_milliseconds")
)


class ResultRecords:
    """Implements `TestRecords`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def listed(
        self,
        repository: str,
        *,
        verdict: Verdict | None = None,
        quarantined: bool | None = None,
        order: Order = "changed",
        limit: int = 50,
        offset: int = 0,
    ) -> tuple[list[TestLine], int]:
        """See `TestRecords.listed`."""
        query = _states(repository).order_by(test_states.c.changed_at.desc(), tests.c.number)
        if quarantined is not None:
            query = query.where(test_states.c.quarantined == quarantined)
        if verdict is not None:
            # What was unknown at its last change may have become healthy by passing since.
            kept = {verdict, Verdict.UNKNOWN} if verdict is Verdict.HEALTHY else {verdict}
            query = query.where(test_states.c.verdict.in_([one.value for one in kept]))
        with answering(), reading(self._engine) as connection:
            counts = _counts(connection, repository)
            rows = connection.execute(query.limit(MOST_LISTED)).all()
            causes = causes_of(connection, repository)
            lines = [_line(row, counts, causes) for row in rows]
        wanted = sorted(
            (line for line in lines if verdict is None or line.verdict is verdict), key=_ORDERS[order]
        )
        return wanted[offset : offset + limit], len(wanted)

    def story(self, repository: str, test: str) -> TestStory | None:
        """See `TestRecords.story`."""
        with answering(), reading(self._engine) as connection:
            row = connection.execute(_states(repository).where(tests.c.key == key_of(test))).one_or_none()
            if row is None:
                return None
            counts = _counts(connection, repository)
            last = connection.execute(
                select(test_runs.c.at).where(
                    test_runs.c.repository == repository,
                    test_runs.c.number == counts.get(row.number, LAST_RUN),
                )
            ).scalar()
            ours = (_a.repository == repository, _a.number == row.number)
            attempts = _attempts(connection, repository, row.number)
            # Reports of older runs may come later than those of newer ones.
            ran = [one.at for one in attempts] + ([] if last is None else [from_micros(last)])
            return TestStory(
                line=_line(row, counts, causes := causes_of(connection, repository, [row.number])),
                markers=None if row.markers is None else tuple(json.loads(row.markers)),
                first_at=min([from_micros(row.first_at), *ran]),
                last_at=max(ran, default=None),
                signatures=_signatures(connection, *ours),
                attempts=attempts,
                weeks=_weeks(connection, repository, row.number),
                events=_events(connection, repository, row.number),
                rerun_milliseconds=sum(cost for _, cost, _ in connection.execute(_reruns(*ours)).all()),
                cause=causes.get(row.number),
                executions=executions_of(connection, repository, row.number),
            )

    def figures(self, repository: str, *, since: datetime, now: datetime) -> SuiteFigures:
        """See `TestRecords.figures`."""
        c = test_runs.c
        runs = select(*_OF_RUN, c.executions).where(
            c.repository == repository, c.at >= to_micros(since), c.at <= to_micros(now)
        )
        ours = (_a.repository == repository, _a.at >= to_micros(since), _a.at <= to_micros(now))
        size = select(suite_states.c.tests).where(suite_states.c.repository == repository)
        with answering(), reading(self._engine) as connection:
            rows = connection.execute(runs).all()
            costs = connection.execute(_reruns(*ours).limit(MOST_SHOWN)).all()
            names = _names(connection, repository, [number for number, _, _ in costs])
            signatures = _signatures(connection, *ours)
            in_suite = connection.execute(size).scalar() or 0
            counts = _counts(connection, repository)
            verdicts = verdict_counts(connection, repository, counts)
            since_when = quarantined_since(connection, repository)
            causes = cause_counts(connection, repository, since=since, now=now)
            fresh = totals(connection, repository, since=since, now=now)
        return SuiteFigures(
            tests=in_suite,
            **_counted(rows),
            executions=sum(row.executions for row in rows),
            signatures=signatures,
            costs=tuple(
                TestCost(test=names[number], rerun_milliseconds=cost, reruns=reruns)
                for number, cost, reruns in costs
            ),
            verdicts=tuple((one, verdicts[one]) for one in Verdict),
            causes=causes,
            fresh=fresh,
            quarantine_days=tuple(sorted((now - at).days for at in since_when)),
        )

    def by_week(self, repository: str, *, since: datetime, now: datetime) -> list[SuiteWeek]:
        """See `TestRecords.by_week`."""
        c = test_runs.c
        runs = select(c.at, *_OF_RUN).where(
            c.repository == repository, c.at >= to_micros(since), c.at <= to_micros(now)
        )
        weeks: defaultdict[date, list[Any]] = defaultdict(list)
        with answering(), reading(self._engine) as connection:
            for row in connection.execute(runs):
                day = from_micros(row.at).date()
                weeks[day - timedelta(days=day.weekday())].append(row)
        return [SuiteWeek(monday=monday, **_counted(rows)) for monday, rows in sorted(weeks.items())]

    def happened(self, repository: str, *, since: datetime, now: datetime) -> list[Happened]:
        """See `TestRecords.happened`."""
        c = test_events.c
        query = (
            select(tests.c.test, c.what, c.at)
            .join(tests, (tests.c.repository == c.repository) & (tests.c.number == c.number))
            .where(c.repository == repository, c.at >= to_micros(since), c.at <= to_micros(now))
            .order_by(c.at, tests.c.number, c.what)
        )
        with answering(), reading(self._engine) as connection:
            return [
                Happened(test=row.test, what=row.what, at=from_micros(row.at))
                for row in connection.execute(query)
            ]

    def quarantine_seen(self, repository: str) -> QuarantineSeen | None:
        """See `TestRecords.quarantine_seen`."""
        c = quarantine_files.c
        query = select(c.sha, c.content, c.read_at).where(c.repository == repository)
        with answering(), reading(self._engine) as connection:
            row = connection.execute(query).one_or_none()
        if row is None:
            return None
        return QuarantineSeen(sha=row.sha, content=row.content, read_at=from_micros(row.read_at))


def _counted(rows: Sequence[Any]) -> dict[str, int]:
    """What runs come to; a run and its late parts are one."""
    calm = [row for row in rows if not row.in_trouble]
    troubled = {row.part_of or row.number for row in rows if row.in_trouble}
    flaky = {row.part_of or row.number for row in calm if row.flaky}
    return {
        "runs": len({row.part_of or row.number for row in rows}),
        "in_trouble": len(troubled),
        "flaky_runs": len(flaky - troubled),
        "flaky_ppm": sum(row.flaky for row in calm) * 1_000_000 // max(sum(row.tests for row in calm), 1),
        "milliseconds": sum(row.milliseconds for row in rows),
        "rerun_milliseconds": sum(row.rerun_milliseconds for row in rows),
    }


def _states(repository: str) -> Select[Any]:
    """Tests that have failed at least once."""
    return (
        select(
            tests.c.number,
            tests.c.test,
            tests.c.path,
            tests.c.markers,
            tests.c.first_at,
            test_states.c.history,
            test_states.c.changed_at,
        )
        .join(
            test_states,
            (test_states.c.repository == tests.c.repository) & (test_states.c.number == tests.c.number),
        )
        .where(tests.c.repository == repository)
    )


def _counts(connection: Connection, repository: str) -> Pages:
    return Pages(OF_TEST, pages_of(connection, test_pages, repository))


def _line(row: Row[Any], counts: Pages, causes: Mapping[int, Named]) -> TestLine:
    history, seen = restored(row.history), counts.get(row.number, SEEN)
    return TestLine(
        test=row.test,
        path=row.path,
        verdict=verdict_of(history, seen),
        evidence=explained(history, seen, _BOUNDS, causes.get(row.number)),
        seen=seen,
        discordant=history.discordant,
        quarantined_at=history.quarantine.at if history.quarantine else None,
        changed_at=from_micros(row.changed_at),
    )


def _signatures(connection: Connection, *which: ColumnElement[bool]) -> tuple[SignatureCount, ...]:
    """The most frequent causes of these failures."""
    failures = func.count()
    query = (
        select(_a.fingerprint, failures, func.count(_a.number.distinct()), func.max(_a.at))
        .where(*which, _a.outcome.in_(_FAILED))
        .group_by(_a.fingerprint)
        .order_by(failures.desc(), _a.fingerprint)
        .limit(MOST_SHOWN)
    )
    return tuple(
        SignatureCount(fingerprint=fingerprint, failures=count, tests=several, last_at=from_micros(at))
        for fingerprint, count, several, at in connection.execute(query)
    )


def _reruns(*which: ColumnElement[bool]) -> Select[Any]:
    """(number, milliseconds, count) of executions after the first of a run, the most expensive test first."""
    ran = (*which, _a.outcome != "skip")
    first = (
        select(_a.run_number, _a.number, func.min(_a.attempt).label("attempt"))
        .where(*ran)
        .group_by(_a.run_number, _a.number)
        .subquery()
    )
    cost = cast(func.sum(_a.milliseconds), BigInteger)
    return (
        select(_a.number, cost, func.count())
        .join(
            first,
            (first.c.run_number == _a.run_number)
            & (first.c.number == _a.number)
            & (first.c.attempt < _a.attempt),
        )
        .where(*ran)
        .group_by(_a.number)
        .order_by(cost.desc(), _a.number)
    )


def _attempts(connection: Connection, repository: str, number: int) -> tuple[AttemptLine, ...]:
    query = (
        select(test_attempts, test_runs.c.run, test_runs.c.sha, test_runs.c.branch)
        .join(
            test_runs,
            (test_runs.c.repository == _a.repository) & (test_runs.c.number == _a.run_number),
        )
        .where(_a.repository == repository, _a.number == number)
        .order_by(_a.at.desc(), _a.run_number.desc(), _a.attempt.desc())
        .limit(MOST_SHOWN)
    )
    return tuple(
        AttemptLine(
            run=row.run,
            sha=row.sha,
            branch=row.branch,
            job=row.job,
            attempt=row.attempt,
            outcome=row.outcome,
            fingerprint=row.fingerprint,
            milliseconds=row.milliseconds,
            at=from_micros(row.at),
        )
        for row in connection.execute(query)
    )


def _weeks(connection: Connection, repository: str, number: int) -> tuple[WeekCount, ...]:
    """The days on which the test ran, by week."""
    page, place = divmod(number, PAGE)
    days = select(test_days.c.day, test_days.c.counts).where(
        test_days.c.repository == repository, test_days.c.page == page
    )
    weeks: defaultdict[date, list[int]] = defaultdict(lambda: [0] * OF_DAY)
    for row in connection.execute(days):
        on = _EPOCH + timedelta(days=row.day)
        counts = [column[place] for column in unpacked_columns(row.counts, OF_DAY)]
        if any(counts):
            week = weeks[on - timedelta(days=on.weekday())]
            week[:] = [before + more for before, more in zip(week, counts, strict=True)]
    return tuple(
        WeekCount(monday=monday, runs=runs, passes=passes, failures=failures, skips=skips, milliseconds=took)
        for monday, (runs, passes, failures, skips, took) in sorted(weeks.items())
    )


def _events(connection: Connection, repository: str, number: int) -> tuple[tuple[Happening, datetime], ...]:
    c = test_events.c
    query = (
        select(c.what, c.at)
        .where(c.repository == repository, c.number == number)
        .order_by(c.run_number, c.what)
    )
    return tuple((what, from_micros(at)) for what, at in connection.execute(query))


def _names(connection: Connection, repository: str, numbers: Iterable[int]) -> dict[int, str]:
    found: dict[int, str] = {}
    for some in chunks(numbers):
        query = select(tests.c.number, tests.c.test).where(
            tests.c.repository == repository, tests.c.number.in_(some)
        )
        found |= {row.number: row.test for row in connection.execute(query)}
    return found
