"""A run that must wait: for a pause to end, and for people, who are asked about what would be done now."""

from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity, workflow
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from leverframe.model.ids import approval_id
from leverframe.model.outcomes import Outcome
from policies.decision import Decision, ReserveRequest
from policies.reservations import PauseRequest
from policies.rules import MAX_WINDOW
from tests.fakes.approval_world import question
from tests.fakes.asks import policy
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.remediation_world import World, error_facts
from tests.fakes.workers import unversioned
from tests.workflows.test_remediation import begin, ended, leaving_nothing, workers
from workflows.approval import ApprovalWorkflow
from workflows.asking import LOOK_FIRST, ask_people, look_again
from workflows.messages import ApprovalRequest, ApprovalResult, Supersede, Superseded
from workflows.queues import HANDS
from workflows.run_ledger import parked_wait

pytestmark = pytest.mark.asyncio(loop_scope="module")

INCIDENT = PauseRequest(by="ada", reason="an incident")
EVENTS_OF_A_LOOK = 11
"""A timer and a preview: 2 and 3 events, and 3 for each of the tasks that they wake."""
A, B = "a" * 40, "b" * 40


@dataclass
class PausedFor(MemoryLedger):
    """Paused until so many asked in vain."""

    asks: int = 4
    heard: list[str] = field(default_factory=list)
    """What the run said of itself whenever it asked."""

    @activity.defn
    async def reserve(self, request: ReserveRequest) -> Decision:
        run = activity.client().get_workflow_handle(activity.info().workflow_id or "")
        self.heard.append((await run.query("report"))["detail"])
        now = activity.info().scheduled_time
        if len(self.requests) < self.asks:
            self.book.pause(INCIDENT, now)
        else:
            self.book.resume(INCIDENT, now)
        return await super().reserve(request)


@workflow.defn(name="AsksAboutWhatMoves")
class AsksAboutWhatMoves:
    """A run that looks often, and finds at the second look that what it asks about has moved."""

    @workflow.run
    async def run(self, request: ApprovalRequest) -> ApprovalResult:
        looks = iter((None, Supersede(request_digest="e" * 64, why="main moved")))

        async def moved() -> Supersede | None:
            return next(looks)

        approval = f"approval/{workflow.info().workflow_id}"
        return await ask_people(request, approval=approval, moved=moved, first=timedelta(milliseconds=100))


def asking(world_patches: list[str]) -> dict[str, object]:
    """A run whose steps, a roll-back and a revert, need people."""
    return {
        "policy": policy(autonomy="act_with_approval"),
        "facts": error_facts(flag_on=False),
        "patches": world_patches,
    }


async def test_a_parked_run_asks_soon_then_rarely_and_gives_up_after_a_day() -> None:
    parked, waits = timedelta(0), []
    while (wait := parked_wait(parked)) is not None:
        waits.append(wait)
        parked += wait
    assert [wait.total_seconds() for wait in waits[:6]] == [5, 5, 10, 20, 40, 60]
    assert timedelta(hours=24) <= parked < timedelta(hours=24, minutes=5)
    assert len(waits) < 400


async def test_a_paused_run_parks_says_so_and_goes_on_when_the_pause_ends(
    skipping: WorkflowEnvironment,
) -> None:
    book = PausedFor()
    world = World(skipping.client, ledger=book)
    said: list[str] = []
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            report = await handle.result()
        async for event in handle.fetch_history_events():
            if event.HasField("user_metadata"):
                said.append(event.user_metadata.summary.data.decode())
    assert report.outcome is Outcome.LANDED, report.detail
    assert [step.result for step in report.steps] == ["done", "done", "done"]
    assert said.count('"parked by a pause: ask again"') == 4
    assert "parked: everything is paused by ada: an incident" in book.heard


async def test_an_observed_agent_does_nothing_and_reports_what_policy_would_have_said(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, policy(autonomy="observe"))
    report = await ended(world)
    assert [step.result for step in report.steps] == ["denied", "denied"]
    assert report.steps[0].detail == "observed only: policy would have allowed it"
    assert (world.flags.written, world.changes) == ([], {})


