"""The ledger on a real server: exact under load, across continue-as-new, and closed when in doubt."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHandle
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.ledger import LedgerActivities, LedgerDoor
from leverframe.model.errors import Conflict, NotFound, Unavailable
from leverframe.model.ids import ledger_id
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Lever
from policies.audit import Head, Record, chain
from policies.decision import Allowed, Denied, Escalated
from policies.documents import NO_POLICY
from policies.reservations import (
    LEASE,
    AttentionRequest,
    Committed,
    LedgerStart,
    PauseRequest,
    Phase,
    RefusedPolicy,
    Settlement,
    ShadowScore,
    Withdrawn,
)
from tests.fakes.asks import NOON, ON, REVERT, ask, delta, difference, policy
from tests.fakes.audit import MemoryAudit, ledger_worker
from tests.fakes.servers import running_server
from workflows.policy_ledger import PolicyLedgerWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

THREE_FLIPS = "{id: flips, levers: [flip_flag], max: 3, window: 1h}"
ONE_AT_ONCE = "{id: one, max: 1, hold: until_settled}"


@asynccontextmanager
async def ledger(env: WorkflowEnvironment, log: MemoryAudit | None = None) -> AsyncIterator[LedgerDoor]:
    """A worker with one organisation's ledger, and the door to it."""
    async with ledger_worker(env.client, log or MemoryAudit()) as door:
        yield door


async def until(true: Callable[[], bool]) -> None:
    """Wait, within the test's own time, for what happens in the background."""
    while not true():  # noqa: ASYNC110 - it happens in another process
        await asyncio.sleep(0.02)


