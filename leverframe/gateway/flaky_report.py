"""What the page of flaky tests shows of one repository: looked up in the store, nothing concluded."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_jsonable_python

from activities.records_port import SuiteFigures, SuiteWeek, TestLine, TestRecords
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.jobs import FlakyJob
from agents.flaky_tests.quarantine_file import read
from leverframe.model.errors import BadInput
from leverframe.model.quarantine import Quarantined

MOST = 50
"""Tests of each list."""
MOST_QUARANTINED = 1_000
ALL = 20_000
"""Tests that are looked through for what is known of the file's entries: as many as a list is made of."""
WEEKS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class InQuarantine:
    """A test that the file forgives, or that the evidence wants in it."""

    test: str
    entry: Quarantined | None
    """Of the file; None while no merge request has put it there."""
    line: TestLine | None
    """What is known of it; None for a test that is neither flaky nor broken now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyReport:
    """One repository."""

    repository: str
    taken_at: datetime
    since: datetime
    figures: SuiteFigures
    weeks: tuple[SuiteWeek, ...]
    """The last of them, oldest first, whatever `since` is."""
    quarantined: tuple[InQuarantine, ...]
    """Those that expire first are first; then those that are not in the file."""
    flakiest: tuple[TestLine, ...]
    broken: tuple[TestLine, ...]
    jobs: tuple[FlakyJob, ...]
    """Those that cost most first."""
    file_read_at: datetime | None
    """None where no worker has read the file yet."""
    file_problem: str
    """Why the file can't be used; then it forgives nothing."""

    def shape(self) -> Mapping[str, Any]:
        """As JSON has it."""
        shaped: dict[str, Any] = to_jsonable_python(self)
        shaped["figures"]["verdicts"] = {verdict.value: count for verdict, count in self.figures.verdicts}
        return shaped


def flaky_report(records: TestRecords, repository: str, *, days: int, now: datetime) -> FlakyReport:
    """Read it. Raises Unavailable."""
    since = now - timedelta(days=days)
    monday = (now - timedelta(days=now.weekday(), weeks=WEEKS - 1)).replace(hour=0, minute=0, second=0)
    seen = records.quarantine_seen(repository)
    entries, problem = _entries(seen.content if seen else "")
    lines, _ = records.listed(repository, quarantined=True, order="test", limit=ALL)
    flakiest, _ = records.listed(repository, verdict=Verdict.FLAKY, order="flaky", limit=MOST)
    broken, _ = records.listed(repository, verdict=Verdict.BROKEN, limit=ALL)
    return FlakyReport(
        repository=repository,
        taken_at=now,
        since=since,
        figures=records.figures(repository, since=since, now=now),
        weeks=tuple(records.by_week(repository, since=monday, now=now)),
        quarantined=_together(entries, [*broken, *lines]),
        flakiest=tuple(flakiest),
        broken=tuple(broken[:MOST]),
        jobs=tuple(records.flaky_jobs(repository, since=since, now=now)),
        file_read_at=seen.read_at if seen else None,
        file_problem=problem,
    )


def _entries(content: str) -> tuple[tuple[Quarantined, ...], str]:
    """The file's entries, or why it has none."""
    if not content:
        return (), ""
    try:
        return read(content).entries, ""
    except BadInput as error:
        return (), str(error)


def _together(entries: tuple[Quarantined, ...], lines: list[TestLine]) -> tuple[InQuarantine, ...]:
    known = {line.test: line for line in lines}
    listed = {entry.test.stored() for entry in entries}
    in_file = [
        InQuarantine(test=entry.test.stored(), entry=entry, line=known.get(entry.test.stored()))
        for entry in sorted(entries, key=lambda one: (one.expires, one.test.stored()))
    ]
    wanted = [
        InQuarantine(test=test, entry=None, line=line)
        for test, line in sorted(known.items())
        if line.quarantined_at is not None and test not in listed
    ]
    return tuple((*in_file, *wanted)[:MOST_QUARANTINED])
