"""Trains on a forge's own queue, which is stateful and over real git; on a real server that skips time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from leverframe.model.changes import CarEjected, CarLanded, Change
from leverframe.model.ids import release_id
from tests.fakes.forge_queue import on_the_forge
from tests.fakes.train_world import Yard
from workflows.merge_train.messages import FreezeRequest, ThawRequest
from workflows.merge_train.view import TrainView
from workflows.merge_train.workflow import MergeTrainWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

HOLD = FreezeRequest(mode="hold_landing", owner="ada", reason="incident 42")
THAW = ThawRequest(owner="ada", reason="it is over")


@pytest_asyncio.fixture(loop_scope="module")
async def yard(skipping: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Yard]:
    async for yard in made(skipping, tmp_path, partial(on_the_forge)):
        yield yard


@pytest_asyncio.fixture(loop_scope="module")
async def insisting(skipping: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Yard]:
    """A yard whose rules say that the forge's queue has to carry."""
    async for yard in made(skipping, tmp_path, partial(on_the_forge, track="native")):
        yield yard


async def made(
    skipping: WorkflowEnvironment, root: Path, declare: Callable[..., object]
) -> AsyncIterator[Yard]:
    yard = await asyncio.to_thread(Yard, skipping.client, root, declare=declare)
    yard.queue.on = True
    async with yard.hands(cached=50), yard.jail():
        yield yard
        await yard.end()
    await yard.close()


async def view(yard: Yard) -> TrainView:
    return await yard.train.query(MergeTrainWorkflow.view)


async def handed(yard: Yard, *changes: Change) -> None:
    """Wait until exactly these are in the forge's queue."""
    while True:
        seen = await view(yard)
        ours = {car.change for car in seen.cars if car.state == "in_forge_queue"}
        if [entry.id for entry in yard.queue.queue] == [change.id for change in changes] and ours == {
            change.id for change in changes
        }:
            return
        await asyncio.sleep(0.02)


async def looked_twice(yard: Yard) -> None:
    before = yard.queue.looks
    while True:
        if yard.queue.looks >= before + 2:
            return
        await asyncio.sleep(0.02)


async def riding(yard: Yard, change: Change) -> "asyncio.Task[object]":
    """Enqueue it, and wait for its end in the background."""
    receiver = await yard.receiver()
    await yard.enqueue(change, notify=(receiver.id,))
    return asyncio.ensure_future(receiver.result())


