"""What one workflow asks of another through the engine: a change gets a place in its train."""

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError

from activities.failures import as_application_error
from leverframe.model.changes import Enqueue
from leverframe.model.errors import Unavailable
from leverframe.model.ids import short_hash, train_id

TRAIN = "MergeTrainWorkflow"


class EngineActivities:
    """Calls that need the engine's client. Runs on the hands queue, where the trains run too."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @activity.defn(name="enqueue")
    async def enqueue(self, repository: str, target: str, request: Enqueue) -> None:
        """Give the change a place in its train, starting the train when there is none.

        Idempotent: the train knows a change by its id and head, and the update's id names the call.

        Raises:
            ApplicationError: `Unavailable` (asked again) when the engine did not answer; the train's
                own error, final, when it refuses the change.
        """
        train = WithStartWorkflowOperation[object, object](
            TRAIN,
            {"repository": repository},
            id=train_id(repository, target),
            task_queue=activity.info().task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Merge train of {repository} into {target}",
        )
        try:
            await self._client.execute_update_with_start_workflow(
                "enqueue",
                request,
                id=f"enqueue/{short_hash(request.change, request.head, *request.notify)}",
                start_workflow_operation=train,
            )
        except WorkflowUpdateFailedError as error:
            raise _refusal(error) from error
        except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError) as error:
            raise as_application_error(Unavailable(f"the engine did not answer: {error}")) from error


def _refusal(error: WorkflowUpdateFailedError) -> ApplicationError:
    """The train's own words; only one that is full for now is worth asking again."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return ApplicationError(str(cause or error), type="Refused", non_retryable=True)
    return ApplicationError(cause.message, type=cause.type, non_retryable=cause.type != Unavailable.__name__)
