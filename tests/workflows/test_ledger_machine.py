"""The ledger's state machine once more, through the real workflow: nothing is lost or changed on the way.

Fewer and shorter lives than the pure core lives, on a server that skips time, with new runs in between.
"""

import asyncio
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, Phase, settings
from temporalio.client import WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.audit import AuditActivities
from activities.ledger import LEDGER, LedgerDoor
from leverframe.model.ids import ledger_id
from policies.audit import Record
from policies.decision import Decision, ReserveRequest
from policies.documents import PolicySnapshot
from policies.reservations import (
    AnsweredQuestion,
    AttentionAnswer,
    AttentionRequest,
    CommitAnswer,
    LedgerStart,
    LedgerState,
    PauseRequest,
    PauseState,
    Promoted,
    PromoteRequest,
    Settlement,
    ShadowScore,
    Standing,
)
from tests.fakes.audit import MemoryAudit
from tests.fakes.ledger_machine import LedgerMachine, swept
from tests.fakes.servers import skipping_server
from tests.fakes.watched_ledger import WatchedLedger
from tests.fakes.workers import unversioned

QUEUE = "machine"
AT_ONCE = 'history.workflowIdReuseMinimalInterval="0s"'
"""A new run may follow one that lasted less than a second, without a pause."""

T = TypeVar("T")


class House:
    """A server and a worker in a loop of their own: the machine is not asynchronous."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._open = AsyncExitStack()
        self.log = MemoryAudit()
        self.env: WorkflowEnvironment

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def start(self) -> None:
        self._thread.start()
        self.do(self._start())

    async def _start(self) -> None:
        self.env = await self._open.enter_async_context(await skipping_server(tuned=[AT_ONCE]))
        worker = Worker(
            self.env.client,
            task_queue=QUEUE,
            workflows=[WatchedLedger],
            activities=[AuditActivities(self.log).append, AuditActivities(self.log).end],
            activity_executor=self._open.enter_context(ThreadPoolExecutor(2)),
            workflow_runner=unversioned(),
        )
        await self._open.enter_async_context(worker)

    def stop(self) -> None:
        self.do(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class WorkflowDriver:
    """A ledger of its own, asked through the door as any process asks it."""

    house: House

    def __init__(self) -> None:
        self._organisation = f"org-{uuid4().hex[:8]}"
        self._door = LedgerDoor(self.house.env.client, self._organisation, task_queue=QUEUE)
        self._handle: WorkflowHandle[Any, Any]

    def begin(self) -> datetime:
        return self.house.do(self._begin())

    async def _begin(self) -> datetime:
        env = self.house.env
        with env.with_time_skipping_disabled():  # time passes when the machine says so
            self._handle = await env.client.start_workflow(
                LEDGER,
                LedgerStart(organisation=self._organisation),
                id=ledger_id(self._organisation),
                task_queue=QUEUE,
            )
        return await env.get_current_time(self._handle)

    def tick(self, span: timedelta) -> None:
        assert self.house.do(self.house.env.fast_forward(self._current(), span))

    def _current(self) -> WorkflowHandle[Any, Any]:
        return self.house.env.client.get_workflow_handle(ledger_id(self._organisation))

    def restart(self) -> None:
        """Into a new run, with whatever the store does not have yet."""
        before = self.state()
        self.house.do(self._renew())
        now = self.house.do(self.house.env.get_current_time(self._current()))
        assert swept(self.state(), now) == swept(before, now)

    async def _renew(self) -> None:
        run = (await self._current().describe()).run_id
        await self._current().signal(WatchedLedger.renew)
        while (await self._current().describe()).run_id == run:  # noqa: ASYNC110 - the server does it
            await asyncio.sleep(0.01)

    def lose(self) -> None:
        """Terminated, with all that it decided in the store; another begins and finds the end of the log."""
        self.records()
        was = self.house.do(self.house.env.get_current_time(self._current()))
        self.end()
        # A new workflow's clock is the server's again, and that is behind by what was skipped.
        if (behind := was - self.begin()) > timedelta(0):
            self.tick(behind)
        while self.state().began_anew is None:
            self.house.do(asyncio.sleep(0.02))

    def end(self) -> None:
        self.house.do(self._current().terminate("its life is over"))

    def state(self) -> LedgerState:
        return self.house.do(self._door._look(LedgerState, "whole"))

    def records(self) -> list[Record]:
        """All, once the store has them."""
        head = self.state().audit_head
        while self.house.log.head(self._organisation) != head:
            self.house.do(asyncio.sleep(0.05))
        return self.house.log.read(self._organisation, limit=10_000)

    def reserve(self, request: ReserveRequest) -> Decision:
        return self.house.do(self._door.reserve(request))

    def commit(self, reservation: str) -> CommitAnswer:
        return self.house.do(self._door.commit(reservation))

    def release(self, reservation: str) -> Standing:
        return self.house.do(self._door.release(reservation))

    def settle(self, settlement: Settlement) -> Standing:
        return self.house.do(self._door.settle(settlement))

    def pause(self, request: PauseRequest) -> PauseState:
        return self.house.do(self._door.pause(request))

    def resume(self, request: PauseRequest) -> PauseState:
        return self.house.do(self._door.resume(request))

    def promote(self, request: PromoteRequest) -> Promoted:
        return self.house.do(self._door.promote(request))

    def install(self, snapshot: PolicySnapshot) -> None:
        self.house.do(self._door.install(snapshot))

    def attend(self, request: AttentionRequest) -> AttentionAnswer:
        return self.house.do(self._door.attend(request))

    def answered(self, answer: AnsweredQuestion) -> None:
        self.house.do(self._door.answered(answer))

    def score(self, score: ShadowScore) -> None:
        self.house.do(self._door.score(score))


@pytest.fixture(scope="module", autouse=True)
def house() -> Iterator[None]:
    found = House()
    found.start()
    WorkflowDriver.house = found
    yield
    found.stop()


class WorkflowMachine(LedgerMachine):
    """The real workflow on a real server."""

    driver_type = WorkflowDriver


TestLedgerWorkflow = WorkflowMachine.TestCase
TestLedgerWorkflow.settings = settings(
    max_examples=2,
    stateful_step_count=20,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.too_slow],
)
