"""The door to the housekeeping: a worker starts it, and a person may ask it to do its chores now."""

import asyncio
from datetime import timedelta

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError

from leverframe.model.errors import Unavailable
from leverframe.model.ids import housekeeping_id
from leverframe.settings import Settings
from workflows.housekeeping import HOUSEKEEPING, HousekeepingStart, Tidied
from workflows.queues import HANDS
from workflows.timetable import Rhythm

ANSWER = timedelta(seconds=20)
"""Chores wait for git, for the ledger and for whatever is looked at."""


def rhythm_of(settings: Settings) -> Rhythm:
    """How often these settings want it done."""
    return Rhythm(
        reload_every=timedelta(seconds=settings.policies.reload_seconds),
        digest_hour=settings.chat.digest_hour,
    )


async def tidy(
    client: Client, organisation: str, *, rhythm: Rhythm | None = None, queue: str = HANDS
) -> Tidied:
    """Have the policy reloaded and the reservations looked after now, and from here on in this rhythm.

    Starts the organisation's housekeeping when there is none. Idempotent.

    Raises:
        Unavailable: the engine did not answer in time, or no worker serves the queue; what was asked for
            may still be done.
    """
    start = WithStartWorkflowOperation[object, object](
        HOUSEKEEPING,
        HousekeepingStart(organisation=organisation),
        id=housekeeping_id(organisation),
        task_queue=queue,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=f"Housekeeping of {organisation}",
    )
    try:
        async with asyncio.timeout(ANSWER.total_seconds()):
            tidied: Tidied = await client.execute_update_with_start_workflow(
                "tidy", rhythm, start_workflow_operation=start, result_type=Tidied
            )
    except (
        RPCError,
        WorkflowUpdateFailedError,
        WorkflowUpdateRPCTimeoutOrCancelledError,
        TimeoutError,
    ) as error:
        raise Unavailable(f"the housekeeping did not answer: {error}") from error
    return tidied
