"""The weekly digest of flaky tests: what is new, healed, about to expire or broken, and what it cost."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from activities.records_port import Happened, SuiteWeek, TestLine, TestRecords
from agents.flaky_tests.history import Verdict
from agents.flaky_tests.jobs import FlakyJob, cost_of, how_often
from agents.flaky_tests.quarantine_file import read
from leverframe.model.errors import BadInput
from leverframe.model.lengths import lasting
from leverframe.model.quarantine import Quarantined
from leverframe.model.untrusted import Untrusted

WEEK = timedelta(days=7)
NAMED = 5
"""Tests that are named in one line."""
_MOST = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Week:
    """What a digest is made of."""

    repository: str
    until: datetime
    happened: Sequence[Happened]
    """In the week before."""
    quarantined: Sequence[TestLine]
    """By the evidence, now."""
    broken: Sequence[TestLine]
    entries: Sequence[Quarantined]
    """Of the quarantine file."""
    file_problem: str
    """Why the file can't be used; empty when it can."""
    runs: Sequence[SuiteWeek]
    jobs: Sequence[FlakyJob] = ()
    """That failed and passed at one commit, in the week before."""


class FlakyDigest:
    """Reads the store."""

    def __init__(self, records: TestRecords, repositories: Iterable[str]) -> None:
        self._records = records
        self._repositories = tuple(repositories)

    def sections(self, now: datetime) -> list[str]:
        """A paragraph for each repository of which there is something to say. Raises Unavailable."""
        return [text for name in self._repositories if (text := told(self._week(name, now)))]

    def _week(self, repository: str, now: datetime) -> Week:
        since, entries, problem = now - WEEK, tuple[Quarantined, ...](), ""
        seen = self._records.quarantine_seen(repository)
        if seen is not None and seen.content:
            try:
                entries = read(seen.content).entries
            except BadInput as error:
                problem = str(error)
        quarantined, _ = self._records.listed(repository, quarantined=True, limit=_MOST)
        broken, _ = self._records.listed(repository, verdict=Verdict.BROKEN, limit=_MOST)
        return Week(
            repository=repository,
            until=now,
            happened=self._records.happened(repository, since=since, now=now),
            quarantined=quarantined,
            broken=broken,
            entries=entries,
            file_problem=problem,
            runs=self._records.by_week(repository, since=since, now=now),
            jobs=self._records.flaky_jobs(repository, since=since, now=now),
        )


def told(week: Week) -> str:
    """Plain text, a line for each thing; empty when nothing happened and nothing is quarantined."""
    today = week.until.astimezone(UTC).date()
    lost = sum(one.rerun_milliseconds for one in week.runs)
    lines = {
        "new": _happened(week.happened, "quarantined"),
        "healed": _happened(week.happened, "released"),
        "expire within 7 days": _named(
            f"{_name(one.test)} ({one.expires}, {one.owner})"
            for one in sorted(week.entries, key=lambda one: one.expires)
            if today < one.expires <= today + WEEK
        ),
        "expired, their failures count again": _named(
            _name(one.test) for one in week.entries if one.expires <= today
        ),
        "broken while quarantined": _named(_name(Untrusted(test)) for test in _broken(week)),
        "the quarantine file can't be used": Untrusted(week.file_problem).for_terminal(300),
        "oldest quarantine": _oldest(week, today),
        "jobs that failed and passed at one commit": _jobs(week.jobs),
    }
    said = [f"{name}: {line}" for name, line in lines.items() if line]
    if not said:
        return ""
    runs = sum(one.runs for one in week.runs)
    cost = f"lost: {lasting(timedelta(milliseconds=lost))} in further executions of tests, in {runs:,} runs"
    return "\n".join([f"flaky tests of {week.repository}, this week", *said, cost])


def _happened(happened: Sequence[Happened], what: str) -> str:
    return _named(
        _name(Untrusted(test)) for test in sorted({one.test for one in happened if one.what == what})
    )


def _broken(week: Week) -> list[str]:
    """Broken tests that the file or the evidence quarantines."""
    listed = {entry.test.stored() for entry in week.entries}
    return sorted(line.test for line in week.broken if line.quarantined_at or line.test in listed)


def _jobs(jobs: Sequence[FlakyJob]) -> str:
    """How often each, and what they cost together."""
    named = _named(f"{_name(Untrusted(job.job))} ({how_often(job)})" for job in jobs)
    cost = cost_of(jobs)
    return named and f"{named}; {lasting(cost.lost)} lost, {lasting(cost.waited)} until they had passed"


def _oldest(week: Week, today: date) -> str:
    """By the file, which is what people see; by the evidence where the file has none."""
    since = [(entry.since, entry.test.stored()) for entry in week.entries]
    since = since or [(one.quarantined_at.date(), one.test) for one in week.quarantined if one.quarantined_at]
    if not since:
        return ""
    day, test = min(since)
    return f"{_name(Untrusted(test))}, for {(today - day).days:,} days"


def _named(names: Iterable[str]) -> str:
    """`3: a, b, c`, the first few of them; empty for none."""
    found = list(names)
    more = f" and {len(found) - NAMED:,} more" if len(found) > NAMED else ""
    return f"{len(found):,}: {', '.join(found[:NAMED])}{more}" if found else ""


def _name(test: Untrusted) -> str:
    """One line; each chat takes its own markup out of it."""
    return test.for_terminal(160)
