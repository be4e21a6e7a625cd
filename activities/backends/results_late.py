"""Reports that come after their run was folded: what they add to it is folded as a further part of the run.

Only tests that the run did not have are added, as those of a slow shard: of the others an attempt may be one
that is known, or a second machine's. So the same attempts, whenever they come, count once. The
infrastructure gate judges the part together with what the run had before.
"""

import zlib
from array import array
from dataclasses import dataclass, replace

from sqlalchemy import Connection, func, select, update

from activities.backends.results_packing import Packed
from activities.backends.results_tables import test_reports, test_runs
from agents.flaky_tests.gate import Counts, Earlier

KEPT = 1_000
"""Runs, the newest ones, of which it is kept which tests they had."""

_c = test_runs.c


@dataclass(frozen=True, slots=True)
class Late:
    """A run that was folded, of which more reports have come."""

    number: int
    present: bytes
    """Which tests it had, a byte for each."""
    earlier: Earlier
    """What the gate saw of it and of its parts; nothing of a run that an older release folded."""

    def without_known(self, report: Packed) -> tuple[Packed, int]:
        """What the report adds, and how many of its attempts are left out."""
        kept = [place for place, number in enumerate(report.passed) if not self._had(number)]
        details = tuple(one for one in report.details if not self._had(one.number))
        fresh = replace(
            report,
            passed=array("I", [report.passed[place] for place in kept]),
            milliseconds=array("I", [report.milliseconds[place] for place in kept]),
            details=details,
        )
        before = len(report.passed) + len(report.details)
        return fresh, before - len(kept) - len(details)

    def _had(self, number: int) -> bool:
        return number < len(self.present) and self.present[number] != 0


def late(connection: Connection, repository: str, name: tuple[str, str]) -> Late | None:
    """The run of that name and commit, if it was folded."""
    query = select(_c.number, _c.present, _c.calm_both).where(
        _c.repository == repository, _c.run == name[0], _c.sha == name[1]
    )
    row = connection.execute(query).one_or_none()
    if row is None or row.present is None:
        return None
    if row.calm_both is None:
        earlier = Earlier(Counts(0, 0, 0), None)
    else:
        earlier = _earlier(connection, repository, row.number)
    return Late(row.number, zlib.decompress(row.present), earlier)


def _earlier(connection: Connection, repository: str, number: int) -> Earlier:
    ours = (_c.repository == repository, _c.number >= number)
    sums = select(func.sum(_c.tests), func.sum(_c.calm_failing), func.sum(_c.calm_both)).where(
        *ours, (_c.number == number) | (_c.part_of == number)
    )
    since = select(func.count()).where(*ours, _c.number != number, _c.part_of.is_(None))
    tests, failing, both = map(int, connection.execute(sums).one())
    return Earlier(Counts(tests, failing, both), connection.execute(since).scalar_one())


def too_late(connection: Connection, repository: str) -> list[tuple[str, int, int]]:
    """Reports of runs in trouble, and of those too old to add to: id, attempts, and the number of the run."""
    r = test_reports.c
    query = (
        select(r.id, r.attempts, _c.number)
        .join(test_runs, (_c.repository == r.repository) & (_c.run == r.run) & (_c.sha == r.sha))
        .where(r.repository == repository, r.folded_at.is_(None), _c.present.is_(None))
    )
    return [(row.id, row.attempts, row.number) for row in connection.execute(query)]


def leave_out(connection: Connection, repository: str, number: int, attempts: int) -> None:
    """Count attempts that were not added to the run."""
    connection.execute(
        update(test_runs)
        .where(_c.repository == repository, _c.number == number)
        .values(left_out=_c.left_out + attempts)
    )


def part_name(connection: Connection, repository: str, name: tuple[str, str], number: int) -> str:
    """What a further part of a run is called: by a name that no run of the commit has."""
    part = f"{name[0]} (late, {number})"
    while connection.execute(
        select(_c.number).where(_c.repository == repository, _c.run == part, _c.sha == name[1])
    ).first():
        part += "+"
    return part


def keep_present(connection: Connection, repository: str, number: int, present: bytes | None) -> None:
    """Which tests the run had, for reports that are late; None: they add nothing. Old ones are forgotten."""
    kept_now = None if present is None else zlib.compress(present, 1)
    for run, kept in ((number, kept_now), (number - KEPT, None)):
        connection.execute(
            update(test_runs).where(_c.repository == repository, _c.number == run).values(present=kept)
        )


def added(present: bytes, more: bytes) -> bytes:
    """The tests of both."""
    both = int.from_bytes(present, "little") | int.from_bytes(more, "little")
    return both.to_bytes(max(len(present), len(more)), "little")
