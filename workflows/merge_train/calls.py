"""What a train asks of the outside: activities on the hands queue, tests, releases and letters."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import ActivityError, FailureError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities
    from activities.forge import ForgeActivities
    from activities.native import (
        HandOver,
        NativeActivities,
        NativeLook,
        NativeSight,
        Receive,
        Received,
    )
    from activities.pulse import heartbeat_timeout
    from activities.train import (
        ComposeCars,
        Composed,
        DropCars,
        LandCars,
        LookRequest,
        Rider,
        Sight,
        TrainActivities,
        Waiting,
    )
    from leverframe.model.changes import CarOutcome, Receipt
    from leverframe.model.ids import car_test_id, release_id
    from leverframe.model.releases import ReleaseRequest
    from leverframe.model.topology import Repository
    from leverframe.model.trains import AuditReport, Capability
    from workflows import attributes
    from workflows.merge_train.car import LONG, PATIENT, SHORT, CarTest
    from workflows.merge_train.queue import Queued
    from workflows.merge_train.words import cause_of
    from workflows.queues import HANDS

R = TypeVar("R")

BOUND = timedelta(minutes=15)
"""How long something may take without which the train can go on, before it looks at everything again."""


class Calls:
    """Everything outside of one train. Raises ActivityError for an error that retrying can't help."""

    def __init__(self, repository: str) -> None:
        self._repository = repository

    async def look(self, waiting: tuple[Waiting, ...], why: str) -> Sight:
        """The tip, the rules, and who can't ride any more."""
        request = LookRequest(repository=self._repository, waiting=waiting)
        return await self._by_hand(f"Look at the target: {why}", TrainActivities.look, request)

    async def compose(self, base: str, riders: tuple[Rider, ...]) -> list[Composed]:
        """Cars, one on the other."""
        names = ", ".join(rider.change for rider in riders)
        request = ComposeCars(repository=self._repository, base=base, riders=riders)
        return await self._by_hand(f"Compose {names} onto {base[:12]}", TrainActivities.compose, request)

    async def land(self, request: LandCars) -> list[Receipt]:
        """The receipts of what landed."""
        names = ", ".join(car.rider.change for car in request.cars)
        summary = f"Land {names} as {request.cars[-1].sha[:12]}"
        return await self._by_hand(summary, TrainActivities.land, request)

    async def drop_cars(self, keep: tuple[str, ...], before: datetime) -> None:
        """Take the refs of other cars than these off the remote."""
        request = DropCars(repository=self._repository, keep=keep, before=before)
        await self._by_hand(
            "Take the refs of old cars away", TrainActivities.drop_cars, request, within=BOUND
        )

    async def audit(self, since: str | None) -> AuditReport:
        """Whether the target is what the receipts say."""
        after = f" after {since[:12]}" if since else ""
        return await self._by_hand(f"Audit the target{after}", TrainActivities.audit, self._repository, since)

    async def settle(self, outcome: CarOutcome) -> None:
        """Tell the forge how a ride ended; a change that it does not know can't be told."""
        try:
            await self._by_hand(
                f"Tell {outcome.change} that it {outcome.kind}", ForgeActivities.settle_change, outcome
            )
        except ActivityError as error:
            workflow.logger.warning("%s could not be told: %s", outcome.change, cause_of(error)[1])

    async def released_by(self, receipt: Receipt) -> str | None:
        """The service that the receipt's paths release; None when only overlays changed."""
        repository: Repository = await self._by_hand(
            f"Read what {self._repository} builds", ForgeActivities.describe, self._repository
        )
        return None if repository.delivers_nothing(receipt.paths) else repository.service.name

    async def capability(self) -> Capability:
        """Whether the forge's own queue can carry the changes."""
        return await self._by_hand(
            "Ask whether the forge has a queue of its own", NativeActivities.capability, self._repository
        )

    async def native_enqueue(self, asked: HandOver) -> None:
        """Hand a change over to the forge's queue."""
        await self._by_hand(f"Hand {asked.change} over", NativeActivities.enqueue, asked, within=BOUND)

    async def native_dequeue(self, asked: HandOver) -> None:
        """Take a change out of the forge's queue."""
        await self._by_hand(f"Take {asked.change} back", NativeActivities.dequeue, asked, within=BOUND)

    async def native_look(self, asked: NativeLook) -> NativeSight:
        """How the changes fare in the forge's queue."""
        return await self._by_hand("Look at the forge's queue", NativeActivities.look, asked, within=BOUND)

    async def native_receive(self, landed: Receive) -> Received:
        """The audit and the receipt of what the forge landed."""
        return await self._by_hand(
            f"Audit {landed.change}, landed as {landed.sha[:12]}",
            NativeActivities.receive,
            landed,
            within=BOUND,
        )

    def note(self, said: str) -> None:
        """Something that only the log has to know."""
        workflow.logger.warning("%s", said)

    async def page(self, key: str, text: str) -> None:
        """Tell people; when no chat answers, the train's page says it all the same."""
        try:
            await self._by_hand("Tell people", ChatActivities.tell, key, text)
        except ActivityError as error:
            workflow.logger.warning("nobody could be told: %s", cause_of(error)[1])

    async def release(self, service: str, receipt: Receipt, item: Queued) -> None:
        """Start the release of a landed commit, once."""
        try:
            await workflow.start_child_workflow(
                "ReleaseWorkflow",
                ReleaseRequest(receipt=receipt, notify=item.notify),
                id=release_id(service, receipt.sha),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                search_attributes=attributes.about(repository=self._repository),
                static_summary=f"Release {service} {receipt.sha[:12]} ({item.change})",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("%s is being released already", receipt.sha)

    async def start_test(self, test: CarTest) -> None:
        """Start the run that tests a car. It outlives this train's history."""
        what = {"checks": "Test", "dev": "Show dev", "heal": "Put dev back for"}[test.kind]
        try:
            await workflow.start_child_workflow(
                "CarWorkflow",
                test,
                id=car_test_id(self._repository, test.sha, test.trial),
                parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                search_attributes=attributes.about(repository=self._repository, subject=test.change),
                static_summary=f"{what} {test.change} as {test.sha[:12]}",
            )
        except WorkflowAlreadyStartedError:
            workflow.logger.info("trial %s runs already", test.trial)

    async def cancel_test(self, sha: str, trial: int) -> None:
        """Stop a test; one that has ended meanwhile is a success."""
        handle = workflow.get_external_workflow_handle(car_test_id(self._repository, sha, trial))
        try:
            await handle.cancel()
        except FailureError as error:
            workflow.logger.info("trial %s is over: %s", trial, error)

    async def at_once(self, steps: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Do what does not wait for each other's answers."""
        await asyncio.gather(*steps)

    async def tell(self, receivers: tuple[str, ...], outcome: CarOutcome) -> None:
        """Signal everybody who asked; one who has ended meanwhile needs no answer."""
        await asyncio.gather(*(self._tell_one(receiver, outcome) for receiver in receivers))

    async def _tell_one(self, receiver: str, outcome: CarOutcome) -> None:
        try:
            await workflow.get_external_workflow_handle(receiver).signal("car_settled", outcome)
        except FailureError as error:
            workflow.logger.info("%s is not there to be told: %s", receiver, error)

    async def _by_hand(
        self,
        summary: str,
        method: Callable[..., R],
        *arguments: Any,
        within: timedelta | None = None,
    ) -> R:
        """`within`: how long it is asked again, where the train can go on without an answer."""
        silence = heartbeat_timeout(method)
        answer: R = await workflow.execute_activity_method(
            method,
            args=arguments,
            task_queue=HANDS,
            start_to_close_timeout=SHORT if silence is None else LONG,
            heartbeat_timeout=silence,
            schedule_to_close_timeout=within,
            retry_policy=PATIENT,
            summary=summary,
        )
        return answer
