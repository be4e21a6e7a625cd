"""Nothing that the gateway acknowledged is lost when the engine dies, and nothing is counted twice."""

import asyncio
import json
import os
import uuid
from pathlib import Path

import httpx
import pytest

from leverframe.client import connect
from leverframe.demo.stage import SENTRY_PROJECT, Stage
from leverframe.demo.view import until
from workflows.messages import WatchStart

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(240),
    pytest.mark.skipif(
        "LEVERFRAME_TEST_KILL_SEEDS" not in os.environ,
        reason="LEVERFRAME_TEST_KILL_SEEDS is not set: make test-kills",
    ),
]

EVENTS = 600


def envelope(event_id: str) -> bytes:
    """One error event of one group, as sentry-sdk frames it."""
    frame = {
        "filename": "shop/app.py",
        "function": "checkout",
        "module": "shop.app",
        "lineno": 7,
        "in_app": True,
    }
    event = {
        "event_id": event_id,
        "level": "error",
        "exception": {"values": [{"type": "ValueError", "value": "no", "stacktrace": {"frames": [frame]}}]},
    }
    payload = json.dumps(event).encode()
    header = json.dumps({"event_id": event_id}).encode()
    item = json.dumps({"type": "event", "length": len(payload)}).encode()
    return b"\n".join([header, item, payload, b""])


class Sender:
    """Sends every event until the gateway says 200, as a client with a retry queue does."""

    def __init__(self, stage: Stage) -> None:
        gateway = stage.settings.gateway
        key = gateway.sentry_keys[SENTRY_PROJECT].get_secret_value()
        self.url = f"http://127.0.0.1:{gateway.port}/api/{SENTRY_PROJECT}/envelope/"
        self.headers = {"X-Sentry-Auth": f"Sentry sentry_key={key}, sentry_version=7"}
        self.refused = 0

    async def send(self, client: httpx.AsyncClient, event_id: str) -> None:
        while True:
            try:
                answer = await client.post(self.url, content=envelope(event_id), headers=self.headers)
            except httpx.HTTPError:
                self.refused += 1
            else:
                if answer.status_code == httpx.codes.OK:
                    return
                assert answer.status_code == httpx.codes.SERVICE_UNAVAILABLE, answer.text
                assert int(answer.headers["Retry-After"]) >= 1
                self.refused += 1
            await asyncio.sleep(0.5)


async def test_killing_the_engine_in_a_storm_loses_no_count_and_doubles_none(tmp_path: Path) -> None:
    stage = Stage(home=tmp_path)
    stage.prepare()
    await stage.start()
    try:
        sender = Sender(stage)
        gate = asyncio.Semaphore(40)
        events = [uuid.uuid4().hex for _ in range(EVENTS)]

        async with httpx.AsyncClient(timeout=30) as client:

            async def send(number: int, event_id: str) -> None:
                async with gate:
                    if number == EVENTS // 3:
                        stage.kill("temporal")
                    if number == EVENTS // 2:
                        stage.kill("gateway")
                    await sender.send(client, event_id)

            await asyncio.gather(*(send(number, event) for number, event in enumerate(events)))

        assert sender.refused > 0, "the engine's death was not even noticed"
        engine = await connect(stage.settings)

        async def counted() -> int | None:
            watches = {found.id async for found in engine.list_workflows("WorkflowType = 'WatchWorkflow'")}
            if len(watches) != 1:
                return None
            watch = engine.get_workflow_handle(watches.pop())
            snapshot = await watch.query("snapshot", result_type=WatchStart)
            return snapshot.events if snapshot.events >= EVENTS else None

        total = await until("the watch to count every event", counted, seconds=60)
        assert total == EVENTS
    finally:
        stage.stop()
