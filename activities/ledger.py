"""The way to the policy ledger. It fails closed: whatever goes wrong here, nothing is granted."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import uuid4

from pydantic import BaseModel, RootModel
from temporalio import activity
from temporalio.client import (
    Client,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.exceptions import ApplicationError
from temporalio.service import RetryConfig, RPCError, RPCStatusCode, ServiceClient

from activities.failures import as_application_error
from activities.turnstile import Turnstile
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.ids import ledger_id
from policies.decision import Decision, ReserveRequest
from policies.documents import PolicySnapshot
from policies.overview import LedgerOverview
from policies.reservations import (
    AnsweredQuestion,
    AttentionAnswer,
    AttentionRequest,
    CommitAnswer,
    Entry,
    Installed,
    LedgerStart,
    PauseRequest,
    PauseState,
    Promoted,
    PromoteRequest,
    RefusedPolicy,
    Settlement,
    ShadowEntry,
    ShadowScore,
    Standing,
)

LEDGER = "PolicyLedgerWorkflow"
DRAINING = "Draining"
"""The error type of a ledger about to continue as new: asking again reaches its next run."""

IN_FLIGHT = 8
"""Updates at once from one process. The server takes 10 per workflow, and one more than it takes costs all
of them their turn: it starts the workflow's task over."""
IN_FLIGHT_FIRST = 4
"""Updates at once from a process that does not know yet how many others there are."""

ANSWER_WITHIN = timedelta(seconds=10)
FIRST_PAUSE, LONGEST_PAUSE = 0.02, 1.0
"""Seconds before asking again, doubled each time; a random part of it is waited."""

_FINAL = {error.__name__: error for error in (BadInput, Conflict, NotFound, Refused)}
_PASSING = frozenset(
    {
        RPCStatusCode.ABORTED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.FAILED_PRECONDITION,  # a run that has just begun has no task in which it could answer
        RPCStatusCode.INTERNAL,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.UNKNOWN,
    }
)

AnswerT = TypeVar("AnswerT", bound=BaseModel)


class _DecisionAnswer(RootModel[Decision]):
    pass


class _CommitReply(RootModel[CommitAnswer]):
    pass


class _AttentionReply(RootModel[AttentionAnswer]):
    pass


class _Entries(RootModel[tuple[Entry, ...]]):
    pass


class _Shadows(RootModel[tuple[ShadowEntry, ...]]):
    pass


class _AskAgain(Exception):
    """This attempt got no answer; the next one may."""


