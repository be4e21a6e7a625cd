"""From a sender to the watch: the real SDK, the real application, a real store and a real engine."""

import asyncio
import hmac
import json
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import sentry_sdk
from opentelemetry import trace
from sentry_sdk.feature_flags import add_feature_flag
from starlette.applications import Starlette
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Worker

from activities.inbox import StoredBatch
from leverframe.gateway.counters import Counters
from leverframe.gateway.grouping import issue_subject
from leverframe.gateway.inbox import Pace
from leverframe.gateway.watches import Watches
from leverframe.model.errors import LeverframeError
from leverframe.model.ids import watch_id
from leverframe.model.signals import SecondCount
from leverframe.model.untrusted import Untrusted
from tests.fakes.gateway import (
    KEY,
    PROJECT,
    SHA,
    WEBHOOK_SECRET,
    Gateway,
    envelope,
    event,
    gateway,
    served,
    settings_for,
)
from tests.fakes.runs import PatientRun
from tests.fakes.servers import SharedServers, running_server
from tests.fakes.workers import unversioned
from workflows.messages import WatchStart
from workflows.watch import EVENTS_PER_RUN, WatchWorkflow

STORM = int(os.environ.get("LEVERFRAME_TEST_STORM", "3000"))
"""Events of one group, at once."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(servers: SharedServers) -> Client:
    # The environment's own client wraps each call for assertions inside workflows, which costs.
    return await (await servers.real()).connect_client(data_converter=pydantic_data_converter)


@pytest.fixture
def queue(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


@asynccontextmanager
async def hands(client: Client, queue: str) -> AsyncIterator[None]:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[WatchWorkflow, PatientRun],
        workflow_runner=unversioned(),
        workflow_failure_exception_types=[LeverframeError],
    ):
        yield


async def watches(client: Client, queue: str, count: int = 1) -> list[str]:
    """Ids of the watches on the queue, once there are as many."""
    async with asyncio.timeout(30):
        while True:
            found = [
                w.id
                async for w in client.list_workflows("WorkflowType = 'WatchWorkflow'")
                if w.task_queue == queue
            ]
            if len(set(found)) >= count:
                return sorted(set(found))
            await asyncio.sleep(0.05)


async def counted(client: Client, watch: str, events: int) -> WatchStart:
    """The watch's snapshot once it has counted at least so many events."""
    handle = client.get_workflow_handle_for(WatchWorkflow.run, watch)
    async with asyncio.timeout(60):
        while True:
            found = await handle.query(WatchWorkflow.snapshot)
            if found.events >= events:
                return found
            await asyncio.sleep(0.05)


async def drained(door: Gateway) -> None:
    """Return once the engine has all that the store holds."""
    async with asyncio.timeout(60):
        while True:
            if door.store.backlog() == 0:
                return
            await asyncio.sleep(0.05)


def crash_with_sdk(dsn: str, algorithm: str) -> None:
    """What a service does: an exception leaves it through the SDK, with a flag that was evaluated."""
    sender = sentry_sdk.Client(
        dsn,
        release=SHA,
        environment="production",
        auto_enabling_integrations=False,
        _experiments={"transport_compression_algo": algorithm},  # type: ignore[typeddict-item]  # as a setting
    )
    failure = type(f"Sent_{algorithm}", (LookupError,), {})
    with sentry_sdk.isolation_scope() as scope:
        scope.set_client(sender)
        add_feature_flag("new-pricing", True)
        try:
            raise failure("tea")
        except LookupError as error:
            scope.capture_exception(error)
    sender.close(timeout=30)


@pytest.mark.parametrize("algorithm", ["br", "gzip", "none"])
async def test_what_the_real_sdk_sends_is_counted_in_every_compression_that_it_uses(
    client: Client, tmp_path: Path, queue: str, algorithm: str
) -> None:
    async with (
        gateway(tmp_path, client, task_queue=queue) as door,
        served(door.app) as address,
        hands(client, queue),
    ):
        dsn = address.replace("http://", f"http://{KEY}@") + f"/{PROJECT}"
        await asyncio.to_thread(crash_with_sdk, dsn, algorithm)
        assert door.counters.value("events_accepted_total") == 1
        [watch] = await watches(client, queue)
        snapshot = await counted(client, watch, 1)
    found = door.store.group(service="shop", subject=snapshot.subject, since=EPOCH, max_events=5)
    assert found.exception.for_terminal() == f"Sent_{algorithm}: tea"
    assert [(flag.flag, flag.value) for flag in found.flags] == [("new-pricing", True)]
    assert [release.sha for release in found.releases] == [SHA]
    assert found.frames[0][1].for_terminal() == "crash_with_sdk"


