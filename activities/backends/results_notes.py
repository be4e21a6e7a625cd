"""What is remembered of quarantine files: what our changes do to them, and which tests they named when."""

import json
from collections.abc import Collection, Sequence
from datetime import date, datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, select, update

from activities.backends.results_numbers import chunks, key_of
from activities.backends.results_shelf import replace_rows
from activities.backends.results_tables import quarantine_changes, quarantine_files, quarantine_named
from activities.backends.store_sql import answering, from_micros, reading, to_micros
from activities.records_port import QuarantineSeen
from activities.results_port import AmendedEntry, QuarantineNote

_q = quarantine_changes.c
_n = quarantine_named.c


class QuarantineNotes:
    """The part of `RunFolds` that is about quarantine files."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def note(self, repository: str, notes: Sequence[QuarantineNote]) -> None:
        """See `RunFolds.note`."""
        rows = [
            {
                "repository": repository,
                "change_id": one.change,
                "state": one.state,
                "enter": json.dumps(one.enter),
                "leave": json.dumps(one.leave),
                "amend": json.dumps([_written(entry) for entry in one.amend]),
                "opened_at": to_micros(one.opened_at),
            }
            for one in notes
        ]
        with answering(), self._engine.begin() as connection:
            replace_rows(connection, quarantine_changes, rows, ("repository", "change_id"))

    def notes(self, repository: str) -> list[QuarantineNote]:
        """See `RunFolds.notes`."""
        return self._notes(_q.repository == repository, (_q.state != "over") | (_q.amend != "[]"))

    def note_tracking(self, repository: str, change: str, *, tracked: bool) -> None:
        """See `RunFolds.note_tracking`."""
        with answering(), self._engine.begin() as connection:
            connection.execute(
                update(quarantine_changes)
                .where(_q.repository == repository, _q.change_id == change)
                .values(tracked=tracked, refusals=0)
            )

    def note_refused(self, repository: str, change: str) -> int:
        """See `RunFolds.note_refused`."""
        once_more = (
            update(quarantine_changes)
            .where(_q.repository == repository, _q.change_id == change)
            .values(refusals=_q.refusals + 1)
            .returning(_q.refusals)
        )
        with answering(), self._engine.begin() as connection:
            return connection.execute(once_more).scalar() or 0

    def untracked(self, repository: str, *, most_refusals: int, limit: int) -> list[QuarantineNote]:
        """See `RunFolds.untracked`."""
        behind = (_q.repository == repository, _q.state == "over", ~_q.tracked, _q.refusals < most_refusals)
        return self._notes(*behind, limit=limit)

    def _notes(self, *which: ColumnElement[bool], limit: int | None = None) -> list[QuarantineNote]:
        order = _q.refusals, _q.opened_at, _q.change_id
        query = select(quarantine_changes).where(*which).order_by(*order).limit(limit)
        with answering(), reading(self._engine) as connection:
            return [
                QuarantineNote(
                    change=row.change_id,
                    state=row.state,
                    enter=tuple(json.loads(row.enter)),
                    leave=tuple(json.loads(row.leave)),
                    amend=tuple(map(_restored, json.loads(row.amend))),
                    opened_at=from_micros(row.opened_at),
                )
                for row in connection.execute(query)
            ]

    def note_named(self, repository: str, named: Collection[str], at: datetime) -> None:
        """See `RunFolds.note_named`."""
        rows = [
            {"repository": repository, "key": key_of(test), "named_at": to_micros(at)}
            for test in sorted(named)
        ]
        with answering(), self._engine.begin() as connection:
            replace_rows(connection, quarantine_named, rows, ("repository", "key"))

    def named_at(self, repository: str, among: Collection[str]) -> dict[str, datetime]:
        """See `RunFolds.named_at`."""
        keys, found = {key_of(test): test for test in among}, dict[str, datetime]()
        with answering(), reading(self._engine) as connection:
            for some in chunks(sorted(keys)):
                query = select(_n.key, _n.named_at).where(_n.repository == repository, _n.key.in_(some))
                found |= {keys[row.key]: from_micros(row.named_at) for row in connection.execute(query)}
        return found

    def see_quarantine(self, repository: str, seen: QuarantineSeen) -> None:
        """See `RunFolds.see_quarantine`."""
        row = {
            "repository": repository,
            "sha": seen.sha,
            "content": seen.content,
            "read_at": to_micros(seen.read_at),
        }
        with answering(), self._engine.begin() as connection:
            replace_rows(connection, quarantine_files, [row], ("repository",))


def _written(entry: AmendedEntry) -> list[Any]:
    return [entry.test, entry.expired.isoformat(), entry.expires.isoformat(), list(entry.masks)]


def _restored(written: list[Any]) -> AmendedEntry:
    test, expired, expires, masks = written
    return AmendedEntry(
        test=test,
        expired=date.fromisoformat(expired),
        expires=date.fromisoformat(expires),
        masks=tuple(masks),
    )
