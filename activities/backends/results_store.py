"""Results of tests in the store: reports that wait for the fold, and what the fold makes of them."""

import json
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import Connection, Delete, Engine, Row, delete, func, select, update

from activities.backends.results_asking import Asker, ask_rechecks, end_night, give_up
from activities.backends.results_executed import causes_of
from activities.backends.results_executions import ResultExecutions
from activities.backends.results_fold import (
    fold_run,
    lock,
    next_run,
    put_aside_known,
    put_aside_late,
    settled,
)
from activities.backends.results_gathering import day_of
from activities.backends.results_jobs import ResultJobs
from activities.backends.results_notes import QuarantineNotes
from activities.backends.results_numbers import chunks, count, key_of, numbered, told_of
from activities.backends.results_packing import compressed, gathered, packed
from activities.backends.results_pages import LAST_MAIN, LAST_RUN
from activities.backends.results_records import ResultRecords
from activities.backends.results_shelf import StoreShelf, keep_histories, replace_rows
from activities.backends.results_tables import (
    job_attempts,
    suite_states,
    test_attempts,
    test_days,
    test_events,
    test_executions,
    test_fixes,
    test_nights,
    test_reports,
    test_runs,
    test_states,
    test_suites,
    tests,
)
from activities.backends.results_verdicts import whole_runs
from activities.backends.store_sql import answering, from_micros, insert, reading, to_micros
from activities.executions_port import NOTHING, Asking
from activities.ports import Backend, Health
from activities.results_port import (
    KeptReport,
    KnownTest,
    Pruned,
    RunFolded,
    SuiteSize,
)
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.detector import caught_up
from agents.flaky_tests.healing import claim_fix
from leverframe.model.errors import BadInput, Unavailable
from leverframe.model.test_reports import FETCHED, Report

_r = test_reports.c


class ResultsStore(ResultRecords, ResultExecutions, ResultJobs, QuarantineNotes):
    """Implements `Results`; what people ask is in `ResultRecords`, executions in `ResultExecutions`, jobs
    in `ResultJobs`, what is remembered of quarantine files in `QuarantineNotes`."""

    def __init__(self, engine: Engine, targets: Mapping[str, str] | None = None) -> None:
        """`targets`: declared repository → its target branch, whose reports have the last word on marks."""
        super().__init__(engine)
        self._targets = targets or {}

    def keep(self, report: Report, *, at: datetime) -> KeptReport:
        """See `Reports.keep`. Raises BadInput for a report without attempts, too."""
        if not report.attempts:
            raise BadInput(f"the report of {report.job!r} has no attempts")
        moment = to_micros(at)
        told, target = told_of(report.attempts), report.branch == self._targets.get(report.repository)
        with answering():
            earliest = min(attempt.at for attempt in report.attempts)
            first = to_micros(min(at, earliest))
            numbers = numbered(self._engine, report.repository, told, first, target=target)
            body = packed(gathered(report.attempts, numbers))
            payload = compressed(body)
        with answering(), self._engine.begin() as connection:
            report = replace(report, sha=_commit_of(connection, report))
            row = {
                "id": _id(report, body),
                "repository": report.repository,
                "run": report.run,
                "sha": report.sha,
                "branch": report.branch,
                "job": report.job,
                "source": report.source,
                "received_at": moment,
                "announced_at": None,
                "folded_at": None,
                "attempts": len(report.attempts),
                "complaints": json.dumps(report.complaints),
                "payload": payload,
            }
            once = insert(connection, test_reports).on_conflict_do_nothing().returning(_r.id)
            new = connection.execute(once, row).scalar() is not None
            known = connection.execute(select(_r.received_at).where(_r.id == row["id"])).scalar_one()
        return KeptReport(
            id=str(row["id"]),
            repository=report.repository,
            received_at=from_micros(known),
            new=new,
        )

    def unannounced(self, *, before: datetime, limit: int) -> list[KeptReport]:
        """See `Reports.unannounced`."""
        oldest = (
            select(_r.id, _r.repository, _r.received_at)
            .where(_r.announced_at.is_(None), _r.received_at < to_micros(before))
            .order_by(_r.received_at, _r.id)
            .limit(limit)
        )
        with answering(), reading(self._engine) as connection:
            return [
                KeptReport(
                    id=row.id,
                    repository=row.repository,
                    received_at=from_micros(row.received_at),
                    new=False,
                )
                for row in connection.execute(oldest)
            ]

    def mark_announced(self, reports: Sequence[str], at: datetime) -> None:
        """See `Reports.mark_announced`."""
        with answering(), self._engine.begin() as connection:
            for some in chunks(reports):
                connection.execute(
                    update(test_reports)
                    .where(_r.id.in_(some), _r.announced_at.is_(None))
                    .values(announced_at=to_micros(at))
                )

    def health(self) -> Health:
        """Whether the store answers, and how much waits for the fold."""
        try:
            with answering(), reading(self._engine) as connection:
                waiting = connection.execute(select(func.count()).where(_r.folded_at.is_(None))).scalar_one()
                known = connection.execute(select(func.count()).select_from(tests)).scalar_one()
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="check store.url and that the database runs")
        return Health(ok=True, detail=f"{known:,} tests are known, and {waiting:,} reports wait for the fold")

    def fold_next(
        self,
        repository: str,
        *,
        target: str,
        settled_before: datetime,
        at: datetime,
        bounds: Bounds,
        contains: Callable[[str, str], bool],
        asking: Asking = NOTHING,
    ) -> RunFolded | None:
        """See `RunFolds.fold_next`."""
        with answering(), self._engine.begin() as connection:
            standing = lock(connection, repository)
            give_up(connection, repository, at)
            put_aside_late(connection, repository, to_micros(at))
            before = to_micros(settled_before)
            while name := next_run(connection, repository, before):
                run = settled(connection, repository, name, target=target, contains=contains)
                if put_aside_known(run, to_micros(at)):
                    continue
                asker = Asker(connection, repository, asking, at)
                if not ask_rechecks(asker, run, standing.suite):
                    return fold_run(run, standing, asker, at=at, bounds=bounds)
            return None

    def suite(self, repository: str) -> SuiteSize:
        """See `SuiteSize`."""
        kept = select(suite_states.c.tests, suite_states.c.runs).where(
            suite_states.c.repository == repository
        )
        waiting = select(func.count()).where(_r.repository == repository, _r.folded_at.is_(None))
        with answering(), reading(self._engine) as connection:
            row = connection.execute(kept).one_or_none()
            return SuiteSize(
                tests=(row.tests if row else 0) or count(connection, repository),
                runs=row.runs if row else 0,
                waiting=connection.execute(waiting).scalar_one(),
            )

    def known(self, repository: str, named: Collection[str]) -> list[KnownTest]:
        """See `RunFolds.known`."""
        with answering(), reading(self._engine) as connection:
            rows = list(connection.execute(_with_state(repository).where(test_states.c.quarantined)))
            for some in chunks(sorted(map(key_of, named))):
                rows += connection.execute(_with_state(repository).where(tests.c.key.in_(some)))
            shelf = StoreShelf(connection, repository, {row.number for row in rows})
            whole = whole_runs(connection, repository)
            causes = causes_of(connection, repository, {row.number for row in rows})
            found = {
                row.test: replace(_known(connection, shelf, row, whole), cause=causes.get(row.number))
                for row in rows
            }
        return [found[test] for test in sorted(found)]

    def claim_fix(self, repository: str, test: str, sha: str) -> bool:
        """See `RunFolds.claim_fix`. The same claim again changes nothing."""
        named = _with_state(repository).where(tests.c.key == key_of(test))
        with answering(), self._engine.begin() as connection:
            lock(connection, repository)
            row = connection.execute(named).one_or_none()
            if row is None:
                return False
            shelf = StoreShelf(connection, repository, [row.number])
            history = shelf.history(row.number)
            if history is None or history.quarantine is None:
                return False
            claim = {"repository": repository, "number": row.number, "sha": sha}
            same = select(test_fixes.c.sha).where(
                test_fixes.c.repository == repository, test_fixes.c.number == row.number
            )
            if history.quarantine.fix_claimed and connection.execute(same).scalar() == sha:
                return True
            quarantine = claim_fix(caught_up(history.quarantine, shelf.seen(row.number)))
            replace_rows(connection, test_fixes, [claim], ("repository", "number"))
            # Of a commit without the fix; its failures would take the claim back.
            end_night(connection, repository, row.number)
            claimed = {row.number: history._replace(quarantine=quarantine)}
            keep_histories(connection, repository, claimed, shelf.seen, row.changed_at)
        return True

    def prune(self, *, attempts_before: datetime, days_before: datetime) -> Pruned:
        """See `RunFolds.prune`. Each kind in a transaction of its own; what is left is for the next time."""
        detail, rollup = to_micros(attempts_before), to_micros(days_before)
        folded = delete(test_reports).where(_r.received_at < detail, _r.folded_at.is_not(None))
        return Pruned(
            reports=self._delete(folded),
            attempts=self._delete(delete(test_attempts).where(test_attempts.c.at < detail)),
            days=self._delete(delete(test_days).where(test_days.c.day < day_of(days_before))),
            runs=self._delete(delete(test_runs).where(test_runs.c.at < rollup)),
            events=self._delete(delete(test_events).where(test_events.c.at < rollup)),
            executions=self._delete(delete(test_executions).where(test_executions.c.asked_at < detail))
            + self._delete(delete(test_nights).where(test_nights.c.day < day_of(attempts_before))),
            jobs=self._delete(delete(job_attempts).where(job_attempts.c.ended_at < detail)),
        )

    def _delete(self, statement: Delete) -> int:
        with answering(), self._engine.begin() as connection:
            return max(connection.execute(statement).rowcount, 0)


