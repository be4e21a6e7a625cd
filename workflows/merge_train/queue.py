"""The queue of a train: who rides next. Pure: every function returns a new queue."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from leverframe.model.changes import Author, Enqueue, Priority
from leverframe.model.frozen import Frozen, Instant, Sha

MAX_KEPT = 20
"""Workflows to tell of one car's end, and requests known for it; a later one replaces the oldest."""


class Queued(Frozen):
    """One change at one head, in line or riding."""

    sequence: int = Field(ge=1)
    change: str
    head: Sha
    priority: Priority
    author: Author
    notify: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    """Ids of the requests that asked for this ride."""
    enqueued_at: Instant
    leaving: Literal["withdrawn", "head_moved"] | None = None
    """Why it should be taken off, when somebody asked for that or a newer head took its place."""

    @property
    def order(self) -> tuple[int, int]:
        """Lower rides first."""
        return self.priority, self.sequence


class Queue(Frozen):
    """Every change that has not settled, first to ride first. No change and head is in it twice."""

    items: tuple[Queued, ...] = ()
    next_sequence: int = 1

    def find(self, change: str, head: str) -> Queued | None:
        """The item of exactly this change and head."""
        return next((item for item in self.items if (item.change, item.head) == (change, head)), None)

    def get(self, sequence: int) -> Queued | None:
        """The item with this number."""
        return next((item for item in self.items if item.sequence == sequence), None)


def put(queue: Queue, asked: Enqueue, *, request: str, at: datetime) -> Queue:
    """The queue with the change in it; `request` is the id of the request.

    The same change and head keep their place: the better priority of both holds, and everybody who
    asked is told. Another head of the same change is on its way out from here on.
    """
    known = queue.find(asked.change, asked.head)
    item = known or Queued(
        sequence=queue.next_sequence,
        change=asked.change,
        head=asked.head,
        priority=asked.priority,
        author=asked.author,
        enqueued_at=at,
    )
    wanted = item.model_copy(
        update={
            "priority": min(item.priority, asked.priority),
            "notify": _joined(item.notify, asked.notify),
            "requests": _joined(item.requests, (request,)),
            "leaving": None,
        }
    )
    others = _leaving(remove(queue, item.sequence), asked.change, "head_moved").items
    return Queue(
        items=tuple(sorted((*others, wanted), key=lambda queued: queued.order)),
        next_sequence=queue.next_sequence + (known is None),
    )


def withdraw(queue: Queue, change: str) -> Queue:
    """The queue in which every head of the change is on its way out."""
    return _leaving(queue, change, "withdrawn")


def remove(queue: Queue, sequence: int) -> Queue:
    """The queue without the item that settled."""
    kept = tuple(item for item in queue.items if item.sequence != sequence)
    return queue.model_copy(update={"items": kept})


def _leaving(queue: Queue, change: str, why: Literal["withdrawn", "head_moved"]) -> Queue:
    items = tuple(
        item.model_copy(update={"leaving": why}) if item.change == change and item.leaving is None else item
        for item in queue.items
    )
    return queue.model_copy(update={"items": items})


def _joined(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))[-MAX_KEPT:]
