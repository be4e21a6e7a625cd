"""The way from a forge's webhook to the train: a signal that says no more than "look again"."""

import uuid
from datetime import timedelta

from temporalio.api.common.v1 import Payloads, WorkflowExecution
from temporalio.api.workflowservice.v1 import SignalWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from leverframe.model.errors import Unavailable
from leverframe.model.ids import train_id
from leverframe.model.topology import Repository
from leverframe.model.trains import Look

RPC_SECONDS = 5


async def look(client: Client, repository: Repository, reason: str, request_id: str) -> None:
    """Have the repository's train look at the forge. One without a train has nothing to look at.

    `request_id` names the delivery: the engine counts the same one once.

    Raises:
        Unavailable: the engine did not take it.
    """
    workflow_id = train_id(repository.name, repository.target)
    request = SignalWorkflowExecutionRequest(
        namespace=client.namespace,
        workflow_execution=WorkflowExecution(workflow_id=workflow_id),
        signal_name="look",
        input=Payloads(payloads=await client.data_converter.encode([Look(reason=reason)])),
        identity=client.identity,
        request_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{workflow_id}#{request_id}")),
    )
    try:
        await client.workflow_service.signal_workflow_execution(
            request, retry=False, timeout=timedelta(seconds=RPC_SECONDS)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise Unavailable(f"the engine answered {error.status.name}") from error
    except RuntimeError as error:
        # What a lazy client raises that can't connect.
        raise Unavailable("the engine can't be reached") from error
