"""The inbox: stores once, signals rarely, answers truthfully, and delivers what was left behind."""

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.backends.errors_store import ErrorsStore
from activities.inbox import AcceptedEvent, StoredBatch
from leverframe.gateway.counters import Counters
from leverframe.gateway.inbox import CoalescingInbox, Pace, Sampler
from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.model.untrusted import Untrusted
from tests.fakes.stores import store_at


class FakeEngine:
    """Takes batches while it is up; can be told to hold them until released."""

    def __init__(self) -> None:
        self.up = True
        self.unknown = ""
        """A service that no repository builds any more."""
        self.taken: list[StoredBatch] = []
        self.refused: list[StoredBatch] = []
        self.open = asyncio.Event()
        self.open.set()
        self.called = asyncio.Event()
        self.delivered = asyncio.Event()

    async def send(self, batch: StoredBatch) -> None:
        self.called.set()
        await self.open.wait()
        if not self.up:
            self.refused.append(batch)
            raise Unavailable("the engine is down")
        if batch.service == self.unknown:
            raise BadConfiguration(f"no repository builds {batch.service}")
        self.taken.append(batch)
        self.delivered.set()

    @property
    def total(self) -> int:
        """Events taken, counting a batch id once, as a watch does."""
        batches = {batch.id: batch for batch in self.taken}
        return sum(bin_.count for batch in batches.values() for bin_ in batch.counts)


class BrokenStore(ErrorsStore):
    """A store whose writes fail."""

    def accept(self, events: object) -> dict[tuple[str, str], object]:  # type: ignore[override]
        raise Unavailable("disk full")


class SlowStore(ErrorsStore):
    """A store that writes when it is told to."""

    writing = threading.Event()
    go = threading.Event()

    def accept(self, events: object) -> dict[tuple[str, str], object]:  # type: ignore[override]
        self.writing.set()
        self.go.wait(20)
        return super().accept(events)  # type: ignore[arg-type, return-value]


def accepted(number: int, subject: str = "SHOP-1", **more: object) -> AcceptedEvent:
    fields: dict[str, object] = {
        "project": "1",
        "event_id": f"{number:032x}",
        "service": "shop",
        "subject": subject,
        "title": Untrusted("KeyError"),
        "release": "",
        "environment": "",
        "received_at": datetime.now(UTC),
        "flags": (),
        "payload": None,
    }
    return AcceptedEvent(**{**fields, **more})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> ErrorsStore:
    return ErrorsStore(store_at(tmp_path / "store.db"))


QUICK = Pace(coalesce=0.01, answer=20, redeliver=0.05)
NEVER_AGAIN = Pace(coalesce=0.01, answer=20, redeliver=1000)


@asynccontextmanager
async def running(
    store: ErrorsStore, engine: FakeEngine, pace: Pace = NEVER_AGAIN, counters: Counters | None = None
) -> AsyncIterator[CoalescingInbox]:
    inbox = CoalescingInbox(store, engine.send, counters or Counters(), pace)
    task = asyncio.create_task(inbox.run())
    # What an earlier process left is sent first; that what comes now is none of it, the loop's start decides.
    for _ in range(3):
        await asyncio.sleep(0)
    try:
        yield inbox
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_events_that_wait_together_travel_in_one_batch(store: ErrorsStore) -> None:
    engine = FakeEngine()
    async with running(store, engine) as inbox:
        await asyncio.gather(*(inbox.accept(accepted(n)) for n in range(500)))
    assert engine.total == 500
    assert len({batch.id for batch in engine.taken}) == 1
    assert store.backlog() == 0


async def test_each_subject_has_a_batch_of_its_own(store: ErrorsStore) -> None:
    engine = FakeEngine()
    async with running(store, engine) as inbox:
        await asyncio.gather(*(inbox.accept(accepted(n, f"SHOP-{n % 3}")) for n in range(30)))
    counted = Counter[str]()
    # A batch may travel twice while the inbox starts; a watch counts its id once, and so does this test.
    for batch in {batch.id: batch for batch in engine.taken}.values():
        counted[batch.subject] += sum(count.count for count in batch.counts)
    assert counted == {"SHOP-0": 10, "SHOP-1": 10, "SHOP-2": 10}
    assert len(engine.taken) < 30


async def test_the_same_event_at_the_same_time_counts_once(store: ErrorsStore) -> None:
    engine, counters = FakeEngine(), Counters()
    async with running(store, engine, counters=counters) as inbox:
        await asyncio.gather(*(inbox.accept(accepted(7)) for _ in range(5)))
    assert engine.total == 1
    assert counters.value("events_duplicate_total") == 4


async def test_a_delivered_event_that_comes_again_is_answered_without_a_signal(store: ErrorsStore) -> None:
    engine = FakeEngine()
    async with running(store, engine) as inbox:
        await inbox.accept(accepted(7))
        await inbox.accept(accepted(7))
    # A batch may travel twice while the inbox starts, always under its one id.
    assert len({batch.id for batch in engine.taken}) == 1


async def test_an_answer_waits_for_the_engine(store: ErrorsStore) -> None:
    engine = FakeEngine()
    engine.open.clear()
    async with running(store, engine) as inbox:
        answer = asyncio.create_task(inbox.accept(accepted(1)))
        await engine.called.wait()
        assert not answer.done()
        engine.open.set()
        await answer
    assert engine.total == 1


