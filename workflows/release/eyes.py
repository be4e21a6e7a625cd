"""The eyes-on check of a release: a look at its pages before the first request, and what a difference does.

What could not be looked at says nothing, and stops nothing.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from leverframe.model.eyes import EyesPlan, EyesReport
    from leverframe.model.frozen import Instant
    from leverframe.model.releases import GateVerdict
    from workflows.release.book import Book
    from workflows.release.calls import Calls
    from workflows.release.canary import Ladder, Move
    from workflows.release.pager import Pager
    from workflows.release.pages import pages_differ
    from workflows.release.reasons import reason


class EyesOn:
    """What was seen stands in the book."""

    def __init__(self, book: Book, calls: Calls, pager: Pager) -> None:
        self._book, self._calls, self._pager = book, calls, pager

    async def before(self) -> Move | None:
        """Look, while the canary has no request yet; the move that ends it when it may not have one.

        Raises ActivityError when a person stopped it.
        """
        book, plan, stable = self._book, self._book.service.eyes, self._book.state.last_good
        if plan is None or stable is None:
            return None
        book.tell("eyes", "now", "looking at its pages, beside stable's")
        try:
            report = await self._calls.look_at_pages(stable, plan)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            report = EyesReport(why=reason(error))
        book.note(eyes=report)
        book.tell("eyes", "failed" if report.differing else "done", report.words())
        if not report.differing:
            return None
        if plan.on_difference == "red":
            return Move(kind="take_back", verdict=_verdict("red", f"it looks different: {report.words()}"))
        self._pager.page("eyes", lambda: pages_differ(book.progress, report, hold_seconds=self._hold_seconds))
        return None

    def minded(self, ladder: Ladder, move: Move, now: Instant) -> Move:
        """The same move, but on the first step one that would leave it: that takes people who have looked."""
        report, plan = self._book.state.eyes, self._book.service.eyes
        if report is None or plan is None:
            return move
        return minded(report, plan, ladder, move, now)

    @property
    def _hold_seconds(self) -> float:
        return self._book.service.canary.hold_seconds


def minded(report: EyesReport, plan: EyesPlan, ladder: Ladder, move: Move, now: Instant) -> Move:
    """Hold the first step while pages look different. Red is red all the same; after long it goes back."""
    if not report.differing or plan.on_difference != "hold" or ladder.rung != 0:
        return move
    if move.kind not in ("advance", "promote"):
        return move
    said = f"{move.verdict.reason}; but it looks different, and people have to look: {report.words()}"
    verdict = move.verdict.model_copy(update={"colour": "hold", "reason": said})
    limit = timedelta(seconds=ladder.step.max_seconds + ladder.plan.hold_seconds)
    if ladder.held_since is None and now - ladder.opened_at > limit:
        long = f"{said}; nobody has for {limit.total_seconds():g} seconds"
        return Move(kind="take_back", verdict=verdict.model_copy(update={"reason": long}))
    return Move(kind="hold", verdict=verdict)


def _verdict(colour: str, reason: str) -> GateVerdict:
    """Before any request there is nothing to count."""
    return GateVerdict.model_validate(
        {
            "colour": colour,
            "percent": 0,
            "reason": reason,
            "canary_requests": 0,
            "canary_errors": 0,
            "stable_requests": 0,
            "stable_errors": 0,
        }
    )
