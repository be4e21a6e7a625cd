"""From a test report to a landed quarantine on a real server: watch, run, policy, train; and people's no."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from agents.flaky_tests.watch import SETTLE
from leverframe.model.errors import LeverframeError
from leverframe.model.ids import run_id, watch_id
from leverframe.model.outcomes import Outcome, RunReport
from leverframe.model.signals import SUITE, ReportArrived
from leverframe.model.untrusted import Untrusted
from policies.documents import parse
from tests.fakes.desk import Desk
from tests.fakes.quarantine_world import QuarantineWorld
from tests.fakes.quarantines import policy_files, ruled
from tests.fakes.remediation_world import SHOP
from tests.fakes.workers import unversioned
from tests.unit.agents.flaky_tests.proposals import facts, flaky
from workflows.approval import ApprovalWorkflow
from workflows.messages import WatchStart
from workflows.queues import HANDS
from workflows.remediation import RemediationWorkflow
from workflows.undo import UndoReport, UndoWorkflow
from workflows.watch import WatchWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

WEAK = flaky("pays", strength=20_000)
_UNDO = Path(__file__).parents[2] / "policies" / "defaults" / "agents" / "undo.yaml"
RULES = {**policy_files(), "agents/undo.yaml": _UNDO.read_text()}
"""What a person wants undone is as the product ships it."""


@asynccontextmanager
async def working(world: QuarantineWorld) -> AsyncIterator[None]:
    async with Worker(
        world.client,
        task_queue=HANDS,
        workflows=[WatchWorkflow, RemediationWorkflow, ApprovalWorkflow, UndoWorkflow],
        activities=world.hands,
        workflow_runner=unversioned(),
        workflow_failure_exception_types=[LeverframeError],
    ):
        yield


async def reported(client: Client, service: str) -> str:
    """A report came long enough ago for a run to be due now; the id of the watch."""
    arrived = ReportArrived(
        id=uuid4().hex,
        repository="shop",
        service=service,
        title=Untrusted("unit of main <!channel> [x](http://evil)"),
        received_at=datetime.now(UTC) - SETTLE - timedelta(minutes=1),
    )
    watch = watch_id("flaky_tests", service, SUITE)
    await client.start_workflow(
        WatchWorkflow.run,
        WatchStart(agent="flaky_tests", repository="shop", service=service, subject=SUITE),
        id=watch,
        task_queue=HANDS,
        start_signal="observe",
        start_signal_args=[arrived],
    )
    return watch


async def ran(world: QuarantineWorld) -> RunReport:
    """The run that the watch of a new service starts, to its end."""
    service = f"shop-{uuid4().hex[:8]}"
    async with working(world):
        watch = await reported(world.client, service)
        run = world.client.get_workflow_handle_for(
            RemediationWorkflow.run, run_id("flaky_tests", service, SUITE, 1)
        )
        try:
            async with asyncio.timeout(60):
                while True:
                    try:
                        return await run.result()
                    except RPCError as error:
                        assert error.status == RPCStatusCode.NOT_FOUND  # noqa: PT017 - not started yet
                        await asyncio.sleep(0.02)
        finally:
            await world.client.get_workflow_handle(watch).terminate()


async def test_a_report_becomes_a_quarantine_that_lands_without_a_release(env: WorkflowEnvironment) -> None:
    world = QuarantineWorld(env.client, ruled())
    report = await ran(world)
    (step,) = report.steps
    assert (report.outcome, step.result, step.verdict) == (Outcome.LANDED, "done", "allow")
    assert "its quarantine file says so" in report.detail
    assert [one.entry.test.stored() for one in world.opened[0].enter] == ["tests/test_a.py::pays"]
    assert not world.questions
    assert not world.open_reservations()


async def test_weak_evidence_asks_people_and_lands_with_their_yes(env: WorkflowEnvironment) -> None:
    world = QuarantineWorld(env.client, ruled(), suite=facts(WEAK))
    report = await ran(world)
    (question,) = world.questions
    assert question.title == "Open a merge request in shop that quarantines 1 test"
    assert "asks people: 20,000 for the weakest" in " ".join(report.steps[0].findings)
    assert (report.outcome, report.steps[0].verdict) == (Outcome.LANDED, "escalate")


@pytest.mark.parametrize("closed", [False, True], ids=["the question", "the merge request"])
async def test_what_a_person_turned_down_is_never_proposed_again(
    env: WorkflowEnvironment, closed: bool
) -> None:
    world = QuarantineWorld(
        env.client, ruled(), suite=facts(WEAK), vote="yes" if closed else "no", closed=closed
    )
    report = await ran(world)
    assert (report.outcome, len(world.opened)) == (Outcome.REJECTED, 1 if closed else 0)
    again = await ran(world)
    assert again.outcome is Outcome.REJECTED
    assert again.detail.startswith("no action: 1 flaky test may not enter")
    assert "a person turned it down" in again.detail
    assert len(world.questions) == 1


async def test_an_undone_quarantine_lands_by_a_persons_leave_and_is_not_proposed_again(
    env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = QuarantineWorld(env.client, parse(RULES))
    report = await ran(world)
    assert report.outcome is Outcome.LANDED
    desk = Desk(monkeypatch, tmp_path, SHOP, noun="runs")
    desk.at(env.client)
    async with working(world):
        begun = await desk.told("undo", report.run, "--reason", "it is a real bug", "--as", "eve")
        ended = await env.client.get_workflow_handle(begun["id"], result_type=UndoReport).result()
    assert (ended.outcome, begun["doing"]) == (
        Outcome.LANDED,
        "open a merge request in shop that releases 1 test",
    )
    assert ended.detail.endswith("out of quarantine, not to be proposed again: 1 test")
    assert [test.stored() for test in world.opened[-1].leave] == ["tests/test_a.py::pays"]
    assert world.opened[-1].enter == ()
    assert [question.requesters for question in world.questions] == [("eve",)]
    assert [state for _, state in world.ended] == ["over", "over", "rejected"]
    assert world.ended[-1][0].startswith(f"{begun['id']}/"), "the landed request would be taken for over"
    assert not world.open_reservations()
    again = await ran(world)
    assert again.detail.endswith("a person turned it down"), again.detail


async def test_a_file_that_does_not_name_the_tests_after_the_landing_is_a_failure(
    env: WorkflowEnvironment,
) -> None:
    world = QuarantineWorld(env.client, ruled(), holds=False)
    report = await ran(world)
    assert (report.outcome, report.steps[0].result) == (Outcome.FAILED, "failed")
    assert "does not name exactly these tests" in report.detail
