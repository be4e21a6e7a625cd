"""How many reservations a second the ledger answers through Temporal, as a ratio to a bare no-op Update.

The no-op goes to an entity workflow of the same shape, in the same process, on the same server, through a
door with the same turnstile, round by round; the audit log is written to SQLite meanwhile. The first round
of each fills the turnstiles and is not counted. Then the reason for the turnstile: the doors of four
processes, which share the server's limit without knowing of each other, and as many callers who ask as the
SDK lets them, all at once.

    .venv/bin/python bench/ledger.py [--calls 1000] [--callers 32] [--rounds 3] [--in-flight 10]
"""

import argparse
import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["LEVERFRAME_TEST_SANDBOXED"] = "1"  # as the product's workers

from rich.console import Console  # noqa: E402 - after the path is set
from rich.table import Table  # noqa: E402
from temporalio.client import Client, WithStartWorkflowOperation  # noqa: E402
from temporalio.common import WorkflowIDConflictPolicy  # noqa: E402
from temporalio.contrib.pydantic import pydantic_data_converter  # noqa: E402
from temporalio.worker import Worker  # noqa: E402

from activities.backends.audit_store import StoreAudit  # noqa: E402
from activities.backends.store_sql import open_store  # noqa: E402
from activities.ledger import LEDGER, LedgerDoor  # noqa: E402
from leverframe.model.ids import ledger_id  # noqa: E402
from policies.reservations import LedgerStart  # noqa: E402
from tests.fakes.asks import ask, policy  # noqa: E402
from tests.fakes.audit import ledger_worker  # noqa: E402
from tests.fakes.bare_entity import BareEntity  # noqa: E402
from tests.fakes.servers import running_server  # noqa: E402
from tests.fakes.workers import unversioned  # noqa: E402

LIMITS = (
    "{id: an-hour, scope: [repo], levers: [flip_flag], max: 1000000, window: 1h}",
    "{id: at-once, scope: [subject], max: 1, hold: until_settled}",
    "{id: a-week, scope: [agent], max: 1000000, window: 7d}",
)
CROWD_SECONDS = 20
"""How long the crowds may take for their calls."""


@dataclass(frozen=True)
class Round:
    """One measurement."""

    rate: float
    """Answers a second."""
    p50_ms: float
    p99_ms: float


async def measure(doors: Sequence[LedgerDoor], calls: int, callers: int) -> Round:
    """So many reservations by so many callers, who share these doors."""
    took: list[float] = []
    numbers = iter(range(calls))
    label = f"{time.monotonic_ns()}"

    async def caller(door: LedgerDoor) -> None:
        for number in numbers:
            began = time.perf_counter()
            await door.reserve(ask(f"{label}/{number}", subject=f"SHOP-{label}-{number}"))
            took.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await _within(CROWD_SECONDS * 10, (caller(doors[number % len(doors)]) for number in range(callers)))
    rate = len(took) / (time.perf_counter() - began)
    return Round(rate, statistics.median(took), statistics.quantiles(took, n=100)[98])


async def naive(client: Client, callers: int) -> tuple[int, float]:
    """How many reservations all callers get, and per second, when they ask through the SDK all at once."""
    answered = 0

    async def caller(first: int) -> None:
        nonlocal answered
        for number in itertools.count(first, callers):
            start = WithStartWorkflowOperation[object, object](
                LEDGER,
                LedgerStart(organisation="naive"),
                id=ledger_id("naive"),
                task_queue="naive",
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
            request = ask(f"naive/{number}", subject=f"NAIVE-{number}")
            await client.execute_update_with_start_workflow(
                "reserve", request, start_workflow_operation=start
            )
            answered += 1

    began = time.perf_counter()
    await _within(CROWD_SECONDS, (caller(first) for first in range(callers)))
    return answered, answered / (time.perf_counter() - began)


async def _within(seconds: float, callers: Iterable[Coroutine[object, object, None]]) -> None:
    """Let them all run until they are through, or so long. One that gives up does not stop the others."""
    tasks = [asyncio.create_task(caller) for caller in callers]
    _, late = await asyncio.wait(tasks, timeout=seconds)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def bare_worker(client: Client) -> AsyncIterator[LedgerDoor]:
    """A worker for the bare entity, and a door to it."""
    async with Worker(client, task_queue="bare", workflows=[BareEntity], workflow_runner=unversioned()):
        yield LedgerDoor(client, "bare", task_queue="bare")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--calls", type=int, default=1000, help="reservations per round")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=10, help="Updates the server takes at once")
    options = parser.parse_args()
    bare: list[Round] = []
    real: list[Round] = []
    tuned = [f"history.maxInFlightUpdates={options.in_flight}"]
    with tempfile.TemporaryDirectory() as home:
        log = StoreAudit(open_store(f"sqlite:///{home}/store.db"))
        async with (
            await running_server(tuned=tuned) as environment,
            bare_worker(environment.client) as bare_door,
            ledger_worker(environment.client, log, organisation="real") as door,
            ledger_worker(environment.client, log, organisation="crowd") as crowd_door,
            ledger_worker(environment.client, log, organisation="naive") as naive_door,
        ):
            for each in (door, crowd_door, naive_door):
                await each.install(policy(LIMITS))
            for counted in range(options.rounds + 1):
                found = [await measure([one], options.calls, options.callers) for one in (bare_door, door)]
                if counted:
                    bare.append(found[0])
                    real.append(found[1])
            address = environment.client.service_client.config.target_host
            doors = [
                LedgerDoor(
                    await Client.connect(address, data_converter=pydantic_data_converter),
                    "crowd",
                    task_queue="crowd",
                    answer_within=timedelta(seconds=60),
                )
                for _ in range(4)
            ]
            four = await measure(doors, options.calls, options.callers)
            alone = await naive(environment.client, options.callers)
    report(options, bare, real, four, alone)


def report(
    options: argparse.Namespace, bare: list[Round], real: list[Round], four: Round, alone: tuple[int, float]
) -> None:
    """Medians over the rounds, and the ratios round by round."""
    table = Table(
        *("", "answers/s", "p50 ms", "p99 ms"),
        title=f"{options.callers} callers, a server that takes {options.in_flight} Updates at once",
    )
    rows = (
        ("bare no-op Update", bare),
        ("reserve", real),
        ("reserve, through four processes' doors", [four]),
    )
    for name, rounds in rows:
        medians = (
            statistics.median(getattr(one, part) for one in rounds) for part in ("rate", "p50_ms", "p99_ms")
        )
        table.add_row(name, *(f"{value:,.0f}" for value in medians))
    table.add_row(f"reserve, naive: {alone[0]} in {CROWD_SECONDS} s", f"{alone[1]:,.1f}", "", "")
    console = Console()
    console.print(table)
    for name, part in (("rate", "rate"), ("p99", "p99_ms")):
        ratios = [getattr(one, part) / getattr(base, part) for base, one in zip(bare, real, strict=True)]
        each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        console.print(f"{name}, reserve to no-op: {statistics.median(ratios):.2f} (rounds: {each})")


if __name__ == "__main__":
    asyncio.run(main())
