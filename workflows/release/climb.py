"""The climb: up the canary's ladder, one look after the other, with people at the helm."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.release.book import Book
    from workflows.release.calls import Calls
    from workflows.release.canary import Ladder, Move
    from workflows.release.eyes import EyesOn
    from workflows.release.pager import Pager
    from workflows.release.pages import standing_still
    from workflows.release.stop import Stop

MAX_EVENTS = 500
"""Events of one history; a release begins a new one at the first look past it. A look takes about eleven."""


class HistoryIsLong(Exception):
    """Not an error: all is known in the state, and it is time for a new history."""


def begin_anew_when_long() -> None:
    """Raises HistoryIsLong. Only where nothing is under way that the state does not tell of."""
    info = workflow.info()
    if info.get_current_history_length() >= MAX_EVENTS or info.is_continue_as_new_suggested():
        raise HistoryIsLong


class Climb:
    """One release in production, from its first step to the move that ends it."""

    def __init__(self, book: Book, calls: Calls, pager: Pager, stop: Stop) -> None:
        self._book, self._calls, self._pager, self._stop = book, calls, pager, stop
        self._eyes = EyesOn(book, calls, pager)

    async def to_its_end(self) -> Move:
        """Look, judge and move until a move ends it.

        Raises:
            ActivityError: the delivery refuses a share, or does not answer for long.
            CancelledError: a person stopped it.
            HistoryIsLong
        """
        book, canary = self._book, self._book.service.canary
        ladder = book.state.ladder
        if ladder is None:
            if (ended := await self._eyes.before()) is not None:
                book.tell_move(ended)
                return ended
            ladder = Ladder.at_the_foot(book.sha, canary, workflow.now())
            await self._weigh(ladder)
        while True:
            book.note(ladder=ladder)
            if not self._pager.busy:
                begin_anew_when_long()
            document = await self._calls.release_health(book.service.name)
            self._stop.heed()
            ladder, move = ladder.observed(document, workflow.now(), held=book.helm.paused is not None)
            move = self._eyes.minded(ladder, move, workflow.now())
            if move.kind == "hold" and book.helm.leaves:
                move = ladder.left(move, book.helm.leaving_reason())
            book.tell_move(move)
            self._mind(ladder if move.kind in ("hold", "reweigh") else None)
            if move.kind == "advance":
                ladder = ladder.climbed(workflow.now())
                await self._weigh(ladder)
                book.tell_helm(leaving=())
            elif move.kind == "reweigh":
                await self._weigh(ladder)
            elif move.kind == "hold":
                await self._stop.wait(lambda: False, timedelta(seconds=canary.poll_seconds))
            else:
                return move

    def _mind(self, ladder: Ladder | None) -> None:
        """Page people when the step stands still, and again when that lasts."""
        standstill = ladder.standstill(workflow.now()) if ladder else None
        self._book.tell_standstill(standstill)
        if ladder is None or standstill is None:
            return
        cause, number = standstill.page(workflow.now())
        progress = self._book.progress
        self._pager.page(cause, lambda: standing_still(progress, ladder, standstill, reminder=number))

    async def _weigh(self, ladder: Ladder) -> None:
        step = ladder.step
        patience = timedelta(seconds=max(step.max_seconds, 30))
        await self._calls.set_weight(self._book.service.name, step.percent, patience)
        self._book.tell_share(step.percent)
