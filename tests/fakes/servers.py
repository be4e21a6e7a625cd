"""Real Temporal servers for tests, from the binary beside the interpreter."""

import sys
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from workflows import attributes

SERVER = str(Path(sys.executable).parent / "temporal")
STARTUP = timedelta(seconds=60)
TUNED = (
    "history.transferProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="1ms"',
    "frontend.WorkflowTimeSkippingEnabled=true",
)


def _arguments(tuned: Sequence[str]) -> list[str]:
    return [word for value in tuned for word in ("--dynamic-config-value", value)]


ARGUMENTS = _arguments(TUNED)


async def running_server(port: int | None = None, *, tuned: Sequence[str] = ()) -> WorkflowEnvironment:
    """A server whose clock is the real one, on a free port or this one; it stops when its block ends.

    `tuned`: more dynamic configuration, as `name=value`.
    """
    return await WorkflowEnvironment.start_local(
        port=port,
        dev_server_existing_path=SERVER,
        dev_server_log_level="error",
        dev_server_startup_timeout=STARTUP,
        dev_server_extra_args=[*ARGUMENTS, *_arguments(tuned)],
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
    )


async def skipping_server(*, tuned: Sequence[str] = ()) -> WorkflowEnvironment:
    """A server that skips the time in which a workflow only waits for a timer. `tuned` as above."""
    return await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=SERVER,
        dev_server_log_level="error",
        dev_server_startup_timeout=STARTUP,
        dev_server_extra_args=[*ARGUMENTS, *_arguments(tuned)],
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
    )
