"""The embedded error tracker on SQLite, and on PostgreSQL when LEVERFRAME_TEST_POSTGRES_URL names one."""

import os
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from activities.backends.errors_store import ErrorsStore
from activities.backends.store_sql import open_store
from activities.inbox import AcceptedEvent, Place
from leverframe.gateway.grouping import group, keep
from leverframe.gateway.sentry_event import read_event
from leverframe.model.errors import NotFound, Unavailable
from leverframe.model.facts import FlagObservation, ReleaseObservation
from leverframe.model.untrusted import Untrusted
from tests.fakes.gateway import SHA, event
from tests.fakes.stores import store_at

POSTGRES = os.environ.get("LEVERFRAME_TEST_POSTGRES_URL", "")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ErrorsStore]:
    if request.param == "postgres" and not POSTGRES:
        pytest.skip("LEVERFRAME_TEST_POSTGRES_URL is not set")
    engine = store_at(tmp_path / "store.db") if request.param == "sqlite" else open_store(POSTGRES)
    yield ErrorsStore(engine)
    engine.dispose()


@pytest.fixture
def service() -> str:
    """A service of its own for each test, since PostgreSQL is shared."""
    return f"shop-{uuid4().hex[:8]}"


def accepted(
    service: str, raw: dict[str, object], *, at: datetime = NOON, kept: bool = True
) -> AcceptedEvent:
    read = read_event(raw)
    of = group(read, service)
    return AcceptedEvent(
        project=service,
        event_id=str(raw["event_id"]),
        service=service,
        subject=of.subject,
        title=of.title,
        release=of.release,
        environment=of.environment,
        received_at=at,
        flags=of.flags,
        payload=keep(read) if kept else None,
    )


def put(store: ErrorsStore, *events: AcceptedEvent, batch: str = "") -> str:
    """Store them and return their batch."""
    batch = batch or uuid4().hex
    store.accept([(one, batch) for one in events])
    return batch


def test_an_event_is_stored_once_and_keeps_its_first_batch(store: ErrorsStore, service: str) -> None:
    one = accepted(service, event(1))
    first = put(store, one)
    assert store.accept([(one, "another")]) == {one.key: Place(batch=first, delivered=False)}
    store.mark_delivered([first], NOON)
    assert store.accept([(one, "another")]) == {one.key: Place(batch=first, delivered=True)}
    assert store.count(service=service, subject=one.subject, since=NOON) == 1


def test_the_same_event_id_in_two_projects_is_two_events(store: ErrorsStore, service: str) -> None:
    one, two = accepted(service, event(1)), accepted(f"{service}-2", event(1))
    assert len(store.accept([(one, "a" + service), (two, "b" + service)])) == 2


def test_more_events_than_one_query_takes_are_all_placed(store: ErrorsStore, service: str) -> None:
    events = [accepted(service, event(n), kept=False) for n in range(1203)]
    batch = uuid4().hex
    places = store.accept([(one, batch) for one in events])
    assert places == {one.key: Place(batch=batch, delivered=False) for one in events}


def test_an_undelivered_batch_comes_back_with_its_counts_by_second(store: ErrorsStore, service: str) -> None:
    seconds = [0, 0, 1, 5]
    events = [
        accepted(service, event(n), at=NOON + timedelta(seconds=s, milliseconds=n))
        for n, s in enumerate(seconds)
    ]
    batch = put(store, *events)
    found = {one.id: one for one in store.undelivered(before=NOON + timedelta(days=1), limit=10_000)}
    start = int(NOON.timestamp())
    assert [(c.second, c.count) for c in found[batch].counts] == [(start, 2), (start + 1, 1), (start + 5, 1)]
    assert (found[batch].service, found[batch].subject) == (service, events[0].subject)
    assert found[batch].title == Untrusted("KeyError: 'tea'")
    assert found[batch].received_at == events[-1].received_at


def test_delivered_and_young_batches_do_not_come_back(store: ErrorsStore, service: str) -> None:
    done, young = put(store, accepted(service, event(1))), put(store, accepted(service, event(2)))
    before = store.backlog()
    store.mark_delivered([done], NOON)
    store.mark_delivered([done], NOON)
    assert store.backlog() == before - 1
    found = {one.id for one in store.undelivered(before=NOON, limit=10_000)}
    assert not found & {done, young}


