"""Works off what people clicked: shows forms, casts votes, and tells each person privately what came of it.

A click is kept before it gets here and marked when it is done, so a process that dies in between loses none:
what is left is done again, and the vote's Update has the click's id, so that it counts once.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

import structlog
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from activities.forms import Click, Forms
from leverframe.model.errors import BadInput, LeverframeError, NotFound, Unavailable
from leverframe.model.untrusted import Untrusted
from policies.question import Question
from workflows.messages import Vote, VoteRefusal

T = TypeVar("T")

LANES = 8
REDELIVER_SECONDS = 5.0
CATCH_UP_SECONDS = 60.0
ANSWER = timedelta(seconds=10)
TRIGGER_LIVES = timedelta(seconds=3)
PATIENCE = timedelta(days=32)
"""Longer than a policy can leave a question open: what is left after it is given up."""

_log = structlog.get_logger("leverframe.slack")


class ClickPump:
    """One for each gateway. `wake` is called in the event loop that runs `run`."""

    def __init__(
        self, forms: Forms, client: Client, *, team: str, redeliver_seconds: float = REDELIVER_SECONDS
    ) -> None:
        self._forms = forms
        self._client = client
        self._team = team
        self._redeliver = redeliver_seconds
        self._arrived: asyncio.Queue[Click] = asyncio.Queue()
        self._pending: set[str] = set()
        """What is queued or worked on."""
        self._finished: set[str] = set()
        """What was done since the store was last asked: its answer may be older than that."""
        # A Slack that is slow must not hold the threads that keep clicks and events.
        self._threads = ThreadPoolExecutor(LANES + 2, thread_name_prefix="slack")

    def wake(self, click: Click) -> None:
        """A click was kept: work it off now."""
        if click.id not in self._pending:
            self._pending.add(click.id)
            self._arrived.put_nowait(click)

    async def run(self) -> None:
        """Work until cancelled. Begins with what an earlier process left."""
        try:
            async with asyncio.TaskGroup() as tasks:
                for _ in range(LANES):
                    tasks.create_task(self._lane())
                tasks.create_task(self._look_for_ever())
                tasks.create_task(self._catch_up_for_ever())
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)

    async def _aside(self, do: Callable[[], T]) -> T:
        """Run what blocks in a thread of the pump's own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, do)

    async def _lane(self) -> None:
        while True:
            await self._work(await self._arrived.get())

    async def _look_for_ever(self) -> None:
        """What is left from before the start, then what nobody has done for a while."""
        grace = timedelta(0)
        while True:
            try:
                before = datetime.now(UTC) - grace
                self._finished.clear()
                for click in await self._aside(partial(self._forms.clicks.waiting, before=before, limit=200)):
                    if click.id not in self._finished:
                        self.wake(click)
            except Exception as error:  # a store that is away must not end the loop
                _log.error("clicks not read", exc_info=error)
            grace = timedelta(seconds=self._redeliver)
            await asyncio.sleep(self._redeliver)

    async def _catch_up_for_ever(self) -> None:
        """Take the buttons off questions that ended while Slack was away."""
        while True:
            try:
                await self._aside(self._forms.catch_up)
            except Exception as error:  # what fails now is tried again
                _log.warning("endings not shown", error=str(error))
            await asyncio.sleep(CATCH_UP_SECONDS)

    async def _work(self, click: Click) -> None:
        """Do one click. Only what may work later stays kept."""
        try:
            await self._do(click)
            await self._done(click)
        except Unavailable as error:
            _log.warning("click waits", click=click.id, error=str(error))
            if datetime.now(UTC) - click.received_at > PATIENCE:
                await self._give_up(click)
        except Exception as error:  # one click that breaks us must not stop the others
            _log.error("click not worked off", click=click.id, exc_info=error)
            await self._give_up(click)
        finally:
            self._pending.discard(click.id)

    async def _done(self, click: Click) -> None:
        await self._aside(partial(self._forms.clicks.done, [click.id], datetime.now(UTC)))
        self._finished.add(click.id)

    async def _do(self, click: Click) -> None:
        try:
            if click.team != self._team:
                await self._tell(click, "Answers of another workspace don't count here.")
            elif click.kind in ("yes", "no"):
                await self._vote(click)
            else:
                await self._show_form(click)
        except NotFound as error:
            # A card that we never showed, or a store that was put back: there is nobody to tell and no place.
            _log.warning("click on an unknown card", click=click.id, error=str(error))

    async def _show_form(self, click: Click) -> None:
        """Show the form while the trigger lives; a click that comes late is told so, never left silent."""
        if datetime.now(UTC) - click.received_at > TRIGGER_LIVES:
            await self._tell(click, "That took too long. Please click again.")
            return
        if click.kind == "details":
            show = partial(self._forms.open_details, click.trigger, card=click.card)
        else:
            yes = click.kind == "form_yes"
            show = partial(self._forms.open_form, click.trigger, card=click.card, approve=yes)
        try:
            await self._aside(show)
        except NotFound:
            raise
        except LeverframeError as error:
            await self._tell(click, f"This did not work: {error}")
            await self._redraw(click)

    async def _vote(self, click: Click) -> None:
        """Cast the vote that the form says, for exactly the request that the card showed."""
        question, ending = await self._aside(partial(self._forms.asked, click.card))
        if ending is not None:
            await self._refuse(click, f"the question has ended: {ending.text}", retire=True)
            return
        yes = click.kind == "yes"
        try:
            said = await self._aside(
                partial(self._forms.reason, click.card, approve=yes, values=click.values)
            )
        except BadInput as error:
            await self._refuse(click, str(error))
            return
        vote = Vote(
            account=f"slack:{click.team}/{click.user}",
            approve=yes,
            reason=Untrusted(said).for_terminal(500),
            request_digest=question.request_digest,
            via="slack",
        )
        await self._cast(click, question, vote)

    async def _cast(self, click: Click, question: Question, vote: Vote) -> None:
        handle = self._client.get_workflow_handle(question.approval)
        try:
            standing: str = await handle.execute_update(
                "decide", vote, id=click.id, result_type=str, rpc_timeout=ANSWER
            )
        except WorkflowUpdateFailedError as error:
            refusal = VoteRefusal.of(error.cause)
            words = getattr(error.cause, "message", None) or "it could not be counted"
            await self._refuse(click, words, retire=refusal is VoteRefusal.CLOSED)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise Unavailable(f"the engine did not take the vote: {error.status.name}") from error
            await self._refuse(click, "the question has ended")
            await self._retire(click)
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise Unavailable("the engine did not take the vote in time") from error
        except RuntimeError as error:
            # What a lazy client raises that has not found the engine yet.
            raise Unavailable(f"there is no engine: {error}") from error
        else:
            await self._tell(click, f"Your {'yes' if vote.approve else 'no'} is counted: {standing}.")

    async def _refuse(self, click: Click, words: str, *, retire: bool = False) -> None:
        """Say privately why it does not count; the buttons go only when nothing could make it count."""
        await self._tell(click, f"Your answer does not count: {words}.")
        if retire:
            await self._redraw(click)

    async def _tell(self, click: Click, text: str) -> None:
        """Words for one person. That they can't be told changes nothing about what was done."""
        try:
            await self._aside(partial(self._forms.tell_privately, click.card, user=click.user, text=text))
        except Exception as error:  # what was done is done
            _log.warning("a person could not be told", click=click.id, error=str(error))

    async def _redraw(self, click: Click) -> None:
        try:
            await self._aside(partial(self._forms.redraw, click.card))
        except LeverframeError as error:
            _log.warning("a question could not be redrawn", click=click.id, error=str(error))

    async def _retire(self, click: Click) -> None:
        try:
            await self._aside(partial(self._forms.retire, click.card))
        except LeverframeError as error:
            _log.warning("a question could not be retired", click=click.id, error=str(error))

    async def _give_up(self, click: Click) -> None:
        await self._tell(click, "That could not be done. Please answer with the leverframe command.")
        with suppress(Exception):  # it comes again, and must not end the lane
            await self._done(click)
