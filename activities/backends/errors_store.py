"""The embedded error tracker: the `Errors` port, and the inbox that the gateway fills, over one table."""

import json
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine, Row, and_, func, select, text, update

from activities.backends.store_sql import answering, from_micros, insert, reading, to_micros
from activities.backends.store_tables import error_events
from activities.inbox import AcceptedEvent, EventKey, Place, StoredBatch
from activities.ports import Backend, ErrorGroup, Health
from leverframe.model.error_events import ErrorEvent
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.facts import FlagObservation, ReleaseObservation
from leverframe.model.signals import SecondCount
from leverframe.model.untrusted import Untrusted

_RELEASE = re.compile(r"(?:[^@\s]{1,100}@)?([0-9a-f]{40})")
"""A SHA, alone or as `package@sha`."""

_TRACE_FRAMES = 8
_LOOKUP = 500
"""Keys per query: SQLite bounds the number of parameters."""
_MAX_COUNTS = 600
"""Seconds that one batch may span, as `ErrorBatch` says."""

_e = error_events.c

_Sample = Sequence[Row[*tuple[Any, ...]]]
"""Rows of title, release and flags, newest first."""


class ErrorsStore:
    """Implements `activities.ports.Errors` and `activities.inbox.Inbox`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def group(self, *, service: str, subject: str, since: datetime, max_events: int) -> ErrorGroup:
        """What is known of one group. The newest kept event stands for all. Raises NotFound, Unavailable."""
        of_group = and_(_e.service == service, _e.subject == subject)
        within = and_(of_group, _e.received_at >= to_micros(since))
        newest_first = _e.received_at.desc()
        with answering(), reading(self._engine) as connection:
            total, first_at = connection.execute(
                select(func.count(), func.min(_e.received_at)).where(within)
            ).one()
            sample = connection.execute(
                select(_e.title, _e.release, _e.flags).where(within).order_by(newest_first).limit(max_events)
            ).all()
            payload = connection.execute(
                select(_e.payload).where(of_group, _e.payload.is_not(None)).order_by(newest_first).limit(1)
            ).scalar()
        if not sample:
            raise NotFound(f"no events of {subject} in {service} since {since.isoformat()}")
        newest = _unpack(payload)
        return ErrorGroup(
            title=Untrusted(sample[0].title),
            exception=_exception(newest),
            trace=_trace(newest),
            route=newest.route,
            total=total,
            sampled=len(sample),
            first_at=from_micros(first_at),
            frames=tuple((frame.path, frame.function, frame.line) for frame in newest.frames if frame.line),
            flags=_flags(sample),
            releases=_releases(sample),
        )

    def count(self, *, service: str, subject: str, since: datetime) -> int:
        """Events accepted at or after `since`. Raises Unavailable."""
        within = and_(_e.service == service, _e.subject == subject, _e.received_at >= to_micros(since))
        with answering(), reading(self._engine) as connection:
            return connection.execute(select(func.count()).where(within)).scalar_one()

    def accept(self, events: Sequence[tuple[AcceptedEvent, str]]) -> dict[EventKey, Place]:
        """See `Inbox.accept`."""
        rows = [_row(event, batch) for event, batch in events]
        with answering(), self._engine.begin() as connection:
            connection.execute(insert(connection, error_events).on_conflict_do_nothing(), rows)
            by_project: defaultdict[str, list[str]] = defaultdict(list)
            for event, _ in events:
                by_project[event.project].append(event.event_id)
            places: dict[EventKey, Place] = {}
            for project, ids in by_project.items():
                for some in _chunks(ids, _LOOKUP):
                    found = connection.execute(
                        select(_e.event_id, _e.batch, _e.delivered_at).where(
                            _e.project == project, _e.event_id.in_(some)
                        )
                    )
                    for row in found:
                        delivered = row.delivered_at is not None
                        places[project, row.event_id] = Place(batch=row.batch, delivered=delivered)
        return places

    def undelivered(self, *, before: datetime, limit: int) -> list[StoredBatch]:
        """See `Inbox.undelivered`."""
        waiting = _e.delivered_at.is_(None)
        oldest = (
            select(_e.batch)
            .where(waiting)
            .group_by(_e.batch)
            .having(func.max(_e.received_at) < to_micros(before))
            .order_by(func.min(_e.received_at))
            .limit(limit)
        )
        bins = (
            select(
                _e.batch,
                _e.service,
                _e.subject,
                _e.second,
                func.count().label("events"),
                func.max(_e.title).label("title"),
                func.max(_e.received_at).label("received_at"),
            )
            .where(waiting, _e.batch.in_(oldest))
            .group_by(_e.batch, _e.service, _e.subject, _e.second)
            .order_by(_e.batch, _e.second)
        )
        with answering(), reading(self._engine) as connection:
            by_batch: defaultdict[str, list[Row[*tuple[Any, ...]]]] = defaultdict(list)
            for row in connection.execute(bins):
                by_batch[row.batch].append(row)
        batches = [_stored_batch(rows) for rows in by_batch.values()]
        return sorted(batches, key=lambda batch: batch.received_at)

    def mark_delivered(self, batches: Sequence[str], at: datetime) -> None:
        """See `Inbox.mark_delivered`."""
        with answering(), self._engine.begin() as connection:
            for some in _chunks(batches, _LOOKUP):
                connection.execute(
                    update(error_events)
                    .where(_e.batch.in_(some), _e.delivered_at.is_(None))
                    .values(delivered_at=to_micros(at))
                )

    def backlog(self) -> int:
        """See `Inbox.backlog`."""
        with answering(), reading(self._engine) as connection:
            return connection.execute(select(func.count()).where(_e.delivered_at.is_(None))).scalar_one()

    def health(self) -> Health:
        """Whether the store answers a query."""
        try:
            with answering(), reading(self._engine) as connection:
                connection.execute(text("SELECT 1"))
        except Unavailable as error:
            return Health(ok=False, detail=str(error), remedy="check store.url and that the database runs")
        return Health(ok=True, detail=f"{self._engine.dialect.name} answers")


BACKEND = Backend(kind="errors", name="store", scopes=(), build=ErrorsStore)


def _chunks(items: Sequence[str], size: int) -> Iterator[list[str]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _row(event: AcceptedEvent, batch: str) -> dict[str, object]:
    return {
        "event_id": event.event_id,
        "project": event.project,
        "service": event.service,
        "subject": event.subject,
        "title": event.title.stored(),
        "release": event.release,
        "environment": event.environment,
        "second": int(event.received_at.timestamp()),
        "received_at": to_micros(event.received_at),
        "flags": json.dumps(event.flags),
        "payload": event.payload,
        "batch": batch,
        "delivered_at": None,
    }


def _stored_batch(rows: list[Row[*tuple[Any, ...]]]) -> StoredBatch:
    """Rows of one batch, one per second, oldest first."""
    counts = [SecondCount(second=row.second, count=row.events) for row in rows]
    if len(counts) > _MAX_COUNTS:
        # Cannot come from one flush of the gateway; keep the total true rather than refuse for ever.
        early, counts = counts[:-_MAX_COUNTS], counts[-_MAX_COUNTS:]
        extra = sum(bin_.count for bin_ in early)
        counts[0] = SecondCount(second=counts[0].second, count=counts[0].count + extra)
    return StoredBatch(
        id=rows[0].batch,
        service=rows[0].service,
        subject=rows[0].subject,
        title=Untrusted(rows[-1].title),
        counts=tuple(counts),
        received_at=from_micros(max(row.received_at for row in rows)),
    )


def _unpack(payload: bytes | None) -> ErrorEvent:
    """The kept event; an empty one when none was kept or a newer version wrote a shape we don't know."""
    if payload is None:
        return ErrorEvent()
    try:
        return ErrorEvent.model_validate_json(zlib.decompress(payload))
    except (zlib.error, ValidationError):
        return ErrorEvent()


