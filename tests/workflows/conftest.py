"""Real Temporal servers, one of each kind per test module. Tests are isolated by workflow id and queue."""

from collections.abc import AsyncIterator

import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from tests.fakes.servers import running_server, skipping_server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def env() -> AsyncIterator[WorkflowEnvironment]:
    """The module's server whose clock is the real one."""
    async with await running_server() as environment:
        yield environment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """The module's server that skips the time in which a workflow only waits for a timer."""
    async with await skipping_server() as environment:
        yield environment