BACKEND = Backend(kind="results", name="store", scopes=(), build=ResultsStore)


def _id(report: Report, body: bytes) -> str:
    """SHA-256 over what it is of and what it says: how it came makes no difference."""
    named = json.dumps([report.repository, report.run, report.sha, report.branch, report.job])
    return sha256(named.encode() + b"\n" + body).hexdigest()


def _commit_of(connection: Connection, report: Report) -> str:
    """The commit of a run that came by the other way already, uploaded or fetched; else the report's own.

    Of a pull request GitHub's jobs name the merge that they test, and its API the head: one run all the same.
    """
    others = FETCHED if report.source == "upload" else ("upload",) if report.source in FETCHED else ()
    if not others:
        return report.sha
    # Whoever comes by the other way at the same time waits here.
    suite = select(test_suites.c.numbers).where(test_suites.c.repository == report.repository)
    connection.execute(suite.with_for_update())
    same = (
        select(_r.sha)
        .where(_r.repository == report.repository, _r.run == report.run, _r.source.in_(others))
        .order_by(_r.received_at, _r.id)
        .limit(1)
    )
    return connection.execute(same).scalar() or report.sha


def _with_state(repository: str) -> Any:
    """Tests with what is remembered of them, if there is anything."""
    return (
        select(tests.c.number, tests.c.test, tests.c.path, tests.c.markers, test_states.c.changed_at)
        .outerjoin(
            test_states,
            (test_states.c.repository == tests.c.repository) & (test_states.c.number == tests.c.number),
        )
        .where(tests.c.repository == repository)
    )


def _known(connection: Connection, shelf: StoreShelf, row: Row[Any], whole: list[int]) -> KnownTest:
    last_run = shelf.counts.get(row.number, LAST_RUN)
    at = connection.execute(
        select(test_runs.c.at).where(
            test_runs.c.repository == shelf.repository, test_runs.c.number == last_run
        )
    ).scalar()
    return KnownTest(
        test=row.test,
        path=row.path,
        markers=None if row.markers is None else tuple(json.loads(row.markers)),
        seen=shelf.seen(row.number),
        history=shelf.history(row.number),
        missed=len(whole) - bisect_right(whole, shelf.counts.get(row.number, LAST_MAIN)),
        last_at=None if at is None else from_micros(at),
    )