async def test_an_event_sent_twice_is_counted_once(client: Client, tmp_path: Path, queue: str) -> None:
    async with gateway(tmp_path, client, task_queue=queue) as door, hands(client, queue):
        replies = [await door.send(envelope(event(1, error="TwiceError"))) for _ in range(2)]
        assert [reply.status_code for reply in replies] == [200, 200]
        assert replies[0].json() == replies[1].json() == {"id": f"{1:032x}"}
        await door.send(envelope(event(2, error="TwiceError")))
        [watch] = await watches(client, queue)
        assert (await counted(client, watch, 2)).events == 2


async def test_the_older_store_path_delivers_too(client: Client, tmp_path: Path, queue: str) -> None:
    async with gateway(tmp_path, client, task_queue=queue) as door, hands(client, queue):
        body = json.dumps(event(1, error="StoreError")).encode()
        reply = await door.http.post(f"/api/{PROJECT}/store/", params={"sentry_key": KEY}, content=body)
        assert reply.json() == {"id": f"{1:032x}"}
        [watch] = await watches(client, queue)
        assert (await counted(client, watch, 1)).title.for_terminal() == "StoreError: 'tea'"


async def _webhook(door: Gateway, resource: str, payload: Mapping[str, object], request_id: str) -> int:
    body = json.dumps(payload).encode()
    signature = hmac.new(WEBHOOK_SECRET.encode(), body, sha256).hexdigest()
    headers = {
        "Sentry-Hook-Resource": resource,
        "Sentry-Hook-Signature": signature,
        "Request-ID": request_id,
    }
    reply = await door.http.post("/webhooks/sentry", content=body, headers=headers)
    return int(reply.status_code)


async def test_sentrys_own_webhooks_meet_in_one_watch_and_redelivery_changes_nothing(
    client: Client, tmp_path: Path, queue: str
) -> None:
    raw = {**event(1), "project": 1, "issue_id": "4711"}
    issue = {
        "id": "4711",
        "title": "KeyError: 'tea'",
        "project": {"id": "1", "slug": "shop"},
        "substatus": "escalating",
        "lastSeen": "2026-03-02T12:00:00Z",
    }
    async with gateway(tmp_path, client, task_queue=queue) as door, hands(client, queue):
        for request_id in ("first", "again"):
            for resource, payload in (
                ("event_alert", {"action": "triggered", "data": {"event": raw}}),
                ("error", {"action": "created", "data": {"error": {**raw, "event_id": f"{2:032x}"}}}),
                ("issue", {"action": "unresolved", "data": {"issue": issue}}),
            ):
                assert await _webhook(door, resource, payload, request_id) == 200
        found = await counted(client, watch_id("sentry_spike", "shop", "SHOP-ISSUE-4711"), 3)
    assert (found.events, found.escalations, found.runs) == (3, 1, 1)


async def test_an_escalation_of_a_service_with_the_longest_name_reaches_its_watch(
    client: Client, tmp_path: Path, queue: str
) -> None:
    name = "s" * 63
    issue = {"id": "9" * 20, "title": "t", "project": {"id": "1"}, "substatus": "escalating"}
    async with gateway(tmp_path, client, task_queue=queue, service=name) as door, hands(client, queue):
        payload = {"action": "unresolved", "data": {"issue": issue}}
        assert await _webhook(door, "issue", payload, "first") == 200
        found = await counted(client, watch_id("sentry_spike", name, issue_subject(name, "9" * 20)), 1)
    assert found.escalations == 1


