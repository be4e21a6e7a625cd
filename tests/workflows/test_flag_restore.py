"""Flags that are switched back, on a real server: in time, by people's leave, and never over a hand."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.cli.exits import Exit
from leverframe.model.facts import FlagState
from leverframe.model.flags import Whole
from leverframe.model.ids import run_id
from leverframe.model.outcomes import Outcome
from tests.fakes.desk import Desk
from tests.fakes.release_world import repository
from tests.fakes.remediation_world import BEGAN, DUE, LIVE, SUSPECT, error_facts
from tests.fakes.rollout_world import FLAG, Rollouts, rollout_policy
from workflows.flag_restore import RestoreReport
from workflows.messages import RunRequest
from workflows.queues import HANDS
from workflows.release.helm import Order
from workflows.remediation import RemediationWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOURS = timedelta(hours=3)
SUBJECT = "SHOP-1A2B3C4D5E6F"
RUN = run_id("sentry_spike", "shop", SUBJECT, 1)
REQUEST = RunRequest(
    agent="sentry_spike",
    repository="shop",
    service="shop",
    subject=SUBJECT,
    due=DUE,
    detected_at=BEGAN + timedelta(seconds=8),
    watch="watch/nobody",
)


@pytest.fixture
def killed(skipping: WorkflowEnvironment, tmp_path: Path) -> Rollouts:
    """A flag that cleo has killed; switching it on takes a person's yes."""
    rollouts = Rollouts(skipping.client, tmp_path, rollout_policy("act_with_approval"))
    rollouts.flags.set(FLAG, True, key="launch", reason="launch")
    rollouts.flags.set(FLAG, False, key="cleo/now", reason="incident")
    return rollouts


async def test_a_kill_is_over_after_its_time_by_the_leave_of_somebody_else(killed: Rollouts) -> None:
    async with killed.worker():
        report = await (await killed.restore(after=HOURS, switched_by="cleo/now")).result()
    assert report.outcome is Outcome.LANDED, report.detail
    assert killed.flags.read(FLAG).audience == Whole(on=True)
    [question] = killed.people.questions
    assert question.requesters == ("eve",)
    assert set(report.timings_ms) == {"due_to_effect", "applied_to_effect"}
    assert killed.people.open_reservations() == ()


async def test_a_no_leaves_it_off(killed: Rollouts) -> None:
    killed.people.vote = "no"
    async with killed.worker():
        report = await (await killed.restore(after=HOURS, switched_by="cleo/now")).result()
    assert (report.outcome, killed.flags.read(FLAG).audience) == (Outcome.REJECTED, Whole(on=False))
    assert report.detail.endswith("The flag stays as it is.")


