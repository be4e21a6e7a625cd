"""Flaky tests from end to end: real pytest runs, store, fold, agent, policy, merge request and train."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from agents.flaky_tests.quarantine_file import rendered
from agents.flaky_tests.watch import SETTLE
from leverframe.model.errors import LeverframeError
from leverframe.model.ids import run_id, watch_id
from leverframe.model.outcomes import Outcome, RunReport
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.signals import SUITE, ReportArrived
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE
from tests.fakes.flaky_house import BAD_ORDER, BROKEN, FIXED, FlakyHouse, OneRun
from tests.fakes.receivers import CarReceiver, InstantRelease
from tests.fakes.servers import running_server
from tests.fakes.workers import unversioned
from workflows.approval import ApprovalWorkflow
from workflows.merge_train.car import CarWorkflow
from workflows.merge_train.workflow import MergeTrainWorkflow
from workflows.messages import WatchStart
from workflows.queues import HANDS, SANDBOX
from workflows.release.helm import Order
from workflows.remediation import RemediationWorkflow
from workflows.undo import UndoRequest, UndoWorkflow
from workflows.watch import WatchWorkflow

DAY = timedelta(days=1)
PAYS, SIGNS = "tests/test_cart.py::test_pays", "tests/test_cart.py::test_signs"


@contextlib.asynccontextmanager
async def working(house: FlakyHouse) -> AsyncIterator[None]:
    """The worker of the hands, and the sandbox's."""
    with ThreadPoolExecutor(8) as threads:
        hands = Worker(
            house.yard.client,
            task_queue=HANDS,
            workflows=[
                WatchWorkflow, RemediationWorkflow, ApprovalWorkflow, MergeTrainWorkflow, CarWorkflow,
                CarReceiver, InstantRelease, UndoWorkflow,
            ],
            activities=house.hands,
            activity_executor=threads,
            workflow_runner=unversioned(),
            workflow_failure_exception_types=[LeverframeError],
        )  # fmt: skip
        jail = Worker(
            house.yard.client, task_queue=SANDBOX, activities=[house.run_check], activity_executor=threads
        )
        async with hands, jail:
            yield


async def agent_looks(env: WorkflowEnvironment) -> RunReport:
    """A report arrives, and the run that it starts ends."""
    # A service of its own, since a watch waits for an hour between two runs.
    service = f"shop-{uuid4().hex[:8]}"
    arrived = ReportArrived(
        id=uuid4().hex,
        repository="shop",
        service=service,
        title=Untrusted("unit of main"),
        received_at=datetime.now(UTC) - SETTLE - timedelta(minutes=1),
    )
    watch = await env.client.start_workflow(
        WatchWorkflow.run,
        WatchStart(agent="flaky_tests", repository="shop", service=service, subject=SUITE),
        id=watch_id("flaky_tests", service, SUITE),
        task_queue=HANDS,
        start_signal="observe",
        start_signal_args=[arrived],
    )
    run = env.client.get_workflow_handle_for(
        RemediationWorkflow.run, run_id("flaky_tests", service, SUITE, 1)
    )
    async with asyncio.timeout(120):
        while True:
            try:
                report = await run.result()
                break
            except RPCError as error:
                assert error.status == RPCStatusCode.NOT_FOUND  # noqa: PT017 - not started yet
                await asyncio.sleep(0.05)
    await watch.terminate()
    return report


async def released(env: WorkflowEnvironment) -> int:
    """Releases that have been started."""
    return (await env.client.count_workflows("WorkflowType = 'ReleaseWorkflow'")).count