async def test_while_the_engine_is_away_senders_get_503_and_then_each_event_is_delivered_once(
    tmp_path: Path,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    away = await Client.connect(f"127.0.0.1:{port}", data_converter=pydantic_data_converter, lazy=True)
    queue = "engine-away"
    async with gateway(tmp_path, away, task_queue=queue) as door:
        refused = await door.send(envelope(event(1)))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert (await door.http.get("/health/ready")).status_code == 503
        assert (await door.http.get("/health/live")).status_code == 200
        assert door.store.backlog() == 1
        async with await running_server(port) as environment, hands(environment.client, queue):
            await drained(door)
            assert (await door.send(envelope(event(1)))).status_code == 200
            assert (await door.send(envelope(event(2)))).status_code == 200
            assert (await door.http.get("/health/ready")).status_code == 200
            [watch] = await watches(environment.client, queue)
            found = await counted(environment.client, watch, 2)
    assert (found.events, found.batches) == (2, 2)


async def test_the_trace_context_travels_in_the_header_where_the_workers_tracing_looks(
    client: Client, tmp_path: Path, queue: str
) -> None:
    watches_of = Watches(settings_for(tmp_path), client, Counters(), task_queue=queue)
    now = datetime.now(UTC)
    batch = StoredBatch(
        id="b",
        service="shop",
        subject="SHOP-TRACED",
        title=Untrusted("KeyError"),
        counts=(SecondCount(second=int(now.timestamp()), count=1),),
        received_at=now,
    )
    caller = trace.SpanContext(trace_id=7, span_id=8, is_remote=False, trace_flags=trace.TraceFlags(1))
    with trace.use_span(trace.NonRecordingSpan(caller)):
        await watches_of.send(batch)
    handle = client.get_workflow_handle(watch_id("sentry_spike", "shop", "SHOP-TRACED"))
    started = (await handle.fetch_history()).events[0].workflow_execution_started_event_attributes
    carried = json.loads(started.header.fields["_tracer-data"].data)
    assert carried["traceparent"].startswith(f"00-{7:032x}-")
    assert (await (await handle.describe()).static_summary()) == "sentry_spike watches SHOP-TRACED: KeyError"


async def test_release_health_is_passed_on_and_a_blind_backend_is_a_503(
    client: Client, tmp_path: Path
) -> None:
    async with gateway(tmp_path, client) as door:
        assert (await door.http.get("/health/release/shop")).json()["stable"] == SHA
        assert (await door.http.get("/health/release/other")).status_code == 404
        door.metrics.blind = True
        assert (await door.http.get("/health/release/shop")).status_code == 503


async def test_metrics_and_the_front_page_are_served(client: Client, tmp_path: Path) -> None:
    async with gateway(tmp_path, client) as door:
        await door.send(b"nonsense")
        metrics = (await door.http.get("/metrics")).text
        assert 'leverframe_gateway_refused_total{reason="malformed"} 1.0' in metrics
        assert "/webhooks/sentry" in (await door.http.get("/")).text


async def post(app: Starlette, body: bytes) -> int:
    """One request straight into the application, without a client's work around it."""
    statuses: list[int] = []
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": f"/api/{PROJECT}/envelope/",
        "raw_path": b"",
        "query_string": b"",
        "headers": [(b"x-sentry-auth", f"Sentry sentry_key={KEY}".encode())],
    }

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope, receive, send)
    return statuses[0]


@pytest.mark.slow
async def test_thousands_of_events_of_one_group_are_one_watch_one_run_an_exact_count_and_bounded_history(
    client: Client, tmp_path: Path, queue: str
) -> None:
    total, senders = STORM, 1000
    async with (
        gateway(
            tmp_path,
            client,
            task_queue=queue,
            pace=Pace(coalesce=0.2, answer=30),
        ) as door,
        hands(client, queue),
    ):

        async def sender(first: int) -> None:
            for number in range(first, total, senders):
                assert await post(door.app, envelope(event(number, error="StormError"))) == 200

        await asyncio.gather(*(sender(first) for first in range(senders)))
        [watch] = await watches(client, queue)
        found = await counted(client, watch, total)
        handle = client.get_workflow_handle(watch)
        history = await handle.fetch_history()
    assert found.events == total
    assert door.store.count(service="shop", subject=found.subject, since=EPOCH) == total
    assert found.runs == 1
    assert door.counters.value("signals_total", result="acknowledged") == found.batches
    assert found.batches <= total / 20
    assert len(history.events) < 2 * EVENTS_PER_RUN
