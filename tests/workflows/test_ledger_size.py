"""A ledger that has much to carry into its next run: it begins there, or it goes on and says why."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.audit import AuditActivities
from activities.ledger import LedgerDoor
from leverframe.model.ids import ledger_id
from policies.reservations import PauseRequest
from tests.fakes.asks import policy
from tests.fakes.audit import MemoryAudit
from tests.fakes.watched_ledger import WatchedLedger
from tests.fakes.workers import unversioned

pytestmark = pytest.mark.asyncio(loop_scope="module")

INCIDENT = PauseRequest(by="ada", reason="incident")


@asynccontextmanager
async def paused(
    env: WorkflowEnvironment, name: str
) -> AsyncIterator[tuple[LedgerDoor, WorkflowHandle[Any, Any]]]:
    """A paused ledger with eight large policies that wait for the store."""
    audit = AuditActivities(MemoryAudit(down=True))
    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            env.client,
            task_queue=name,
            workflows=[WatchedLedger],
            activities=[audit.append, audit.end],
            activity_executor=threads,
            workflow_runner=unversioned(),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ):
            door = LedgerDoor(env.client, name, task_queue=name)
            repositories = {f"r{number}": "" for number in range(60)}
            for number in range(8):
                limit = f"{{id: some, max: {number}, window: 1h}}"
                await door.install(policy([limit], repos=repositories))
            await door.pause(INCIDENT)
            yield door, env.client.get_workflow_handle(ledger_id(name))


async def test_large_policies_that_wait_for_the_store_do_not_keep_it_from_a_new_run(
    env: WorkflowEnvironment,
) -> None:
    async with paused(env, "org-large") as (door, handle):
        before = (await handle.describe()).run_id
        await handle.signal(WatchedLedger.renew)
        while (await handle.describe()).run_id == before:  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(0.05)
        assert [pause.reason for pause in (await door.overview()).pauses] == ["incident"]


async def test_what_no_new_run_could_begin_with_stays_in_this_one_which_serves_on_and_says_so(
    env: WorkflowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workflows.policy_ledger.MAX_START", 1000)
    async with paused(env, "org-too-large") as (door, handle):
        before = (await handle.describe()).run_id
        await handle.signal(WatchedLedger.renew)
        told = ""
        while "can't go on in a new run" not in told:
            await asyncio.sleep(0.05)
            page: WorkflowMetadata = await handle.query(
                "__temporal_workflow_metadata", result_type=WorkflowMetadata
            )
            told = page.current_details
        assert (await door.resume(INCIDENT)).pauses == ()
        assert (await handle.describe()).run_id == before
