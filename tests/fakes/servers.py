"""Real Temporal servers for tests, from the binary beside the interpreter."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import TimeSkipper, WorkflowEnvironment

from tests.fakes.workers import NamedWorkers
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
    return await _server(_arguments(tuned), port)


async def skipping_server(*, tuned: Sequence[str] = ()) -> WorkflowEnvironment:
    """A server that skips the time in which a workflow only waits for a timer. `tuned` as above."""
    return await WorkflowEnvironment.start_time_skipping_v2(
        dev_server_existing_path=SERVER,
        dev_server_log_level="error",
        dev_server_startup_timeout=STARTUP,
        dev_server_extra_args=[*ARGUMENTS, *_arguments(tuned)],
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
        plugins=[NamedWorkers()],
    )


async def _server(more: Sequence[str], port: int | None = None) -> WorkflowEnvironment:
    return await WorkflowEnvironment.start_local(
        port=port,
        dev_server_existing_path=SERVER,
        dev_server_log_level="error",
        dev_server_startup_timeout=STARTUP,
        dev_server_extra_args=[*ARGUMENTS, *more],
        search_attributes=list(attributes.ALL),
        data_converter=pydantic_data_converter,
        plugins=[NamedWorkers()],
    )


NAMESPACES = tuple(f"module-{number}" for number in range(24))


class SharedServers:
    """Servers that many modules use, one after the other: starting one takes longer than most tests.

    Each module has a namespace of its own, so that it sees no other's workflows. A server has a few; when
    they are given away the next one is started.
    """

    def __init__(self) -> None:
        self._running: list[WorkflowEnvironment] = []
        self._free: list[str] = []

    async def real(self) -> WorkflowEnvironment:
        """A namespace where time passes as it does."""
        return WorkflowEnvironment.from_client(await self._client())

    async def skipping(self) -> WorkflowEnvironment:
        """A namespace where the time is skipped in which a workflow only waits for a timer."""
        return Skipping(WorkflowEnvironment.from_client(await self._client()).client)

    async def stop(self) -> None:
        """Stop all of them."""
        for each in self._running:
            await each.shutdown()

    async def _client(self) -> Client:
        if not self._free:
            named = [word for name in NAMESPACES for word in ("--namespace", name)]
            self._running.append(await _server(named))
            self._free = list(NAMESPACES)
        return await self._running[-1].connect_client(
            namespace=self._free.pop(0),
            data_converter=pydantic_data_converter,
            plugins=[NamedWorkers()],
        )


class Skipping(WorkflowEnvironment):
    """What `WorkflowEnvironment.start_time_skipping_v2` gives, on a server that is there already."""

    def __init__(self, client: Client) -> None:
        self._skipper = TimeSkipper(client)
        super().__init__(self._skipper.client)

    async def get_current_time(self, handle: WorkflowHandle[Any, Any] | None = None) -> datetime:
        assert handle is not None, "each workflow has a clock of its own"
        return await self._skipper.get_current_time(handle)

    async def fast_forward(
        self, handle: WorkflowHandle[Any, Any], duration: timedelta | float | None = None, /
    ) -> bool:
        return await self._skipper.fast_forward(handle, duration)

    @contextmanager
    def with_time_skipping_disabled(self) -> Iterator[None]:
        with self._skipper.with_time_skipping_disabled():
            yield
