"""What a run has on the train and in production: a change from its queueing to the end of its release."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.delivery import DeliveryActivities, WaitRequest
    from activities.engine import EngineActivities, ReleaseStanding
    from activities.forge import ForgeActivities
    from leverframe.model.changes import Author, Change, Enqueue, Priority
    from leverframe.model.releases import ReleaseOutcome
    from leverframe.model.topology import Repository
    from leverframe.model.untrusted import Untrusted
    from workflows.pulled import Mailbox, Ride, ridden
    from workflows.queues import HANDS

CAR_SETTLES_WITHIN = timedelta(hours=6)
SILENCE = timedelta(minutes=5)
"""After this long without word from the train we ask the forge, then after twice as long, and so on."""
RELEASE_SILENCE = timedelta(hours=1)
"""After this long without word from a release we look how it is; then after twice as long, and so on."""
RELEASE_RARELY = timedelta(days=1)
"""… but at least so often."""
RELEASE_LOST_AFTER = timedelta(hours=24)
"""A release that nobody has seen on its way for so long is not waited for any more."""


@dataclass(kw_only=True)
class Rider:
    """The changes of one run: what they ride on, and how they fared. The mailbox hears the signals."""

    repository: str
    agent: str
    mailbox: Mailbox
    _described: Repository | None = None

    async def declared(self) -> Repository:
        """What the platform team declared, looked up once."""
        if self._described is None:
            self._described = await workflow.execute_activity_method(
                ForgeActivities.describe,
                self.repository,
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=15),
                schedule_to_close_timeout=timedelta(minutes=10),
                summary=f"look up {self.repository}",
            )
        return self._described

    async def carry(self, change: Change, priority: Priority = Priority.HOTFIX) -> Ride:
        """Put the change on the train, as a hotfix unless told, and wait for its end."""
        repository = await self.declared()
        await workflow.execute_activity_method(
            EngineActivities.enqueue,
            args=[
                repository.name,
                repository.target,
                Enqueue(
                    change=change.id,
                    head=change.head,
                    priority=priority,
                    author=Author(kind="agent", name=self.agent),
                    notify=(workflow.info().workflow_id,),
                    title=change.title,
                ),
            ],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=30),
            summary=f"put {change.id} on the train of {repository.name}, {priority.name.lower()}",
        )
        return await self._settled(change)

    async def released(self, landed: str) -> ReleaseOutcome | None:
        """How the release of a landed commit ended; None when it is not on its way, and nobody knows.

        A release may be held for days, by its gate or by people: it is waited for as long as it goes on.
        """
        service = (await self.declared()).service.name
        silence, deadline = RELEASE_SILENCE, workflow.now() + RELEASE_LOST_AFTER
        while True:
            await _waited(lambda: landed in self.mailbox.releases, silence, f"{landed[:12]} walks the canary")
            if (told := self.mailbox.releases.get(landed)) is not None:
                return told
            standing = await self._standing(service, landed)
            if standing is not None and standing.state == "ended":
                return standing.outcome
            if standing is not None and standing.state == "under_way":
                deadline = workflow.now() + RELEASE_LOST_AFTER
            elif workflow.now() >= deadline:
                return None
            silence = min(2 * silence, RELEASE_RARELY)

    async def not_back(self, sha: str) -> str | None:
        """Why production does not run what it was put back to; None when it does."""
        try:
            await workflow.execute_activity_method(
                DeliveryActivities.wait_back,
                WaitRequest(repository=self.repository, environment="production", sha=sha),
                task_queue=HANDS,
                start_to_close_timeout=timedelta(minutes=4),
                schedule_to_close_timeout=timedelta(hours=1),
                heartbeat_timeout=timedelta(seconds=15),
                summary=f"wait until production runs {sha[:12]} again",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return reason_of(error)
        return None

    async def not_forward(self, sha: str) -> str | None:
        """Why production does not run, stable and alone, what it was pointed forward to; None when it does.

        It becomes stable without the steps of a canary: it had been through them before it was rolled back.
        """
        service = (await self.declared()).service.name
        try:
            await workflow.execute_activity_method(
                DeliveryActivities.wait_reconciled,
                WaitRequest(repository=self.repository, environment="production", sha=sha),
                task_queue=HANDS,
                start_to_close_timeout=timedelta(minutes=4),
                schedule_to_close_timeout=timedelta(hours=1),
                heartbeat_timeout=timedelta(seconds=15),
                summary=f"wait until production has {sha[:12]}",
            )
            await workflow.execute_activity_method(
                DeliveryActivities.promote,
                args=[service, sha],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(minutes=2),
                schedule_to_close_timeout=timedelta(hours=1),
                summary=f"all requests to {sha[:12]}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return reason_of(error)
        return await self.not_back(sha)

    async def _settled(self, change: Change) -> Ride:
        """Wait for the train's word, and look at the forge whenever it is silent for long."""
        deadline, silence = workflow.now() + CAR_SETTLES_WITHIN, SILENCE
        while (left := deadline - workflow.now()) > timedelta(0):
            await _waited(
                lambda: change.id in self.mailbox.cars, min(silence, left), f"{change.id} rides the train"
            )
            if (car := self.mailbox.cars.get(change.id)) is not None:
                return ridden(change, car)
            found = await self.looked_up(change, "the train is silent")
            if found is not None and found.state != "open":
                detail = f"the train did not say how {change.id} ended; it is {found.state}"
                return Ride(landed_as=found.landed_as, detail=detail)
            silence *= 2
        return Ride(detail=f"the train did not settle {change.id} within {CAR_SETTLES_WITHIN}", over=False)

    async def looked_up(self, change: Change, why: str, within: timedelta = SILENCE) -> Change | None:
        """The change as the forge has it; None when the forge does not answer, which is no word either."""
        try:
            return await workflow.execute_activity_method(
                ForgeActivities.get_change,
                change.id,
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=within,
                summary=f"look at {change.id}: {why}",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return None

    async def _standing(self, service: str, landed: str) -> ReleaseStanding | None:
        """How the release is; None when nobody answers, which is no word either."""
        try:
            return await workflow.execute_activity_method(
                EngineActivities.release_standing,
                args=[service, landed],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=30),
                schedule_to_close_timeout=timedelta(minutes=10),
                summary=f"look at the release of {landed[:12]}: it is silent",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return None


def record_effect(lever: str, agent: str, took: timedelta) -> None:
    """Count one effect that was seen, by how long it took from the pull of its lever."""
    meter = workflow.metric_meter().with_additional_attributes({"lever": lever, "agent": agent})
    meter.create_histogram_timedelta(
        "leverframe_lever_time_to_effect", "From the pull of a lever to its verified effect"
    ).record(took)


def reason_of(error: BaseException) -> str:
    """Why an activity or a child failed, in one line that is safe anywhere."""
    return Untrusted(str(error.__cause__ or error)).for_terminal(300)


async def _waited(settled: Callable[[], bool], within: timedelta, what: str) -> None:
    """Wait for word, but not for ever: the caller looks whether it came."""
    with contextlib.suppress(asyncio.TimeoutError):
        await workflow.wait_condition(settled, timeout=within, timeout_summary=what)
