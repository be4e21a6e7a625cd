"""What the scenarios of golden histories stand on: workers as in production, and what is kept of them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from inspect import getmembers, ismethod
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Worker

from activities.audit import AuditActivities
from leverframe.worker import WORKFLOW_FAILURES, WORKFLOWS, workflow_runner
from tests.fakes.audit import MemoryAudit
from tests.fakes.remediation_world import World
from workflows.queues import HANDS, SANDBOX

ACTIVITY = "__temporal_activity_definition"
"""What the SDK's decorator leaves on a method."""

Histories = dict[str, WorkflowHistory]


@asynccontextmanager
async def working(
    client: Client, world: World | None = None, workflows: Sequence[type] = WORKFLOWS
) -> AsyncIterator[None]:
    """Workers as in production, over the fakes of this world."""
    log = AuditActivities(MemoryAudit())
    audit = [method for _, method in getmembers(log, ismethod) if hasattr(method, ACTIVITY)]
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(4))
        hands = Worker(
            client,
            task_queue=HANDS,
            workflows=workflows,
            activities=[*(world.hands if world else ()), *audit],
            activity_executor=threads,
            workflow_runner=workflow_runner(build_id=""),
            workflow_failure_exception_types=WORKFLOW_FAILURES,
        )
        await stack.enter_async_context(hands)
        if world:
            sandbox = Worker(client, task_queue=SANDBOX, activities=[world.run_probes])
            await stack.enter_async_context(sandbox)
        yield


async def until(handle: WorkflowHandle[Any, Any], query: str, wanted: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(60):
        while not wanted(await handle.query(query)):  # noqa: ASYNC110 - a query has no event
            await asyncio.sleep(0.02)


async def history(client: Client, id_: str, run: str | None = None) -> WorkflowHistory:
    return await client.get_workflow_handle(id_, run_id=run).fetch_history()


def folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder
