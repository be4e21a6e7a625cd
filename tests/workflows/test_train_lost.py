"""What gets lost on the way to a train, comes twice or comes late; on a real server that skips time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from activities.backends.track_git import GitTrack
from activities.sandbox import CheckRequest
from leverframe.model.changes import Car, CarEjected, CarLanded, Change, CheckResult, Conflicted
from leverframe.model.errors import NotFound
from leverframe.model.ids import car_test_id
from leverframe.model.topology import Repository
from leverframe.model.trains import Method
from tests.fakes.train_world import Yard
from workflows.merge_train.car import CarReport
from workflows.merge_train.driver import TIDY_AFTER
from workflows.merge_train.messages import FreezeRequest, ThawRequest
from workflows.merge_train.workflow import MergeTrainWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


class HauntedTrack(GitTrack):
    """A track that does not find the commits of the branch `ghost` any more once it is to compose them."""

    def compose_stack(
        self,
        repository: Repository,
        *,
        changes: Sequence[tuple[Change, datetime]],
        base: str,
        method: Method = "merge",
    ) -> list[Car | Conflicted]:
        if any(change.branch == "ghost" for change, _ in changes):
            raise NotFound("the remote does not have the commit any more")
        return super().compose_stack(repository, changes=changes, base=base, method=method)


@pytest_asyncio.fixture(loop_scope="module")
async def yard(skipping: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Yard]:
    yard = await asyncio.to_thread(Yard, skipping.client, tmp_path, HauntedTrack)
    async with yard.hands(cached=50), yard.jail():
        yield yard
        await yard.end()
    await yard.close()


class Hold:
    """Holds the first check until it is let go."""

    def __init__(self, yard: Yard) -> None:
        self.began, self.may = threading.Event(), threading.Event()
        self.sha = ""
        yard.sandbox.during = self._hold

    def _hold(self, request: CheckRequest) -> None:
        if not self.began.is_set():
            self.sha = request.sha
            self.began.set()
            self.may.wait(60)


async def test_a_test_that_ended_without_a_report_counts_as_none_and_the_car_is_tested_again(
    yard: Yard,
) -> None:
    hold, receiver = Hold(yard), await yard.receiver()
    await yard.enqueue(yard.propose("work", {"new.py": "x\n"}), notify=(receiver.id,))
    await asyncio.to_thread(hold.began.wait, 60)
    await yard.client.get_workflow_handle(car_test_id(yard.name, hold.sha, 1)).terminate("somebody's hand")
    hold.may.set()
    outcome = await receiver.result()
    assert isinstance(outcome, CarLanded)
    assert outcome.receipt.sha == hold.sha == yard.tip()


async def test_reports_that_come_twice_late_or_about_another_commit_change_nothing(yard: Yard) -> None:
    first = await yard.ride(yard.propose("first", {"first.py": "x\n"}))
    assert isinstance(first, CarLanded)
    held = FreezeRequest(mode="hold_landing", owner="ada", reason="a look at it")
    await yard.train.execute_update(MergeTrainWorkflow.freeze, held)
    hold, receiver = Hold(yard), await yard.receiver()
    await yard.enqueue(yard.propose("work", {"new.py": "x\n"}), notify=(receiver.id,))
    await asyncio.to_thread(hold.began.wait, 60)
    # About another commit, while the test runs: no result of it counts, so it is tested again.
    await yard.train.signal(MergeTrainWorkflow.car_tested, red(2, first.receipt.sha))
    hold.may.set()
    state = await settled_trials(yard)
    for trial in range(state + 2):
        for _ in range(2):
            await yard.train.signal(MergeTrainWorkflow.car_tested, red(trial, hold.sha))
    await yard.train.execute_update(MergeTrainWorkflow.thaw, ThawRequest(owner="ada", reason="seen"))
    outcome = await receiver.result()
    assert isinstance(outcome, CarLanded)
    assert (outcome.receipt.sha, yard.sequences()) == (hold.sha, [2, 1])


def red(trial: int, sha: str) -> CarReport:
    result = CheckResult(check="unit", sha=sha, outcome="failed", seconds=1, summary="it failed")
    return CarReport(trial=trial, results=(result,))


async def settled_trials(yard: Yard) -> int:
    """Wait until every car that there is is green; the number of the next test."""
    while True:
        state = await yard.train.query(MergeTrainWorkflow.board)
        if state.cars and all(car.green and not car.running for car in state.cars):
            return state.next_trial
        await asyncio.sleep(0.02)


async def test_a_change_whose_commits_are_gone_when_it_is_composed_leaves_and_the_train_goes_on(
    yard: Yard,
) -> None:
    ghost, good = yard.propose("ghost", {"ghost.py": "x\n"}), yard.propose("good", {"good.py": "x\n"})
    gone, landed = await asyncio.gather(yard.ride(ghost), yard.ride(good))
    assert isinstance(gone, CarEjected)
    assert (gone.reason, "does not have the commit any more" in gone.detail) == ("refused", True)
    assert isinstance(landed, CarLanded)


async def test_the_refs_of_cars_that_have_ended_are_taken_away_and_never_one_of_an_open_change(
    yard: Yard,
) -> None:
    yard.sandbox.script = ["failed", "failed"]
    assert isinstance(await yard.ride(yard.propose("bad", {"bad.py": "x\n"})), CarEjected)
    [left] = cars(yard)
    hold, receiver = Hold(yard), await yard.receiver()
    work = yard.propose("work", {"new.py": "x\n"})
    await yard.enqueue(work, notify=(receiver.id,))
    await asyncio.to_thread(hold.began.wait, 60)
    assert set(cars(yard)) == {left, hold.sha}
    for number in range(TIDY_AFTER):  # Nobody knows them, so they leave at once.
        await yard.enqueue(work.model_copy(update={"id": f"{yard.name}/{100 + number}"}))
    await taken_away(yard, left)
    assert hold.sha in cars(yard)
    hold.may.set()
    assert isinstance(await receiver.result(), CarLanded)


async def taken_away(yard: Yard, sha: str) -> None:
    while True:
        if sha not in cars(yard):
            return
        await asyncio.sleep(0.02)


def cars(yard: Yard) -> list[str]:
    return yard.world.git("for-each-ref", "--format=%(objectname)", "refs/train/main/cars").split()
