"""A run on a real server with the real ledger and approvals: the ladder, its refusals, and its crashes."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import (
    ActivityInboundInterceptor,
    ExecuteActivityInput,
    Interceptor,
    Worker,
)

from activities.audit import AuditActivities
from activities.ledger import LedgerActivities, LedgerDoor
from leverframe.model.ids import run_id
from leverframe.model.outcomes import Outcome, RunReport
from leverframe.model.proposals import Lever
from policies.overview import LedgerOverview
from tests.fakes.asks import policy
from tests.fakes.audit import MemoryAudit
from tests.fakes.remediation_world import BEGAN, DUE, FLAG, LANDED, SUSPECT, World, error_facts
from tests.fakes.workers import unversioned
from workflows.approval import ApprovalWorkflow
from workflows.messages import RunRequest, RunSettled
from workflows.policy_ledger import PolicyLedgerWorkflow
from workflows.queues import HANDS, SANDBOX
from workflows.remediation import RemediationWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

Handle = WorkflowHandle[RemediationWorkflow, RunReport]

_THREAD = ThreadPoolExecutor(1)
"""For the ledger's audit log."""


@workflow.defn(name="ListeningWatch")
class ListeningWatch:
    """A watch that only waits for its run to end."""

    @workflow.init
    def __init__(self) -> None:
        self._settled: RunSettled | None = None

    @workflow.run
    async def run(self) -> RunSettled | None:
        await workflow.wait_condition(lambda: self._settled is not None)
        return self._settled

    @workflow.signal
    def run_settled(self, settled: RunSettled) -> None:
        self._settled = settled