def _exception(event: ErrorEvent) -> Untrusted:
    if not event.exceptions:
        return event.message
    crash = event.exceptions[0]
    value = crash.value.stored()
    return Untrusted(f"{crash.type.stored()}: {value}" if value else crash.type.stored())


def _trace(event: ErrorEvent) -> Untrusted:
    """The in-app end of the stack as Python prints it: crash last."""
    lines = []
    for frame in reversed(event.frames[:_TRACE_FRAMES]):
        lines.append(f'File "{frame.path}", line {frame.line}, in {frame.function.stored()}')
        if code := frame.code.stored().strip():
            lines.append(f"    {code}")
    return Untrusted("\n".join([*lines, _exception(event).stored()]))


def _flags(sample: _Sample) -> tuple[FlagObservation, ...]:
    """How many sampled events saw each flag with each value, most frequent first."""
    seen = Counter((name, value) for row in sample for name, value in json.loads(row.flags))
    return tuple(
        FlagObservation(flag=name, value=value, errors=errors)
        for (name, value), errors in sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    )


def _releases(sample: _Sample) -> tuple[ReleaseObservation, ...]:
    """How many sampled events came from each release that is a commit, most frequent first."""
    matches = (_RELEASE.fullmatch(row.release) for row in sample)
    seen = Counter(match.group(1) for match in matches if match)
    return tuple(
        ReleaseObservation(sha=sha, errors=errors)
        for sha, errors in sorted(seen.items(), key=lambda item: (-item[1], item[0]))
    )
