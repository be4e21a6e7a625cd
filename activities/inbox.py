"""The port of the durable inbox: what was accepted at the door, and whether the engine has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from activities.ports import Health
from leverframe.model.frozen import Instant
from leverframe.model.signals import SecondCount
from leverframe.model.untrusted import Untrusted

EventKey = tuple[str, str]
"""`(project, event id)`: what makes two deliveries the same event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AcceptedEvent:
    """One error event as it enters the store."""

    project: str
    event_id: str
    service: str
    subject: str
    title: Untrusted
    release: str
    environment: str
    received_at: Instant
    flags: tuple[tuple[str, bool], ...]
    payload: bytes | None
    """zlib-compressed JSON of an `ErrorEvent`; None when sampled out."""

    @property
    def key(self) -> EventKey:
        """What makes two deliveries the same event."""
        return self.project, self.event_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where one accepted event stands."""

    batch: str
    delivered: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredBatch:
    """Events of one subject that travel to the engine together, under one id, for ever."""

    id: str
    service: str
    subject: str
    title: Untrusted
    counts: tuple[SecondCount, ...]
    received_at: Instant
    """When the newest of them was accepted."""


class Inbox(Protocol):
    """Accepted events. Synchronous; several processes may share one."""

    def accept(self, events: Sequence[tuple[AcceptedEvent, str]]) -> dict[EventKey, Place]:
        """Store `(event, batch id)` pairs in one transaction and say where each event stands.

        An event that is known already keeps the batch it has. Raises Unavailable; then the events may
        or may not be stored, and storing them again is safe.
        """
        ...

    def undelivered(self, *, before: datetime, limit: int) -> list[StoredBatch]:
        """Batches, oldest first, that the engine may not have, accepted before that time."""
        ...

    def mark_delivered(self, batches: Sequence[str], at: datetime) -> None:
        """The engine has these batches. Idempotent."""
        ...

    def backlog(self) -> int:
        """Events that the engine may not have."""
        ...

    def health(self) -> Health: ...