def test_older_batches_come_back_first_and_no_more_than_asked_for(store: ErrorsStore, service: str) -> None:
    old = NOON - timedelta(days=10_000)
    batches = [put(store, accepted(service, event(n), at=old + timedelta(hours=n))) for n in (2, 0, 1)]
    found = [one.id for one in store.undelivered(before=NOON - timedelta(days=9_000), limit=2)]
    assert found == [batches[1], batches[2]]


def test_a_group_shows_its_newest_kept_event_crash_frame_first(store: ErrorsStore, service: str) -> None:
    newest = event(3, transaction="/checkout")
    put(
        store,
        accepted(service, event(1)),
        accepted(service, newest, at=NOON + timedelta(seconds=2)),
        accepted(service, event(4), at=NOON + timedelta(seconds=3), kept=False),
    )
    subject = accepted(service, newest).subject
    found = store.group(service=service, subject=subject, since=NOON, max_events=10)
    assert (found.total, found.sampled, found.first_at) == (3, 3, NOON)
    assert found.route == Untrusted("/checkout")
    assert found.exception == found.title == Untrusted("KeyError: 'tea'")
    assert [(path, function.stored(), line) for path, function, line in found.frames] == [
        ("shop/pricing.py", "price", 7),
        ("shop/app.py", "get", 3),
    ]
    assert found.trace.stored().splitlines() == [
        'File "shop/app.py", line 3, in get',
        'File "shop/pricing.py", line 7, in price',
        "    return PRICES[item]",
        "KeyError: 'tea'",
    ]


def test_flags_and_releases_are_counted_over_the_sample(store: ErrorsStore, service: str) -> None:
    off = {"flags": {"values": [{"flag": "new-pricing", "result": False}, {"flag": "x", "result": True}]}}
    raws = [event(1), event(2), event(3, contexts=off, release=f"shop@{'b' * 40}"), event(4, release="v1.2")]
    put(store, *(accepted(service, raw) for raw in raws))
    found = store.group(
        service=service, subject=accepted(service, raws[0]).subject, since=NOON, max_events=10
    )
    assert found.flags == (
        FlagObservation(flag="new-pricing", value=True, errors=3),
        FlagObservation(flag="new-pricing", value=False, errors=1),
        FlagObservation(flag="x", value=True, errors=1),
    )
    assert found.releases == (
        ReleaseObservation(sha=SHA, errors=2),
        ReleaseObservation(sha="b" * 40, errors=1),
    )


def test_the_sample_is_bounded_and_the_total_is_not(store: ErrorsStore, service: str) -> None:
    events = [accepted(service, event(n), kept=n == 0) for n in range(20)]
    put(store, *events)
    found = store.group(service=service, subject=events[0].subject, since=NOON, max_events=5)
    assert (found.total, found.sampled, sum(flag.errors for flag in found.flags)) == (20, 5, 5)


def test_only_events_since_then_count(store: ErrorsStore, service: str) -> None:
    events = [accepted(service, event(n), at=NOON + timedelta(hours=n)) for n in range(3)]
    put(store, *events)
    subject = events[0].subject
    assert store.count(service=service, subject=subject, since=NOON + timedelta(hours=1)) == 2
    assert (
        store.group(service=service, subject=subject, since=NOON + timedelta(hours=2), max_events=9).total
        == 1
    )


def test_a_group_without_events_since_then_is_not_found(store: ErrorsStore, service: str) -> None:
    one = accepted(service, event(1))
    put(store, one)
    with pytest.raises(NotFound):
        store.group(service=service, subject=one.subject, since=NOON + timedelta(days=1), max_events=5)


def test_a_payload_that_cannot_be_read_leaves_the_columns_to_speak(store: ErrorsStore, service: str) -> None:
    one = accepted(service, event(1))
    broken = AcceptedEvent(
        **{name: getattr(one, name) for name in one.__slots__ if name != "payload"},
        payload=zlib.compress(b'{"shape": "of tomorrow"}'),
    )
    put(store, broken)
    found = store.group(service=service, subject=one.subject, since=NOON, max_events=5)
    assert (found.total, found.frames, found.title) == (1, (), one.title)


def test_a_database_that_does_not_answer_is_unavailable(tmp_path: Path) -> None:
    engine = store_at(tmp_path / "store.db")
    store = ErrorsStore(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE error_events")
    for ask in (store.backlog, lambda: store.accept([(accepted("shop", event(1)), "b")])):
        with pytest.raises(Unavailable):
            ask()
    assert store.health().ok
