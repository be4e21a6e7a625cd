"""A whole test history through the replay, in the order of time, whatever the order of its lines.

Most histories are in order, and stream. One that is not is read again from its start, and sorted on disk.
"""

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime

from agents.flaky_tests.replay import IDLE, Replay, Row
from leverframe.model.errors import BadInput
from leverframe.simulation.attempt_rows import rows

_TOLD = 3
"""Sentences about lines that can't be used."""

Skipped = Callable[[str], None]
Lines = Callable[[Skipped | None], Iterable[tuple[int, bytes]]]
"""Begins to read the numbered lines; what can't be used of them is told, or raises BadInput."""


@dataclass
class LeftOut:
    """Lines that could not be used."""

    count: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.first) < _TOLD:
            self.first.append(sentence)


@dataclass(frozen=True)
class Told:
    """A history that was replayed."""

    replay: Replay
    left_out: LeftOut
    sorted: bool
    """Its rows were not in the order of time."""


def replayed(
    lines: Lines, name: str, begin: Callable[[], Replay], *, skip_bad: bool = False, again: bool = True
) -> Told:
    """Replay all rows of the lines, which are read once, or twice when they have to be sorted.

    Raises BadInput for a line that can't be used, unless such lines are skipped, for too many tests, and for
    rows out of order of what can't be read `again`, such as a pipe.
    """
    for order in (_as_they_come, _sorted):
        replay, left_out = begin(), LeftOut()
        skipped = left_out.add if skip_bad else None
        try:
            for row in order(rows(lines(skipped), name, skipped), name):
                replay.add(row)
        except _OutOfOrderError as error:
            if not again:
                raise BadInput(
                    f"{name} is not in the order of time and can't be read twice: give a file"
                ) from error
            continue
        replay.finish()
        return Told(replay, left_out, sorted=order is _sorted)
    raise AssertionError("sorted rows are in order")


class _OutOfOrderError(Exception):
    """A row is older than what has ended a run of its time."""


def _as_they_come(found: Iterable[Row], _: str) -> Iterator[Row]:
    newest = datetime.min.replace(tzinfo=UTC)
    for row in found:
        if row.at > newest:
            newest = row.at
        elif newest - row.at > IDLE:
            raise _OutOfOrderError
        yield row


def _sorted(found: Iterable[Row], name: str) -> Iterator[Row]:
    """By time; of one time as they come. A database without a name is a file that nobody else sees."""
    try:
        with closing(sqlite3.connect("")) as disk:
            disk.execute("CREATE TABLE found (at TEXT, row TEXT)")
            texts = (
                (row.at.isoformat(timespec="microseconds"), json.dumps(row[:5] + row[6:])) for row in found
            )
            disk.executemany("INSERT INTO found VALUES (?, ?)", texts)
            for at, text in disk.execute("SELECT at, row FROM found ORDER BY at, rowid"):
                test, run, sha, branch, attempt, outcome, signature = json.loads(text)
                yield Row(test, run, sha, branch, attempt, datetime.fromisoformat(at), outcome, signature)
    except sqlite3.Error as error:
        raise BadInput(
            f"{name} is not in the order of time, and there is no place to sort it: {error}; "
            "let SQLITE_TMPDIR name a folder with more room than the file takes"
        ) from error
