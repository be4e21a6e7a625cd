"""Infrastructure cars and the dev that they are shown to; on a real server that skips time."""

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from leverframe.model.changes import CarEjected, CarLanded, Change, Priority
from leverframe.model.ids import car_test_id
from tests.fakes.dev_world import with_dev
from tests.fakes.train_world import Yard
from workflows.merge_train.messages import FreezeRequest, ThawRequest
from workflows.merge_train.view import Explanation, TrainView
from workflows.merge_train.workflow import MergeTrainWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

WELL = ThawRequest(owner="ada", reason="I looked")


@pytest_asyncio.fixture(loop_scope="module")
async def yard(skipping: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Yard]:
    yard = await asyncio.to_thread(Yard, skipping.client, tmp_path, declare=with_dev)
    async with yard.hands(cached=50), yard.jail():
        yield yard
        await yard.end()
    await yard.close()


def terraform(yard: Yard, branch: str, text: str = "bucket") -> Change:
    """A change of infrastructure; `broken` in its text breaks dev."""
    return yard.propose(branch, {f"infra/{branch}.tf": text})


async def dev_is_back(yard: Yard) -> TrainView:
    while True:
        view = await yard.train.query(MergeTrainWorkflow.view)
        if not view.dev:
            return view
        await asyncio.sleep(0.02)


async def people_are_told(yard: Yard) -> str:
    """What people are told, once they are."""
    while True:
        if yard.told:
            [text] = yard.told.values()
            return text
        await asyncio.sleep(0.02)


async def shown(yard: Yard, change: Change) -> None:
    """Wait until dev has been shown the change."""
    while True:
        if (await explained(yard, change)).state == "green":
            return
        await asyncio.sleep(0.02)


async def explained(yard: Yard, change: Change) -> Explanation:
    return await yard.train.query(MergeTrainWorkflow.explain, change.id)


async def test_a_car_lands_once_it_is_applied_and_dev_is_healthy_and_its_receipt_says_so(yard: Yard) -> None:
    outcome = await yard.ride(terraform(yard, "bucket"))
    assert isinstance(outcome, CarLanded)
    assert yard.dev.applied == [yard.tip()]
    assert [check.check for check in outcome.receipt.checks] == ["unit", "dev"]
    assert {result.check for result in yard.changes.checks(yard.tip())} == {"unit", "dev"}
    assert (await dev_is_back(yard)).dev == ""


@pytest.mark.parametrize("good_first", [False, True])
async def test_a_car_that_breaks_dev_is_confirmed_on_a_healed_dev_and_dev_is_put_back(
    yard: Yard, good_first: bool
) -> None:
    bad, good = terraform(yard, "bad", "broken"), yard.propose("good", {"good.py": "x\n"})
    receiver = await yard.receiver()
    await yard.enqueue(good if good_first else bad)
    await yard.enqueue(bad if good_first else good)
    await yard.enqueue(bad, notify=(receiver.id,))
    red, green = await receiver.result(), await yard.ride(good)
    assert isinstance(red, CarEjected)
    assert (red.reason, red.next_action) == ("check_failed", "push_fix")
    assert "Check dev failed 2 times" in red.detail
    assert isinstance(green, CarLanded)
    await dev_is_back(yard)
    car = yard.dev.applied[0]
    assert [sha == car for sha in yard.dev.applied] == [True, False, True, False]
    assert (yard.dev.files, yard.dev.most_at_once) == ({}, 1)


async def test_an_apply_without_a_verdict_is_nobodys_fault_and_holds_up_nobody_after_it(yard: Yard) -> None:
    yard.dev.script = ["inconclusive", "passed"] * 3
    outcome = await yard.ride(terraform(yard, "bucket"))
    assert isinstance(outcome, CarEjected)
    assert (outcome.reason, "Nothing says that the change is at fault" in outcome.detail) == (
        "check_inconclusive",
        True,
    )
    assert isinstance(await yard.ride(terraform(yard, "queue")), CarLanded)
    assert yard.dev.files.keys() == {"infra/queue.tf"}


async def test_a_dev_that_can_never_be_asked_is_nobodys_fault_either(yard: Yard) -> None:
    yard.dev.script = ["lost"] * 100
    yard.dev.files = {"infra/old.tf": "what dev had"}
    change, receiver = terraform(yard, "bucket"), await yard.receiver()
    await yard.enqueue(change, notify=(receiver.id,))
    await people_are_told(yard)
    told = await explained(yard, change)
    assert (told.state, "failed 3 times" in told.words) == ("no_verdict", True)
    yard.dev.script = []
    assert isinstance(await receiver.result(), CarLanded)


async def test_two_cars_are_shown_to_dev_one_after_the_other(yard: Yard) -> None:
    one, two = terraform(yard, "one"), terraform(yard, "two")
    landed = await asyncio.gather(yard.ride(one), yard.ride(two))
    assert [type(outcome) for outcome in landed] == [CarLanded, CarLanded]
    assert yard.dev.most_at_once == 1
    assert yard.dev.applied == [receipt.sha for receipt in reversed(yard.track.receipts(yard.repository))]
    assert yard.dev.files.keys() == {"infra/one.tf", "infra/two.tf"}


async def test_a_worker_that_dies_between_the_apply_and_its_report_applies_it_again(yard: Yard) -> None:
    yard.dev.script = ["lost"]
    assert isinstance(await yard.ride(terraform(yard, "bucket")), CarLanded)
    assert yard.dev.applied == [yard.tip()] * 2


