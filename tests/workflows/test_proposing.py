"""What an agent may only propose: told to people once, and only when nothing else stands in the way."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import cast
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.chat import ChatActivities
from activities.ports import Chat
from leverframe.model.errors import LeverframeError, Refused
from leverframe.model.proposals import Step
from policies.decision import Decision, ReserveRequest
from policies.documents import parse
from policies.ledger import Ledger
from policies.reservations import LedgerState
from tests.fakes.asks import ESCALATION, NOON, OFF, PEOPLE, ask, document
from tests.fakes.workers import unversioned
from workflows.proposing import notice, only_proposes, show_proposal
from workflows.queues import HANDS

RUN = "http://ui/run"
STEP = Step(purpose="mitigate", effect=OFF, why="Errors come with the flag.")


def decided(level: str, *, org: str = "") -> Decision:
    """What the ledger says to an agent at this level."""
    ledger = Ledger(LedgerState())
    files = {"org.yaml": f"{document('org')}{ESCALATION}\n{org}", "people.yaml": PEOPLE}
    ledger.install(parse({**files, "agents/sentry_spike.yaml": document("agent", autonomy=level)}), NOON)
    return ledger.reserve(ask("run/1/0"), NOON)


@pytest.mark.parametrize(
    ("level", "proposes"),
    [("off", False), ("observe", False), ("propose", True), ("act_with_approval", False), ("act", False)],
)
def test_only_the_level_propose_makes_a_denial_a_proposal(level: str, proposes: bool) -> None:
    assert only_proposes(decided(level)) is proposes


def test_what_another_rule_denies_as_well_is_no_proposal() -> None:
    limit = "limits: [{id: none, levers: [flip_flag], max: 0, window: 1h}]\n"
    assert not only_proposes(decided("propose", org=limit))


def test_a_notice_says_what_why_and_where_and_nothing_of_it_controls_a_terminal() -> None:
    said = notice(ask("run/1/0", subject="SHOP\x1b[2J"), STEP, RUN)
    assert "switch the flag new-checkout off for everybody. Errors come with the flag." in said
    assert said.endswith(f"The run: {RUN}")
    assert "\x1b" not in said


@dataclass
class Notices:
    """The part of a chat that asks nothing."""

    failure: LeverframeError | None = None
    told: dict[str, str] = field(default_factory=dict)

    def tell(self, key: str, *, text: str) -> None:
        if self.failure is not None:
            raise self.failure
        self.told[key] = text


@workflow.defn(sandboxed=False)
class Proposing:
    """A run that has its answer."""

    @workflow.run
    async def run(self, decision: Decision, asked: ReserveRequest) -> str:
        await show_proposal(decision, asked, STEP, RUN)
        return "went on"


async def shown(env: WorkflowEnvironment, decision: Decision, notices: Notices) -> str:
    """What becomes of a run with this decision."""
    tell = ChatActivities({"memory": cast(Chat, notices)}).tell
    with ThreadPoolExecutor(1) as threads:
        async with Worker(
            env.client,
            task_queue=HANDS,
            workflows=[Proposing],
            activities=[tell],
            activity_executor=threads,
            workflow_runner=unversioned(),
        ):
            said: str = await env.client.execute_workflow(
                Proposing.run, args=[decision, ask("run/1/0")], id=f"run/{uuid4().hex}", task_queue=HANDS
            )
    return said


@pytest.mark.asyncio(loop_scope="module")
async def test_people_are_told_by_the_reservation_and_a_chat_that_refuses_stops_no_run(
    env: WorkflowEnvironment,
) -> None:
    notices = Notices()
    assert await shown(env, decided("propose"), notices) == "went on"
    assert await shown(env, decided("off"), notices) == "went on"
    assert notices.told == {"proposal/run/1/0": notice(ask("run/1/0"), STEP, RUN)}
    assert await shown(env, decided("propose"), Notices(failure=Refused("no channel"))) == "went on"