@pytest.mark.slow
async def test_only_the_flaky_test_is_quarantined_and_it_is_released_once_it_is_repaired(
    tmp_path: Path,
) -> None:
    async with await running_server() as env:
        house = FlakyHouse(env.client, tmp_path)
        main = house.tip()
        work = house.git.commit("work", {"cart.py": BROKEN})
        # `test_ships` failed once and has healed; `test_total` is broken on a branch.
        house.ci_runs(
            main, "main", [OneRun("m0", "0", slow=True), *(OneRun(f"m{n}", str(n)) for n in range(1, 12))]
        )
        house.ci_runs(work, "work", [OneRun(f"w{n}", str(n)) for n in range(4)])
        async with working(house):
            report = await agent_looks(env)
            assert report.outcome is Outcome.LANDED, report.detail
            assert house.quarantined() == [PAYS]
            # As flaky, but policy's `deny_markers` names its mark; all marks are known, so nobody was asked.
            assert SIGNS in {line.test for line in house.results.listed("shop", quarantined=True)[0]}
            # The car's own tests ran in the bad order: they were green by the entry alone.
            assert house.checked == {house.tip(): "passed"}
            assert not house.people.questions
            assert await released(env) == 0

            fixed = house.git.commit("main", {"tests/test_cart.py": FIXED})
            clean = [OneRun(f"f{number}", BAD_ORDER) for number in range(40)]
            await asyncio.to_thread(house.ci_runs, fixed, "main", clean[:10])
            early = await agent_looks(env)
            assert early.detail.startswith("no action"), early.detail
            await asyncio.to_thread(house.ci_runs, fixed, "main", clean[10:])
            last = await agent_looks(env)
            assert last.outcome is Outcome.LANDED, last.detail
            assert house.quarantined() == []
            assert await released(env) == 0
        await house.yard.close()


@pytest.mark.slow
async def test_a_quarantine_goes_on_by_a_persons_leave_and_begins_again_by_none_but_a_persons(
    tmp_path: Path,
) -> None:
    async with await running_server() as env:
        house = FlakyHouse(env.client, tmp_path)
        house.ci_runs(house.tip(), "main", [OneRun(f"m{number}", str(number)) for number in range(12)])
        async with working(house):
            assert (await agent_looks(env)).outcome is Outcome.LANDED
            (made,) = house.entries()
            today = datetime.now(UTC).date()
            soon = made.model_copy(update={"since": today - 28 * DAY, "expires": today + 2 * DAY})
            house.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(soon,)))})
            report = await agent_looks(env)
            assert report.outcome is Outcome.LANDED, report.detail
            (question,) = house.people.questions
            assert question.title.endswith(f"renews the quarantine of 1 test until {today + 30 * DAY}")
            (renewed,) = house.entries()
            assert renewed == soon.model_copy(
                update={
                    "expires": today + 30 * DAY,
                    "evidence": renewed.evidence,
                    "executions": renewed.executions,
                }
            )
            # A person takes the entry out, and tells nobody: the detector still calls the test flaky.
            house.git.commit("main", {PLACE: rendered(QuarantineFile())})
            house.people.vote = "no"
            again = await agent_looks(env)
            assert again.outcome is Outcome.REJECTED, again.detail
            assert "begun again though not healed" in " ".join(again.steps[0].findings)
            assert (house.quarantined(), len(house.people.questions)) == ([], 2)
            assert await released(env) == 0
        await house.yard.close()


@pytest.mark.slow
async def test_a_quarantine_that_a_person_undoes_leaves_by_the_train_and_is_not_proposed_again(
    tmp_path: Path,
) -> None:
    async with await running_server() as env:
        house = FlakyHouse(env.client, tmp_path)
        house.ci_runs(house.tip(), "main", [OneRun(f"m{number}", str(number)) for number in range(12)])
        async with working(house):
            report = await agent_looks(env)
            assert house.quarantined() == [PAYS]
            assert report.proposal is not None
            house.car_order = "0"  # without its entry the test has to pass
            wanted = UndoRequest.model_validate(
                {
                    "repository": "shop", "service": "shop", "subject": SUITE, "run": report.run,
                    "change": report.steps[0].change, "quarantine": report.proposal.steps[0].effect,
                    "by": Order(person="eve", reason="it is a real bug"),
                }
            )  # fmt: skip
            ended = await env.client.execute_workflow(
                UndoWorkflow.run, wanted, id=f"undo/{report.run}/0", task_queue=HANDS
            )
            assert ended.outcome is Outcome.LANDED, ended.detail
            assert house.quarantined() == []
            assert [question.agent for question in house.people.questions] == ["undo"]
            assert await released(env) == 0
            for _ in range(2):  # it is remembered, whatever the agent's own notes say of the landed request
                again = await agent_looks(env)
                assert "a person turned it down" in again.detail
        await house.yard.close()
