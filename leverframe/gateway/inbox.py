"""The durable, coalescing inbox: many requests, few transactions, fewer signals, nothing lost.

A request waits here until the engine has its event. Requests that wait together are stored in one
transaction (group commit) and each subject's events travel as one signal under a batch id that is stored
with them first. Whatever fails after that, the batch goes out again under the same id, and the watch
counts an id once.
"""

import asyncio
import secrets
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum, auto

import structlog

from activities.inbox import AcceptedEvent, EventKey, Inbox, StoredBatch
from leverframe.gateway.counters import Counters
from leverframe.model.errors import LeverframeError, Unavailable
from leverframe.model.signals import SecondCount

Send = Callable[[StoredBatch], Awaitable[None]]
"""Give one batch to the engine; returns when the engine has it. Raises LeverframeError."""

Group = tuple[str, str]
"""`(service, subject)`."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How the inbox trades delay for load. Times in seconds."""

    coalesce: float = 0.2
    """Shortest time between two flushes, so at most this often a subject is signalled. The first event
    after a quiet time goes out at once."""
    answer: float = 10.0
    """Longest a sender waits before it is told to come again."""
    redeliver: float = 5.0
    """How often batches that the engine may not have are sent again."""
    lanes: int = 8
    """Signals on their way at once."""
    max_pending: int = 50_000
    """Events in memory or stored that the engine may not have."""


@dataclass(eq=False)
class _Arrival:
    event: AcceptedEvent
    done: "asyncio.Future[None]"

    def settle(self, error: LeverframeError | None = None) -> None:
        if self.done.done():
            return
        if error is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(error)


@dataclass(eq=False)
class _Flight:
    """One batch on its way, and the requests that wait for it."""

    group: Group
    waiting: list[_Arrival] = field(default_factory=list)


class _Delivery(Enum):
    """What became of a batch that was sent."""

    DONE = auto()
    LATER = auto()
    """The engine is away, and so it is for every other batch."""
    STUCK = auto()
    """This batch can't be sent as things are; that says nothing of the others."""


