"""What people do to a train, and what it does when the target itself is at fault; on a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import WorkflowUpdateFailedError
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.sandbox import CheckRequest
from leverframe.model.changes import CarLanded, Change, Priority
from tests.fakes.train_world import Yard
from workflows.merge_train.messages import FreezeRequest, ThawRequest, Vouch
from workflows.merge_train.view import TrainView
from workflows.merge_train.workflow import MergeTrainWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

THAW = ThawRequest(owner="ada", reason="it is over")


@pytest_asyncio.fixture(loop_scope="module")
async def yard(env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Yard]:
    yard = await asyncio.to_thread(Yard, env.client, tmp_path)
    async with yard.hands(cached=50), yard.jail():
        yield yard
    await yard.close()


async def seen(yard: Yard) -> TrainView:
    return await yard.train.query(MergeTrainWorkflow.view)


async def until_mode(yard: Yard, mode: str) -> TrainView:
    while True:
        view = await seen(yard)
        if view.mode == mode:
            return view
        await asyncio.sleep(0.05)


async def until_state(yard: Yard, change: Change, state: str) -> None:
    while True:
        found = await yard.train.query(MergeTrainWorkflow.explain, change.id)
        if found.state == state:
            return
        await asyncio.sleep(0.05)


async def refusal(yard: Yard, vouch: Vouch) -> str:
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await yard.train.execute_update(MergeTrainWorkflow.vouch, vouch)
    assert isinstance(caught.value.cause, ApplicationError)
    return caught.value.cause.message


def assert_in_time(event: threading.Event) -> None:
    assert event.wait(60)


async def test_when_the_target_is_red_nobody_is_blamed_and_a_hotfix_rides_and_thaws_the_train(
    yard: Yard,
) -> None:
    def verdict(request: CheckRequest) -> str | None:
        files = yard.world.git("ls-tree", "-r", "--name-only", request.sha).splitlines()
        return None if "fix.py" in files else "failed"

    yard.sandbox.verdict = verdict
    work = yard.propose("work", {"new.py": "x\n"})
    receiver = await yard.receiver()
    await yard.enqueue(work, notify=(receiver.id,))
    frozen = await until_mode(yard, "hotfix_only")
    assert [car.change for car in frozen.cars] == [work.id]

    fix = yard.propose("fix", {"fix.py": "x\n"})
    fixed = await yard.receiver()
    await yard.enqueue(fix, priority=Priority.HOTFIX, notify=(fixed.id,))
    assert isinstance(await fixed.result(), CarLanded)
    assert isinstance(await receiver.result(), CarLanded)
    assert (await seen(yard)).freeze is None
    assert any("is red on the target itself" in text for text in yard.told.values())
    assert yard.sequences() == [2, 1]


async def test_a_train_that_holds_tests_and_lands_only_once_it_is_thawed(yard: Yard) -> None:
    before = yard.tip()
    await yard.ride(yard.propose("first", {"first.py": "x\n"}))
    held = FreezeRequest(mode="hold_landing", owner="ada", reason="incident 42")
    view = await yard.train.execute_update(MergeTrainWorkflow.freeze, held)
    assert (view.mode, view.freeze and view.freeze.owner) == ("hold_landing", "ada")
    work, receiver = yard.propose("work", {"new.py": "x\n"}), await yard.receiver()
    await yard.enqueue(work, notify=(receiver.id,))
    await until_state(yard, work, "green")
    assert yard.sequences() == [1]
    await yard.train.execute_update(MergeTrainWorkflow.thaw, THAW)
    assert isinstance(await receiver.result(), CarLanded)
    assert yard.tip() != before


async def test_a_train_that_drains_takes_nothing_new_but_a_hotfix(yard: Yard) -> None:
    await yard.ride(yard.propose("first", {"first.py": "x\n"}))
    drained = FreezeRequest(mode="drain", owner="ada", reason="moving house")
    await yard.train.execute_update(MergeTrainWorkflow.freeze, drained)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await yard.enqueue(yard.propose("work", {"new.py": "x\n"}))
    assert "moving house" in str(caught.value.cause)
    fix, receiver = yard.propose("fix", {"fix.py": "x\n"}), await yard.receiver()
    await yard.enqueue(fix, priority=Priority.HOTFIX, notify=(receiver.id,))
    assert isinstance(await receiver.result(), CarLanded)


async def test_two_people_who_did_not_write_the_change_land_it_with_fewer_checks(yard: Yard) -> None:
    await yard.ride(yard.propose("first", {"first.py": "x\n"}))
    held = FreezeRequest(mode="hold_landing", owner="ada", reason="incident 42")
    await yard.train.execute_update(MergeTrainWorkflow.freeze, held)
    yard.red_with("new.py")
    vouched = threading.Event()
    yard.sandbox.during = lambda _: assert_in_time(vouched)
    work, receiver = yard.propose("work", {"new.py": "x\n"}), await yard.receiver()
    await yard.enqueue(work, notify=(receiver.id,))

    def by(person: str) -> Vouch:
        return Vouch(change=work.id, head=work.head, person=person, reason="the check is broken")

    assert "two others have to vouch" in await refusal(yard, by("ada"))
    assert await yard.train.execute_update(MergeTrainWorkflow.vouch, by("grace")) == "first"
    assert "a second person has to" in await refusal(yard, by("grace"))
    assert await yard.train.execute_update(MergeTrainWorkflow.vouch, by("edsger")) == "override"
    vouched.set()
    await yard.train.execute_update(MergeTrainWorkflow.thaw, THAW)
    outcome = await receiver.result()
    assert isinstance(outcome, CarLanded)
    assert outcome.receipt.evidence == "override"
    assert outcome.receipt.override is not None
    assert outcome.receipt.override.people == ("grace", "edsger")
    assert (await seen(yard)).findings == ()