async def test_a_dev_that_was_broken_by_an_apply_whose_report_was_lost_blames_only_after_it_was_healed(
    yard: Yard,
) -> None:
    yard.dev.script = ["lost"]
    outcome = await yard.ride(terraform(yard, "bad", "broken"))
    assert isinstance(outcome, CarEjected)
    assert outcome.reason == "check_failed"
    await dev_is_back(yard)
    car = yard.dev.applied[0]
    # Lost, without a verdict since dev was unwell before; then red, and red again, each on a healed dev.
    assert [sha == car for sha in yard.dev.applied] == [True, True, False, True, False, True, False]


class Held:
    """Holds the first apply until it is let go."""

    def __init__(self, yard: Yard) -> None:
        self.began, self.may = threading.Event(), threading.Event()
        yard.dev.during = self._hold

    def _hold(self, sha: str) -> None:
        self.began.set()
        self.may.wait(60)


async def test_a_change_that_is_withdrawn_in_the_middle_of_its_apply_is_taken_out_of_dev_afterwards(
    yard: Yard,
) -> None:
    held, before = Held(yard), yard.tip()
    change, receiver = terraform(yard, "bucket"), await yard.receiver()
    await yard.enqueue(change, notify=(receiver.id,))
    await asyncio.to_thread(held.began.wait, 60)
    await yard.train.execute_update(MergeTrainWorkflow.withdraw, change.id)
    outcome = await receiver.result()
    assert isinstance(outcome, CarEjected)
    assert outcome.reason == "withdrawn"
    assert "Dev is being shown" in (await yard.train.query(MergeTrainWorkflow.view)).dev
    held.may.set()
    await dev_is_back(yard)
    assert yard.dev.applied[1:] == [before]
    assert (yard.dev.files, yard.dev.most_at_once) == ({}, 1)


async def test_a_hotfix_that_overtakes_a_shown_car_meets_the_dev_of_the_target(yard: Yard) -> None:
    held, before = Held(yard), yard.tip()
    change, receiver = terraform(yard, "bucket"), await yard.receiver()
    await yard.enqueue(change, notify=(receiver.id,))
    await asyncio.to_thread(held.began.wait, 60)
    hold = FreezeRequest(mode="hold_landing", owner="ada", reason="a look at it")
    await yard.train.execute_update(MergeTrainWorkflow.freeze, hold)
    held.may.set()
    await shown(yard, change)
    fix, fixed = terraform(yard, "fix"), await yard.receiver()
    await yard.enqueue(fix, priority=Priority.HOTFIX, notify=(fixed.id,))
    await dev_is_back(yard)
    await yard.train.execute_update(MergeTrainWorkflow.thaw, WELL)
    first, second = await fixed.result(), await receiver.result()
    assert isinstance(first, CarLanded)
    assert isinstance(second, CarLanded)
    old = yard.dev.applied[0]
    assert yard.dev.applied == [old, before, first.receipt.sha, second.receipt.sha]


async def test_while_dev_cannot_be_put_back_people_are_told_and_other_changes_land(yard: Yard) -> None:
    def fails(sha: str) -> None:
        yard.dev.sick = True

    yard.dev.during = fails
    change, receiver = terraform(yard, "bucket"), await yard.receiver()
    await yard.enqueue(change, notify=(receiver.id,))
    text = await people_are_told(yard)
    assert ("can't be put back" in text, "answered 500" in text) == (True, True)
    assert isinstance(await yard.ride(yard.propose("good", {"good.py": "x\n"})), CarLanded)
    told = await explained(yard, change)
    assert "vouch-dev" in told.words
    yard.dev.during, yard.dev.sick = lambda sha: None, False
    assert isinstance(await receiver.result(), CarLanded)
    assert len(yard.told) == 1


async def test_a_person_vouches_for_a_dev_that_cannot_be_put_back(yard: Yard) -> None:
    yard.dev.script = ["failed", *["inconclusive"] * 200]
    with_refusal = terraform(yard, "bucket")
    receiver = await yard.receiver()
    await yard.enqueue(with_refusal, notify=(receiver.id,))
    await people_are_told(yard)
    yard.dev.script = [*["inconclusive"] * 3, *["passed"] * 9]
    await yard.train.execute_update(MergeTrainWorkflow.vouch_for_dev, WELL)
    assert isinstance(await receiver.result(), CarLanded)
    await dev_is_back(yard)
    with pytest.raises(WorkflowUpdateFailedError) as caught:
        await yard.train.execute_update(MergeTrainWorkflow.vouch_for_dev, WELL)
    assert "what the target says already" in str(caught.value.cause)


async def test_an_apply_whose_run_was_ended_by_hand_is_taken_back_and_the_car_shown_again(yard: Yard) -> None:
    held, before = Held(yard), yard.tip()
    change, receiver = terraform(yard, "bucket"), await yard.receiver()
    await yard.enqueue(change, notify=(receiver.id,))
    await asyncio.to_thread(held.began.wait, 60)
    state = await yard.train.query(MergeTrainWorkflow.board)
    assert state.dev is not None
    run = car_test_id(yard.name, state.dev.sha, state.dev.trial)
    await yard.client.get_workflow_handle(run).terminate("somebody's hand")
    held.may.set()
    outcome = await receiver.result()
    assert isinstance(outcome, CarLanded)
    assert yard.dev.applied == [yard.tip(), before, yard.tip()]
