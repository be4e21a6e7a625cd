"""The ledger on a real server: exact under load, across continue-as-new, and closed when in doubt."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.ledger import LedgerActivities, LedgerDoor, install_policy
from leverframe.model.errors import Conflict, NotFound, Unavailable
from leverframe.model.ids import ledger_id
from leverframe.model.outcomes import Outcome
from policies.decision import Allowed, Decision, Denied, Escalated, ReserveRequest
from policies.reservations import LEASE, Committed, LedgerStart, PauseRequest, Phase, Withdrawn
from tests.fakes.asks import ON, ask, policy
from tests.fakes.servers import running_server
from tests.fakes.workers import unversioned
from workflows.policy_ledger import PolicyLedgerWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

THREE_FLIPS = "{id: flips, levers: [flip_flag], max: 3, window: 1h}"


@asynccontextmanager
async def ledger(env: WorkflowEnvironment) -> AsyncIterator[LedgerDoor]:
    """A worker with one organisation's ledger, and the door to it."""
    organisation = f"org-{uuid4().hex[:8]}"
    async with Worker(
        env.client, task_queue=organisation, workflows=[PolicyLedgerWorkflow], workflow_runner=unversioned()
    ):
        yield LedgerDoor(env.client, organisation, task_queue=organisation)


async def patiently(door: LedgerDoor, request: ReserveRequest) -> Decision:
    """What a workflow does with a retryable error: ask again."""
    while True:
        try:
            return await door.reserve(request)
        except Unavailable:
            continue


async def test_without_a_policy_everything_is_denied(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        decision = await door.reserve(ask())
    assert isinstance(decision, Denied)
    assert [finding.rule for finding in decision.findings] == ["org", "agents.sentry_spike"]


async def test_two_hundred_parallel_reserves_on_a_limit_of_three_grant_exactly_three_across_runs(
    env: WorkflowEnvironment,
) -> None:
    async with ledger(env) as door:
        await door.install(policy([THREE_FLIPS]))
        requests = [ask(f"run/{number}", subject=f"SHOP-{number}") for number in range(200)]
        decisions = await asyncio.gather(*(patiently(door, request) for request in requests))
        granted = [
            request for request, decision in zip(requests, decisions, strict=True) if decision.kind == "allow"
        ]
        assert len(granted) == 3
        told = await env.client.get_workflow_handle(ledger_id(door.organisation)).describe()
        assert told.run_id != told.raw_info.first_run_id, "the ledger has continued as new"

        again = [await door.reserve(request) for request in granted]
        assert [d for d in decisions if isinstance(d, Allowed)] == again
        with pytest.raises(Conflict, match="another effect"):
            await door.reserve(granted[0].model_copy(update={"effect": ON}))


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
        handle = env.client.get_workflow_handle_for(PolicyLedgerWorkflow.run, ledger_id(door.organisation))
        told = await handle.query(PolicyLedgerWorkflow.overview)
        assert [(row.rule, row.used, row.max) for row in told.headroom] == [("org.limits.one", 1, 1)]
        assert [(row.id, row.phase) for row in told.open] == [("run/1", Phase.COMMITTED)]
        settled = await door.settle("run/1", Outcome.LANDED)
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
    assert (decision.quorum, decision.expires_after_seconds) == (1, 3600)


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
        doors = LedgerActivities(server.client, "acme", answer_within=timedelta(seconds=1))
    with pytest.raises(ApplicationError, match="did not answer") as caught:
        await ActivityEnvironment().run(doors.reserve, ask())
    assert (caught.value.type, caught.value.non_retryable) == ("Unavailable", False)


async def test_nothing_is_granted_when_no_worker_serves_the_ledger(env: WorkflowEnvironment) -> None:
    door = LedgerDoor(env.client, "nobody", task_queue="nobody", answer_within=timedelta(seconds=1))
    with pytest.raises(Unavailable):
        await door.reserve(ask())


async def test_installing_the_same_policy_again_changes_nothing(env: WorkflowEnvironment) -> None:
    async with ledger(env) as door:
        snapshot = policy()
        answers = [
            await install_policy(env.client, door.organisation, snapshot, task_queue=door.organisation)
            for _ in range(2)
        ]
    assert [answer.changed for answer in answers] == [True, False]
