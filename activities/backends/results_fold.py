"""The fold of one run over the store, in the caller's transaction."""

import json
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from activities.backends.results_asking import Asker, Settled, ask_probes, mark_rechecked, rechecks, waits
from activities.backends.results_gathering import Gathered, Spent, day_of
from activities.backends.results_late import (
    Late,
    added,
    keep_present,
    late,
    leave_out,
    part_name,
    too_late,
)
from activities.backends.results_numbers import chunks, count
from activities.backends.results_packing import unpacked
from activities.backends.results_pages import LAST_MAIN, LAST_RUN, OF_DAY, Pages
from activities.backends.results_shelf import StoreShelf, keep_histories, pages_of, replace_rows
from activities.backends.results_tables import (
    suite_states,
    test_attempts,
    test_commits,
    test_days,
    test_events,
    test_fixes,
    test_pages,
    test_reports,
    test_runs,
)
from activities.backends.store_sql import from_micros, insert, to_micros
from activities.results_port import RunFolded
from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.history import Mask
from agents.flaky_tests.observation import Run
from agents.flaky_tests.replay import COMMITS
from agents.flaky_tests.stored_form import restored_suite, stored_suite
from agents.flaky_tests.suite import Change, Folded, Suite, fold
from leverframe.model.errors import BadInput
from leverframe.model.test_reports import Outcome

MOST_ATTEMPTS = 20_000
"""Attempts of one run that are kept one by one; of a run in which everything fails, the first."""
_WHOLE = 0.5
"""A run of the target branch with so much of the suite is a whole one."""
_FADE = 0.97
"""After a run that was not, less of the suite makes a whole one: a suite may shrink by more than half."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A repository's suite, as it is kept."""

    suite: Suite
    tests: int
    """In a whole run of the target branch; 0 while there was none."""


def lock(connection: Connection, repository: str) -> Standing:
    """The suite as it is kept; until the transaction ends nobody else folds its runs."""
    begun = insert(connection, suite_states).on_conflict_do_nothing()
    first = {"state": stored_suite(Suite()), "runs": 0, "tests": 0}
    connection.execute(begun, first | {"repository": repository})
    row = connection.execute(
        select(suite_states).where(suite_states.c.repository == repository).with_for_update()
    ).one()
    return Standing(restored_suite(row.state), row.tests)


def put_aside_late(connection: Connection, repository: str, at: int) -> None:
    """Count the reports of runs that are too old to add anything to."""
    for report, attempts, number in too_late(connection, repository):
        leave_out(connection, repository, number, attempts)
        _mark_folded(connection, [report], at)


def put_aside_known(settled: Settled, at: int) -> bool:
    """Count late reports that add nothing to their run; whether that is all."""
    if settled.late is None or settled.gathered.present():
        return False
    connection, repository = settled.shelf.connection, settled.shelf.repository
    leave_out(connection, repository, settled.late.number, settled.gathered.left_out)
    _mark_folded(connection, [row.id for row in settled.reports], at)
    return True


def next_run(connection: Connection, repository: str, settled_before: int) -> tuple[str, str] | None:
    """Name and commit of the run to fold: the one that has waited longest for another report.

    One that waits for its rechecks is left out meanwhile.
    """
    newest = func.max(test_reports.c.received_at)
    waiting = (
        select(test_reports.c.run, test_reports.c.sha)
        .where(
            test_reports.c.repository == repository,
            test_reports.c.folded_at.is_(None),
            ~waits(test_reports.c.run, test_reports.c.sha, repository),
        )
        .group_by(test_reports.c.run, test_reports.c.sha)
        .having(newest <= settled_before)
        .order_by(newest, test_reports.c.run, test_reports.c.sha)
        .limit(1)
    )
    row = connection.execute(waiting).one_or_none()
    return None if row is None else (row.run, row.sha)


def settled(
    connection: Connection,
    repository: str,
    name: tuple[str, str],
    *,
    target: str,
    contains: Callable[[str, str], bool],
) -> Settled:
    """The run with its rechecks, or what has come late of one that was folded.

    Raises BadInput for a history that this release can't read.
    """
    reports = connection.execute(
        select(test_reports)
        .where(
            test_reports.c.repository == repository,
            test_reports.c.run == name[0],
            test_reports.c.sha == name[1],
            test_reports.c.folded_at.is_(None),
        )
        .order_by(test_reports.c.received_at, test_reports.c.id)
    ).all()
    before = late(connection, repository, name)
    gathered = _gather(connection, reports, before, tests=count(connection, repository))
    if before is not None:
        name = part_name(connection, repository, name, before.number), name[1]
    for order in rechecks(connection, repository, name):
        gathered.again(order.number, order.check_name, _attempts_of(order), order.milliseconds)
    passed_there = _passed_at(connection, repository, name[1])
    run = gathered.run.ended(main=reports[0].branch == target, passed_there=passed_there)
    run = replace(run, lacks_fix=_lacking(connection, repository, run, contains))
    shelf = StoreShelf(connection, repository, run.others)
    return Settled(name[0], reports, gathered, passed_there, run, shelf, before)


def fold_run(
    settled: Settled, standing: Standing, asker: Asker, *, at: datetime, bounds: Bounds
) -> RunFolded:
    """Fold all that came of one run, and ask for probes of what was discordant."""
    gathered, run, shelf = settled.gathered, settled.run, settled.shelf
    connection, repository = shelf.connection, shelf.repository
    earlier = settled.late.earlier if settled.late else None
    folded = fold(standing.suite, run, shelf, bounds, earlier)
    number = folded.suite.runs
    _keep_changes(shelf, run, folded)
    spent = _keep_counts(shelf, run, settled.late.number if settled.late else number, gathered)
    _keep_standing(shelf, run, folded, standing.tests, part=settled.late is not None)
    _keep_attempts(shelf, run, number, gathered)
    if not folded.in_trouble:
        now_passed = gathered.run.now_passed(settled.passed_there)
        _keep_commit(connection, repository, run.sha, now_passed, number)
    done = _told(settled.name, run, folded)
    connection.execute(
        test_runs.insert(),
        {
            "repository": repository,
            "number": number,
            "run": settled.name,
            "sha": run.sha,
            "branch": run.branch,
            "main": run.main,
            "at": to_micros(run.at),
            "folded_at": to_micros(at),
            "in_trouble": folded.in_trouble,
            "tests": done.tests,
            "failed": done.failed,
            "flaky": done.flaky,
            "calm_failing": folded.counts.failing,
            "calm_both": folded.counts.both,
            "executions": spent.executions,
            "milliseconds": spent.milliseconds,
            "rerun_milliseconds": spent.rerun_milliseconds,
            "left_out": 0 if settled.late else gathered.left_out,
            "part_of": settled.late.number if settled.late else None,
        },
    )
    # Of a run in trouble nothing more is folded, whichever part showed it.
    if settled.late is None:
        keep_present(connection, repository, number, None if folded.in_trouble else gathered.marked())
    else:
        leave_out(connection, repository, settled.late.number, gathered.left_out)
        now = None if folded.in_trouble else added(settled.late.present, gathered.marked())
        keep_present(connection, repository, settled.late.number, now)
    _mark_folded(connection, [row.id for row in settled.reports], to_micros(at))
    mark_rechecked(connection, repository, (settled.name, run.sha), to_micros(at))
    ask_probes(asker, settled, folded, standing.suite.noise.bound, bounds)
    return done


def _attempts_of(order: Row[Any]) -> list[tuple[Outcome, str]]:
    """What a recheck did, as attempts. It stops with the first pass."""
    signatures = json.loads(order.fingerprints) or [""]
    failed = [signatures[min(place, len(signatures) - 1)] for place in range(order.failures)]
    return [*(("fail", one) for one in failed), *(("pass", "") for _ in range(order.passes))]


def _gather(
    connection: Connection, reports: Sequence[Row[Any]], before: Late | None, *, tests: int
) -> Gathered:
    """What can't be read is left out whole: one bad report must not hold up all later ones."""
    gathered = Gathered(sha=reports[0].sha, branch=reports[0].branch, tests=tests)
    readable = 0
    for row in reports:
        try:
            report = unpacked(row.payload)
        except BadInput as error:
            gathered.left_out += row.attempts
            # It may have been looked at before, when rechecks of its run were asked for.
            complaints = json.dumps(list(dict.fromkeys([*json.loads(row.complaints), str(error)])))
            connection.execute(
                update(test_reports).where(test_reports.c.id == row.id).values(complaints=complaints)
            )
            continue
        if before is not None:
            report, known = before.without_known(report)
            gathered.left_out += known
        gathered.add(row.job, report, from_micros(row.received_at))
        readable += 1
    if not readable:
        gathered.run.last = from_micros(reports[0].received_at)
    return gathered


def _lacking(
    connection: Connection, repository: str, run: Run, contains: Callable[[str, str], bool]
) -> frozenset[int]:
    """Tests of the run whose claimed fix its commit does not have."""
    claims = select(test_fixes.c.number, test_fixes.c.sha).where(test_fixes.c.repository == repository)
    return frozenset(
        number
        for number, fix in connection.execute(claims).all()
        if (number in run.passed or number in run.others) and not contains(fix, run.sha)
    )


def _passed_at(connection: Connection, repository: str, sha: str) -> bytes:
    known = select(test_commits.c.passed).where(
        test_commits.c.repository == repository, test_commits.c.sha == sha
    )
    passed = connection.execute(known).scalar()
    return b"" if passed is None else zlib.decompress(passed)


