"""The train: one per repository and target branch. The exact commit tested is the commit that lands.

The workflow only carries out what `planner.plan` says of its state, one action at a time, and plans
again. All it knows lies in `TrainState`, so it can continue as new between any two actions.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Concatenate, Literal, ParamSpec, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior, WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.forge import ComposeRequest, ForgeActivities, LandRequest
    from activities.pulse import heartbeat_timeout
    from activities.sandbox import CheckRequest, SandboxActivities
    from leverframe.model.changes import (
        Car,
        CarLanded,
        CarOutcome,
        CheckResult,
        Conflicted,
        Enqueue,
        Receipt,
    )
    from leverframe.model.frozen import Frozen, Slug
    from leverframe.model.ids import release_id
    from leverframe.model.releases import ReleaseRequest
    from leverframe.model.topology import Repository
    from leverframe.model.untrusted import Untrusted
    from workflows import attributes
    from workflows.merge_train import board, queue
    from workflows.merge_train.planner import (
        LOG_SHOWN,
        Compose,
        Eject,
        Idle,
        Land,
        Letter,
        Ride,
        RunCheck,
        Settled,
        Tell,
        TrainState,
        plan,
    )
    from workflows.merge_train.queue import Queue, Queued
    from workflows.merge_train.refusals import cause_of, conflict, refused
    from workflows.queues import HANDS, SANDBOX

MAX_QUEUED = 500
MAX_SETTLED = 50
MAX_EVENTS = 500
"""Events of one run; the train continues as new at the first pause past it."""

PATIENT = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""The forge is waited for: only an error that retrying can't help ends it."""

_SHORT = timedelta(minutes=1)
_LONG = timedelta(minutes=10)
"""For work on a whole repository. It has a pulse, so that a killed worker is missed much earlier."""

_CHECK_SLACK = timedelta(minutes=2)
"""On top of a check's own limit, which the sandbox keeps: starting the jail, sending the result."""


class TrainStart(Frozen):
    """Input of `MergeTrainWorkflow`, and what it carries into its next run."""

    repository: Slug
    state: TrainState = TrainState()


class QueuePlace(Frozen):
    """The answer to an enqueue."""

    state: Literal["waiting", "riding", "settled"]
    ahead: int = 0
    """How many changes come first."""
    outcome: CarOutcome | None = None
    """For `settled`: this ride has ended already."""


P = ParamSpec("P")
R = TypeVar("R")


async def _by_hand(
    summary: str,
    method: Callable[Concatenate[ForgeActivities, P], R],
    *args: P.args,
    **kwargs: P.kwargs,
) -> R:
    """What the forge answers. Raises ActivityError for an error that retrying can't help."""
    silence = heartbeat_timeout(method)
    return await workflow.execute_activity_method(
        method,
        args=args,
        task_queue=HANDS,
        start_to_close_timeout=_SHORT if silence is None else _LONG,
        heartbeat_timeout=silence,
        retry_policy=PATIENT,
        summary=summary,
    )


