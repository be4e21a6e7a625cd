"""A ledger that was terminated while its log stays: the next one goes on there, and people see it."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.testing import WorkflowEnvironment

from activities.ledger import LEDGER, LedgerDoor
from leverframe.model.errors import NotFound
from leverframe.model.ids import ledger_id
from policies.audit import Record, broken_at
from policies.decision import Allowed, Denied
from policies.documents import NO_POLICY
from policies.ledger import Ledger
from policies.replay import Replayed, fold, replay
from policies.reservations import Committed, LedgerStart, LedgerState, PauseRequest
from tests.fakes.asks import NOON, ask, policy
from tests.fakes.audit import MemoryAudit, ledger_worker

pytestmark = pytest.mark.asyncio(loop_scope="module")

POLICY = policy(["{id: one, scope: [subject], max: 1, hold: until_settled}"])
KEPT = {snapshot.digest: snapshot for snapshot in (NO_POLICY, POLICY)}


class LateAudit(MemoryAudit):
    """Before the first append, what a lost ledger had on its way arrives."""

    late: Sequence[Record] = ()

    def append(self, organisation: str, records: Sequence[Record]) -> None:
        late, self.late = self.late, ()
        super().append(organisation, late)
        super().append(organisation, records)


def earlier() -> list[Record]:
    """The log of a ledger that is lost."""
    ledger = Ledger(LedgerState())
    ledger.install(POLICY, NOON)
    ledger.reserve(ask("run/1"), NOON)
    ledger.reserve(ask("run/2"), NOON)
    return ledger.unwritten


def decisions(records: list[Record]) -> list[Replayed]:
    asked = [each.sequence for each in records if each.kind in ("granted", "denied", "committed")]
    return [replay(records, sequence, KEPT.__getitem__) for sequence in asked]


async def written(log: MemoryAudit, door: LedgerDoor) -> list[Record]:
    """The log, once the store has all that the ledger decided."""
    while (await door.overview()).audit_head != log.head(door.organisation):  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    return log.read(door.organisation)


@pytest.mark.parametrize("cached", [100, 0], ids=["kept in memory", "rebuilt for every task"])
async def test_after_a_terminated_ledger_the_next_goes_on_in_its_log_and_says_so(
    env: WorkflowEnvironment, cached: int
) -> None:
    log = MemoryAudit()
    async with ledger_worker(env.client, log, cached=cached) as door:
        ledger = env.client.get_workflow_handle(ledger_id(door.organisation))
        await door.install(POLICY)
        assert isinstance(await door.reserve(ask("run/1")), Allowed)
        before = await written(log, door)
        assert (await door.overview()).began_anew is None
        await ledger.terminate("by mistake")

        await door.install(POLICY)
        with pytest.raises(NotFound):
            await door.commit("run/1")
        stopped = await door.reserve(ask("run/2"))
        assert isinstance(stopped, Denied)
        assert [finding.rule for finding in stopped.findings] == ["ledger.pause"]
        await door.resume(PauseRequest(by="ada", reason="looked at what was open"))
        assert isinstance(await door.reserve(ask("run/2")), Allowed)
        assert await door.commit("run/2") == Committed(reservation="run/2")
        assert isinstance(await door.reserve(ask("run/3")), Denied)
        whole = await written(log, door)
        told = await door.overview()
        page: WorkflowMetadata = await ledger.query(
            "__temporal_workflow_metadata", result_type=WorkflowMetadata
        )

    assert broken_at(whole) is None
    assert whole[: len(before)] == before
    began, *either, rest = _kinds(whole[len(before) :])
    assert (began, sorted(either)) == ("began", ["installed", "paused"])
    assert rest == [
        "denied",
        "resumed",
        "granted",
        "committed",
        "denied",
    ]
    again = decisions(whole)
    assert [each.reservation for each in again if each.same] == ["run/1", "run/2", "run/2", "run/2", "run/3"]
    assert fold(whole, KEPT.__getitem__).began_anew == told.began_anew == whole[len(before)].at
    assert "**The ledger began anew**" in page.current_details


async def test_while_a_new_ledger_can_not_ask_the_store_it_grants_nothing_and_serves_all_else(
    env: WorkflowEnvironment,
) -> None:
    log = MemoryAudit()
    async with ledger_worker(env.client, log) as door:
        log.append(door.organisation, earlier())
        log.down = True
        await door.install(POLICY)
        stopped = await door.reserve(ask("run/3"))
        assert isinstance(stopped, Denied)
        assert [finding.rule for finding in stopped.findings] == ["ledger.audit"]
        assert stopped.retry_at is not None
        assert (await door.pause(PauseRequest(by="ada", reason="incident"))).pauses
        log.down = False
        whole = await written(log, door)
    assert broken_at(whole) is None
    assert [each.kind for each in whole[3:]] == ["began", "installed", "paused"]


async def test_what_the_lost_ledger_had_on_its_way_is_waited_out(skipping: WorkflowEnvironment) -> None:
    """It arrives between the look at the log's end and the first write: the write is refused once."""
    log = LateAudit()
    async with ledger_worker(skipping.client, log) as door:
        records = earlier()
        log.append(door.organisation, records[:2])
        log.late = records[2:]
        with skipping.with_time_skipping_disabled():
            handle = await skipping.client.start_workflow(
                LEDGER,
                LedgerStart(organisation=door.organisation),
                id=ledger_id(door.organisation),
                task_queue=door.organisation,
            )
        await door.install(POLICY)
        while log.late:  # noqa: ASYNC110 - it happens in a worker
            await asyncio.sleep(0.02)
        assert isinstance(await door.reserve(ask("run/9")), Denied)
        assert await skipping.fast_forward(handle, timedelta(minutes=2))
        whole = await written(log, door)
    assert broken_at(whole) is None
    began, *either, rest = _kinds(whole[3:])
    assert (began, sorted(either), rest) == ("began", ["installed", "paused"], ["denied"])


def _kinds(records: list[Record]) -> tuple[str, str, str, Sequence[str]]:
    """What was recorded. The policy may come before or after the look at the log that pauses everything."""
    first, second, third, *rest = (each.kind for each in records)
    return first, second, third, rest
