"""The way to the policy ledger. It fails closed: whatever goes wrong here, nothing is granted."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TypeVar

from pydantic import BaseModel, RootModel
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
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.ids import ledger_id
from leverframe.model.outcomes import Outcome
from policies.decision import Decision, ReserveRequest
from policies.documents import PolicySnapshot
from policies.reservations import (
    CommitAnswer,
    Installed,
    LedgerStart,
    PauseRequest,
    PauseState,
    SettledBy,
    Standing,
)

LEDGER = "PolicyLedgerWorkflow"
DRAINING = "Draining"
"""The error type of a ledger about to continue as new: asking again reaches its next run."""

IN_FLIGHT = 8
"""Updates at once from one process. The server takes 10 per workflow and collapses under more."""

ANSWER_WITHIN = timedelta(seconds=10)

_FINAL = {error.__name__: error for error in (BadInput, Conflict, NotFound, Refused)}

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class _DecisionAnswer(RootModel[Decision]):
    pass


class _CommitReply(RootModel[CommitAnswer]):
    pass


class LedgerDoor:
    """One process's door to its organisation's ledger, which it starts when there is none.

    Every method raises `Unavailable` when the engine or the ledger did not answer (asking again is safe:
    the ledger knows each reservation by its id), and BadInput, Conflict or NotFound in the ledger's words.
    """

    def __init__(
        self,
        client: Client,
        organisation: str,
        *,
        task_queue: str | None = None,
        answer_within: timedelta = ANSWER_WITHIN,
    ) -> None:
        """`task_queue` is where the ledger runs; left out, it is the queue of the activity that asks."""
        self._client = client
        self.organisation = organisation
        self._task_queue = task_queue
        self._answer_within = answer_within
        self._in_flight = asyncio.Semaphore(IN_FLIGHT)

    async def reserve(self, request: ReserveRequest) -> Decision:
        return (await self._ask(_DecisionAnswer, "reserve", request)).root

    async def commit(self, reservation: str) -> CommitAnswer:
        return (await self._ask(_CommitReply, "commit", reservation)).root

    async def release(self, reservation: str) -> Standing:
        return await self._ask(Standing, "release", reservation)

    async def settle(
        self, reservation: str, outcome: Outcome, settled_by: SettledBy | None = None
    ) -> Standing:
        person = () if settled_by is None else (settled_by,)
        return await self._ask(Standing, "settle", reservation, outcome, *person)

    async def install(self, snapshot: PolicySnapshot) -> Installed:
        return await self._ask(Installed, "install", snapshot)

    async def pause(self, request: PauseRequest) -> PauseState:
        return await self._ask(PauseState, "pause", request)

    async def resume(self, request: PauseRequest) -> PauseState:
        return await self._ask(PauseState, "resume", request)

    async def _ask(self, answer: type[AnswerT], update: str, *args: object) -> AnswerT:
        start = WithStartWorkflowOperation[object, object](
            LEDGER,
            LedgerStart(organisation=self.organisation),
            id=ledger_id(self.organisation),
            task_queue=self._task_queue or activity.info().task_queue,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Policy ledger of {self.organisation}",
        )
        try:
            # The client asks a silent server again for longer than a caller should wait.
            async with self._in_flight, asyncio.timeout(self._answer_within.total_seconds()):
                reply = await self._client.execute_update_with_start_workflow(
                    update, args=args, start_workflow_operation=start, result_type=answer
                )
        except WorkflowUpdateFailedError as error:
            raise _own_error(error) from error
        except (RPCError, WorkflowUpdateRPCTimeoutOrCancelledError, TimeoutError) as error:
            raise Unavailable(f"the policy ledger did not answer: {error}") from error
        if not isinstance(reply, answer):
            raise Unavailable(f"the policy ledger answered {update} with something else")
        return reply


class LedgerActivities:
    """The ledger as workflows reach it. One instance per process: they share the door's limit.

    Runs on the hands queue, where the ledger runs too.
    """

    def __init__(
        self, client: Client, organisation: str, *, answer_within: timedelta = ANSWER_WITHIN
    ) -> None:
        self._door = LedgerDoor(client, organisation, answer_within=answer_within)

    @activity.defn(name="reserve")
    async def reserve(self, request: ReserveRequest) -> Decision:
        """Ask for one effect. The only way to an `Allowed`."""
        with _typed():
            return await self._door.reserve(request)

    @activity.defn(name="commit")
    async def commit(self, reservation: str) -> CommitAnswer:
        """Ask once more, right before the effect. `Withdrawn`: it must not happen."""
        with _typed():
            return await self._door.commit(reservation)

    @activity.defn(name="release")
    async def release(self, reservation: str) -> Standing:
        """Give back what was never committed."""
        with _typed():
            return await self._door.release(reservation)

    @activity.defn(name="settle")
    async def settle(self, reservation: str, outcome: Outcome) -> Standing:
        """Say how the effect ended."""
        with _typed():
            return await self._door.settle(reservation, outcome)


async def install_policy(
    client: Client, organisation: str, snapshot: PolicySnapshot, *, task_queue: str
) -> Installed:
    """Put a policy in force: at the start of a worker, and from the command line.

    Raises:
        Unavailable: the engine did not answer, or no worker serves the queue yet.
    """
    return await LedgerDoor(client, organisation, task_queue=task_queue).install(snapshot)


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except LeverframeError as error:
        raise as_application_error(error) from error


def _own_error(error: WorkflowUpdateFailedError) -> LeverframeError:
    """The ledger's refusal as the error it was there. One that we do not know is no grant either."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return Unavailable(f"the policy ledger failed: {cause or error}")
    if cause.type == DRAINING:
        return Unavailable(cause.message)
    return _FINAL.get(cause.type or "", Refused)(cause.message)