async def test_what_somebody_made_of_the_flag_while_it_waited_stays(
    killed: Rollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, read = [], killed.flags.read

    def meanwhile(flag: str) -> object:
        looks.append(flag)
        if len(looks) == 3:
            killed.flags.set(FLAG, True, key="dan/now", reason="needed")
            killed.flags.set(FLAG, False, key="dan/later", reason="after all not")
        return read(flag)

    monkeypatch.setattr(killed.flags, "read", meanwhile)
    async with killed.worker():
        report = await (await killed.restore(after=HOURS, switched_by="cleo/now")).result()
    assert report.outcome is Outcome.SUPERSEDED
    assert report.detail == "somebody has changed it since: it is off for everybody, last by dan/later"
    assert len(looks) == 3, "it is noticed before its time is over"
    assert killed.people.questions == []


async def test_a_person_can_prevent_it(killed: Rollouts) -> None:
    async with killed.worker():
        handle = await killed.restore(after=HOURS, switched_by="cleo/now")
        await handle.execute_update("keep", Order(person="dan", reason="not before Monday"))
        report = await handle.result()
    assert report.outcome is Outcome.REJECTED
    assert report.detail == "dan keeps the flag as it is: not before Monday"


async def test_the_kill_of_a_run_ends_when_the_owner_of_the_flag_said(
    killed: Rollouts, skipping: WorkflowEnvironment
) -> None:
    """The run can't repair what is behind it and ends; its kill is asked about two hours later."""
    killed.flags.set(FLAG, True, key="launch/2", reason="launch")
    facts = killed.people.facts
    state = FlagState(flag=FLAG, on=True, restore_after_minutes=120)
    killed.people.facts = facts.model_copy(update={"flag_states": (state,)})
    killed.people.car = "check_failed"
    async with killed.worker():
        report = await skipping.client.execute_workflow(
            RemediationWorkflow.run, REQUEST, id=f"{RUN}0", task_queue=HANDS
        )
        assert f"; policy is asked to switch {FLAG} back at " in report.detail
        restore = skipping.client.get_workflow_handle(f"restore/shop/{FLAG}", result_type=RestoreReport)
        assert (await restore.result()).outcome is Outcome.LANDED
    assert killed.flags.read(FLAG).audience == Whole(on=True)
    assert killed.people.questions[-1].requesters == ("sentry_spike",)


async def test_a_person_undoes_what_a_run_switched(
    killed: Rollouts, skipping: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run kills the flag and people don't let it switch it on again; later a person wants it undone."""
    desk = Desk(monkeypatch, tmp_path, repository(), noun="runs")
    desk.at(skipping.client)
    desk.set(FLAGS__PATH=str(killed.path))
    killed.flags.set(FLAG, True, key="launch/2", reason="launch")
    killed.people.vote, killed.people.car = "no", "check_failed"
    async with killed.worker():
        await skipping.client.execute_workflow(RemediationWorkflow.run, REQUEST, id=RUN, task_queue=HANDS)
        assert killed.flags.read(FLAG).audience == Whole(on=False)
        killed.people.vote = "yes"
        begun = await desk.told("undo", RUN, "--reason", "it was the network", "--as", "eve")
        assert (begun["id"], begun["on"]) == (f"restore/shop/{FLAG}", True)
        await skipping.client.get_workflow_handle(begun["id"]).result()
        assert killed.flags.read(FLAG).audience == Whole(on=True)
        code, said, _ = await desk.asked("show", RUN)
        assert code == Exit.OK
        assert "applied_to_effect" in said
        desk_flags = Desk(monkeypatch, tmp_path, repository(), noun="flags")
        desk_flags.at(skipping.client)
        told = await desk_flags.told("restore-status", FLAG)
        assert told["outcome"] == "landed"
        off = await desk_flags.told("set", FLAG, "off", "--reason", "incident", "--restore-in", "2h")
        assert datetime.fromisoformat(off["restore_at"]) > datetime.now(UTC) + timedelta(hours=1)
        await desk_flags.told("keep", FLAG, "--reason", "not yet", "--as", "dan")
        await skipping.client.get_workflow_handle(begun["id"]).result()
        assert killed.flags.read(FLAG).audience == Whole(on=False)


async def test_a_kill_that_did_not_help_is_given_back_once_the_roll_back_has(
    killed: Rollouts, skipping: WorkflowEnvironment
) -> None:
    """The ladder goes on to the roll-back; who made the release may say yes to the flag, who made the suspect
    commit may not."""
    killed.flags.set(FLAG, True, key="launch/3", reason="launch")
    facts = error_facts(released=True)
    authors = {SUSPECT: "dan@example.com", LIVE: "grace@example.com"}
    commits = [commit.model_copy(update={"author": authors.get(commit.sha, "")}) for commit in facts.commits]
    killed.people.facts = facts.model_copy(update={"commits": tuple(commits)})
    killed.people.errors_since, killed.people.healed_by_roll_back = 5, True
    killed.people.release = "rolled_back"  # nobody probes here
    async with killed.worker():
        report = await skipping.client.execute_workflow(
            RemediationWorkflow.run, REQUEST, id=f"{RUN}1", task_queue=HANDS
        )
        restore = skipping.client.get_workflow_handle(f"restore/shop/{FLAG}", result_type=RestoreReport)
        assert (await restore.result()).outcome is Outcome.LANDED
    steps = [(step.lever.value, step.result) for step in report.steps]
    assert steps == [("flip_flag", "failed"), ("roll_back", "done"), ("open_merge_request", "failed")]
    assert killed.flags.read(FLAG).audience == Whole(on=True)
    asked = {question.effect.lever.value: question.requesters for question in killed.people.questions}
    assert asked["flip_flag"] == ("sentry_spike", "dan@example.com")
    assert (
        "to switch it did not help, to roll shop back to 222222222222 did" in killed.people.questions[-1].why
    )