async def test_events_of_a_subject_whose_batch_is_on_its_way_coalesce_until_it_is_there(
    store: ErrorsStore,
) -> None:
    engine = FakeEngine()
    engine.open.clear()
    async with running(store, engine) as inbox:
        first = asyncio.create_task(inbox.accept(accepted(0)))
        await engine.called.wait()
        rest = [asyncio.create_task(inbox.accept(accepted(n))) for n in range(1, 50)]
        other = asyncio.create_task(inbox.accept(accepted(99, "SHOP-2")))
        engine.called.clear()
        await engine.called.wait()
        engine.open.set()
        await asyncio.gather(first, other, *rest)
    sizes = [sum(c.count for c in batch.counts) for batch in engine.taken if batch.subject == "SHOP-1"]
    assert sizes == [1, 49]


async def test_an_event_that_the_engine_refuses_is_kept_and_delivered_later_under_the_same_batch_id(
    store: ErrorsStore,
) -> None:
    engine = FakeEngine()
    engine.up = False
    async with running(store, engine, QUICK) as inbox:
        with pytest.raises(Unavailable):
            await inbox.accept(accepted(1))
        assert store.backlog() == 1
        engine.up = True
        await engine.delivered.wait()
        await inbox.accept(accepted(1))
    assert engine.total == 1
    assert {batch.id for batch in engine.taken} == {engine.refused[0].id}


async def test_an_undelivered_event_that_comes_again_is_not_promised(store: ErrorsStore) -> None:
    engine = FakeEngine()
    engine.up = False
    async with running(store, engine) as inbox:
        for _ in range(2):
            with pytest.raises(Unavailable):
                await inbox.accept(accepted(1))
    assert store.backlog() == 1


async def test_what_an_earlier_process_left_is_drained_at_the_start(store: ErrorsStore) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    store.accept([(accepted(n, received_at=at + timedelta(seconds=n)), "left") for n in range(3)])
    engine = FakeEngine()
    async with running(store, engine):
        await engine.delivered.wait()
    [batch] = engine.taken
    assert batch.id == "left"
    assert [(c.second, c.count) for c in batch.counts] == [(int(at.timestamp()) + n, 1) for n in range(3)]


async def test_a_batch_that_can_never_be_sent_does_not_hold_up_the_ones_behind_it(store: ErrorsStore) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    store.accept([(accepted(1, "GONE-1", service="gone", received_at=at), "stuck")])
    store.accept([(accepted(2, received_at=at + timedelta(minutes=1)), "behind")])
    engine = FakeEngine()
    engine.unknown = "gone"
    async with running(store, engine):
        await asyncio.wait_for(engine.delivered.wait(), 20)
    assert [batch.id for batch in engine.taken] == ["behind"]


async def test_two_gateways_on_one_store_count_each_event_once(store: ErrorsStore) -> None:
    engine = FakeEngine()
    async with (
        running(store, engine, QUICK) as one,
        running(store, engine, QUICK) as two,
        asyncio.TaskGroup() as tasks,
    ):
        for n in range(200):
            tasks.create_task(_insist(one, accepted(n)))
            tasks.create_task(_insist(two, accepted(n)))
    assert engine.total == 200


async def _insist(inbox: CoalescingInbox, event: AcceptedEvent) -> None:
    """Send again until it is accepted, as a sender that obeys Retry-After does."""
    while True:
        try:
            return await inbox.accept(event)
        except Unavailable:
            await asyncio.sleep(0.02)


async def test_events_that_are_being_written_count_for_the_bound(tmp_path: Path) -> None:
    store, engine = SlowStore(store_at(tmp_path / "store.db")), FakeEngine()
    async with running(store, engine, Pace(coalesce=0.01, max_pending=10)) as inbox:
        kept = [asyncio.create_task(inbox.accept(accepted(n))) for n in range(10)]
        await asyncio.to_thread(store.writing.wait, 20)
        with pytest.raises(Unavailable, match="10 events wait"):
            await inbox.accept(accepted(11))
        store.go.set()
        await asyncio.gather(*kept)
        await inbox.accept(accepted(12))
    assert engine.total == 11


async def test_past_the_bound_events_are_refused_and_neither_stored_nor_kept_in_memory(
    store: ErrorsStore,
) -> None:
    engine = FakeEngine()
    engine.open.clear()
    async with running(store, engine, Pace(coalesce=0.01, max_pending=10)) as inbox:
        kept = [asyncio.create_task(inbox.accept(accepted(n))) for n in range(10)]
        await engine.called.wait()
        with pytest.raises(Unavailable, match="10 events wait"):
            await inbox.accept(accepted(11))
        engine.open.set()
        await asyncio.gather(*kept)
        await inbox.accept(accepted(12))
    assert engine.total == 11


async def test_an_engine_that_never_answers_is_an_unavailable_after_a_while(store: ErrorsStore) -> None:
    engine = FakeEngine()
    engine.open.clear()
    async with running(store, engine, Pace(coalesce=0.01, answer=0.05)) as inbox:
        with pytest.raises(Unavailable, match="not confirmed"):
            await inbox.accept(accepted(1))


async def test_a_store_that_fails_is_an_unavailable_and_the_inbox_goes_on(store: ErrorsStore) -> None:
    engine = FakeEngine()
    broken = BrokenStore(store._engine)
    async with running(broken, engine) as inbox:
        for _ in range(2):
            with pytest.raises(Unavailable, match="store"):
                await inbox.accept(accepted(1))
    assert engine.taken == []


def test_the_first_events_of_a_group_in_an_hour_are_kept_whole() -> None:
    sampler, noon = Sampler(per_hour=2), datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert [sampler.keeps(("shop", "A"), noon) for _ in range(3)] == [True, True, False]
    assert sampler.keeps(("shop", "B"), noon)
    assert sampler.keeps(("shop", "A"), noon + timedelta(hours=1))
