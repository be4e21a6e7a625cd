"""What people are told of an end that they asked for."""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.chat import ChatActivities
    from workflows.queues import HANDS


async def tell_the_end(key: str, text: str) -> None:
    """Tell people how it ended. A chat that is down is no reason to fail: the report says the same."""
    try:
        await workflow.execute_activity_method(
            ChatActivities.tell,
            args=[key, text],
            task_queue=HANDS,
            start_to_close_timeout=timedelta(seconds=30),
            schedule_to_close_timeout=timedelta(minutes=5),
            retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
            summary="tell people how it ended",
        )
    except ActivityError as error:
        workflow.logger.warning("people could not be told: %s", error.cause)