async def test_policy_sees_the_difference_the_evidence_and_who_is_behind_the_trouble(
    skipping: WorkflowEnvironment,
) -> None:
    book = MemoryLedger()
    facts = error_facts()
    commits = tuple(commit.model_copy(update={"author": "ada@example.com"}) for commit in facts.commits)
    world = World(
        skipping.client,
        policy(autonomy="act_with_approval"),
        ledger=book,
        facts=facts.model_copy(update={"commits": commits}),
        voter="login:grace",
    )
    report = await ended(world)
    assert report.outcome is Outcome.LANDED, report.detail
    flip, revert = book.requests[0], next(each for each in book.requests if each.reservation.endswith("/1"))
    assert (flip.difference, flip.evidence) == (None, world.questions[0].evidence)
    assert revert.difference is not None
    assert revert.difference.patch == A
    assert revert.requesters == ("ada@example.com",)
    asked = next(each for each in world.questions if each.difference is not None)
    assert (asked.requesters, asked.request_digest) == (("ada@example.com",), revert.digest)
    assert "revert" in asked.reversibility
    assert "undo" in asked.why


async def test_a_question_is_void_once_its_run_sees_that_what_it_asks_about_has_moved(
    env: WorkflowEnvironment,
) -> None:
    world = World(env.client, vote="silence")
    async with Worker(
        env.client,
        task_queue=HANDS,
        workflows=[AsksAboutWhatMoves, ApprovalWorkflow],
        activities=world.hands,
        workflow_runner=unversioned(),
    ):
        answer = await env.client.execute_workflow(
            AsksAboutWhatMoves.run, question(), id=f"moves/{uuid4().hex}", task_queue=HANDS
        )
    assert answer == Superseded(why="main moved")
    assert [ending.state for ending in world.endings.values()] == ["superseded"]


async def test_a_run_looks_ever_less_often_and_the_longest_question_fits_its_history() -> None:
    waits = [LOOK_FIRST]
    while sum(waits, timedelta(0)) < MAX_WINDOW:
        waits.append(look_again(waits[-1], long=False))
    assert [wait / timedelta(minutes=1) for wait in waits[:5]] == [10, 20, 40, 60, 60]
    assert set(waits[5:]) == {timedelta(hours=1)}
    assert len(waits) * EVENTS_OF_A_LOOK < 50_000 / 5
    assert look_again(timedelta(hours=1), long=True) == timedelta(days=1)


async def test_a_yes_to_what_has_moved_since_is_no_yes_to_what_would_be_done_now(
    skipping: WorkflowEnvironment,
) -> None:
    book = MemoryLedger()
    world = World(skipping.client, ledger=book, **asking([A, B]))  # type: ignore[arg-type]
    report = await ended(world)
    assert report.outcome is Outcome.LANDED, report.detail
    assert [each.difference.patch for each in world.questions if each.difference] == [A, B, B]
    first, again, granted = book.requests[:3]
    assert (first.approval, again.approval) == (None, None)
    assert granted.approval is not None
    assert granted.approval.request_digest == granted.digest
    assert granted.difference is not None
    assert granted.difference.patch == B


async def test_people_are_not_asked_for_ever_about_what_never_stands_still(
    skipping: WorkflowEnvironment,
) -> None:
    patches = [f"{number:040x}" for number in range(30)]
    world = World(skipping.client, **asking(patches))  # type: ignore[arg-type]
    report = await ended(world)
    assert [step.result for step in report.steps] == ["denied", "denied"]
    assert report.steps[0].detail.startswith("people were asked 4 times")
    assert len(world.questions) == 2 * 4
    assert world.changes == {}


async def test_a_cancelled_run_withdraws_its_question(env: WorkflowEnvironment) -> None:
    world = World(env.client, vote="silence", **asking([A]))  # type: ignore[arg-type]
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            approval = approval_id(handle.id, 0)
            asked = env.client.get_workflow_handle(approval)
            while not world.questions:
                await handle.query("report")
            await handle.cancel()
            report = await handle.result()
            with pytest.raises(WorkflowFailureError):
                await asked.result()
    assert report.detail == "somebody cancelled the run"
    assert world.endings[approval].state == "withdrawn"
