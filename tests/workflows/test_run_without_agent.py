"""A run whose agent is not there any more, as after an upgrade, still ends with a report."""

from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.model.outcomes import Outcome
from tests.fakes.remediation_world import BEGAN, DUE, World
from tests.workflows.test_remediation import ListeningWatch, workers
from workflows.messages import RunRequest
from workflows.queues import HANDS
from workflows.remediation import RemediationWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_run_of_an_unknown_agent_says_so_and_tells_its_watch(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client)
    async with workers(world):
        watch = await world.client.start_workflow(
            ListeningWatch.run, id=f"watch/{uuid4().hex}", task_queue=HANDS
        )
        request = RunRequest(
            agent="retired",
            repository="shop",
            service="shop",
            subject="SHOP-1",
            due=DUE,
            detected_at=BEGAN,
            watch=watch.id,
        )
        report = await world.client.execute_workflow(
            RemediationWorkflow.run, request, id=f"run/{uuid4().hex}", task_queue=HANDS
        )
        heard = await watch.result()
    assert report.outcome is Outcome.FAILED
    assert "there is no agent 'retired'" in report.detail
    assert heard is not None
    assert heard.outcome is Outcome.FAILED
