"""How many events a second the gateway accepts, as a ratio to bare signal-with-start calls of the SDK.

Both go to the same engine in the same run, round by round; every event is distinct and of one group, and
counts once the engine has acknowledged it. No worker runs, so this is the intake alone. The gateway is a
process of its own, as in production, on a store of its own; its resident memory is read from /proc.

    .venv/bin/python bench/intake.py [--events 10000] [--calls 1000] [--rounds 3]
"""

import argparse
import asyncio
import gzip
import json
import os
import socket
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import aiohttp  # noqa: E402 - after the path is set
from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402
from temporalio.client import Client  # noqa: E402
from temporalio.contrib.pydantic import pydantic_data_converter  # noqa: E402

from leverframe.model.signals import ErrorBatch, SecondCount  # noqa: E402
from leverframe.model.untrusted import Untrusted  # noqa: E402
from tests.fakes.gateway import KEY, PROJECT, REPOSITORY, envelope, event  # noqa: E402
from tests.fakes.servers import running_server  # noqa: E402
from workflows.messages import WatchStart  # noqa: E402
from workflows.queues import HANDS  # noqa: E402

CALLERS = 50
"""Bare calls in flight: where the engine's throughput stops growing."""
SENDERS = 1000
"""Senders that each wait for their answer, as an SDK's transport does."""


@dataclass(frozen=True)
class Round:
    """One measurement."""

    rate: float
    """Acknowledged events a second."""
    p50_ms: float
    p99_ms: float


async def measure(count: int, lanes: int, once: Callable[[int], Awaitable[None]]) -> Round:
    """Do `once` for 0 … count-1, `lanes` at a time."""
    took: list[float] = []

    async def lane(first: int) -> None:
        for number in range(first, count, lanes):
            began = time.perf_counter()
            await once(number)
            took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(lane(first) for first in range(lanes)))
    rate = count / (time.perf_counter() - began)
    return Round(rate, statistics.median(took), statistics.quantiles(took, n=100)[98])


async def bare(client: Client, calls: int) -> Round:
    """One event per SDK call, all to one watch."""
    subject = f"BARE-{uuid.uuid4().hex[:12].upper()}"
    start = WatchStart(agent="sentry_spike", repository="shop", service="shop", subject=subject)

    async def once(number: int) -> None:
        now = datetime.now(UTC)
        batch = ErrorBatch(
            id=f"{number}",
            repository="shop",
            service="shop",
            subject=subject,
            title=Untrusted("KeyError: 'tea'"),
            counts=(SecondCount(second=int(now.timestamp()), count=1),),
            received_at=now,
        )
        await client.start_workflow(
            "WatchWorkflow",
            start,
            id=f"watch/sentry_spike/shop/{subject}",
            task_queue=HANDS,
            start_signal="observe",
            start_signal_args=[batch],
        )

    return await measure(calls, CALLERS, once)


async def through_gateway(address: str, events: int) -> Round:
    """One event per request, compressed as the SDK does, all of one group."""
    error = f"Bench{uuid.uuid4().hex[:8]}"
    bodies = [
        gzip.compress(envelope(event(uuid.uuid4().int, error=error)), compresslevel=1) for _ in range(events)
    ]
    headers = {
        "X-Sentry-Auth": f"Sentry sentry_key={KEY}, sentry_version=7",
        "Content-Encoding": "gzip",
        "Content-Type": "application/x-sentry-envelope",
    }
    connector = aiohttp.TCPConnector(limit=SENDERS)
    async with aiohttp.ClientSession(address, connector=connector, headers=headers) as session:

        async def once(number: int) -> None:
            async with session.post(f"/api/{PROJECT}/envelope/", data=bodies[number]) as reply:
                if reply.status != 200:
                    raise RuntimeError(f"{reply.status}: {await reply.text()}")

        return await measure(events, SENDERS, once)


@asynccontextmanager
async def gateway_process(home: Path, engine: str) -> AsyncIterator[tuple[str, int]]:
    """The gateway as its own process; yields its address and process id."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    settings = {
        "HOME": str(home),
        "REPOSITORIES": json.dumps([REPOSITORY]),
        "TEMPORAL__ADDRESS": engine,
        "TELEMETRY__LOG_LEVEL": "warning",
        "GATEWAY__PORT": str(port),
        "GATEWAY__SENTRY_PROJECTS": json.dumps({PROJECT: "shop"}),
        "GATEWAY__SENTRY_KEYS": json.dumps({PROJECT: KEY}),
    }
    environment = {**os.environ, **{f"LEVERFRAME_{name}": value for name, value in settings.items()}}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "leverframe", "gateway", cwd=ROOT, env=environment
    )
    address = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(60), aiohttp.ClientSession(address) as session:
            while True:
                if await _is_ready(session):
                    break
                await asyncio.sleep(0.1)
        yield address, process.pid
    finally:
        process.terminate()
        await process.wait()


async def _is_ready(session: aiohttp.ClientSession) -> bool:
    try:
        async with session.get("/health/ready") as reply:
            return reply.status == 200
    except aiohttp.ClientConnectionError:
        return False


def resident_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of a process, or its peak with `VmHWM`, in MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--events", type=int, default=10_000, help="events through the gateway per round")
    parser.add_argument("--calls", type=int, default=1000, help="bare calls per round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    calls: list[Round] = []
    events: list[Round] = []
    async with await running_server() as environment:
        engine = environment.client.service_client.config.target_host
        client = await Client.connect(engine, data_converter=pydantic_data_converter)
        with tempfile.TemporaryDirectory() as home:
            async with gateway_process(Path(home), engine) as (address, pid):
                idle = resident_mb(pid)
                for _ in range(options.rounds):
                    calls.append(await bare(client, options.calls))
                    events.append(await through_gateway(address, options.events))
                memory = idle, resident_mb(pid), resident_mb(pid, "VmHWM")
    report(calls, events, memory)


def report(calls: list[Round], events: list[Round], memory: tuple[float, float, float]) -> None:
    """Medians over the rounds, the ratio round by round, and memory."""
    table = Table("", "events/s", "p50 ms", "p99 ms", title="Accepted events, acknowledged by the engine")
    for name, rounds in (
        (f"bare signal-with-start, {CALLERS} in flight", calls),
        (f"gateway, {SENDERS} senders", events),
    ):
        medians = (
            statistics.median(getattr(one, field) for one in rounds) for field in ("rate", "p50_ms", "p99_ms")
        )
        table.add_row(name, *(f"{value:,.0f}" for value in medians))
    ratios = [event_.rate / call.rate for call, event_ in zip(calls, events, strict=True)]
    console = Console()
    console.print(table)
    console.print(f"ratio: {statistics.median(ratios):.1f} (rounds: {', '.join(f'{r:.1f}' for r in ratios)})")
    console.print("gateway memory: {:.0f} MiB idle, {:.0f} MiB after, {:.0f} MiB peak".format(*memory))


if __name__ == "__main__":
    asyncio.run(main())
