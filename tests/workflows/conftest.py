"""A namespace of a real Temporal server for each module; its tests are isolated by workflow id and queue."""

import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from tests.fakes.servers import SharedServers


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def env(servers: SharedServers) -> WorkflowEnvironment:
    """The module's namespace where the clock is the real one."""
    return await servers.real()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def skipping(servers: SharedServers) -> WorkflowEnvironment:
    """The module's namespace that skips the time in which a workflow only waits for a timer."""
    return await servers.skipping()
