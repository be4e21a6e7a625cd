"""How many tests of a suite are healthy, flaky, broken or unknown now, without reading what each one did."""

from collections import Counter
from datetime import datetime

from sqlalchemy import Connection, func, select

from activities.backends.results_fold import is_whole
from activities.backends.results_packing import unpacked_columns
from activities.backends.results_pages import LAST_MAIN, LAST_RUN, OF_TEST, PAGE, SEEN, Pages
from activities.backends.results_tables import suite_states, test_pages, test_runs, test_states
from agents.flaky_tests.detector import verdict
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.stored_form import restored

LOOKED_BACK = 200
"""Whole runs of the target branch that are counted for a test that is missed."""
MOST_READ = 20_000
"""Tests whose histories are read, those that changed last: of the others the verdict is that of then."""
_AT_ONCE = 10_000

_s = test_states.c


def whole_runs(connection: Connection, repository: str) -> list[int]:
    """Numbers of the newest whole runs of the target branch, ascending."""
    tests_now = connection.execute(
        select(suite_states.c.tests).where(suite_states.c.repository == repository)
    ).scalar()
    c = test_runs.c
    newest = (
        select(c.number, c.tests)
        .where(c.repository == repository, c.main, ~c.in_trouble, c.part_of.is_(None))
        .order_by(c.number.desc())
        .limit(LOOKED_BACK)
    )
    return sorted(row.number for row in connection.execute(newest) if is_whole(row.tests, tests_now or 0))


def verdicts(connection: Connection, repository: str, counts: Pages) -> Counter[Verdict]:
    """Of tests that have failed, and of the suite's others."""
    found = Counter[Verdict]()
    kept = select(_s.verdict, func.count()).where(_s.repository == repository).group_by(_s.verdict)
    for name, count in connection.execute(kept):
        found[Verdict(name)] += count
    # What was unknown at its last change may have become healthy by passing since.
    unknown = (
        select(_s.number, _s.history)
        .where(_s.repository == repository, _s.verdict == Verdict.UNKNOWN.value)
        .order_by(_s.changed_at.desc(), _s.number)
        .limit(MOST_READ)
    )
    for row in connection.execute(unknown):
        found[Verdict.UNKNOWN] -= 1
        found[verdict(restored(row.history), counts.get(row.number, SEEN))] += 1
    return found + _without_history(connection, repository)


def quarantined_since(connection: Connection, repository: str) -> list[datetime]:
    """When each test was quarantined that the evidence quarantines now."""
    query = select(_s.history).where(_s.repository == repository, _s.quarantined).limit(MOST_READ)
    histories = (restored(row.history) for row in connection.execute(query))
    return [history.quarantine.at for history in histories if history.quarantine]


def _without_history(connection: Connection, repository: str) -> Counter[Verdict]:
    """Tests that have only ever passed: of the last whole run of the target branch, or of all without one."""
    whole = whole_runs(connection, repository)
    column, since = (LAST_MAIN, whole[-1]) if whole else (LAST_RUN, 1)
    numbers = select(_s.number).where(_s.repository == repository)
    failed = {number for part in connection.execute(numbers).partitions(_AT_ONCE) for (number,) in part}
    found = Counter[Verdict]()
    pages = select(test_pages.c.page, test_pages.c.counts).where(test_pages.c.repository == repository)
    for row in connection.execute(pages):
        columns = unpacked_columns(row.counts, OF_TEST)
        seen_here = Counter(
            seen
            for number, (seen, last) in enumerate(
                zip(columns[SEEN], columns[column], strict=True), row.page * PAGE
            )
            if last >= since and number not in failed
        )
        for seen, count in seen_here.items():
            found[verdict(None, seen)] += count
    return found
