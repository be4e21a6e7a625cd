"""The queue of a train: the order in which changes should land. Pure: every function returns a new queue.

A better class goes before a worse one, but never past a change that keeps its place: one that has been
overtaken `max_overtaken` times, or has waited `max_wait_minutes`. So a change is overtaken by at most so many
others, and by nobody once it has waited so long; only a hotfix goes before everything.
"""

from datetime import datetime, timedelta
from typing import Literal

from pydantic import Field

from leverframe.model.changes import Author, Enqueue, Priority
from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.topology import TrainRules
from leverframe.model.trains import Override

TITLE_KEPT = 100
"""Characters of a title that are kept: thousands of changes may be queued."""

MAX_KEPT = 20
"""Workflows to tell of one car's end, and requests known for it; a later one replaces the oldest."""


class Queued(Frozen):
    """One change at one head, in line or riding."""

    sequence: int = Field(ge=1)
    change: str
    head: Sha
    priority: Priority
    author: Author
    title: str = ""
    """As it was when it was asked for; text from outside."""
    notify: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    """Ids of the requests that asked for this ride."""
    enqueued_at: Instant
    solo: bool = False
    overtaken: int = 0
    """How many later changes were put before it."""
    looked: bool = False
    """Whether the forge was asked about it."""
    lanes: tuple[str, ...] = ()
    """As its first car showed; empty means every lane."""
    green_on: Sha | None = None
    """The tip on which, or above which, it was last green, once the target has moved on."""
    green_with: tuple[str, ...] = ()
    """The changes that lay below it then."""
    override: Override | None = None
    vouched: tuple[str, str, tuple[str, ...]] | None = None
    """The first of the two people who want an override: name, reason, the checks that are left."""
    native: bool = False
    """Whether the forge's own queue has it."""
    leaving: Literal["withdrawn", "head_moved"] | None = None
    """Why it should be taken off, when somebody asked for that or a newer head took its place."""

    @property
    def actor(self) -> str:
        """Whose record predicts it."""
        return f"agent:{self.author.name}" if self.author.kind == "agent" else self.author.kind

    def keeps_its_place(self, rules: TrainRules, at: datetime) -> bool:
        """Whether nobody but a hotfix may go before it any more."""
        waited = at - self.enqueued_at
        return self.overtaken >= rules.max_overtaken or waited >= timedelta(minutes=rules.max_wait_minutes)


class Queue(Frozen):
    """Every change that has not settled, first to land first. No change and head is in it twice."""

    items: tuple[Queued, ...] = ()
    next_sequence: int = 1

    def find(self, change: str, head: str) -> Queued | None:
        """The item of exactly this change and head."""
        return next((item for item in self.items if (item.change, item.head) == (change, head)), None)

    def get(self, sequence: int) -> Queued | None:
        """The item with this number."""
        return next((item for item in self.items if item.sequence == sequence), None)

    def latest(self, change: str) -> Queued | None:
        """The newest head of the change that is not on its way out."""
        found = [item for item in self.items if item.change == change and item.leaving is None]
        return max(found, key=lambda item: item.sequence, default=None)


def put(queue: Queue, asked: Enqueue, *, request: str, at: datetime, rules: TrainRules) -> Queue:
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
        title=asked.title[:TITLE_KEPT],
        enqueued_at=at,
        solo=asked.solo,
    )
    better = min(item.priority, asked.priority)
    moves = known is None or better < item.priority
    wanted = item.model_copy(
        update={
            "priority": better,
            "notify": _joined(item.notify, asked.notify),
            "requests": _joined(item.requests, (request,)),
            "leaving": None,
        }
    )
    numbered = queue.model_copy(update={"next_sequence": queue.next_sequence + (known is None)})
    if not moves:
        return _leaving(changed(numbered, wanted), asked.change, "head_moved", but=wanted.sequence)
    others = _leaving(remove(numbered, item.sequence), asked.change, "head_moved")
    before = queue.items.index(known) if known else len(others.items)
    return _inserted(others, wanted, before=before, at=at, rules=rules)


def withdraw(queue: Queue, change: str) -> Queue:
    """The queue in which every head of the change is on its way out."""
    return _leaving(queue, change, "withdrawn")


def remove(queue: Queue, sequence: int) -> Queue:
    """The queue without the item that settled."""
    kept = tuple(item for item in queue.items if item.sequence != sequence)
    return queue.model_copy(update={"items": kept})


def changed(queue: Queue, wanted: Queued) -> Queue:
    """The queue with this item in the place of the one with its number."""
    items = tuple(wanted if item.sequence == wanted.sequence else item for item in queue.items)
    return queue.model_copy(update={"items": items})


def _inserted(queue: Queue, wanted: Queued, *, before: int, at: datetime, rules: TrainRules) -> Queue:
    """The queue with the item moved forward from `before`, past whatever is worse and may be passed."""
    items = list(queue.items)
    place = before
    while place > 0:
        ahead = items[place - 1]
        pinned = wanted.priority is not Priority.HOTFIX and ahead.keeps_its_place(rules, at)
        if ahead.priority <= wanted.priority or pinned:
            break
        place -= 1
        items[place] = ahead.model_copy(update={"overtaken": ahead.overtaken + 1})
    items.insert(place, wanted)
    return queue.model_copy(update={"items": tuple(items)})


def _leaving(
    queue: Queue, change: str, why: Literal["withdrawn", "head_moved"], *, but: int | None = None
) -> Queue:
    items = tuple(
        item.model_copy(update={"leaving": why})
        if item.change == change and item.leaving is None and item.sequence != but
        else item
        for item in queue.items
    )
    return queue.model_copy(update={"items": items})


def _joined(known: tuple[str, ...], more: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *more)))[-MAX_KEPT:]