async def test_without_a_policy_everything_is_denied(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        decision = await door.reserve(ask())
    assert isinstance(decision, Denied)
    assert [finding.rule for finding in decision.findings] == ["org", "agents.sentry_spike"]


async def test_the_same_request_is_answered_the_same_across_runs_and_another_is_a_conflict(
    env: WorkflowEnvironment,
) -> None:
    async with ledger(env) as door:
        await door.install(policy([THREE_FLIPS]))
        first = await door.reserve(ask("run/0"))
        requests = [ask(f"run/{number}", subject=f"SHOP-{number}") for number in range(1, 260)]
        await asyncio.gather(*(door.reserve(request) for request in requests))
        told = await env.client.get_workflow_handle(ledger_id(door.organisation)).describe()
        assert told.run_id != told.raw_info.first_run_id, "the ledger has continued as new"
        assert isinstance(first, Allowed)
        assert await door.reserve(ask("run/0")) == first
        with pytest.raises(Conflict, match="another effect"):
            await door.reserve(ask("run/0", ON))


async def test_a_pause_between_reserve_and_commit_withdraws_the_effect(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        await door.install(policy())
        assert isinstance(await door.reserve(ask()), Allowed)
        await door.pause(PauseRequest(by="ada", reason="incident"))
        withdrawn = await door.commit("run/1")
        assert isinstance(withdrawn, Withdrawn)
        assert withdrawn.findings[0].rule == "ledger.pause"
        assert isinstance(await door.reserve(ask("run/2")), Denied)
        await door.resume(PauseRequest(by="ada", reason="over"))
        assert isinstance(await door.reserve(ask("run/2")), Allowed)


async def test_a_kill_switch_installed_between_reserve_and_commit_withdraws_the_effect(
    env: WorkflowEnvironment,
) -> None:
    async with ledger(env) as door:
        await door.install(policy())
        await door.reserve(ask())
        assert (await door.install(policy(kill_switch=True))).changed
        answer = await door.commit("run/1")
    assert isinstance(answer, Withdrawn)
    assert "org.kill_switch" in {finding.rule for finding in answer.findings}


async def test_a_life_from_reserve_to_settle_is_told_in_the_overview(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        await door.install(policy(["{id: one, scope: [subject], max: 1, hold: until_settled}"]))
        await door.reserve(ask())
        assert await door.commit("run/1") == Committed(reservation="run/1")
        busy = await door.reserve(ask("run/2"))
        assert isinstance(busy, Denied)
        assert busy.retry_at is None
        told = await door.overview()
        assert [(row.rule, row.used, row.max) for row in told.headroom] == [("org.limits.one", 1, 1)]
        assert [(row.id, row.phase) for row in told.open] == [("run/1", Phase.COMMITTED)]
        settled = await door.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED))
        assert (settled.phase, settled.outcome) == (Phase.SETTLED, Outcome.LANDED)
        assert isinstance(await door.reserve(ask("run/2")), Allowed)
        assert (await door.release("run/2")).phase is Phase.RELEASED
        with pytest.raises(NotFound):
            await door.commit("run/3")


async def test_switching_towards_risk_is_escalated_with_quorum_and_time(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        await door.install(policy())
        decision = await door.reserve(ask(effect=ON))
    assert isinstance(decision, Escalated)
    assert (decision.terms.quorum, decision.terms.expires_after) == (1, timedelta(hours=1))


async def test_a_forgotten_reservation_lapses_and_keeps_its_place(skipping: WorkflowEnvironment) -> None:
    async with ledger(skipping) as door:
        with skipping.with_time_skipping_disabled():
            start = LedgerStart(organisation=door.organisation)
            handle = await skipping.client.start_workflow(
                PolicyLedgerWorkflow.run, start, id=ledger_id(door.organisation), task_queue=door.organisation
            )
        await door.install(policy(["{id: one, max: 1, hold: until_settled}"]))
        assert isinstance(await door.reserve(ask()), Allowed)
        assert await skipping.fast_forward(handle, LEASE + timedelta(minutes=1))
        told = await handle.query(PolicyLedgerWorkflow.overview)
        assert [row.phase for row in told.open] == [Phase.LAPSED]
        assert isinstance(await door.commit("run/1"), Withdrawn)
        assert isinstance(await door.reserve(ask("run/2")), Denied)


async def test_nothing_is_granted_when_the_engine_is_down() -> None:
    async with await running_server() as server:
        door = LedgerDoor(server.client, "acme", task_queue="acme", answer_within=timedelta(seconds=1))
        doors = LedgerActivities(door)
    with pytest.raises(ApplicationError, match="did not answer") as caught:
        await ActivityEnvironment().run(doors.reserve, ask())
    assert (caught.value.type, caught.value.non_retryable) == ("Unavailable", False)


async def test_nothing_is_granted_when_no_worker_serves_the_ledger(env: WorkflowEnvironment) -> None:
    door = LedgerDoor(env.client, "nobody", task_queue="nobody", answer_within=timedelta(seconds=1))
    with pytest.raises(Unavailable):
        await door.reserve(ask())


async def test_installing_the_same_policy_again_changes_nothing(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        answers = [await door.install(policy()) for _ in range(2)]
    assert [answer.changed for answer in answers] == [True, False]


async def test_what_was_decided_reaches_the_audit_log_in_order_with_its_policy(
    env: WorkflowEnvironment,
) -> None:
    log = MemoryAudit()
    async with ledger(env, log) as door:
        await door.install(policy())
        await door.reserve(ask())
        await door.commit("run/1")
        await door.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED))
        await until(lambda: log.head(door.organisation).sequence == 4)
        kinds = [record.kind for record in log.read(door.organisation)]
        assert kinds == ["installed", "granted", "committed", "settled"]
        assert log.snapshot(door.organisation, policy().digest) == policy()
        told = await door.overview()
        assert (told.audit_head, told.unwritten) == (log.head(door.organisation), 0)


async def test_a_burst_reaches_the_audit_log_in_few_batches(env: WorkflowEnvironment) -> None:
    log = MemoryAudit()
    async with ledger(env, log) as door:
        await door.install(policy())
        requests = [ask(f"run/{number}", subject=f"SHOP-{number}") for number in range(120)]
        await asyncio.gather(*(door.reserve(request) for request in requests))
        await until(lambda: log.head(door.organisation).sequence == 121)
    assert sum(log.sizes) == 121
    assert len(log.sizes) <= 8, log.sizes


async def test_records_with_many_files_go_out_in_batches_that_a_message_holds(
    env: WorkflowEnvironment,
) -> None:
    log = MemoryAudit()
    many = difference(*(delta(f"shop/{'x' * 150}/{number}.py") for number in range(300)))
    async with ledger(env, log) as door:
        await door.install(policy())
        for number in range(12):
            request = ask(f"run/{number}", REVERT, difference=many)
            while not isinstance(await door.reserve(request), Allowed):  # noqa: ASYNC110 - the store does it
                await asyncio.sleep(0.1)
        entries = await door.open_entries()
        await until(lambda: log.head(door.organisation).sequence == 13)
    assert max(log.sizes) < 12
    assert {len(entry.intent.difference.files) for entry in entries if entry.intent.difference} == {0}
    assert {entry.intent.difference.total_files for entry in entries if entry.intent.difference} == {300}


async def test_records_and_policies_wait_for_a_store_that_is_down_also_across_runs(
    env: WorkflowEnvironment,
) -> None:
    log = MemoryAudit()
    first, second = policy(), policy([THREE_FLIPS])
    async with ledger(env, log) as door:
        await door.refuse_policy(RefusedPolicy(revision="a" * 40, problems=("org.yaml: none",), since=NOON))
        await until(lambda: log.head(door.organisation).sequence == 1)
        log.down = True
        await door.install(first)
        await door.install(second)
        requests = [ask(f"run/{number}", subject=f"SHOP-{number}") for number in range(250)]
        await asyncio.gather(*(door.reserve(request) for request in requests))
        told = await env.client.get_workflow_handle(ledger_id(door.organisation)).describe()
        assert told.run_id != told.raw_info.first_run_id, "the ledger has continued as new"
        assert len(log.records[door.organisation]) == 1
        end = (await door.overview()).audit_head
        log.down = False
        await until(lambda: log.head(door.organisation) == end)
        assert {log.snapshot(door.organisation, each.digest).digest for each in (first, second)} == {
            first.digest,
            second.digest,
        }


async def test_an_audit_log_that_refuses_the_records_is_told_and_the_agents_can_still_be_stopped(
    env: WorkflowEnvironment,
) -> None:
    log = MemoryAudit()
    async with ledger(env, log) as door:
        handle = env.client.get_workflow_handle(ledger_id(door.organisation))
        await door.install(policy())
        await until(lambda: log.head(door.organisation).sequence == 1)
        log.append(door.organisation, (_of_another_ledger(log.head(door.organisation)),))
        await door.reserve(ask())
        while "refuses what the ledger decided" not in await handle_details(handle):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        await door.pause(PauseRequest(by="ada", reason="incident"))
        assert isinstance(await door.reserve(ask("run/2")), Denied)
        assert log.head(door.organisation).sequence == 2
        assert (await door.overview()).began_anew is None, "whoever has written does not move"


async def test_a_ledger_that_nobody_has_asked_yet_has_an_overview(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        told = await door.overview()
        assert (told.policy_digest, told.open, told.unwritten) == (NO_POLICY.digest, (), 0)
        assert await door.open_entries() == ()


async def test_a_policy_that_cannot_be_installed_is_remembered_until_the_trouble_is_over(
    env: WorkflowEnvironment,
) -> None:
    refused = RefusedPolicy(revision="a" * 40, problems=("org.yaml:3: autonomy: no such level",), since=NOON)
    async with ledger(env) as door:
        await door.install(policy())
        await door.refuse_policy(refused)
        assert (await door.overview()).refused_policy == refused
        await door.refuse_policy(None)
        assert (await door.overview()).refused_policy is None
        assert (await door.overview()).policy_digest == policy().digest


async def test_what_an_observed_agent_asked_for_is_listed_until_it_is_scored(
    env: WorkflowEnvironment,
) -> None:
    async with ledger(env) as door:
        await door.install(policy(autonomy="observe"))
        decision = await door.reserve(ask())
        assert isinstance(decision, Denied)
        assert decision.would == "allow"
        later = datetime.now(UTC) + timedelta(minutes=1)
        assert [shadow.id for shadow in await door.unscored(later)] == ["run/1"]
        assert await door.unscored(NOON) == ()
        await door.score(ShadowScore(id="run/1", matched=True))
        assert await door.unscored(later) == ()
        with pytest.raises(NotFound, match="does not know the observation"):
            await door.score(ShadowScore(id="run/9", matched=True))


async def test_a_question_is_asked_until_people_have_been_asked_enough(env: WorkflowEnvironment) -> None:
    enough = "{id: calm, unit: escalations, scope: [approver_group], max: 1, window: 1h}"
    async with ledger(env) as door:
        await door.install(policy([enough]))
        answers = [await door.attend(question(approval)) for approval in ("one", "one", "two")]
    assert [answer.kind for answer in answers] == ["attended", "attended", "deferred"]


@pytest.mark.parametrize("cached", [100, 0], ids=["kept in memory", "rebuilt for every task"])
async def test_a_request_to_cancel_the_ledger_does_not_end_it(env: WorkflowEnvironment, cached: int) -> None:
    """A ledger that ended would forget what it granted; `pause` is how people stop agents."""
    async with ledger_worker(env.client, MemoryAudit(), cached=cached) as door:
        await door.install(policy([ONE_AT_ONCE]))
        assert isinstance(await door.reserve(ask()), Allowed)
        await env.client.get_workflow_handle(ledger_id(door.organisation)).cancel()
        assert isinstance(await door.reserve(ask("run/2", subject="SHOP-2")), Denied)
        assert [entry.id for entry in await door.open_entries()] == ["run/1"]


def _of_another_ledger(head: Head) -> Record:
    """A record that another ledger wrote into the same log."""
    return chain(head, "released", {"reservation": "run/0"}, NOON)


def question(approval: str) -> AttentionRequest:
    """A question to the people on call."""
    return AttentionRequest(
        approval=approval,
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject="SHOP-1",
        lever=Lever.FLIP_FLAG,
        group="sre-oncall",
    )


async def handle_details(handle: WorkflowHandle[object, object]) -> str:
    """What the ledger says of itself in the Temporal UI."""
    metadata: WorkflowMetadata = await handle.query(
        "__temporal_workflow_metadata", result_type=WorkflowMetadata
    )
    return metadata.current_details
