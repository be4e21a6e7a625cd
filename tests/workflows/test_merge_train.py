"""The train on a real server, with real git and a real store; only the sandbox is scripted."""

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio import workflow
from temporalio.client import (
    WorkflowExecutionDescription,
    WorkflowUpdateFailedError,
)
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import (
    Interceptor,
    StartChildWorkflowInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)

from activities.backends.track_git import GitTrack
from leverframe.model.changes import (
    Car,
    CarEjected,
    CarLanded,
    Conflicted,
    Priority,
    Receipt,
)
from leverframe.model.errors import Unavailable
from leverframe.model.ids import release_id
from leverframe.model.topology import Repository
from tests.fakes.git_world import KUSTOMIZATION, OVERLAY
from tests.fakes.train_world import Yard
from workflows.merge_train.state import TrainState
from workflows.merge_train.workflow import MAX_EVENTS, MergeTrainWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")


class ForgetfulTrack(GitTrack):
    """A track whose first landing is done, but whose answer is lost."""

    forgot = False

    def land(self, repository: Repository, **about: object) -> Receipt:
        receipt = super().land(repository, **about)  # type: ignore[arg-type]  # passed on as they came
        if not self.forgot:
            self.forgot = True
            raise Unavailable("the connection broke")
        return receipt


class EndsTheTrain(GitTrack):
    """A track that has landed, and does not say so before it may."""

    def __init__(self, **about: Any) -> None:
        super().__init__(**about)
        self.landed, self.may = threading.Event(), threading.Event()

    def land(self, repository: Repository, **about: object) -> Receipt:
        receipt = super().land(repository, **about)  # type: ignore[arg-type]  # passed on as they came
        self.landed.set()
        self.may.wait(60)
        return receipt


class SlowTrack(GitTrack):
    """A track that composes only once it may."""

    may = threading.Event()

    def compose(self, repository: Repository, **about: Any) -> Car | Conflicted:
        self.may.wait(60)
        return super().compose(repository, **about)


