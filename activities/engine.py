"""What one workflow asks of another through the engine: a place in a train, and how a release is."""

from typing import Literal

from temporalio import activity
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import as_application_error
from leverframe.model.changes import Enqueue
from leverframe.model.errors import Unavailable
from leverframe.model.frozen import Frozen
from leverframe.model.ids import release_id, short_hash, train_id
from leverframe.model.releases import ReleaseOutcome

TRAIN = "MergeTrainWorkflow"


class ReleaseStanding(Frozen):
    """How the release of a landed commit is."""

    state: Literal["under_way", "ended", "not_there"]
    """`not_there`: it has not begun, or the engine has forgotten it."""
    outcome: ReleaseOutcome | None = None
    """How it ended; None too when it was ended at the engine, so that nobody knows."""


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

    @activity.defn(name="release_standing")
    async def release_standing(self, service: str, sha: str) -> ReleaseStanding:
        """Whether the release is on its way, and how it ended if it is not.

        Raises:
            ApplicationError: `Unavailable` (asked again): the engine did not answer.
        """
        release = self._client.get_workflow_handle(release_id(service, sha), result_type=ReleaseOutcome)
        try:
            described = await release.describe()
            if described.status is WorkflowExecutionStatus.RUNNING:
                return ReleaseStanding(state="under_way")
            return ReleaseStanding(state="ended", outcome=await release.result())
        except WorkflowFailureError:
            return ReleaseStanding(state="ended")
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return ReleaseStanding(state="not_there")
            raise as_application_error(Unavailable(f"the engine did not answer: {error}")) from error


def _refusal(error: WorkflowUpdateFailedError) -> ApplicationError:
    """The train's own words; only one that is full for now is worth asking again."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return ApplicationError(str(cause or error), type="Refused", non_retryable=True)
    return ApplicationError(cause.message, type=cause.type, non_retryable=cause.type != Unavailable.__name__)
