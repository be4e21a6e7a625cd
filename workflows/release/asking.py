"""How a release asks the outside: one activity at a time, with its patience and a summary in words."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.pulse import heartbeat_timeout
    from workflows.queues import HANDS
    from workflows.release.stop import Stop

R = TypeVar("R")

ANSWER = timedelta(seconds=30)
"""How long one attempt of a short call may take."""
HEARTBEAT = timedelta(seconds=15)
PATIENCE = timedelta(hours=1)
"""How long a call that changes nothing for users is asked again."""

ENGINES_OWN = RetryPolicy(initial_interval=timedelta(seconds=1))


class Asking:
    """The activities of one release. None begins after a person has told the release to stop."""

    def __init__(self, *, repository: str, sha: str, stop: Stop) -> None:
        self._repository = repository
        self._sha = sha
        self._short = sha[:12]
        self._stop = stop

    async def _ask(
        self,
        method: Callable[..., R],
        *arguments: Any,
        summary: str,
        queue: str = HANDS,
        attempt: timedelta = ANSWER,
        patience: timedelta | None = None,
        retry: RetryPolicy = ENGINES_OWN,
        silence: timedelta | None = None,
        cancelled: workflow.ActivityCancellationType = workflow.ActivityCancellationType.TRY_CANCEL,
    ) -> R:
        """`attempt`: how long one may take; `patience`: all of them; `silence`: between two heartbeats."""
        self._stop.heed()
        answer: R = await workflow.execute_activity_method(
            method,
            args=arguments,
            task_queue=queue,
            start_to_close_timeout=attempt,
            schedule_to_close_timeout=patience,
            heartbeat_timeout=silence or heartbeat_timeout(method),
            retry_policy=retry,
            cancellation_type=cancelled,
            summary=summary,
        )
        return answer