@workflow.defn(name="MergeTrainWorkflow", versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class MergeTrainWorkflow:
    """Carries changes onto their target branch, one car at a time."""

    @workflow.init
    def __init__(self, start: TrainStart) -> None:
        self._repository = start.repository
        self._state = start.state

    @workflow.run
    async def run(self, start: TrainStart) -> None:
        """Plan and act for ever."""
        workflow.upsert_search_attributes([attributes.REPOSITORY.value_set(self._repository)])
        while True:
            workflow.set_current_details(board.markdown(self._repository, self._state))
            if self._is_long():
                await workflow.wait_condition(workflow.all_handlers_finished)
                workflow.continue_as_new(TrainStart(repository=self._repository, state=self._state))
            await self._act()

    @workflow.update(description="Ask the train to carry a change at exactly this head")
    def enqueue(self, asked: Enqueue) -> QueuePlace:
        """Give the change a place. Asked twice, answered the same.

        A change that has landed at this head is not carried again; everybody in `notify` is told. One
        that was taken off rides again when it is asked for by a new request.
        """
        update = workflow.current_update_info()
        request = update.id if update else ""
        if before := self._settled(asked, request):
            if asked.notify and request not in before.requests:
                letter = Letter(to=asked.notify, outcome=before.outcome)
                self._update(letters=(*self._state.letters, letter))
            return QueuePlace(state="settled", outcome=before.outcome)
        self._update(queue=queue.put(self._state.queue, asked, request=request, at=workflow.now()))
        workflow.set_current_details(board.markdown(self._repository, self._state))
        return self._place(asked)

    @enqueue.validator
    def _may_enqueue(self, asked: Enqueue) -> None:
        repository, _, number = asked.change.rpartition("/")
        if repository != self._repository or not number.isdecimal():
            shown = Untrusted(asked.change).for_terminal()
            raise ApplicationError(
                f"{shown} is not a change of {self._repository}: its id is {self._repository}/<number>",
                type="BadInput",
                non_retryable=True,
            )
        items = self._state.queue.items
        if len(items) >= MAX_QUEUED and self._state.queue.find(asked.change, asked.head) is None:
            raise ApplicationError(f"{MAX_QUEUED} changes are queued: wait", type="Unavailable")

    @workflow.update(description="Take a change off before it lands")
    def withdraw(self, change: str) -> bool:
        """True if the change was queued or riding. A landing that is under way wins."""
        known = any(item.change == change for item in self._state.queue.items)
        self._update(queue=queue.withdraw(self._state.queue, change))
        return known

    @workflow.query(description="Who rides, who waits, and how the last rides ended")
    def board(self) -> TrainState:
        """The whole state: queue, rides, newest outcomes."""
        return self._state

    def _is_long(self) -> bool:
        info = workflow.info()
        return info.get_current_history_length() >= MAX_EVENTS or info.is_continue_as_new_suggested()

    async def _act(self) -> None:
        """Carry out the next action of the plan."""
        match plan(self._state):
            case Idle():
                await workflow.wait_condition(
                    lambda: self._is_long() or not isinstance(plan(self._state), Idle)
                )
            case Tell(letter):
                await self._tell(letter)
            case Compose(item):
                await self._compose(item)
            case RunCheck(item, car, check):
                await self._run_check(item, car, check.name, check.timeout_seconds)
            case Land(item, car, results):
                await self._land(item, car, results)
            case Eject(item, outcome):
                await self._settle(item, outcome)

    async def _compose(self, item: Queued) -> None:
        """Put the item's car together on the target's tip, with what is known of its commit."""
        ride = self._ride(item) or Ride(sequence=item.sequence)
        self._keep(ride)
        request = ComposeRequest(change=item.change, head=item.head, at=item.enqueued_at)
        try:
            composed = await _by_hand(
                f"Compose {item.change} onto the target", ForgeActivities.compose, request
            )
            if isinstance(composed, CarLanded):
                # An earlier train may have ended between the landing and the start of the release.
                self._keep(await self._releasing(ride, composed.receipt.paths))
            if not isinstance(composed, Car):
                await self._settle(item, conflict(composed) if isinstance(composed, Conflicted) else composed)
                return
            self._keep(await self._prepared(ride, composed))
        except ActivityError as error:
            await self._settle(item, refused(item, error))

    async def _prepared(self, ride: Ride, car: Car) -> Ride:
        """The ride with its car, what must be proven of it, and what has been proven before."""
        repository = await self._described()
        known = await _by_hand(f"Look up what is proven of {car.sha[:12]}", ForgeActivities.checks, car.sha)
        return ride.model_copy(
            update={
                "car": car,
                "required": repository.required_checks(car.paths),
                "results": tuple(_bounded(result) for result in known if result.outcome == "passed"),
                "artifact": None,
                "releases": _released_by(repository, car.paths),
                "compositions": ride.compositions + 1,
            }
        )

    async def _releasing(self, ride: Ride, paths: tuple[str, ...]) -> Ride:
        """The ride with what its landed paths release."""
        return ride.model_copy(update={"releases": _released_by(await self._described(), paths)})

    async def _described(self) -> Repository:
        return await _by_hand(
            f"Read what is required of {self._repository}", ForgeActivities.describe, self._repository
        )

    async def _run_check(self, item: Queued, car: Car, check: str, limit_seconds: int) -> None:
        """Run one check on the artifact of exactly this car, and keep what it said."""
        ride = self._ride(item)
        if ride is None:
            return
        try:
            if ride.artifact is None:
                artifact = await _by_hand(
                    f"Build the artifact of {car.sha[:12]}", ForgeActivities.export, self._repository, car.sha
                )
                ride = ride.model_copy(update={"artifact": artifact})
                self._keep(ride)
            result = await self._checked(ride, car, check, limit_seconds)
            await _by_hand(
                f"Record {check} of {car.sha[:12]}: {result.outcome}",
                ForgeActivities.record_check,
                item.change,
                result,
            )
        except ActivityError as error:
            await self._settle(item, refused(item, error))
            return
        self._keep(ride.model_copy(update={"results": (*ride.results, _bounded(result))}))

    async def _checked(self, ride: Ride, car: Car, check: str, limit_seconds: int) -> CheckResult:
        """What the check says; a sandbox that can't say anything is inconclusive, never the car's fault."""
        if ride.artifact is None:
            raise ApplicationError(f"{car.sha[:12]} has no artifact", non_retryable=True)
        try:
            return await workflow.execute_activity_method(
                SandboxActivities.run_check,
                CheckRequest(repository=self._repository, sha=car.sha, check=check, artifact=ride.artifact),
                task_queue=SANDBOX,
                start_to_close_timeout=timedelta(seconds=limit_seconds) + _CHECK_SLACK,
                heartbeat_timeout=timedelta(minutes=1),
                retry_policy=RetryPolicy(maximum_attempts=3),
                summary=f"Run {check} on {car.sha[:12]}",
            )
        except ActivityError as error:
            _, message = cause_of(error)
            return CheckResult(
                check=check,
                sha=car.sha,
                outcome="inconclusive",
                seconds=0,
                summary=Untrusted(f"the sandbox gave no answer: {message}").for_terminal(),
            )

    async def _land(self, item: Queued, car: Car, results: tuple[CheckResult, ...]) -> None:
        """Compare-and-swap the target; when it moved, the car is composed and tested anew."""
        request = LandRequest(car=car, author=item.author, checks=results, at=workflow.now())
        try:
            receipt = await _by_hand(f"Land {item.change} as {car.sha[:12]}", ForgeActivities.land, request)
        except ActivityError as error:
            ride = self._ride(item)
            if cause_of(error)[0] == "TargetMoved" and ride is not None:
                self._keep(ride.model_copy(update={"car": None}))
            else:
                await self._settle(item, refused(item, error))
            return
        await self._settle(item, CarLanded(change=item.change, receipt=receipt))

    async def _settle(self, item: Queued, outcome: CarOutcome) -> None:
        """Tell the forge, start the release of what landed, and leave a letter for who asked."""
        try:
            await _by_hand(
                f"Tell {item.change} that it {outcome.kind}", ForgeActivities.settle_change, outcome
            )
        except ActivityError as error:
            # A change that the forge does not know can't be told; who asked is told all the same.
            workflow.logger.warning("%s could not be told: %s", item.change, cause_of(error)[1])
        if isinstance(outcome, CarLanded):
            await self._release(self._state.queue.get(item.sequence) or item, outcome.receipt)
        # Read after the last wait: whoever asked until now is told, whoever asks later meets the outcome.
        item = self._state.queue.get(item.sequence) or item
        settled = Settled(head=item.head, requests=item.requests, outcome=outcome, settled_at=workflow.now())
        letter = (Letter(to=item.notify, outcome=outcome),) if item.notify else ()
        self._update(
            queue=queue.remove(self._state.queue, item.sequence),
            rides=tuple(ride for ride in self._state.rides if ride.sequence != item.sequence),
            letters=(*self._state.letters, *letter),
            settled=(*self._state.settled, settled)[-MAX_SETTLED:],
        )

    async def _release(self, item: Queued, receipt: Receipt) -> None:
        """Start the release of a landed commit, once; overlay edits have none."""
        ride = self._ride(item)
        if ride is None or ride.releases is None:
            return
        try:
            await workflow.start_child_workflow(
                "ReleaseWorkflow",
                ReleaseRequest(receipt=receipt, notify=item.notify),
                id=release_id(ride.releases, receipt.sha),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                search_attributes=attributes.about(repository=self._repository),
                static_summary=f"Release {ride.releases} {receipt.sha[:12]} ({item.change})",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("%s is being released already", receipt.sha)

    async def _tell(self, letter: Letter) -> None:
        """Signal everybody who asked; one who has ended meanwhile needs no answer."""
        for receiver in letter.to:
            try:
                await workflow.get_external_workflow_handle(receiver).signal("car_settled", letter.outcome)
            except FailureError as error:
                workflow.logger.info("%s is not there to be told: %s", receiver, error)
        self._update(letters=self._state.letters[1:])

    def _settled(self, asked: Enqueue, request: str) -> Settled | None:
        """The ride that answers this request: the one it asked for, or one that landed at this head."""
        for settled in reversed(self._state.settled):
            if (settled.outcome.change, settled.head) != (asked.change, asked.head):
                continue
            if isinstance(settled.outcome, CarLanded) or request in settled.requests:
                return settled
        return None

    def _place(self, asked: Enqueue) -> QueuePlace:
        item = self._state.queue.find(asked.change, asked.head)
        if item is None or self._ride(item) is not None:
            return QueuePlace(state="riding")
        return QueuePlace(state="waiting", ahead=self._state.queue.items.index(item))

    def _ride(self, item: Queued) -> Ride | None:
        return next((ride for ride in self._state.rides if ride.sequence == item.sequence), None)

    def _keep(self, ride: Ride) -> None:
        others = tuple(other for other in self._state.rides if other.sequence != ride.sequence)
        self._update(rides=(*others, ride))

    def _update(
        self,
        *,
        queue: Queue | None = None,
        rides: tuple[Ride, ...] | None = None,
        letters: tuple[Letter, ...] | None = None,
        settled: tuple[Settled, ...] | None = None,
    ) -> None:
        """The state with these parts replaced."""
        parts = {"queue": queue, "rides": rides, "letters": letters, "settled": settled}
        self._state = self._state.model_copy(
            update={name: part for name, part in parts.items() if part is not None}
        )


def _released_by(repository: Repository, paths: tuple[str, ...]) -> str | None:
    """The service to release once these paths are in; None when only overlays change."""
    return None if repository.only_overlays(paths) else repository.service.name


def _bounded(result: CheckResult) -> CheckResult:
    """The result with only the end of its log: the whole one is in the forge's record."""
    return result.model_copy(update={"log": result.log[-LOG_SHOWN:]})