async def test_what_the_forge_lands_gets_a_receipt_and_its_release(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    end = await riding(yard, change)
    await handed(yard, change)
    assert yard.queue.taken == [(change.id, change.head)]
    sha = yard.queue.merge(change)
    # A forge calls it landed before its queue says so: that is no reason to take it off.
    yard.changes.mark_landed(change.id, sha)
    await looked_twice(yard)
    yard.queue.say_landed(change, sha)
    outcome = await end
    assert isinstance(outcome, CarLanded)
    assert (outcome.receipt.sha, outcome.receipt.head, outcome.receipt.evidence) == (
        sha,
        change.head,
        "native",
    )
    assert yard.track.receipts(yard.repository) == [outcome.receipt]
    assert await yard.client.get_workflow_handle(release_id("shop", sha), result_type=str).result() == sha
    assert ((await view(yard)).findings, yard.told) == ((), {})


async def test_each_reason_for_which_the_forge_lets_go_is_told_with_its_next_action(yard: Yard) -> None:
    wanted = {
        "conflict": "merge_target",
        "check_failed": "push_fix",
        "check_inconclusive": "enqueue_again",
        "withdrawn": "enqueue_again",
        "head_moved": "nothing",
        "refused": "mend_refusal",
    }
    changes = [yard.propose(reason, {f"{reason}.py": "x\n"}) for reason in wanted]
    ends = [await riding(yard, change) for change in changes]
    await handed(yard, *changes)
    for change in changes:
        yard.queue.remove(change, change.branch, f"the forge says {change.branch}")  # type: ignore[arg-type]
    for change, end in zip(changes, ends, strict=True):
        outcome = await end
        assert isinstance(outcome, CarEjected)
        assert outcome.reason == change.branch
        assert f"The forge's queue let it go: the forge says {change.branch}" in outcome.detail
        assert outcome.next_action == wanted[change.branch]
    assert yard.sequences() == []


async def test_an_entry_that_vanishes_is_handed_over_again(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    end = await riding(yard, change)
    await handed(yard, change)
    yard.queue.forget(change)
    await handed(yard, change)
    assert yard.queue.taken == [(change.id, change.head)] * 2
    yard.queue.land(change)
    assert isinstance(await end, CarLanded)


async def test_a_queue_that_is_switched_off_mid_ride_leaves_its_changes_to_our_own_train(yard: Yard) -> None:
    one, two = yard.propose("one", {"one.py": "x\n"}), yard.propose("two", {"two.py": "x\n"})
    ends = [await riding(yard, one), await riding(yard, two)]
    await handed(yard, one, two)
    yard.queue.switch_off()
    outcomes = [await end for end in ends]
    assert [type(outcome) for outcome in outcomes] == [CarLanded, CarLanded]
    assert [receipt.evidence for receipt in yard.track.receipts(yard.repository)] == ["exact", "exact"]
    seen = await view(yard)
    assert (seen.track, seen.track_why) == ("built_in", "There is no queue.")


async def test_where_the_rules_insist_on_the_forges_queue_changes_wait_for_it_and_are_told_why(
    insisting: Yard,
) -> None:
    yard = insisting
    change = yard.propose("work", {"new.py": "x\n"})
    end = await riding(yard, change)
    await handed(yard, change)
    yard.queue.switch_off()
    await waits(yard)
    explained = await yard.train.query(MergeTrainWorkflow.explain, change.id)
    assert "It waits for the forge's own queue, as the rules say: There is no queue" in explained.words
    yard.queue.on = True
    await handed(yard, change)
    yard.queue.land(change)
    assert isinstance(await end, CarLanded)


async def waits(yard: Yard) -> None:
    while True:
        if {car.state for car in (await view(yard)).cars} == {"waiting"}:
            return
        await asyncio.sleep(0.02)


async def test_a_source_that_is_pushed_to_while_it_is_queued_lands_only_at_the_new_head(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    end = await riding(yard, change)
    await handed(yard, change)
    head = yard.world.commit("work", {"more.py": "x\n"})
    newer = yard.propose("work", {"last.py": "x\n"})
    assert head != newer.head
    later = await riding(yard, newer)
    outcome = await end
    assert isinstance(outcome, CarEjected)
    assert outcome.reason == "head_moved"
    await handed(yard, newer)
    yard.queue.land(newer)
    landed = await later
    assert isinstance(landed, CarLanded)
    assert landed.receipt.head == newer.head


async def test_a_change_that_was_pushed_to_before_it_could_be_handed_over_leaves(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    first = yard.propose("first", {"first.py": "x\n"})
    await riding(yard, first)
    await handed(yard, first)
    await yard.train.execute_update(MergeTrainWorkflow.freeze, HOLD)
    end = await riding(yard, change)
    await handed(yard)
    yard.world.commit("work", {"more.py": "x\n"})
    await yard.train.execute_update(MergeTrainWorkflow.thaw, THAW)
    outcome = await end
    assert isinstance(outcome, CarEjected)
    assert (outcome.reason, "enqueue the new head" in outcome.detail) == ("head_moved", True)


async def test_a_landed_tree_that_lacks_earlier_work_freezes_the_train_and_pages_with_the_difference(
    yard: Yard,
) -> None:
    one, two = yard.propose("one", {"one.py": "x\n"}), yard.propose("two", {"two.py": "x\n"})
    waiting = yard.propose("three", {"three.py": "x\n"})
    ends = [await riding(yard, change) for change in (one, two)]
    await riding(yard, waiting)
    await handed(yard, one, two, waiting)
    yard.queue.land(one)
    assert isinstance(await ends[0], CarLanded)
    yard.queue.land(two, stale=True)
    assert isinstance(await ends[1], CarLanded)
    await handed(yard)
    seen = await view(yard)
    assert (seen.mode, [finding.kind for finding in seen.findings][:1]) == ("hold_landing", ["tree_differs"])
    [text] = [text for text in yard.told.values() if "tree_differs" in text]
    assert "one.py" in text
    assert [car.change for car in seen.cars] == [waiting.id]


async def test_a_change_that_is_withdrawn_is_taken_out_unless_it_has_just_landed(yard: Yard) -> None:
    one, two = yard.propose("one", {"one.py": "x\n"}), yard.propose("two", {"two.py": "x\n"})
    ends = [await riding(yard, change) for change in (one, two)]
    await handed(yard, one, two)
    await yard.train.execute_update(MergeTrainWorkflow.withdraw, one.id)
    outcome = await ends[0]
    assert isinstance(outcome, CarEjected)
    assert (outcome.reason, [entry.id for entry in yard.queue.queue]) == ("withdrawn", [two.id])
    yard.queue.land(two)
    await yard.train.execute_update(MergeTrainWorkflow.withdraw, two.id)
    assert isinstance(await ends[1], CarLanded)


async def test_a_commit_that_neither_the_queue_nor_a_receipt_knows_is_told_after_a_while(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    end = await riding(yard, change)
    await handed(yard, change)
    theirs = yard.world.commit("main", {"theirs.py": "x\n"})
    text = await told(yard)
    assert ("foreign_commit" in text, theirs[:12] in text) == (True, True)
    while not (await view(yard)).findings:  # noqa: ASYNC110 - people are told first
        await asyncio.sleep(0.02)
    assert [finding.sha for finding in (await view(yard)).findings] == [theirs]
    yard.queue.land(change)
    assert isinstance(await end, CarLanded)


async def told(yard: Yard) -> str:
    while True:
        if yard.told:
            return next(iter(yard.told.values()))
        await asyncio.sleep(0.02)
