"""What the gateway asks a workflow for a page, within a bounded time."""

import asyncio
from datetime import timedelta
from typing import TypeVar

from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from leverframe.model.errors import Unavailable

T = TypeVar("T")


async def answer_of(
    client: Client, workflow_id: str, query: str, answer: type[T], *, who: str, seconds: float
) -> T | None:
    """The workflow's answer; None for a workflow that there is not. `who` names it in errors.

    Raises:
        Unavailable: the engine or the workflow's worker did not answer in time, or not in words of ours.
    """
    handle = client.get_workflow_handle(workflow_id)
    try:
        async with asyncio.timeout(seconds + 1):
            found: T = await handle.query(query, result_type=answer, rpc_timeout=timedelta(seconds=seconds))
            return found
    except WorkflowQueryFailedError as error:
        raise Unavailable(f"the {who} can't say how it is: {error}") from error
    except TimeoutError as error:
        raise Unavailable(f"the engine did not answer within {seconds:g} s") from error
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        if error.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED):
            said = f"the {who}'s worker did not answer within {seconds:g} s"
            raise Unavailable(f"{said}: is `leverframe worker` running?") from error
        raise Unavailable(f"the engine answered {error.status.name}") from error
    except ValueError as error:
        raise Unavailable(f"the {who}'s worker has another version than this gateway") from error
    except RuntimeError as error:
        # What a lazy client raises that can't connect.
        raise Unavailable("the engine can't be reached") from error