def _keep_commit(connection: Connection, repository: str, sha: str, passed: bytes, number: int) -> None:
    """What passed there, for later runs of the commit; of the newest commits only."""
    row = {
        "repository": repository,
        "sha": sha,
        "passed": zlib.compress(passed, 1),
        "run_number": number,
    }
    replace_rows(connection, test_commits, [row], ("repository", "sha"))
    ours = test_commits.c.repository == repository
    newest = select(test_commits.c.run_number).where(ours).order_by(test_commits.c.run_number.desc())
    oldest = connection.execute(newest.offset(COMMITS).limit(1)).scalar()
    if oldest is not None:
        connection.execute(delete(test_commits).where(ours, test_commits.c.run_number <= oldest))


def _keep_changes(shelf: StoreShelf, run: Run, folded: Folded) -> None:
    """The new histories, and what happened to quarantines."""
    connection, repository = shelf.connection, shelf.repository
    at = to_micros(run.at)
    keep_histories(connection, repository, {one.test: one.after for one in folded.changes}, shelf.seen, at)
    events = [
        {
            "repository": repository,
            "number": change.test,
            "run_number": folded.suite.runs,
            "what": what,
            "at": at,
        }
        for change in folded.changes
        for what in _happened(change)
    ]
    if events:
        connection.execute(test_events.insert(), events)
    released = [change.test for change in folded.changes if change.released]
    for some in chunks(released):
        connection.execute(
            delete(test_fixes).where(test_fixes.c.repository == repository, test_fixes.c.number.in_(some))
        )


def _happened(change: Change) -> list[str]:
    """What the run did to the test's quarantine."""
    before, after = change.before.quarantine if change.before else None, change.after.quarantine
    happened = ["quarantined"] if change.quarantined else []
    if change.released:
        happened.append("released")
    if before and after and (before.mask is Mask.ON) != (after.mask is Mask.ON):
        happened.append("masked" if after.mask is Mask.ON else "unmasked")
    return happened


def _keep_counts(shelf: StoreShelf, run: Run, number: int, gathered: Gathered) -> Spent:
    """The pages of counts that the run changed: those of its tests, and those of its day."""
    connection, repository = shelf.connection, shelf.repository
    present, day = gathered.present(), day_of(run.at)
    shelf.counts.stamp(present, LAST_RUN, number)
    days = Pages(OF_DAY, pages_of(connection, test_days, repository, test_days.c.day == day))
    spent = gathered.count(days)
    if run.main:
        shelf.counts.stamp(present, LAST_MAIN, number)
    pages = [
        {"repository": repository, "page": page, "counts": counts} for page, counts in shelf.counts.changed()
    ]
    replace_rows(connection, test_pages, pages, ("repository", "page"))
    of_day = [
        {"repository": repository, "day": day, "page": page, "counts": counts}
        for page, counts in days.changed()
    ]
    replace_rows(connection, test_days, of_day, ("repository", "day", "page"))
    return spent


def _keep_standing(shelf: StoreShelf, run: Run, folded: Folded, tests: int, *, part: bool) -> None:
    """The suite after the run, or a late part of it. `tests`: how many it had."""
    if run.main and not folded.in_trouble and not part:
        here = len(run.passed) + len(run.others)
        tests = here if is_whole(here, tests) else int(tests * _FADE)
    shelf.connection.execute(
        update(suite_states)
        .where(suite_states.c.repository == shelf.repository)
        .values(state=stored_suite(folded.suite), runs=folded.suite.runs, tests=tests)
    )


def is_whole(here: int, tests: int) -> bool:
    """Whether a run of the target branch with so many tests is one of the suite with so many."""
    return here >= tests * _WHOLE


def _keep_attempts(shelf: StoreShelf, run: Run, number: int, gathered: Gathered) -> None:
    """The attempts of each test that failed, or that was executed more than once."""
    tests = sorted(test for test, one in run.others.items() if one.failures or one.passes > 1)
    rows = [
        {
            "repository": shelf.repository,
            "run_number": number,
            "number": one.number,
            "attempt": one.attempt,
            "job": job,
            "outcome": one.outcome,
            "fingerprint": one.fingerprint,
            "milliseconds": one.milliseconds,
            "at": to_micros(min(one.at, run.at)),
        }
        for job, one in islice(gathered.attempts_of(tests), MOST_ATTEMPTS)
    ]
    if rows:
        shelf.connection.execute(test_attempts.insert(), rows)


def _told(name: str, run: Run, folded: Folded) -> RunFolded:
    others = run.others.values()
    return RunFolded(
        number=folded.suite.runs,
        run=name,
        sha=run.sha,
        tests=len(run.passed) + len(run.others),
        failed=sum(one.only_failed for one in others),
        flaky=sum(one.both for one in others),
        in_trouble=folded.in_trouble,
        quarantined=sum(change.quarantined for change in folded.changes),
        released=sum(change.released for change in folded.changes),
    )


def _mark_folded(connection: Connection, reports: Iterable[str], at: int) -> None:
    """Their attempts are in the counts now."""
    for some in chunks(reports):
        connection.execute(
            update(test_reports).where(test_reports.c.id.in_(some)).values(folded_at=at, payload=None)
        )