class LosesAnswer(Interceptor):
    """Runs one activity to its end, and then never lets its answer out: what a killed worker does."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lost = asyncio.Event()
        self.killed = asyncio.Event()

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Loses(next, self)


class _Loses(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, losing: LosesAnswer) -> None:
        super().__init__(next)
        self._losing = losing

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        answer = await super().execute_activity(input)
        named = getattr(input.fn, "__temporal_activity_definition").name == self._losing.name
        if named and not self._losing.lost.is_set():
            self._losing.lost.set()
            await self._losing.killed.wait()
            raise RuntimeError("the worker was killed")
        return answer


@asynccontextmanager
async def workers(world: World, *interceptors: Interceptor) -> AsyncIterator[None]:
    """One worker for each queue, until the block ends: then both die without grace."""
    audit = AuditActivities(MemoryAudit())
    hands = Worker(
        world.client,
        task_queue=HANDS,
        workflows=[RemediationWorkflow, ApprovalWorkflow, PolicyLedgerWorkflow, ListeningWatch],
        activities=[*world.hands, audit.append, audit.end],
        activity_executor=_THREAD,
        interceptors=interceptors,
        workflow_runner=unversioned(),
    )
    sandbox = Worker(
        world.client, task_queue=SANDBOX, activities=[world.run_probes], interceptors=interceptors
    )
    async with hands, sandbox:
        yield


async def begin(world: World, *, watch: str = "watch/nobody") -> Handle:
    """Start a run, detected a second after its errors began."""
    subject = f"SHOP-{uuid4().hex[:8].upper()}"
    request = RunRequest(
        agent="sentry_spike",
        repository="shop",
        service="shop",
        subject=subject,
        due=DUE,
        detected_at=BEGAN + timedelta(seconds=8),
        watch=watch,
        ui_url="http://ui",
    )
    return await world.client.start_workflow(
        RemediationWorkflow.run, request, id=run_id("sentry_spike", "shop", subject, 1), task_queue=HANDS
    )


async def ended(world: World) -> RunReport:
    """A whole run in this world."""
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            return await handle.result()


@asynccontextmanager
async def leaving_nothing(handle: Handle) -> AsyncIterator[None]:
    """The queues are shared: a run that a failed test leaves behind must not reach the next world."""
    try:
        yield
    finally:
        if (await handle.describe()).status == WorkflowExecutionStatus.RUNNING:
            await handle.terminate("its test has failed")


async def test_the_whole_ladder_kills_the_flag_lands_the_revert_and_restores_the_flag(
    env: WorkflowEnvironment,
) -> None:
    world = World(env.client, ledger=LedgerActivities(LedgerDoor(env.client, "acme")))
    async with workers(world):
        await LedgerDoor(env.client, "acme", task_queue=HANDS).install(policy())
        watch = await world.client.start_workflow(
            ListeningWatch.run, id=f"watch/{uuid4().hex}", task_queue=HANDS
        )
        handle = await begin(world, watch=watch.id)
        report = await handle.result()
        heard = await watch.result()
        standing = await env.client.get_workflow_handle("ledger/acme").query(
            "overview", result_type=LedgerOverview
        )
        description = await handle.describe()
    assert report.outcome is Outcome.LANDED, report.detail
    assert [(step.purpose, step.verdict, step.result) for step in report.steps] == [
        ("mitigate", "allow", "done"),
        ("repair", "allow", "done"),
        ("restore", "escalate", "done"),
    ]
    assert world.flags.written == [(FLAG, False), (FLAG, True)]
    assert world.probed == [(SUSPECT, {FLAG: True}), (LANDED, {FLAG: True})]
    assert heard == RunSettled(run=handle.id, outcome=Outcome.LANDED)
    assert standing.open == ()
    attributes = {pair.key.name: pair.value for pair in description.typed_search_attributes}
    assert (attributes["LeverframeVerdict"], attributes["LeverframeOutcome"]) == ("escalate", "landed")
    timings = report.steps[0].timings_ms
    assert list(timings) == [
        "detected_to_reserved", "detected_to_flipped", "detected_to_effect", "applied_to_effect",
        "detected_to_quiet",
    ]  # fmt: skip
    assert {"detected_to_effect", "applied_to_effect"} < set(report.steps[1].timings_ms), "the release landed"
    assert "checkout failed on 333333333333 and passes on 444444444444" in report.steps[1].detail


async def test_a_denied_run_touches_nothing_and_says_which_rules_denied_it(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, policy(kill_switch=True))
    report = await ended(world)
    assert report.outcome is Outcome.REJECTED
    assert [step.result for step in report.steps] == ["denied", "denied"]
    assert all("kill" in step.findings[0] for step in report.steps)
    assert (world.flags.written, world.changes) == ([], {})


async def test_what_an_agent_may_only_propose_is_told_to_people_and_not_done(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, policy(autonomy="propose"))
    report = await ended(world)
    assert [step.result for step in report.steps] == ["denied", "denied"]
    assert (world.flags.written, world.changes) == ([], {})
    assert list(world.notices) == [f"proposal/{step.reservation}" for step in report.steps]
    assert all("a person has to do it" in text for text in world.notices.values())


async def test_a_no_keeps_the_flag_off_and_the_landed_repair_stands(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, vote="no")
    report = await ended(world)
    assert report.outcome is Outcome.LANDED, report.detail
    assert (report.steps[2].result, report.steps[2].detail) == ("rejected", "Ada said no: looked at it")
    assert world.flags.on == {FLAG: False}


async def test_a_question_that_nobody_answers_expires_and_nothing_is_done(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, policy(autonomy="act_with_approval"), vote="silence")
    report = await ended(world)
    assert report.outcome is Outcome.EXPIRED
    assert [step.result for step in report.steps] == ["expired", "expired"]
    assert (world.flags.written, world.changes) == ([], {})


async def test_no_further_lever_is_pulled_once_the_errors_have_ended_by_themselves(
    skipping: WorkflowEnvironment,
) -> None:
    facts = error_facts(released=True)
    world = World(skipping.client, policy(autonomy="act_with_approval"), facts=facts, vote="no")
    report = await ended(world)
    assert [step.result for step in report.steps] == ["rejected", "skipped", "rejected"]
    assert not world.rolled_back


async def test_a_kill_that_did_not_help_stays_when_no_other_lever_did_either(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, facts=error_facts(released=True), errors_since=5, car="check_failed")
    report = await ended(world)
    assert [step.result for step in report.steps] == ["failed", "failed", "failed"]
    assert report.detail.endswith(f"; {FLAG} stays off: `leverframe runs undo` switches it back")
    assert world.flags.on == {FLAG: False}


async def test_an_approved_escalation_is_carried_out_once(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, policy(autonomy="act_with_approval"))
    report = await ended(world)
    assert [(step.verdict, step.result) for step in report.steps] == [("escalate", "done")] * 3
    assert len(world.questions) == 3
    assert len(world.changes) == 1


async def test_an_ejected_revert_fails_the_run_and_leaves_the_flag_off(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, car="check_failed")
    report = await ended(world)
    assert report.outcome is Outcome.FAILED
    assert [step.result for step in report.steps] == ["done", "failed"]
    assert "check_failed" in report.steps[1].detail
    assert world.flags.on == {FLAG: False}


async def test_a_run_that_the_train_does_not_tell_finds_the_landed_change_at_the_forge(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, train_tells=False, failing_looks=1)
    report = await ended(world)
    assert report.outcome is Outcome.LANDED, report.detail
    assert world.looks == 2, "a look that fails is no word on the change"
    assert (LANDED, {FLAG: True}) in world.probed
    assert world.open_reservations() == ()


async def test_a_run_that_the_train_does_not_tell_finds_the_ejected_change_at_the_forge(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, car="check_failed", train_tells=False)
    report = await ended(world)
    assert report.outcome is Outcome.FAILED
    assert report.steps[1].detail == "the train did not say how shop/1 ended; it is ejected"
    assert world.looks == 1


async def test_a_change_that_never_leaves_the_train_fails_the_run_in_the_end(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, car="riding", train_tells=False)
    report = await ended(world)
    assert report.outcome is Outcome.FAILED
    assert report.steps[1].detail == "the train did not settle shop/1 within 6:00:00"


async def test_a_release_that_is_rolled_back_ends_the_run_as_rolled_back(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, release="rolled_back")
    report = await ended(world)
    assert report.outcome is Outcome.ROLLED_BACK
    assert world.flags.on == {FLAG: False}
    assert world.probed == []


async def test_a_roll_back_that_production_does_not_follow_has_failed(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, facts=error_facts(flag_on=False), goes_back=False)
    report = await ended(world)
    [step] = [step for step in report.steps if step.lever is Lever.ROLL_BACK]
    assert (step.result, "detected_to_effect" in step.timings_ms) == ("failed", False)
    assert step.detail == "the overlay names 222222222222, but Refused: production did not run it"


async def test_the_flag_stays_off_when_the_regression_check_still_fails(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, still_failing=True)
    report = await ended(world)
    assert report.outcome is Outcome.FAILED
    assert "still fail: checkout" in report.steps[1].detail
    assert world.flags.on == {FLAG: False}


async def test_errors_that_go_on_after_a_flip_are_said_so(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, errors_since=7)
    report = await ended(world)
    assert report.steps[0].result == "failed"
    assert "errors go on: 7 in the last" in report.steps[0].detail


async def test_without_a_strong_suspect_nothing_is_done_and_the_report_says_why(
    skipping: WorkflowEnvironment,
) -> None:
    facts = error_facts(flag_on=False).model_copy(update={"frames": ()})
    world = World(skipping.client, facts=facts)
    report = await ended(world)
    assert report.outcome is Outcome.REJECTED
    assert report.detail.startswith("no action: no suspect is strong enough")
    assert report.proposal is None


async def test_the_page_of_a_run_shows_hostile_text_inertly(skipping: WorkflowEnvironment) -> None:
    hostile = "<!channel> [click](http://evil) \x1b[31m| `x` @ada #1 <script>"
    world = World(skipping.client, facts=error_facts(hostile=hostile))
    async with workers(world):
        handle = await begin(world)
        await handle.result()
        page = await handle.query("__temporal_workflow_metadata")
    details = str(page)
    assert "landed:" in details
    assert "\x1b" not in details
    assert "<script>" not in details
    assert "](http://evil" not in details


STAGES = (
    *("gather", "reserve", "commit", "flip", "verify_flag", "count_since"),
    *("revert", "enqueue", "export", "run_probes", "preview", "ask", "settle"),
)


@pytest.mark.parametrize("stage", STAGES)
async def test_a_worker_killed_at_any_stage_changes_nothing_about_the_end(
    skipping: WorkflowEnvironment, stage: str
) -> None:
    world = World(skipping.client)
    losing = LosesAnswer(stage)
    async with workers(world, losing):
        handle = await begin(world)
        await losing.lost.wait()
    async with workers(world), leaving_nothing(handle):
        report = await handle.result()
    assert report.outcome is Outcome.LANDED, report.detail
    assert world.flags.written == [(FLAG, False), (FLAG, True)]
    assert list(world.changes) == [f"{handle.id}/1"]
    assert world.open_reservations() == ()