class LingersAtTheRelease(Interceptor):
    """Once the release has started, the train hears of it only after a second request for the car."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        return _Inbound


class _Inbound(WorkflowInboundInterceptor):
    def init(self, outbound: WorkflowOutboundInterceptor) -> None:
        super().init(_Outbound(outbound))


class _Outbound(WorkflowOutboundInterceptor):
    async def start_child_workflow(
        self, input: StartChildWorkflowInput
    ) -> workflow.ChildWorkflowHandle[Any, Any]:
        handle = await super().start_child_workflow(input)
        if input.workflow != "ReleaseWorkflow":
            return handle
        train = workflow.instance()
        await workflow.wait_condition(lambda: len(train.board().queue.items[0].requests) == 2)
        return handle


MakeYard = Callable[..., Awaitable[Yard]]


@pytest_asyncio.fixture(loop_scope="module")
async def make_yard(env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[MakeYard]:
    made: list[Yard] = []

    async def make(track: type[GitTrack] = GitTrack) -> Yard:
        made.append(await asyncio.to_thread(Yard, env.client, tmp_path, track))
        return made[-1]

    yield make
    for yard in made:
        await yard.close()


@pytest_asyncio.fixture(loop_scope="module")
async def yard(make_yard: MakeYard) -> AsyncIterator[Yard]:
    yard = await make_yard()
    async with yard.hands(), yard.jail():
        yield yard


async def test_what_lands_is_the_commit_that_was_tested_and_its_release_starts(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    outcome = await yard.ride(change)
    assert isinstance(outcome, CarLanded)
    (asked,) = yard.sandbox.asked
    assert yard.tip() == outcome.receipt.sha == asked.sha == asked.artifact.sha
    assert yard.track.export(yard.world.repository, yard.tip()) == asked.artifact
    assert [check.check for check in outcome.receipt.checks] == ["unit"]
    landed = yard.changes.change(change.id)
    assert (landed.state, landed.landed_as) == ("landed", yard.tip())
    assert "the commit that was tested" in dict(yard.changes.comments(change.id))["train"]
    assert yard.changes.checks(yard.tip())[0].outcome == "passed"
    release = yard.client.get_workflow_handle(release_id("shop", yard.tip()), result_type=str)
    assert await release.result() == yard.tip()


async def test_who_asks_while_the_release_of_the_car_starts_is_told_too(make_yard: MakeYard) -> None:
    yard = await make_yard()
    change = yard.propose("work", {"new.py": "x\n"})
    early, late = await yard.receiver(), await yard.receiver()
    async with yard.hands(interceptors=[LingersAtTheRelease()]), yard.jail():
        before = yard.tip()
        await yard.enqueue(change, notify=(early.id,))
        await _released(yard, before)
        await yard.enqueue(change, notify=(late.id,))
        told = await asyncio.wait_for(asyncio.gather(early.result(), late.result()), 30)
    assert [type(outcome) for outcome in told] == [CarLanded, CarLanded]


async def _released(yard: Yard, before: str) -> None:
    """Wait until the release of what lands after `before` has begun and ended."""
    while True:
        with suppress(RPCError):
            await yard.client.get_workflow_handle(release_id("shop", yard.tip())).result()
            if yard.tip() != before:
                return
        await asyncio.sleep(0.05)


async def test_what_landed_as_its_train_was_ended_is_released_when_it_is_asked_for_again(
    make_yard: MakeYard,
) -> None:
    yard = await make_yard(EndsTheTrain)
    assert isinstance(yard.track, EndsTheTrain)
    change = yard.propose("work", {"new.py": "x\n"})
    async with yard.hands(), yard.jail():
        await yard.enqueue(change)
        await asyncio.to_thread(yard.track.landed.wait, 60)
        await yard.train.terminate()
        await asyncio.to_thread(yard.changes.mark_landed, change.id, yard.tip())
        yard.track.may.set()
        assert isinstance(await yard.ride(change), CarLanded)
        release = yard.client.get_workflow_handle(release_id("shop", yard.tip()), result_type=str)
        assert await release.result() == yard.tip()
    assert yard.sequences() == [1]


async def test_an_overlay_edit_lands_without_a_check_and_without_a_release(yard: Yard) -> None:
    change = yard.propose("overlay", {OVERLAY: KUSTOMIZATION.replace("a" * 40, "b" * 40)})
    assert isinstance(await yard.ride(change), CarLanded)
    assert yard.sandbox.asked == []
    with pytest.raises(RPCError, match="not found"):
        await yard.client.get_workflow_handle(release_id("shop", yard.tip())).describe()


async def test_a_red_car_is_confirmed_and_taken_off_and_the_train_goes_on(yard: Yard) -> None:
    yard.red_with("bad.py")
    bad, good = yard.propose("bad", {"bad.py": "x\n"}), yard.propose("good", {"good.py": "x\n"})
    red, green = await asyncio.gather(yard.ride(bad), yard.ride(good))
    assert isinstance(red, CarEjected)
    assert (red.reason, red.next_action) == ("check_failed", "push_fix")
    assert "line two" in red.detail
    assert isinstance(green, CarLanded)
    assert yard.changes.change(bad.id).state == "ejected"
    assert "check_failed" in dict(yard.changes.comments(bad.id))["train"]
    assert yard.sequences() == [1]


async def test_a_flake_is_run_again_on_the_same_commit_and_lands(yard: Yard) -> None:
    yard.sandbox.script = ["failed", "passed"]
    assert isinstance(await yard.ride(yard.propose("work", {"new.py": "x\n"})), CarLanded)
    assert [asked.sha for asked in yard.sandbox.asked] == [yard.tip()] * 2


async def test_a_sandbox_without_a_verdict_is_asked_three_times_and_then_nobody_is_blamed(yard: Yard) -> None:
    yard.sandbox.script = ["inconclusive"] * 3
    outcome = await yard.ride(yard.propose("work", {"new.py": "x\n"}))
    assert isinstance(outcome, CarEjected)
    assert outcome.reason == "check_inconclusive"
    assert len(yard.sandbox.asked) == 3


async def test_a_runner_that_is_lost_is_asked_again_and_the_car_lands(yard: Yard) -> None:
    yard.sandbox.script = ["crash"]
    assert isinstance(await yard.ride(yard.propose("work", {"new.py": "x\n"})), CarLanded)


async def test_a_car_is_composed_and_tested_again_when_somebody_else_moved_the_target(yard: Yard) -> None:
    def somebody_pushes(_: object) -> None:
        if len(yard.sandbox.asked) == 1:
            yard.world.commit("main", {"theirs.py": "x\n"})

    yard.sandbox.during = somebody_pushes
    outcome = await yard.ride(yard.propose("work", {"new.py": "x\n"}))
    assert isinstance(outcome, CarLanded)
    first, second = (asked.sha for asked in yard.sandbox.asked)
    assert first != second == yard.tip()
    assert yard.world.git("show", "main:theirs.py") == "x"


async def test_a_change_that_conflicts_is_taken_off_with_the_paths(yard: Yard) -> None:
    change = yard.propose("work", {"app.py": "mine\n"})
    yard.world.commit("main", {"app.py": "theirs\n"})
    outcome = await yard.ride(change)
    assert isinstance(outcome, CarEjected)
    assert outcome.reason == "conflict"
    assert "app" in outcome.detail


async def test_a_head_that_moved_after_the_enqueue_never_lands_under_it(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    yard.world.commit("work", {"evil.py": "x\n"})
    outcome = await yard.ride(change)
    assert isinstance(outcome, CarEjected)
    assert outcome.reason == "head_moved"
    assert yard.changes.change(change.id).state == "open"


async def test_changes_that_cannot_ride_are_told_why(yard: Yard) -> None:
    empty = yard.propose("empty", {})
    yard.world.git("update-ref", "refs/heads/empty", yard.tip())
    empty = empty.model_copy(update={"head": yard.tip()})
    gone = yard.propose("gone", {"x.py": "x\n"})
    yard.world.git("update-ref", "-d", "refs/heads/gone")
    unknown = gone.model_copy(update={"id": f"{yard.name}/99"})
    outcomes = [await yard.ride(change) for change in (empty, gone, unknown)]
    reasons = [outcome.reason for outcome in outcomes if isinstance(outcome, CarEjected)]
    assert reasons == ["empty", "withdrawn", "refused"]


async def test_a_rule_of_the_remote_takes_the_car_off_and_the_train_goes_on(yard: Yard) -> None:
    yard.world.hook("update", 'test "$1" != refs/heads/main || { echo "main is protected"; exit 1; }')
    refused = await yard.ride(yard.propose("one", {"one.py": "x\n"}))
    assert isinstance(refused, CarEjected)
    assert (refused.reason, "main is protected" in refused.detail) == ("refused", True)
    yard.world.hook("update", "")
    assert isinstance(await yard.ride(yard.propose("two", {"two.py": "x\n"})), CarLanded)


async def test_somebody_who_asked_and_has_ended_meanwhile_does_not_stop_the_train(yard: Yard) -> None:
    receiver = await yard.receiver()
    await yard.enqueue(yard.propose("one", {"one.py": "x\n"}), notify=("nobody", receiver.id))
    assert isinstance(await receiver.result(), CarLanded)
    await yard.enqueue(yard.propose("two", {"two.py": "x\n"}), notify=(receiver.id,))
    assert isinstance(await yard.ride(yard.propose("three", {"three.py": "x\n"})), CarLanded)
    assert yard.sequences() == [3, 2, 1]


async def test_asking_again_for_what_has_landed_tells_the_new_one_and_lands_nothing(yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    first = await yard.ride(change)
    assert await yard.ride(change) == first
    assert (await yard.enqueue(change)).outcome == first
    assert yard.sequences() == [1]


async def test_requests_for_another_repository_or_without_a_number_are_refused_at_the_door(
    yard: Yard,
) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    for wrong in ("other/1", yard.name, f"{yard.name}/x", f"{yard.name}/", "\x1b[31m/1"):
        with pytest.raises(WorkflowUpdateFailedError) as caught:
            await yard.enqueue(change.model_copy(update={"id": wrong}))
        assert isinstance(caught.value.cause, ApplicationError)
        assert caught.value.cause.type == "BadInput"
    assert (await state_of(yard)).queue.items == ()


async def state_of(yard: Yard) -> TrainState:
    return await yard.train.query(MergeTrainWorkflow.board)


async def test_the_best_class_rides_next_and_a_withdrawn_change_does_not_ride(make_yard: MakeYard) -> None:
    SlowTrack.may.clear()
    yard = await make_yard(SlowTrack)
    async with yard.hands(), yard.jail():
        receivers = [await yard.receiver() for _ in range(4)]
        changes = [yard.propose(f"work-{n}", {f"{n}.py": "x\n"}) for n in range(4)]
        classes = [Priority.NORMAL, Priority.NORMAL, Priority.PROMOTION, Priority.HOTFIX]
        for change, receiver, priority in zip(changes, receivers, classes, strict=True):
            await yard.enqueue(change, notify=(receiver.id,), priority=priority)
        assert await yard.train.execute_update(MergeTrainWorkflow.withdraw, changes[1].id)
        assert [item.change for item in (await state_of(yard)).queue.items] == [
            changes[3].id, changes[2].id, changes[0].id, changes[1].id,
        ]  # fmt: skip
        SlowTrack.may.set()
        outcomes = [await receiver.result() for receiver in receivers]
    landed = [outcome.receipt.sequence for outcome in outcomes if isinstance(outcome, CarLanded)]
    assert landed == [3, 2, 1]  # The hotfix, the promotion, and then who came first.
    assert isinstance(outcomes[1], CarEjected)
    assert outcomes[1].reason == "withdrawn"


async def test_a_landing_whose_answer_was_lost_lands_once(make_yard: MakeYard) -> None:
    yard = await make_yard(ForgetfulTrack)
    async with yard.hands(), yard.jail():
        outcome = await yard.ride(yard.propose("work", {"new.py": "x\n"}))
    assert isinstance(outcome, CarLanded)
    assert (yard.sequences(), yard.tip()) == ([1], outcome.receipt.sha)


async def test_a_worker_that_is_replaced_in_the_middle_of_a_car_lands_it_once(make_yard: MakeYard) -> None:
    yard = await make_yard()
    running, go_on = threading.Event(), threading.Event()

    def hold(_: object) -> None:
        running.set()
        go_on.wait(60)

    yard.sandbox.during = hold
    async with yard.jail():
        async with yard.hands():
            receiver = await yard.receiver()
            await yard.enqueue(yard.propose("work", {"new.py": "x\n"}), notify=(receiver.id,))
            await asyncio.to_thread(running.wait, 60)
        go_on.set()
        async with yard.hands():
            outcome = await receiver.result()
    assert isinstance(outcome, CarLanded)
    assert yard.sequences() == [1]
    assert len(yard.sandbox.asked) == 1


async def test_the_train_continues_as_new_and_still_knows_what_it_was_asked(make_yard: MakeYard) -> None:
    yard = await make_yard()
    yard.sandbox.script = ["failed", "failed"]
    change = yard.propose("work", {"new.py": "x\n"})
    async with yard.hands(cached=10), yard.jail():
        receiver = await yard.receiver()
        await yard.enqueue(change, notify=(receiver.id,), request="first")
        red = await receiver.result()
        for _ in range(MAX_EVENTS // 4):
            await yard.train.execute_update(MergeTrainWorkflow.withdraw, "nothing")
        told = await description_of(yard)
        assert told.run_id != told.raw_info.first_run_id
        assert told.history_length < MAX_EVENTS
        assert yard.world.git("for-each-ref", "refs/train/main/cars") == ""
        again = await yard.enqueue(change, notify=(receiver.id,), request="first")
        assert (again.state, again.outcome) == ("settled", red)
        assert isinstance(await yard.ride(change), CarLanded)


async def description_of(yard: Yard) -> WorkflowExecutionDescription:
    return await yard.client.get_workflow_handle(yard.train.id).describe()
