"""What a release asks of the outside: each activity with its patience and a summary in words."""

from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.delivery import DeliveryActivities, SlotRequest, WaitRequest
    from activities.engine import EngineActivities
    from activities.eyes import EyesActivities
    from activities.forge import RELEASE_MACHINERY, ForgeActivities, OverlayRequest
    from activities.marking import MarkActivities, MarkRequest
    from leverframe.model.changes import Change, Enqueue, Priority
    from leverframe.model.eyes import EyesPlan, EyesReport, EyesRequest
    from leverframe.model.ids import release_id
    from leverframe.model.release_notes import Marked
    from leverframe.model.releases import DeliveryState, Environment, HealthDocument
    from leverframe.model.topology import Repository
    from workflows.queues import HANDS, SANDBOX
    from workflows.release.asking import ANSWER, HEARTBEAT, PATIENCE, Asking
    from workflows.release.reasons import is_a, reason
    from workflows.release.state import ReleaseState
    from workflows.release.stop import Stop

A_PICTURE = timedelta(seconds=40)
"""How long a browser may take to start, to show a page, and two pictures to be compared."""
SLOT = timedelta(days=7)
"""How long a release waits for the one before it to leave the canary, which may be held for days."""
MARKED_WITHIN = timedelta(days=1)
"""How long a release at 100 % tries to be marked."""

UNTIL_IT_WORKS = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=15)
)
TWICE = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=2)


