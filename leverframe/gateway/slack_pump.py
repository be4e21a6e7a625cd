"""Works off what people clicked: shows forms, casts votes, and tells each person privately what came of it.

A click is kept before it gets here and marked when it is done, so a process that dies in between loses none:
what is left is done again, and the vote's Update has the click's id, so that it counts once.
"""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog
from temporalio.client import Client, WorkflowUpdateFailedError, WorkflowUpdateRPCTimeoutOrCancelledError
from temporalio.service import RPCError, RPCStatusCode

from activities.forms import Click, Forms
from leverframe.model.errors import BadInput, LeverframeError, NotFound, Unavailable
from leverframe.model.untrusted import Untrusted
from policies.question import Question
from workflows.messages import Vote, VoteRefusal

LANES = 8
REDELIVER_SECONDS = 5.0
ANSWER = timedelta(seconds=10)
TRIGGER_LIVES = timedelta(seconds=3)
PATIENCE = timedelta(days=1)
"""Longer than any question is open: what is left after it is given up."""

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
        self._busy: set[str] = set()

    def wake(self, click: Click) -> None:
        """A click was kept: work it off now."""
        self._arrived.put_nowait(click)

    async def run(self) -> None:
        """Work until cancelled. Begins with what an earlier process left."""
        async with asyncio.TaskGroup() as tasks:
            for _ in range(LANES):
                tasks.create_task(self._lane())
            tasks.create_task(self._look_for_ever())

    async def _lane(self) -> None:
        while True:
            await self._work(await self._arrived.get())

    async def _look_for_ever(self) -> None:
        """What is left from before the start, then what nobody has done for a while."""
        grace = timedelta(0)
        while True:
            try:
                before = datetime.now(UTC) - grace
                for click in await asyncio.to_thread(self._forms.clicks.waiting, before=before, limit=200):
                    self.wake(click)
            except Exception as error:  # a store that is away must not end the loop
                _log.error("clicks not read", exc_info=error)
            grace = timedelta(seconds=self._redeliver)
            await asyncio.sleep(self._redeliver)

    async def _work(self, click: Click) -> None:
        """Do one click. Only what may work later stays kept."""
        if click.id in self._busy:
            return
        self._busy.add(click.id)
        try:
            await self._do(click)
            await asyncio.to_thread(self._forms.clicks.done, [click.id], datetime.now(UTC))
        except Unavailable as error:
            _log.warning("click waits", click=click.id, error=str(error))
            if datetime.now(UTC) - click.received_at > PATIENCE:
                await self._give_up(click)
        except Exception as error:  # one click that breaks us must not stop the others
            _log.error("click not worked off", click=click.id, exc_info=error)
            await self._give_up(click)
        finally:
            self._busy.discard(click.id)

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
            await asyncio.to_thread(show)
        except NotFound:
            raise
        except LeverframeError as error:
            await self._tell(click, f"This did not work: {error}")
            await self._redraw(click)

    async def _vote(self, click: Click) -> None:
        """Cast the vote that the form says, for exactly the request that the card showed."""
        question, ending = await asyncio.to_thread(self._forms.asked, click.card)
        if ending is not None:
            await self._refuse(click, f"the question has ended: {ending.text}", retire=True)
            return
        yes = click.kind == "yes"
        try:
            reason = self._forms.reason
            said = await asyncio.to_thread(reason, click.card, approve=yes, values=click.values)
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
            await self._refuse(click, "the question has ended", retire=True)
        except WorkflowUpdateRPCTimeoutOrCancelledError as error:
            raise Unavailable("the engine did not take the vote in time") from error
        else:
            await self._tell(click, f"Your {'yes' if vote.approve else 'no'} is counted: {standing}.")

    async def _refuse(self, click: Click, words: str, *, retire: bool = False) -> None:
        """Say privately why it does not count; the buttons go only when nothing could make it count."""
        await self._tell(click, f"Your answer does not count: {words}.")
        if retire:
            await self._redraw(click)

    async def _tell(self, click: Click, text: str) -> None:
        """Words for one person. That they can't be told changes nothing about what was done."""
        tell = self._forms.tell_privately
        try:
            await asyncio.to_thread(tell, click.card, user=click.user, text=text)
        except LeverframeError as error:
            _log.warning("a person could not be told", click=click.id, error=str(error))

    async def _redraw(self, click: Click) -> None:
        try:
            await asyncio.to_thread(self._forms.redraw, click.card)
        except LeverframeError as error:
            _log.warning("a question could not be redrawn", click=click.id, error=str(error))

    async def _give_up(self, click: Click) -> None:
        await self._tell(click, "That could not be done. Please answer with the leverframe command.")
        with suppress(LeverframeError):
            await asyncio.to_thread(self._forms.clicks.done, [click.id], datetime.now(UTC))
