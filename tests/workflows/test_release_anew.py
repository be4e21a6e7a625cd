"""Releases that take longer than a history: they begin new ones, and nobody can tell."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from leverframe.model.releases import GateVerdict, ReleaseOutcome
from tests.fakes.release_world import NEW, T0, World, fails_from
from tests.fakes.releases import ADA, BOB, Releases, at_25_percent
from tests.fakes.servers import running_server
from tests.fakes.workers import unversioned
from workflows.release.canary import Ladder
from workflows.release.workflow import ReleaseWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

SHORT = "limit.historyCount.suggestContinueAsNew=60"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def short() -> AsyncIterator[WorkflowEnvironment]:
    """A server that suggests a new history after 60 events instead of some thousands."""
    async with await running_server(tuned=[SHORT]) as environment:
        yield environment


async def histories(
    client: Client, handle: WorkflowHandle[ReleaseWorkflow, ReleaseOutcome]
) -> list[WorkflowHistory]:
    """All histories of a release, oldest first."""
    found, run = [], handle.first_execution_run_id
    while run:
        history = await client.get_workflow_handle(handle.id, run_id=run).fetch_history()
        found.append(history)
        run = history.events[-1].workflow_execution_continued_as_new_event_attributes.new_execution_run_id
    return found


def unbroken(world: World) -> list[GateVerdict]:
    """What one ladder says of everything that the gate was shown."""
    ladder = Ladder.at_the_foot(NEW, world.repository.service.canary, T0)
    verdicts = []
    for document in world.documents:
        ladder, move = ladder.observed(document, document.taken_at)
        if move.kind != "hold":
            verdicts.append(move.verdict)
        if move.kind == "advance":
            ladder = ladder.climbed(document.taken_at)
    return verdicts


@pytest.mark.parametrize("bad", [101, 25])
async def test_a_release_that_begins_new_histories_says_what_an_unbroken_one_says(
    short: WorkflowEnvironment, bad: int
) -> None:
    world = World.with_stable(error_ppm=fails_from(bad))
    releases = Releases(world, short.client)
    async with releases.worker():
        handle = await releases.start()
        outcome = await handle.result()
        all_of_it = await histories(short.client, handle)
    assert outcome.outcome == ("landed" if bad > 25 else "rolled_back")
    assert list(outcome.verdicts) == unbroken(world)
    assert world.weights == ([1, 25, 100] if bad > 25 else [1, 25, 0]), "no step is begun twice"
    assert len(world.overlay_log) == (2 if bad > 25 else 3)
    assert len(all_of_it) >= 3
    replayer = Replayer(
        workflows=[ReleaseWorkflow], workflow_runner=unversioned(), data_converter=pydantic_data_converter
    )
    for history in all_of_it:
        assert (await replayer.replay_workflow(history)).replay_failure is None


async def test_what_people_have_said_goes_along_and_is_heeded_in_a_later_history(
    short: WorkflowEnvironment,
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, short.client)
    async with releases.worker():
        handle = await releases.start()
        await releases.told(handle, at_25_percent)
        story = await handle.execute_update(ReleaseWorkflow.promote, BOB)
        await handle.execute_update(ReleaseWorkflow.pause, ADA)
        said_in = (await handle.describe()).run_id
        while (await handle.describe()).run_id == said_in:
            await releases.told(handle, lambda now, was=story: now.judged_at != was.judged_at)  # type: ignore[misc]
            story = await handle.query(ReleaseWorkflow.progress)
        assert (story.percent, story.helm.leaving, story.helm.paused) == (25, (BOB,), ADA)
        await handle.execute_update(ReleaseWorkflow.abort, ADA)
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back"
    assert "ada aborted the release" in outcome.detail