class CoalescingInbox:
    """Accepts events from request handlers. `run` must run beside them for the life of the process."""

    def __init__(self, store: Inbox, send: Send, counters: Counters, pace: Pace) -> None:
        self._store = store
        self._send = send
        self._counters = counters
        self._pace = pace
        self._arrivals: list[_Arrival] = []
        self._arrived = asyncio.Event()
        self._flights: dict[str, _Flight] = {}
        self._lanes = asyncio.Semaphore(pace.lanes)
        self._storing = 0
        self._backlog = 0

    async def accept(self, event: AcceptedEvent) -> None:
        """Return once the event is stored and the engine has it.

        Raises:
            Unavailable: too much is pending, or store or engine did not answer. The event may be stored;
                sending it again is safe and counts once.
        """
        if self._backlog + self._storing + len(self._arrivals) >= self._pace.max_pending:
            raise Unavailable(f"{self._pace.max_pending} events wait for the engine already")
        arrival = _Arrival(event, asyncio.get_running_loop().create_future())
        self._arrivals.append(arrival)
        self._arrived.set()
        try:
            async with asyncio.timeout(self._pace.answer):
                await arrival.done
        except TimeoutError as error:
            raise Unavailable("the engine has not confirmed the event yet") from error

    async def run(self) -> None:
        """Flush arrivals, and send again what the engine may not have. Ends only by cancellation."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._redeliver_for_ever())
            tasks.create_task(self._flush_for_ever(tasks))

    async def _flush_for_ever(self, tasks: asyncio.TaskGroup) -> None:
        while True:
            await self._arrived.wait()
            next_flush = asyncio.get_running_loop().time() + self._pace.coalesce
            self._arrived.clear()
            flights = await self._flush(self._take_arrivals())
            for batch in flights:
                tasks.create_task(self._deliver(batch))
            await asyncio.sleep(next_flush - asyncio.get_running_loop().time())

    def _take_arrivals(self) -> list[_Arrival]:
        """All that arrived, but for groups with a batch on its way: theirs coalesce until it is there."""
        busy = {flight.group for flight in self._flights.values()}
        taken = [one for one in self._arrivals if _group(one.event) not in busy and not one.done.done()]
        self._arrivals = [one for one in self._arrivals if _group(one.event) in busy and not one.done.done()]
        return taken

    async def _flush(self, arrivals: list[_Arrival]) -> list[StoredBatch]:
        """Store arrivals under new batch ids; returns the batches that are now to be delivered."""
        if not arrivals:
            return []
        by_key: defaultdict[EventKey, list[_Arrival]] = defaultdict(list)
        for arrival in arrivals:
            by_key[arrival.event.key].append(arrival)
        firsts = [same[0].event for same in by_key.values()]
        batch_ids: defaultdict[Group, str] = defaultdict(lambda: secrets.token_hex(8))
        placed = [(event, batch_ids[_group(event)]) for event in firsts]
        self._storing = len(arrivals)
        try:
            places = await asyncio.to_thread(self._store.accept, placed)
        except Exception as error:  # whatever broke, every waiting sender gets an answer
            _log.error("events not stored", events=len(firsts), exc_info=error)
            _settle(arrivals, Unavailable("the store did not accept the event"))
            return []
        finally:
            self._storing = 0
        fresh: defaultdict[str, list[AcceptedEvent]] = defaultdict(list)
        for event, batch in placed:
            place = places[event.key]
            same = by_key[event.key]
            if place.batch == batch:
                fresh[batch].append(event)
                self._flights.setdefault(batch, _Flight(_group(event))).waiting.extend(same)
                self._duplicates(len(same) - 1)
            else:
                self._meet_again(same, place.batch, delivered=place.delivered)
        self._counters.batches(len(fresh))
        self._grow_backlog(sum(map(len, fresh.values())))
        return [_batch(batch, events) for batch, events in fresh.items()]

    def _meet_again(self, arrivals: list[_Arrival], batch: str, *, delivered: bool) -> None:
        """Answer for an event that was stored by an earlier request."""
        self._duplicates(len(arrivals))
        if delivered:
            _settle(arrivals)
        elif batch in self._flights:
            self._flights[batch].waiting.extend(arrivals)
        else:
            _settle(arrivals, Unavailable("the event is stored and waits for the engine"))

    async def _deliver(self, batch: StoredBatch) -> _Delivery:
        """Send one batch, answer those who wait for it, and say what became of it."""
        flight = self._flights.setdefault(batch.id, _Flight((batch.service, batch.subject)))
        failure: LeverframeError | None = None
        became = _Delivery.STUCK
        try:
            async with self._lanes:
                await self._send(batch)
            await self._mark(batch)
            became = _Delivery.DONE
        except LeverframeError as error:
            became = _Delivery.LATER if isinstance(error, Unavailable) else became
            failure = Unavailable(f"the engine did not take the event: {error}")
            _log.warning("batch not delivered", batch=batch.id, subject=batch.subject, error=str(error))
        except Exception as error:  # a defect must not end the loop that serves all others
            failure = Unavailable("the engine did not take the event")
            _log.error("batch not delivered", batch=batch.id, subject=batch.subject, exc_info=error)
        # Two deliveries of one batch may overlap while the process starts; the first one ends the flight.
        self._flights.pop(batch.id, None)
        _settle(flight.waiting, failure)
        if self._arrivals:
            self._arrived.set()
        return became

    async def _mark(self, batch: StoredBatch) -> None:
        """The engine has it, so a store that fails now costs only a delivery that changes nothing."""
        with suppress(Unavailable):
            await asyncio.to_thread(self._store.mark_delivered, [batch.id], datetime.now(UTC))
        self._grow_backlog(-sum(bin_.count for bin_ in batch.counts))

    async def _redeliver_for_ever(self) -> None:
        """Drain at the start what an earlier process left, then look again and again."""
        grace = timedelta(0)
        while True:
            try:
                await self._redeliver(datetime.now(UTC) - grace)
                # Younger batches are likely on their way from another process.
                grace = timedelta(seconds=self._pace.redeliver)
            except Exception as error:  # a store that is away must not end redelivery
                _log.error("redelivery failed", exc_info=error)
            await asyncio.sleep(self._pace.redeliver)

    async def _redeliver(self, before: datetime) -> None:
        self._backlog = await asyncio.to_thread(self._store.backlog)
        self._grow_backlog(0)
        for batch in await asyncio.to_thread(self._store.undelivered, before=before, limit=1000):
            if batch.id not in self._flights and await self._deliver(batch) is _Delivery.LATER:
                return

    def _duplicates(self, count: int) -> None:
        for _ in range(count):
            self._counters.duplicate()

    def _grow_backlog(self, events: int) -> None:
        self._backlog = max(0, self._backlog + events)
        self._counters.backlog(self._backlog)


class Sampler:
    """Says which events keep their payload: the first of each group in each hour. Bounded memory."""

    def __init__(self, *, per_hour: int = 100, groups: int = 10_000) -> None:
        self._per_hour = per_hour
        self._groups = groups
        self._kept: OrderedDict[tuple[Group, int], int] = OrderedDict()

    def keeps(self, group: Group, at: datetime) -> bool:
        """Whether the next event of the group is kept whole; each call counts as one event."""
        key = (group, int(at.timestamp()) // 3600)
        count = self._kept.pop(key, 0)
        self._kept[key] = count + 1
        if len(self._kept) > self._groups:
            self._kept.popitem(last=False)
        return count < self._per_hour


def _group(event: AcceptedEvent) -> Group:
    return event.service, event.subject


def _settle(arrivals: Iterable[_Arrival], error: LeverframeError | None = None) -> None:
    for arrival in arrivals:
        arrival.settle(error)


def _batch(batch: str, events: list[AcceptedEvent]) -> StoredBatch:
    seconds = Counter(int(event.received_at.timestamp()) for event in events)
    return StoredBatch(
        id=batch,
        service=events[0].service,
        subject=events[0].subject,
        title=events[-1].title,
        counts=tuple(SecondCount(second=second, count=seconds[second]) for second in sorted(seconds)),
        received_at=max(event.received_at for event in events),
    )
