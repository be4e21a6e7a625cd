"""The release of one landed commit, as the engine sees it: what it is told, asked, and how it ends."""

import asyncio
from typing import TypeVar

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError, FailureError

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CarOutcome
    from leverframe.model.releases import ReleaseOutcome
    from workflows.release.book import Book
    from workflows.release.builds import Builds
    from workflows.release.calls import Calls
    from workflows.release.climb import Climb, HistoryIsLong
    from workflows.release.diary import Diary
    from workflows.release.helm import Order
    from workflows.release.pager import Pager
    from workflows.release.pages import ended_badly
    from workflows.release.rides import Rides
    from workflows.release.slot import GIVES_WAY, NEWER_WAITS, Slot
    from workflows.release.state import ReleaseStart, ReleaseState
    from workflows.release.stop import Stop
    from workflows.release.story import Progress
    from workflows.release.way import Way

R = TypeVar("R")


def _refuse(why: str | None) -> None:
    if why is not None:
        raise ApplicationError(why, type="Refused")


@workflow.defn(name="ReleaseWorkflow", versioning_behavior=VersioningBehavior.PINNED)
class ReleaseWorkflow:
    """One landed commit on its way to 100 % of real traffic."""

    @workflow.init
    def __init__(self, start: ReleaseStart) -> None:
        receipt = start.receipt
        self._author = receipt.author
        self._diary = Diary(receipt)
        self._stop = Stop()
        self._book = Book(start.known or ReleaseState.of(start))
        calls = Calls(repository=receipt.repository, sha=receipt.sha, stop=self._stop)
        builds = Builds(self._book, repository=receipt.repository, sha=receipt.sha, stop=self._stop)
        self._rides = Rides(self._book, calls, self._stop, target=receipt.target)
        self._slot = Slot(self._book, calls, self._stop)
        self._pager = Pager(self._book)
        climb = Climb(self._book, calls, self._pager, self._stop)
        self._way = Way(
            self._book,
            calls,
            builds=builds,
            rides=self._rides,
            slot=self._slot,
            climb=climb,
            pager=self._pager,
            stop=self._stop,
        )

    @workflow.run
    async def run(self, start: ReleaseStart) -> ReleaseOutcome:
        """Release, tell who waits for it, and return how it ended."""
        self._diary.begin(self._book)
        self._book.show()
        yielding = asyncio.create_task(self._slot.watch())
        outcome = await self._released(start)
        yielding.cancel()
        await self._whole(asyncio.create_task(self._tell_end(start, outcome)))
        return outcome

    async def _released(self, start: ReleaseStart) -> ReleaseOutcome:
        while True:
            way = asyncio.create_task(self._way.to_its_end())
            self._stop.interrupts(way)
            try:
                return await self._whole(way)
            except HistoryIsLong:
                # A word that came in the same moment is heeded first, by the same way in this history.
                if self._stop.why is None:
                    workflow.continue_as_new(start.model_copy(update={"known": self._book.state}))

    async def _whole(self, task: asyncio.Task[R]) -> R:
        """The task's result. A cancellation at the engine reaches it as a person's word only."""
        while not task.done():
            try:
                await workflow.wait([task])
            except asyncio.CancelledError:
                self._stop.order(_cancelled())
        return task.result()

    async def _tell_end(self, start: ReleaseStart, outcome: ReleaseOutcome) -> None:
        """To the engine's UI, to who waits for it, and to people when it is bad."""
        self._book.tell_end(outcome)
        for listener in start.notify:
            await self._announce(listener, outcome)
        if outcome.outcome in ("rolled_back", "failed"):
            self._pager.page("ended", lambda: ended_badly(start.receipt, outcome, start.notify))
        await self._diary.close(self._book, outcome)
        await self._pager.finish()

    @workflow.signal
    def car_settled(self, outcome: CarOutcome) -> None:
        """The train tells how an overlay change fared."""
        self._rides.hear(outcome)

    @workflow.signal(name=NEWER_WAITS)
    def newer_waits(self, sha: str) -> None:
        """A newer release waits for the canary that this one has."""
        self._slot.hear_newer(sha)

    @workflow.signal(name=GIVES_WAY)
    def gives_way(self, sha: str) -> None:
        """The release that has the canary leaves it for this one."""
        self._slot.hear_holder(sha)

    @workflow.update
    def pause(self, order: Order) -> Progress:
        """Stay on the step, or out of production. Red is taken back all the same."""
        return self._book.tell_helm(paused=order)

    @pause.validator
    def _may_pause(self, order: Order) -> None:
        _refuse(self._over() or self._book.helm.refuses_pause())

    @workflow.update
    def resume(self, order: Order) -> Progress:
        """Go on."""
        return self._book.tell_helm(paused=None)

    @resume.validator
    def _may_resume(self, order: Order) -> None:
        _refuse(self._book.helm.refuses_resume())

    @workflow.update
    def promote(self, order: Order) -> Progress:
        """Leave the step ahead of the evidence, once a second person wants it too."""
        return self._book.tell_helm(leaving=(*self._book.helm.leaving, order))

    @promote.validator
    def _may_promote(self, order: Order) -> None:
        book = self._book
        _refuse(self._over() or book.helm.refuses_promotion(order, self._author, book.progress.percent))

    @workflow.update
    def abort(self, order: Order) -> Progress:
        """Take the release back."""
        told = self._book.tell_helm(aborted=order)
        self._stop.order(order.words("aborted the release"))
        return told

    @abort.validator
    def _may_abort(self, order: Order) -> None:
        _refuse(self._over())

    @workflow.query
    def progress(self) -> Progress:
        """How far the release is."""
        return self._book.progress

    def _over(self) -> str | None:
        """Why nothing can be told to the release any more."""
        if ended := self._book.progress.outcome:
            return f"it is over: {ended.replace('_', ' ')}"
        if aborted := self._book.helm.aborted:
            return aborted.words("has aborted it already")
        if not self._stop.past:
            return self._stop.why
        if self._book.state.promoted:
            return "it is at 100 %: roll it back by a change instead"
        return "it is on its way back already"

    async def _announce(self, listener: str, outcome: ReleaseOutcome) -> None:
        """A listener that is gone already does not spoil the release."""
        try:
            await workflow.get_external_workflow_handle(listener).signal("release_settled", outcome)
        except FailureError as error:
            workflow.logger.info("nobody waits any more", extra={"listener": listener, "reason": str(error)})


def _cancelled() -> str:
    """The word of a person who cancelled the workflow at the engine."""
    said = workflow.cancellation_reason()
    return f"a person cancelled the release: {said}" if said else "a person cancelled the release"