class Calls(Asking):
    """What a release asks for, but for its build."""

    def __init__(self, *, repository: str, sha: str, stop: Stop) -> None:
        super().__init__(repository=repository, sha=sha, stop=stop)
        self._ready_seconds = 120.0
        """How long an environment may take to run a SHA after its overlay has landed."""

    async def describe(self) -> Repository:
        """What the platform team declared."""
        declared = await self._ask(
            ForgeActivities.describe,
            self._repository,
            patience=PATIENCE,
            summary=f"Read how {self._repository} is released",
        )
        self._ready_seconds = declared.service.ready_within_seconds
        return declared

    async def overlay_sha(self, environment: Environment) -> str | None:
        """What git says should run."""
        return await self._ask(
            ForgeActivities.overlay_sha,
            self._repository,
            environment,
            patience=PATIENCE,
            summary=f"Read what the overlay of {environment} names",
        )

    async def is_in(self, descendant: str) -> bool:
        """Whether another commit contains ours. One that the repository does not know contains nothing."""
        try:
            return await self._ask(
                ForgeActivities.is_ancestor,
                self._repository,
                self._sha,
                descendant,
                patience=PATIENCE,
                summary=f"Is {self._short} contained in {descendant[:12]}?",
            )
        except ActivityError as error:
            if is_a(error, "NotFound"):
                return False
            raise

    async def overlay_change(
        self, environment: Environment, sha: str, *, priority: Priority, why: str, key: str, at: datetime
    ) -> Change | None:
        """Open the change that re-points an overlay; None when it names the SHA already."""
        return await self._ask(
            ForgeActivities.overlay_change,
            OverlayRequest(
                repository=self._repository,
                environment=environment,
                sha=sha,
                priority=priority,
                reason=why[:500],
                key=key,
                at=at,
            ),
            attempt=timedelta(minutes=2),
            retry=UNTIL_IT_WORKS,
            summary=f"Point the overlay of {environment} at {sha[:12]}",
        )

    async def enqueue(self, target: str, change: Change, priority: Priority) -> None:
        """Put the overlay's change on the train; the train tells us how it went."""
        self._stop.heed()
        await workflow.execute_activity_method(
            EngineActivities.enqueue,
            args=[
                self._repository,
                target,
                Enqueue(
                    change=change.id,
                    head=change.head,
                    priority=priority,
                    author=RELEASE_MACHINERY,
                    notify=(workflow.info().workflow_id,),
                    title=change.title,
                ),
            ],
            task_queue=HANDS,
            start_to_close_timeout=ANSWER,
            retry_policy=UNTIL_IT_WORKS,
            summary=f"Put {change.id} on the train",
        )

    async def get_change(self, change: str) -> Change:
        """Look the change up, when the train has been silent for long."""
        return await self._ask(
            ForgeActivities.get_change,
            change,
            retry=UNTIL_IT_WORKS,
            summary=f"Look how {change} is doing",
        )

    async def state(self, service: str, environment: Environment) -> DeliveryState:
        """What runs."""
        return await self._ask(
            DeliveryActivities.delivery_state,
            service,
            environment,
            patience=PATIENCE,
            summary=f"Look at what {environment} runs",
        )

    async def canary_slot(self, named: str | None, every: timedelta) -> DeliveryState:
        """Wait until no other release is in canary, or the overlay has moved on from `named`."""
        return await self._ask(
            DeliveryActivities.canary_slot,
            SlotRequest(repository=self._repository, sha=self._sha, named=named),
            patience=SLOT,
            retry=RetryPolicy(initial_interval=every, backoff_coefficient=1.0),
            summary="Wait until no other release is in canary",
        )

    async def tell_release(self, service: str, sha: str, signal: str) -> bool:
        """Tell another release of the service about this one. False: it is not on its way (any more)."""
        self._stop.heed()
        other = workflow.get_external_workflow_handle(release_id(service, sha))
        try:
            await other.signal(signal, self._sha)
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return False
        return True

    async def wait_reconciled(self, environment: Environment) -> DeliveryState:
        """Wait until the environment runs the SHA and is ready."""
        return await self._ask(
            DeliveryActivities.wait_reconciled,
            WaitRequest(
                repository=self._repository,
                environment=environment,
                sha=self._sha,
                limit_seconds=self._ready_seconds,
            ),
            attempt=timedelta(seconds=2 * self._ready_seconds),
            patience=PATIENCE + timedelta(seconds=self._ready_seconds),
            silence=HEARTBEAT,
            summary=f"Wait until {environment} runs {self._short}",
        )

    async def wait_back(self, environment: Environment, sha: str) -> None:
        """Wait until the environment runs what was put back, and nothing else. Raises ActivityError."""
        await self._ask(
            DeliveryActivities.wait_back,
            WaitRequest(
                repository=self._repository,
                environment=environment,
                sha=sha,
                limit_seconds=self._ready_seconds,
            ),
            attempt=timedelta(seconds=2 * self._ready_seconds),
            patience=PATIENCE + timedelta(seconds=self._ready_seconds),
            silence=HEARTBEAT,
            summary=f"Wait until {environment} runs {sha[:12]} again",
        )

    async def probe(self, environment: Environment) -> list[str]:
        """Send the declared smoke requests."""
        return await self._ask(
            DeliveryActivities.probe,
            self._repository,
            environment,
            attempt=timedelta(minutes=2),
            patience=PATIENCE,
            summary=f"Send the smoke requests to {environment}",
        )

    async def look_at_pages(self, stable: str, plan: EyesPlan) -> EyesReport:
        """What the declared pages look like on both arms. Raises ActivityError."""
        pictures = 3 * len(plan.pages) * len(plan.viewports)
        attempt = pictures * A_PICTURE
        return await self._ask(
            EyesActivities.look,
            EyesRequest(repository=self._repository, stable=stable, canary=self._sha),
            queue=SANDBOX,
            attempt=attempt,
            patience=attempt + ANSWER,
            retry=TWICE,
            summary=f"Look at {len(plan.pages)} pages of {self._short}, beside stable's",
        )

    async def set_weight(self, service: str, percent: int, patience: timedelta) -> None:
        """Give the canary its share. Raises ActivityError on Conflict, or after `patience`."""
        await self._ask(
            DeliveryActivities.set_weight,
            service,
            self._sha,
            percent,
            patience=patience,
            retry=UNTIL_IT_WORKS,
            summary=f"Send {percent} % of production's requests to {self._short}",
        )

    async def release_health(self, service: str) -> HealthDocument | None:
        """What real traffic did; None when it can't be known now."""
        try:
            return await self._ask(
                DeliveryActivities.release_health,
                service,
                attempt=timedelta(seconds=10),
                retry=TWICE,
                summary="Read what real requests did",
            )
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            return None

    async def promote(self, service: str) -> None:
        """The canary becomes stable. Raises ActivityError on Conflict.

        A person who stops the release meanwhile waits until it is known whether it has become so.
        """
        await self._ask(
            DeliveryActivities.promote,
            service,
            self._sha,
            retry=UNTIL_IT_WORKS,
            cancelled=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary=f"Make {self._short} stable",
        )

    async def abort(self, service: str) -> None:
        """All requests back to stable; asked again until it is so. Raises ActivityError on Conflict."""
        await self._ask(
            DeliveryActivities.abort,
            service,
            self._sha,
            retry=UNTIL_IT_WORKS,
            summary="Send all requests back to stable",
        )

    async def mark(self, state: ReleaseState) -> Marked:
        """Mark the commit as live, with its notes. Asked again for long: it is stable, but unmarked.

        The marker's name is in the state, so each attempt makes the same one.
        """
        return await self._ask(
            MarkActivities.mark,
            MarkRequest(
                repository=self._repository,
                sha=self._sha,
                previous=state.last_good,
                artifact=state.artifact,
                verdicts=state.verdicts,
                moments=state.moments,
            ),
            attempt=timedelta(minutes=2),
            patience=MARKED_WITHIN,
            retry=UNTIL_IT_WORKS,
            summary=f"Mark {self._short} as live, with its notes",
        )

    async def tell_live(self, marked: Marked) -> str:
        """A word to the changes that it brought; the sentence about it where that can't be said."""
        if not marked.notes.landed:
            return ""
        try:
            await self._ask(
                MarkActivities.tell,
                marked,
                attempt=timedelta(minutes=2),
                patience=timedelta(minutes=10),
                summary="Tell the changes that they are live",
            )
        except ActivityError as error:
            return f". Not every change could be told: {reason(error)}"
        return ""
