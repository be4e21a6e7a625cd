"""What a run owes the policy ledger: whatever gets lost or cut short, no reservation keeps its place."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from leverframe.model.outcomes import Outcome
from policies.decision import Decision, ReserveRequest
from policies.reservations import LEASE, CommitAnswer, Settlement, Standing
from tests.fakes.remediation_world import MemoryLedger, World
from tests.workflows.test_remediation import begin, ended, leaving_nothing, workers

pytestmark = pytest.mark.asyncio(loop_scope="module")


class LosesTheGrant(MemoryLedger):
    """Grants the first reservation, and the answer never arrives."""

    @activity.defn
    async def reserve(self, request: ReserveRequest) -> Decision:
        first = not self.requests
        decision = await super().reserve(request)
        if first:
            raise ApplicationError("no answer in all the time there was", non_retryable=True)
        return decision


class CommitsTooLate(MemoryLedger):
    """Hears of every commit only after the lease has run out."""

    @activity.defn
    async def commit(self, reservation: str) -> CommitAnswer:
        late = activity.info().scheduled_time + LEASE + timedelta(seconds=1)
        return self.book.commit(reservation, late)


@dataclass
class SettlesNothing(MemoryLedger):
    """Does not answer `settle` until it is well again."""

    ill: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn
    async def settle(self, settlement: Settlement) -> Standing:
        self.asked.set()
        if self.ill:
            raise ApplicationError("the ledger does not answer")
        return await super().settle(settlement)


async def test_a_grant_whose_answer_got_lost_does_not_keep_its_place(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, ledger=LosesTheGrant())
    report = await ended(world)
    assert report.steps[0].result == "failed"
    assert world.flags.written == []
    assert world.open_reservations() == ()


async def test_a_reservation_that_lapsed_before_its_commit_does_not_keep_its_place(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, ledger=CommitsTooLate())
    report = await ended(world)
    assert [step.result for step in report.steps] == ["denied", "denied"]
    assert (world.flags.written, world.changes) == ([], {})
    assert world.open_reservations() == ()


async def test_a_run_cancelled_while_it_settles_a_step_takes_no_further_step(
    skipping: WorkflowEnvironment,
) -> None:
    book = SettlesNothing()
    world = World(skipping.client, ledger=book, errors_since=7)
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            await book.asked.wait()
            await handle.cancel()
            book.ill = False
            report = await handle.result()
    assert (report.outcome, report.detail) == (Outcome.FAILED, "somebody cancelled the run")
    assert world.changes == {}
    assert world.open_reservations() == ()
