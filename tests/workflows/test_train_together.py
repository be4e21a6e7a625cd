"""Changes that ride together: batches, and lanes that land past each other; on a real server."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from leverframe.model.changes import CarEjected, CarLanded, CarOutcome, Change, Priority
from leverframe.model.topology import Lane, Repository, TrainRules
from leverframe.model.trains import Freeze
from tests.fakes.dev_world import with_dev
from tests.fakes.git_world import AT
from tests.fakes.train_world import Yard
from workflows.merge_train.messages import FreezeRequest, ThawRequest
from workflows.merge_train.record import Odds, Record
from workflows.merge_train.state import TrainState
from workflows.merge_train.workflow import MergeTrainWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

THAW = ThawRequest(owner="ada", reason="everybody is here")
GATHERING = TrainState(
    freeze=Freeze(mode="hotfix_only", owner="ada", reason="until everybody is here", since=AT),
    record=Record(passing=Odds(well=199.0, ill=1.0)),
)
"""Nobody is tested before the thaw, and people are known to write changes that are mostly good."""

BATCHES = TrainRules(strategy="batch", runners=1, batch=4, window=8)
LANES = TrainRules(
    lane_mode="composed",
    lanes=(Lane(name="one", paths=("one/**",)), Lane(name="two", paths=("two/**", "infra/**"))),
)

MakeYard = Callable[[TrainRules], Awaitable[Yard]]


@pytest_asyncio.fixture(loop_scope="module")
async def make_yard(skipping: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[MakeYard]:
    made: list[Yard] = []

    async def make(rules: TrainRules) -> Yard:
        def declare(repository: Repository) -> Repository:
            return with_dev(repository).model_copy(update={"train": rules})

        made.append(await asyncio.to_thread(Yard, skipping.client, tmp_path, declare=declare))
        made[-1].state = GATHERING
        return made[-1]

    yield make
    for yard in made:
        await yard.close()


async def all_ride(yard: Yard, *changes: Change) -> list[CarOutcome]:
    """Enqueue them in this order, then let the train go; how each of them ended."""
    async with yard.hands(cached=50), yard.jail():
        receivers = [await yard.receiver() for _ in changes]
        for change, receiver in zip(changes, receivers, strict=True):
            await yard.enqueue(change, notify=(receiver.id,))
        await yard.train.execute_update(MergeTrainWorkflow.thaw, THAW)
        outcomes = [await receiver.result() for receiver in receivers]
        await yard.end()
    return outcomes


def numbered(yard: Yard, count: int) -> list[Change]:
    return [yard.propose(f"work-{number}", {f"{number}.py": "x\n"}) for number in range(count)]


def what_was_tested(yard: Yard) -> list[str]:
    """The numbers of the files that each tested commit has, beside those of the target at the beginning."""
    seen = [yard.world.git("ls-tree", "--name-only", asked.sha).split() for asked in yard.sandbox.asked]
    return ["".join(name[0] for name in names if name[0].isdigit()) for names in seen]


def pushes_onto_the_target(yard: Yard) -> list[int]:
    """For each push that moved the target, how many receipts came with it."""
    found = (yard.world.remote / "pushes").read_text().split("--\n")
    moved = [push for push in found if "refs/heads/main" in push]
    return [sum("/landed/" in line for line in push.splitlines()) for push in moved]


def landed_as(outcomes: list[CarOutcome]) -> list[int]:
    return [outcome.receipt.sequence for outcome in outcomes if isinstance(outcome, CarLanded)]


def count_pushes(yard: Yard) -> None:
    yard.world.hook("post-receive", 'cat >> "$GIT_DIR/pushes"; echo -- >> "$GIT_DIR/pushes"')


async def test_a_green_batch_lands_in_one_push_with_a_receipt_for_each_change(make_yard: MakeYard) -> None:
    yard = await make_yard(BATCHES)
    count_pushes(yard)
    outcomes = await all_ride(yard, *numbered(yard, 4))
    assert what_was_tested(yard) == ["0123"]
    assert pushes_onto_the_target(yard) == [4]
    receipts = [outcome.receipt for outcome in outcomes if isinstance(outcome, CarLanded)]
    assert [(one.sequence, one.evidence) for one in receipts] == [
        (1, "covered"),
        (2, "covered"),
        (3, "covered"),
        (4, "exact"),
    ]
    assert receipts[-1].sha == yard.tip() == yard.sandbox.asked[0].sha


async def test_a_red_batch_is_halved_in_order_until_the_one_at_fault_is_alone(make_yard: MakeYard) -> None:
    yard = await make_yard(BATCHES)
    count_pushes(yard)
    yard.red_with("2.py")
    changes = numbered(yard, 4)
    outcomes = await all_ride(yard, *changes)
    assert [type(outcome) for outcome in outcomes] == [CarLanded, CarLanded, CarEjected, CarLanded]
    assert isinstance(outcomes[2], CarEjected)
    assert outcomes[2].reason == "check_failed"
    assert what_was_tested(yard)[:2] == ["0123", "01"]
    assert pushes_onto_the_target(yard)[0] == 2
    assert landed_as(outcomes) == [1, 2, 3]


async def test_an_infrastructure_change_lands_with_no_batch_but_after_dev_has_seen_it(
    make_yard: MakeYard,
) -> None:
    yard = await make_yard(BATCHES)
    infrastructure = yard.propose("infra", {"infra/main.tf": "bucket"})
    one, two = numbered(yard, 2)
    outcomes = await all_ride(yard, one, infrastructure, two)
    receipts = [outcome.receipt for outcome in outcomes if isinstance(outcome, CarLanded)]
    assert len(receipts) == 3
    assert yard.dev.applied == [receipts[1].sha]
    assert [check.check for check in receipts[1].checks] == ["unit", "dev"]
    assert receipts[1].evidence == "exact"


def gathered(yard: Yard, count: int) -> None:
    """Nobody's check ends before so many have begun."""
    barrier = threading.Barrier(count, timeout=60)
    left = [count]

    def wait(_: object) -> None:
        if left[0] > 0:
            left[0] -= 1
            barrier.wait()

    yard.sandbox.during = wait


