"""What people ask of fresh executions, answered from the store."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, case, cast, func, select

from activities.backends.results_numbers import chunks
from activities.backends.results_tables import test_causes, test_executions
from activities.backends.store_sql import from_micros, to_micros
from activities.records_port import CauseCount, ExecutionLine, ExecutionTotals
from agents.flaky_tests.causes import Cause, Named
from leverframe.model.executions import Kind

MOST_EXECUTIONS_SHOWN = 200
"""Jobs of one test."""

_e = test_executions.c


def causes_of(
    connection: Connection, repository: str, numbers: Iterable[int] | None = None
) -> dict[int, Named]:
    """The likely causes by test: of these, or of all that were looked into."""
    c = test_causes.c
    query = select(c.number, c.cause, c.why).where(c.repository == repository)
    if numbers is None:
        rows = list(connection.execute(query))
    else:
        rows = [
            row for some in chunks(numbers) for row in connection.execute(query.where(c.number.in_(some)))
        ]
    return {row.number: Named(Cause(row.cause), row.why) for row in rows}


def cause_counts(
    connection: Connection, repository: str, *, since: datetime, now: datetime
) -> tuple[CauseCount, ...]:
    """How many tests that were looked into in that time have which likely cause, the most frequent first."""
    c = test_causes.c
    count = func.count()
    query = (
        select(c.cause, count)
        .where(c.repository == repository, c.at >= to_micros(since), c.at <= to_micros(now))
        .group_by(c.cause)
        .order_by(count.desc(), c.cause)
    )
    return tuple(CauseCount(cause=Cause(cause), tests=tests) for cause, tests in connection.execute(query))


def executions_of(connection: Connection, repository: str, number: int) -> tuple[ExecutionLine, ...]:
    """The jobs of one test, the newest first."""
    query = (
        select(test_executions)
        .where(_e.repository == repository, _e.number == number)
        .order_by(_e.asked_at.desc(), _e.purpose, _e.series, _e.place)
        .limit(MOST_EXECUTIONS_SHOWN)
    )
    return tuple(
        ExecutionLine(
            asked_at=from_micros(row.asked_at),
            purpose=row.purpose,
            kind=Kind(row.kind),
            sha=row.sha,
            check=row.check_name,
            executions=row.executions,
            outcome=row.outcome or "waiting",
            passes=row.passes,
            failures=row.failures,
            milliseconds=row.milliseconds,
            why=row.why,
        )
        for row in connection.execute(query)
    )


def totals(
    connection: Connection, repository: str, *, since: datetime, now: datetime
) -> tuple[ExecutionTotals, ...]:
    """What was asked in that time, by what for."""

    def sum_of(column: Any) -> Any:
        return func.coalesce(cast(func.sum(column), BigInteger), 0)

    silent = case(((_e.outcome.is_not(None)) & (_e.passes + _e.failures == 0), 1), else_=0)
    query = (
        select(
            _e.purpose,
            func.count().label("jobs"),
            sum_of(_e.passes).label("passes"),
            sum_of(_e.failures).label("failures"),
            sum_of(silent).label("silent"),
            sum_of(_e.milliseconds).label("milliseconds"),
        )
        .where(_e.repository == repository, _e.asked_at >= to_micros(since), _e.asked_at <= to_micros(now))
        .group_by(_e.purpose)
        .order_by(_e.purpose)
    )
    return tuple(
        ExecutionTotals(
            purpose=row.purpose,
            jobs=row.jobs,
            passes=row.passes,
            failures=row.failures,
            silent=row.silent,
            milliseconds=row.milliseconds,
        )
        for row in connection.execute(query)
    )
