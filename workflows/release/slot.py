"""The canary's one slot: a newer release tells the one that has it that it waits, and may take its place.

A step that the gate can't decide keeps the slot until people decide or its time is over. Where the plan says
so, it gives way to a newer release before that: as if a person had aborted it, but for its outcome.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from leverframe.model.releases import DeliveryState
    from workflows.release.book import Book
    from workflows.release.calls import Calls
    from workflows.release.stop import Stop

NEWER_WAITS = "newer_waits"
"""The signal of a release to the older one that has the canary."""
GIVES_WAY = "gives_way"
"""Its answer, once it leaves the canary for the newer one."""

TOLD = "the-holder-of-the-canary-is-told"
"""The patch with which releases began to tell each other."""


class Slot:
    """What one release knows of the one before it and of the one behind it."""

    def __init__(self, book: Book, calls: Calls, stop: Stop) -> None:
        self._book, self._calls, self._stop = book, calls, stop

    async def wait_behind(self, state: DeliveryState) -> None:
        """Say whom it waits for in production, and tell that release."""
        book = self._book
        holder = state.canary or (state.wanted if state.wanted != state.stable else None)
        if holder is None or holder == book.sha:
            book.tell("production", "now", "waiting until no other release is in canary")
            return
        after = book.service.canary.gives_way_after_seconds
        gives_way = "" if after == "never" else f"; undecided for {after:g} seconds it gives way"
        book.tell("production", "now", f"waiting until {holder[:12]} leaves the canary{gives_way}")
        if workflow.patched(TOLD):
            await self._calls.tell_release(book.service.name, holder, NEWER_WAITS)

    def hear_newer(self, sha: str) -> None:
        """A newer release waits for this one. Told twice, it changes nothing."""
        self._book.tell_newer(sha)

    def hear_holder(self, sha: str) -> None:
        """The release before this one leaves the canary for it."""
        self._book.tell("production", "now", f"{sha[:12]} gives way, and is being taken back")

    async def watch(self) -> None:
        """Give way once the step has been undecided for so long as the plan says, and a newer one waits."""
        while True:
            await workflow.wait_condition(lambda: self._due() is not None)
            newer = self._due()
            try:
                if newer is not None and await self._waits(newer):
                    why = (
                        f"{newer[:12]} contains it and waits, and it was undecided for longer than it may be"
                    )
                    self._stop.order(why, superseded_by=newer)
                    return
            except ActivityError as error:
                workflow.logger.info("it does not give way: %s", error)
            except asyncio.CancelledError:
                return
            if self._book.progress.newer == newer:
                self._book.tell_newer(None)

    def _due(self) -> str | None:
        """The newer release to give way to now."""
        book = self._book
        standstill, newer = book.progress.standstill, book.progress.newer
        if newer is None or standstill is None or standstill.kind != "undecided" or self._stop.past:
            return None
        after = book.service.canary.gives_way_after_seconds
        if after == "never" or workflow.now() < standstill.since + timedelta(seconds=after):
            return None
        return newer

    async def _waits(self, newer: str) -> bool:
        """Whether it contains this one, and is still there to be told."""
        if not await self._calls.is_in(newer):
            return False
        return await self._calls.tell_release(self._book.service.name, newer, GIVES_WAY)
