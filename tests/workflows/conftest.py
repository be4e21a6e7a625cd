"""Real Temporal servers, one of each kind per test module. Tests are isolated by workflow id and queue."""

import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest_asyncio
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from workflows import attributes

SERVER = str(Path(sys.executable).parent / "temporal")
TUNED = (
    "history.transferProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="1ms"',
    "frontend.WorkflowTimeSkippingEnabled=true",
)
ARGUMENTS = [word for value in TUNED for word in ("--dynamic-config-value", value)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def env() -> AsyncIterator[WorkflowEnvironment]:
    """A server whose clock is the real one."""
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=SERVER,
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
        dev_server_extra_args=ARGUMENTS,
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
    ) as environment:
        yield environment


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    """A server that skips the time in which a workflow only waits for a timer."""
    async with await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=SERVER,
        dev_server_log_level="error",
        dev_server_startup_timeout=timedelta(seconds=60),
        dev_server_extra_args=ARGUMENTS,
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
    ) as environment:
        yield environment
