"""What a rollout asks of the outside: each activity with its patience and a summary in words."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities
    from activities.flag_rollout import AudienceCheck, Exposed, ExposeRequest, FlagLook, FlagRolloutActivities
    from leverframe.model.flags import Audience, FlagReading
    from workflows.queues import HANDS
    from workflows.release.asking import ANSWER, PATIENCE
    from workflows.release.calls import TWICE, UNTIL_IT_WORKS

TOLD_WITHIN = timedelta(minutes=5)


class Calls:
    """The activities of one rollout."""

    def __init__(self, service: str, flag: str) -> None:
        self._service = service
        self._flag = flag

    async def read(self) -> FlagReading:
        """The flag as it is."""
        return await workflow.execute_activity_method(
            FlagRolloutActivities.read_flag,
            self._flag,
            task_queue=HANDS,
            start_to_close_timeout=ANSWER,
            schedule_to_close_timeout=PATIENCE,
            summary=f"Read who has {self._flag}",
        )

    async def expose(self, audience: Audience, *, expected: str, key: str, reason: str) -> Exposed:
        """Write it; asked again until it is done, or refused. Raises ActivityError on Conflict."""
        return await workflow.execute_activity_method(
            FlagRolloutActivities.expose_flag,
            ExposeRequest(
                flag=self._flag, audience=audience, expected=expected, key=key, reason=reason[:500]
            ),
            task_queue=HANDS,
            start_to_close_timeout=ANSWER,
            retry_policy=UNTIL_IT_WORKS,
            summary=f"Make {self._flag} {audience.words()}",
        )

    async def verify(self, audience: Audience) -> AudienceCheck:
        """Evaluate as the service does."""
        return await workflow.execute_activity_method(
            FlagRolloutActivities.verify_audience,
            args=[self._flag, audience],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(minutes=1),
            schedule_to_close_timeout=PATIENCE,
            summary=f"Evaluate {self._flag} as the service does",
        )

    async def look(self) -> FlagLook:
        """The flag and what requests did; nothing of it when nobody answers."""
        try:
            return await workflow.execute_activity_method(
                FlagRolloutActivities.look_at_flag,
                args=[self._service, self._flag],
                task_queue=HANDS,
                start_to_close_timeout=timedelta(seconds=15),
                retry_policy=TWICE,
                summary=f"See what requests did with and without {self._flag}",
            )
        except ActivityError as error:
            return FlagLook(reading=None, document=None, blind=str(error.cause or error))

    async def tell(self, key: str, text: str) -> None:
        """Tell people, once for each key. A chat that is down holds nothing up: the story says the same."""
        try:
            await workflow.execute_activity_method(
                ChatActivities.tell,
                args=[key, text],
                task_queue=HANDS,
                start_to_close_timeout=ANSWER,
                schedule_to_close_timeout=TOLD_WITHIN,
                retry_policy=RetryPolicy(maximum_interval=ANSWER),
                summary="Tell people",
            )
        except ActivityError as error:
            workflow.logger.warning("people could not be told: %s", error.cause)
