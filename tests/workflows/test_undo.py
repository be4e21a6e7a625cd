"""`leverframe runs undo` of what went by the train: production forward again, a landed change reverted."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from leverframe.cli import undoing
from leverframe.cli.exits import Exit
from leverframe.model.ids import run_id
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import RevertChange, RollBack
from tests.fakes.desk import Desk
from tests.fakes.recovery import Recovering, undo_policy
from tests.fakes.remediation_world import LANDED, LIVE, SHOP, error_facts
from tests.fakes.workers import unversioned
from tests.workflows.test_flag_restore import REQUEST
from workflows.approval import ApprovalWorkflow
from workflows.queues import HANDS, SANDBOX
from workflows.remediation import RemediationWorkflow
from workflows.undo import UndoReport, UndoWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

RUN = run_id("sentry_spike", "shop", "SHOP-UNDO", 1)


@asynccontextmanager
async def workers(world: Recovering) -> AsyncIterator[None]:
    """One that does everything."""
    with ThreadPoolExecutor(1) as thread:
        hands = Worker(
            world.client,
            task_queue=HANDS,
            workflows=[RemediationWorkflow, ApprovalWorkflow, UndoWorkflow],
            activities=world.hands,
            activity_executor=thread,
            workflow_runner=unversioned(),
        )
        async with hands, Worker(world.client, task_queue=SANDBOX, activities=[world.run_probes]):
            yield


@pytest.fixture
def world(skipping: WorkflowEnvironment) -> Recovering:
    """A run rolls production back and lands a revert; people are asked about what is undone."""
    return Recovering(skipping.client, undo_policy(), facts=error_facts(flag_on=False))


@pytest.fixture
def desk(skipping: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(undoing, "LOOK_WITHIN", timedelta(minutes=3))
    desk = Desk(monkeypatch, tmp_path, SHOP, noun="runs")
    desk.at(skipping.client)
    return desk


async def test_a_roll_back_is_undone_by_pointing_production_forward_again_with_a_persons_leave(
    skipping: WorkflowEnvironment, world: Recovering, desk: Desk
) -> None:
    run = f"{RUN}0"
    why = ("--reason", "it was the network", "--as", "eve")
    async with workers(world):
        report = await skipping.client.execute_workflow(
            RemediationWorkflow.run, REQUEST, id=run, task_queue=HANDS
        )
        assert [(step.lever.value, step.change) for step in report.steps] == [
            ("roll_back", "shop/1"),
            ("open_merge_request", "shop/2"),
        ]
        code, said, complaint = await desk.asked("undo", run, "0", *why)
        assert (code, complaint) == (Exit.OK, "")
        assert said == (
            f"step 0 of {run} is being undone: roll shop back to 111111111111\n"
            f"follow it: leverframe runs undo-status {run} 0\n"
        )
        undo = skipping.client.get_workflow_handle(f"undo/{run}/0", result_type=UndoReport)
        ended = await undo.result()
        assert (ended.outcome, ended.detail) == (Outcome.LANDED, "production runs 111111111111 again, alone")
        status = await desk.told("undo-status", run, "0")
        again = await desk.asked("undo", run, "0", *why)
    assert set(status["timings_ms"]) == {"asked_to_landed", "asked_to_effect", "applied_to_effect"}
    assert world.promoted == [LIVE]
    [question] = world.questions
    assert (question.effect, question.requesters) == (RollBack(service="shop", to=LIVE), ("eve",))
    assert world.open_reservations() == ()
    told = "it can't be undone: production's overlay names 111111111111 again: it was undone already"
    assert again == (Exit.REFUSED, "", told)


async def test_a_landed_change_is_undone_by_its_revert_and_one_that_never_landed_is_not(
    skipping: WorkflowEnvironment, world: Recovering, desk: Desk
) -> None:
    run, why = f"{RUN}1", ("--reason", "we need it", "--as", "eve")
    async with workers(world):
        await skipping.client.execute_workflow(RemediationWorkflow.run, REQUEST, id=run, task_queue=HANDS)
        world.landings.state = "ejected"
        refused = await desk.asked("undo", run, *why)
        await skipping.client.get_workflow_handle(f"undo/{run}/1").result()
        missing = await desk.asked("undo", run, "2", *why)
        world.landings.state = "landed"
        begun = await desk.told("undo", run, *why)
        undo = skipping.client.get_workflow_handle(begun["id"], result_type=UndoReport)
        ended = await undo.result()
    assert refused[0] is Exit.REFUSED
    assert refused[2] == ("it can't be undone: shop/2 never landed, it is ejected: there is nothing to undo")
    assert missing == (Exit.BAD_INPUT, "", f"{run} has no step 2: `leverframe runs show {run}` lists them")
    assert (begun["step"], ended.outcome) == (1, Outcome.LANDED)
    assert ended.detail == "shop/3 landed as 444444444444 and reached 100 % of production"
    effect = world.questions[-1].effect
    assert isinstance(effect, RevertChange)
    assert (effect.commit, effect.title) == (LANDED, "Revert 444444444444: undo shop/2")
    assert "eve wants what" in effect.body