class LedgerDoor:
    """One process's door to its organisation's ledger, which it starts when there is none.

    Every method raises `Unavailable` when the engine or the ledger did not answer (asking again is safe:
    the ledger knows each reservation by its id), and BadInput, Conflict or NotFound in the ledger's words.
    All callers of a process share one door, because the engine takes only so many questions at once.
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
        self._impatient: Client | None = None
        self._connecting = asyncio.Lock()
        self.organisation = organisation
        self._task_queue = task_queue
        self._answer_within = answer_within
        self._turnstile = Turnstile(first=IN_FLIGHT_FIRST, most=IN_FLIGHT)

    async def reserve(self, request: ReserveRequest) -> Decision:
        return (await self._ask(_DecisionAnswer, "reserve", request)).root

    async def commit(self, reservation: str) -> CommitAnswer:
        return (await self._ask(_CommitReply, "commit", reservation)).root

    async def release(self, reservation: str) -> Standing:
        return await self._ask(Standing, "release", reservation)

    async def settle(self, settlement: Settlement) -> Standing:
        return await self._ask(Standing, "settle", settlement)

    async def pause(self, request: PauseRequest) -> PauseState:
        return await self._ask(PauseState, "pause", request)

    async def resume(self, request: PauseRequest) -> PauseState:
        return await self._ask(PauseState, "resume", request)

    async def promote(self, request: PromoteRequest) -> Promoted:
        return await self._ask(Promoted, "promote", request)

    async def install(self, snapshot: PolicySnapshot) -> Installed:
        return await self._ask(Installed, "install", snapshot)

    async def refuse_policy(self, refused: RefusedPolicy | None) -> None:
        """Remember why a newer policy is not in force; None: the trouble is over."""
        await self._tell("refuse_policy", refused)

    async def attend(self, request: AttentionRequest) -> AttentionAnswer:
        return (await self._ask(_AttentionReply, "attend", request)).root

    async def answered(self, answer: AnsweredQuestion) -> None:
        await self._tell("answered", answer)

    async def score(self, score: ShadowScore) -> None:
        await self._tell("score", score)

    async def overview(self) -> LedgerOverview:
        """How much room is left, what is open, and what stops the agents."""
        return await self._look(LedgerOverview, "overview")

    async def open_entries(self) -> tuple[Entry, ...]:
        """What holds a place, oldest first, without the files of its difference; the oldest 1,000 of more."""
        return (await self._look(_Entries, "open_entries")).root

    async def unscored(self, before: datetime) -> tuple[ShadowEntry, ...]:
        """What observed agents asked for before that time and nobody has scored yet, oldest first."""
        return (await self._look(_Shadows, "unscored", before)).root

    async def _ask(self, answer: type[AnswerT], update: str, argument: object) -> AnswerT:
        reply = await self._send(update, argument, answer)
        if not isinstance(reply, answer):
            raise Unavailable(f"the policy ledger answered {update} with something else")
        return reply

    async def _tell(self, update: str, argument: object) -> None:
        await self._send(update, argument, None)

    async def _send(self, update: str, argument: object, answer: type | None) -> object:
        """Send an Update until it is answered, always with one id: a run of the ledger does it once."""
        update_id = str(uuid4())
        return await self._patiently(lambda: self._attempt(update, argument, answer, update_id))

    async def _look(self, answer: type[AnswerT], query: str, *args: object) -> AnswerT:
        reply = await self._patiently(lambda: self._query(answer, query, args))
        if not isinstance(reply, answer):
            raise Unavailable(f"the policy ledger answered {query} with something else")
        return reply

    async def _patiently(self, attempt: Callable[[], Awaitable[object]]) -> object:
        """Try until there is an answer, or for as long as a caller waits."""
        pause, why = FIRST_PAUSE, "it is too busy"
        try:
            async with asyncio.timeout(self._answer_within.total_seconds()):
                while True:
                    try:
                        return await attempt()
                    except _AskAgain as error:
                        why = str(error)
                    # Random, so that many callers do not come back at the same moment.
                    await asyncio.sleep(random.uniform(pause / 4, pause))  # noqa: S311 - not a secret
                    pause = min(2 * pause, LONGEST_PAUSE)
        except TimeoutError as error:
            raise Unavailable(f"the policy ledger did not answer: {why}") from error

    async def _attempt(self, update: str, argument: object, answer: type | None, update_id: str) -> object:
        async with self._turnstile.turn() as turn:
            ledger = await self._ledger()
            try:
                return await ledger.execute_update(update, argument, id=update_id, result_type=answer)
            except WorkflowUpdateFailedError as error:
                raise _own_error(error) from error
            except RPCError as error:
                if error.status is RPCStatusCode.RESOURCE_EXHAUSTED and "closing" not in error.message:
                    self._turnstile.narrow(turn)
                raise await self._unanswered(error) from error
            except WorkflowUpdateRPCTimeoutOrCancelledError as error:
                # The SDK says so when this task is cancelled, too: it must end here.
                raise Unavailable(f"the policy ledger did not answer: {error}") from error

    async def _query(self, answer: type, query: str, args: tuple[object, ...]) -> object:
        ledger = await self._ledger()
        try:
            return await ledger.query(query, args=args, result_type=answer)
        except WorkflowQueryFailedError as error:
            raise Unavailable(f"the policy ledger did not answer: {error}") from error
        except RPCError as error:
            raise await self._unanswered(error) from error

    async def _unanswered(self, error: RPCError) -> Exception:
        """What a failed attempt comes to, once a ledger that is not there is started."""
        if error.status is RPCStatusCode.NOT_FOUND:
            await self._start()
        elif error.status not in _PASSING:
            return Unavailable(f"the policy ledger did not answer: {error.message}")
        return _AskAgain(error.message)

    async def _start(self) -> None:
        try:
            await self._client.start_workflow(
                LEDGER,
                LedgerStart(organisation=self.organisation),
                id=ledger_id(self.organisation),
                task_queue=self._task_queue or activity.info().task_queue,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                static_summary=f"Policy ledger of {self.organisation}",
            )
        except RPCError as error:
            raise _AskAgain(error.message) from error

    async def _ledger(self) -> WorkflowHandle[object, object]:
        return (await self._connected()).get_workflow_handle(ledger_id(self.organisation))

    async def _connected(self) -> Client:
        """A connection of the door's own that never asks again by itself.

        The SDK waits a second or more before it asks a busy server again, and hides that it was busy: the
        pause between two runs of the ledger would cost every caller a second.
        """
        async with self._connecting:
            if self._impatient is None:
                config = self._client.config()
                once = replace(config["service_client"].config, retry_config=RetryConfig(max_retries=1))
                try:
                    config["service_client"] = await ServiceClient.connect(once)
                except RuntimeError as error:
                    raise _AskAgain(f"no connection to the engine: {error}") from error
                self._impatient = Client(**config)
            return self._impatient


class LedgerActivities:
    """The ledger as workflows reach it. Runs on the hands queue, where the ledger runs too."""

    def __init__(self, ledger: LedgerDoor) -> None:
        self._ledger = ledger

    @activity.defn(name="reserve")
    async def reserve(self, request: ReserveRequest) -> Decision:
        """Ask for one effect. The only way to an `Allowed`."""
        with _typed():
            return await self._ledger.reserve(request)

    @activity.defn(name="commit")
    async def commit(self, reservation: str) -> CommitAnswer:
        """Ask once more, right before the effect. `Withdrawn`: it must not happen."""
        with _typed():
            return await self._ledger.commit(reservation)

    @activity.defn(name="release")
    async def release(self, reservation: str) -> Standing:
        """Give back what was never committed."""
        with _typed():
            return await self._ledger.release(reservation)

    @activity.defn(name="settle")
    async def settle(self, settlement: Settlement) -> Standing:
        """Say how the effect ended."""
        with _typed():
            return await self._ledger.settle(settlement)

    @activity.defn(name="attend")
    async def attend(self, request: AttentionRequest) -> AttentionAnswer:
        """Ask whether these people may be asked now, or have been asked enough."""
        with _typed():
            return await self._ledger.attend(request)

    @activity.defn(name="answered")
    async def answered(self, answer: AnsweredQuestion) -> None:
        """Say how a question to people ended."""
        with _typed():
            await self._ledger.answered(answer)

    @activity.defn(name="score")
    async def score(self, score: ShadowScore) -> None:
        """Say whether people did what an agent in observe mode would have done."""
        with _typed():
            await self._ledger.score(score)


@contextmanager
def _typed() -> Iterator[None]:
    try:
        yield
    except LeverframeError as error:
        raise as_application_error(error) from error


def _own_error(error: WorkflowUpdateFailedError) -> Exception:
    """The ledger's refusal as the error it was there. One that we do not know is no grant either."""
    cause = error.cause
    if not isinstance(cause, ApplicationError):
        return Unavailable(f"the policy ledger failed: {cause or error}")
    if cause.type == DRAINING:
        return _AskAgain(cause.message)
    return _FINAL.get(cause.type or "", Refused)(cause.message)
