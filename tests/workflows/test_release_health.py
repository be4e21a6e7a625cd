"""The gateway's health document of a service while a real release is in the canary."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.gateway.release_health import gate_now
from leverframe.model.releases import GateVerdict
from tests.fakes.gateway import gateway
from tests.fakes.release_world import NEW, NEWER, T0, FakeTraffic, World
from tests.fakes.releases import Releases
from workflows.release.helm import Order
from workflows.release.story import Progress
from workflows.release.workflow import ReleaseWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


def judged(story: Progress) -> bool:
    """On its second share, with something to compare."""
    seen = story.verdict
    return seen is not None and seen.percent == 25 and "errors: canary" in seen.reason


async def gate_of(http: httpx.AsyncClient) -> dict[str, Any]:
    answer = await http.get("/health/release/shop")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()["gate"]
    return found


async def test_the_document_says_what_the_gate_says_and_none_when_it_is_over(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with gateway(tmp_path, env.client, metrics=FakeTraffic(world)) as door, releases.worker():
        assert (await gate_of(door.http))["verdict"] == "none"
        handle = await releases.start(plain_id=True)
        await releases.told(handle, judged)
        await handle.execute_update(ReleaseWorkflow.pause, Order(person="ada", reason="look"))
        found = await gate_of(door.http)
        assert (found["verdict"], found["sha"], found["weight"], found["paused_by"]) == (
            "hold",
            NEW,
            25,
            "ada",
        )
        assert found["explanation"].startswith("errors: canary ")
        await handle.execute_update(ReleaseWorkflow.abort, Order(person="ada", reason="no"))
        await handle.result()
        assert (await gate_of(door.http))["verdict"] == "none"


async def test_a_gate_that_nobody_works_at_is_an_outage_and_not_green(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with gateway(tmp_path, env.client, metrics=FakeTraffic(world)) as door:
        async with releases.worker():
            handle = await releases.start(NEWER, plain_id=True)
            await releases.told(handle, judged)
        answer = await door.http.get("/health/release/shop")
        assert answer.status_code == 503
        assert "did not answer within 3 s" in answer.text
        await handle.terminate()


async def test_an_old_verdict_is_stale() -> None:
    seen = GateVerdict(
        colour="green", percent=5, reason="well", canary_requests=1, canary_errors=0, stable_requests=1,
        stable_errors=0,
    )  # fmt: skip
    story = Progress(service="shop", sha=NEW, percent=5, verdict=seen, judged_at=T0)
    assert gate_now(story, 15, T0 + timedelta(seconds=135)).verdict == "green"
    assert gate_now(story, 15, T0 + timedelta(seconds=136)).verdict == "stale"
    assert gate_now(Progress(service="shop", sha=NEW), 15, T0).verdict == "hold"