async def test_lanes_land_past_each_other_and_the_receipt_says_composed(make_yard: MakeYard) -> None:
    yard = await make_yard(LANES)
    gathered(yard, 2)
    one, two = yard.propose("one", {"one/a.py": "x\n"}), yard.propose("two", {"two/b.py": "x\n"})
    outcomes = await all_ride(yard, one, two)
    receipts = sorted(
        (outcome.receipt for outcome in outcomes if isinstance(outcome, CarLanded)),
        key=lambda receipt: receipt.sequence,
    )
    assert [receipt.evidence for receipt in receipts] == ["exact", "composed"]
    assert len(yard.sandbox.asked) == 2
    assert receipts[1].sha not in {asked.sha for asked in yard.sandbox.asked}
    assert receipts[1].base == receipts[0].sha
    names = yard.world.git("ls-tree", "-r", "--name-only", "main").split()
    assert {"one/a.py", "two/b.py"} <= set(names)


@pytest.mark.parametrize("shared", ["uv.lock", ".ci/run"])
async def test_a_file_of_no_lane_is_in_every_lane_so_whatever_lands_after_it_is_tested_on_it(
    make_yard: MakeYard, shared: str
) -> None:
    yard = await make_yard(LANES)
    gathered(yard, 2)
    common, work = yard.propose("common", {shared: "x\n"}), yard.propose("work", {"one/a.py": "x\n"})
    outcomes = await all_ride(yard, common, work)
    receipts = [outcome.receipt for outcome in outcomes if isinstance(outcome, CarLanded)]
    assert [receipt.evidence for receipt in receipts] == ["exact", "exact"]
    assert receipts[1].sha in {asked.sha for asked in yard.sandbox.asked}
    assert yard.world.git("show", f"{receipts[1].sha}:{shared}") == "x"


async def test_of_several_changes_that_landed_meanwhile_exactly_the_incompatible_one_is_named(
    make_yard: MakeYard,
) -> None:
    yard = await make_yard(TrainRules())
    yard.state = TrainState()
    yard.red_with("mine.py", "c.py")
    mine = yard.propose("mine", {"mine.py": "x\n"})
    fixes = {name: yard.propose(name, {f"{name}.py": "x\n"}) for name in "abcd"}
    held = FreezeRequest(mode="hold_landing", owner="ada", reason="until it is green")
    async with yard.hands(cached=50), yard.jail():
        await yard.ride(yard.propose("first", {"first.py": "x\n"}))
        await yard.train.execute_update(MergeTrainWorkflow.freeze, held)
        receiver = await yard.receiver()
        await yard.enqueue(mine, notify=(receiver.id,))
        await green(yard, mine)
        for fix in fixes.values():
            await yard.enqueue(fix, priority=Priority.HOTFIX)
        await yard.train.execute_update(MergeTrainWorkflow.thaw, THAW)
        outcome = await receiver.result()
        await yard.end()
    assert isinstance(outcome, CarEjected)
    assert (outcome.reason, outcome.conflicts_with) == ("incompatible", (fixes["c"].id,))
    assert outcome.next_action == "merge_target"
    names = {name: yard.changes.change(fix.id).state for name, fix in fixes.items()}
    assert names == dict.fromkeys("abcd", "landed")


async def green(yard: Yard, change: Change) -> None:
    while True:
        if (await yard.train.query(MergeTrainWorkflow.explain, change.id)).state == "green":
            return
        await asyncio.sleep(0.02)


async def test_an_infrastructure_car_past_which_another_lane_has_landed_is_shown_to_dev_as_it_lands(
    make_yard: MakeYard,
) -> None:
    yard = await make_yard(LANES)
    began, may = threading.Event(), threading.Event()

    def hold(_: str) -> None:
        began.set()
        may.wait(60)

    yard.dev.during = hold
    infrastructure = yard.propose("infra", {"infra/main.tf": "bucket"})
    work = yard.propose("work", {"one/a.py": "x\n"})
    async with yard.hands(cached=50), yard.jail():
        receiver = await yard.receiver()
        await yard.enqueue(infrastructure, notify=(receiver.id,))
        await yard.train.execute_update(MergeTrainWorkflow.thaw, THAW)
        await asyncio.to_thread(began.wait, 60)
        past = await yard.ride(work)
        may.set()
        outcome = await receiver.result()
        await yard.end()
    assert isinstance(past, CarLanded)
    assert isinstance(outcome, CarLanded)
    assert (outcome.receipt.base, outcome.receipt.evidence) == (past.receipt.sha, "exact")
    assert yard.dev.applied[1:] == [past.receipt.sha, outcome.receipt.sha]
    assert yard.dev.most_at_once == 1
