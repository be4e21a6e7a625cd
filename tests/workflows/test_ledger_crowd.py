"""The ledger under a crowd: however many ask at once, and whoever dies meanwhile, a limit is a limit."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from activities.backends.audit_store import StoreAudit
from activities.backends.store_sql import open_store
from activities.ledger import LEDGER, LedgerDoor
from leverframe.model.errors import Unavailable
from leverframe.model.ids import ledger_id
from leverframe.model.outcomes import Outcome
from policies.audit import Head, broken_at
from policies.decision import Allowed, Decision, ReserveRequest
from policies.reservations import Committed, LedgerStart, Settlement
from tests.fakes.asks import ask, policy
from tests.fakes.audit import MemoryAudit, ledger_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parents[2]
THREE_FLIPS = "{id: flips, levers: [flip_flag], max: 3, window: 1h}"
AT_ONCE = 4
EFFECTS = 24
FOUR_AT_ONCE = f"{{id: at-once, max: {AT_ONCE}, hold: until_settled}}"

T = TypeVar("T")


async def another_door(env: WorkflowEnvironment, organisation: str) -> LedgerDoor:
    """A door as another process has it: with a connection and a turnstile of its own."""
    client = await env.connect_client(data_converter=pydantic_data_converter)
    return LedgerDoor(client, organisation, task_queue=organisation)


async def patiently(ask_once: Callable[[], Awaitable[T]]) -> T:
    """What a workflow does with a retryable error: ask again."""
    while True:
        try:
            return await ask_once()
        except Unavailable:
            continue


async def test_two_hundred_reserves_at_once_by_four_processes_on_a_limit_of_three_grant_exactly_three(
    env: WorkflowEnvironment,
) -> None:
    log = MemoryAudit()
    async with ledger_worker(env.client, log) as door:
        await door.install(policy([THREE_FLIPS]))
        doors = [await another_door(env, door.organisation) for _ in range(4)]

        async def reserve(number: int, request: ReserveRequest) -> Decision:
            return await patiently(lambda: doors[number % 4].reserve(request))

        requests = [ask(f"run/{number}", subject=f"SHOP-{number}") for number in range(200)]
        decisions = await asyncio.gather(*(reserve(*numbered) for numbered in enumerate(requests)))
        granted = [decision for decision in decisions if isinstance(decision, Allowed)]
        assert len(granted) == 3
        told = await env.client.get_workflow_handle(ledger_id(door.organisation)).describe()
        assert told.run_id != told.raw_info.first_run_id, "the ledger has continued as new"

        open_now = {entry.id for entry in await door.open_entries()}
        assert open_now == {decision.reservation.id for decision in granted}
        again = [await door.reserve(request) for request in requests if request.reservation in open_now]
        assert again == granted


class Killable:
    """The ledger's worker as a process, killed and replaced."""

    def __init__(self, env: WorkflowEnvironment, organisation: str, store: str) -> None:
        address = env.client.service_client.config.target_host
        self._command = (
            *(sys.executable, "-m", "tests.fakes.ledger_process"),
            *(address, env.client.namespace, organisation, store),
        )
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *self._command, cwd=ROOT, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout
        assert await self._process.stdout.readline() == b"ready\n"

    async def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is told."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


@asynccontextmanager
async def killable(env: WorkflowEnvironment, organisation: str, store: str) -> AsyncIterator[Killable]:
    worker = Killable(env, organisation, store)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.kill()


class Burst:
    """Effects that each reserve, commit and settle, and what is known of them from outside."""

    def __init__(self, door: LedgerDoor) -> None:
        self._door = door
        self.holding: set[str] = set()
        self.most = 0
        self.settled = 0

    async def effect(self, number: int) -> None:
        """One life; refused as long as there is no room."""
        name = f"run/{number}"
        request = ask(name, subject=f"SHOP-{number}")
        while not isinstance(await patiently(lambda: self._door.reserve(request)), Allowed):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self.holding.add(name)
        self.most = max(self.most, len(self.holding))
        assert await patiently(lambda: self._door.commit(name)) == Committed(reservation=name)
        settlement = Settlement(reservation=name, outcome=Outcome.LANDED)
        # From here on the ledger may have heard of it although its answer gets lost.
        self.holding.remove(name)
        await patiently(lambda: self._door.settle(settlement))
        self.settled += 1


@pytest.mark.slow
async def test_a_worker_killed_in_a_burst_neither_exceeds_a_limit_nor_leaks_a_place(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    organisation = f"org-{uuid4().hex[:8]}"
    store = f"sqlite:///{tmp_path}/store.db"
    door = LedgerDoor(env.client, organisation, task_queue=organisation)
    await env.client.start_workflow(
        LEDGER,
        LedgerStart(organisation=organisation),
        id=ledger_id(organisation),
        task_queue=organisation,
        task_timeout=timedelta(seconds=2),  # so that a task that died with its worker is not missed for long
    )
    async with killable(env, organisation, store) as worker:
        await patiently(lambda: door.install(policy([FOUR_AT_ONCE])))
        burst = Burst(door)
        effects = asyncio.gather(*(burst.effect(number) for number in range(EFFECTS)))
        for kills in range(1, 3):
            while burst.settled < 7 * kills:  # noqa: ASYNC110 - the effects run in this loop, too
                await asyncio.sleep(0.01)
            await worker.kill()
            await worker.start()
        await effects
        assert burst.most <= AT_ONCE
        told = await door.overview()
        assert (told.holding, [row.used for row in told.headroom]) == (0, [0])

        log = StoreAudit(open_store(store))
        while (head := log.head(organisation)) != told.audit_head:
            assert head.sequence <= told.audit_head.sequence
            await asyncio.sleep(0.05)
    records = log.read(organisation, limit=10_000)
    assert broken_at(records, Head()) is None
    held = most = 0
    for record in records:
        held += {"granted": 1, "settled": -1}.get(record.kind, 0)
        most = max(most, held)
    assert (held, most <= AT_ONCE) == (0, True)
    assert [record.kind for record in records].count("granted") == EFFECTS
