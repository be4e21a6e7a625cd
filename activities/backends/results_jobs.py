"""Attempts of CI's jobs in the store. No fold: only runs in which a job failed and passed are looked into."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, case, func, select

from activities.backends.results_numbers import chunks
from activities.backends.results_tables import job_attempts, test_reports
from activities.backends.store_sql import answering, from_micros, insert, reading, to_micros
from agents.flaky_tests.jobs import FlakyJob, Job, JobRuns, flaky_jobs
from leverframe.model.jobs import JobAttempt
from leverframe.model.untrusted import Untrusted

MOST_FLAKY_RUNS = 20_000
"""Runs of jobs with both outcomes that are looked into, the newest ones."""

_j = job_attempts.c


class ResultJobs:
    """Implements `JobAttempts` and `JobRecords`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def keep_jobs(self, attempts: Sequence[JobAttempt]) -> int:
        """See `JobAttempts.keep_jobs`."""
        # In one order, so that two who keep the same ones don't wait for each other.
        rows = sorted(map(_row, attempts), key=lambda row: (row["repository"], row["source"], row["id"]))
        new = 0
        with answering(), self._engine.begin() as connection:
            once = insert(connection, job_attempts).on_conflict_do_nothing().returning(_j.id)
            for some in chunks(rows, size=50):
                new += len(connection.execute(once.values(some)).all())
        return new

    def flaky_jobs(self, repository: str, *, since: datetime, now: datetime) -> list[FlakyJob]:
        """See `JobRecords.flaky_jobs`."""
        ours = (_j.repository == repository, _j.ended_at >= to_micros(since), _j.ended_at <= to_micros(now))
        with answering(), reading(self._engine) as connection:
            attempts = _with_both(connection, *ours)
            if not attempts:
                return []
            standing = _standing(connection, *ours)
            reported = _reported(connection, repository, attempts)
        return flaky_jobs(standing, attempts, reported=reported)


def _row(attempt: JobAttempt) -> dict[str, Any]:
    return {
        "repository": attempt.repository,
        "source": attempt.source,
        "id": attempt.id,
        "run": attempt.run,
        "job": attempt.job.stored(),
        "sha": attempt.sha,
        "branch": attempt.branch.stored(),
        "attempt": attempt.attempt,
        "conclusion": attempt.conclusion,
        "began_at": to_micros(attempt.began),
        "ended_at": to_micros(attempt.ended),
    }


def _attempt(row: Row[Any]) -> JobAttempt:
    return JobAttempt(
        repository=row.repository,
        source=row.source,
        id=row.id,
        run=row.run,
        job=Untrusted(row.job),
        sha=row.sha,
        branch=Untrusted(row.branch),
        attempt=row.attempt,
        conclusion=row.conclusion,
        began=from_micros(row.began_at),
        ended=from_micros(row.ended_at),
    )


def _with_both(connection: Connection, *ours: ColumnElement[bool]) -> list[JobAttempt]:
    """The attempts of runs in which their job failed and passed."""
    both = (
        select(_j.source, _j.job, _j.run)
        .where(*ours)
        .group_by(_j.source, _j.job, _j.run)
        .having(func.min(_j.conclusion) != func.max(_j.conclusion))
        .order_by(func.max(_j.ended_at).desc(), _j.run)
        .limit(MOST_FLAKY_RUNS)
        .subquery()
    )
    same = (both.c.source == _j.source) & (both.c.job == _j.job) & (both.c.run == _j.run)
    return [_attempt(row) for row in connection.execute(select(job_attempts).join(both, same).where(*ours))]


def _standing(connection: Connection, *ours: ColumnElement[bool]) -> dict[Job, JobRuns]:
    failed = func.count(case((_j.conclusion == "fail", _j.run)).distinct())
    counts = select(_j.source, _j.job, func.count(_j.run.distinct()), failed).where(*ours)
    return {
        Job(source, name): JobRuns(runs=runs, failed=failures)
        for source, name, runs, failures in connection.execute(counts.group_by(_j.source, _j.job))
    }


def _reported(connection: Connection, repository: str, attempts: Sequence[JobAttempt]) -> frozenset[str]:
    """Of the runs of these attempts, those that test reports came of."""
    r, found = test_reports.c, set[str]()
    for some in chunks(sorted({attempt.reports_run for attempt in attempts})):
        found.update(
            connection.execute(
                select(r.run).where(r.repository == repository, r.run.in_(some)).distinct()
            ).scalars()
        )
    return frozenset(found)
