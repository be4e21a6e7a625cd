"""The way of a release: built once, through dev, into production, up the ladder; and every way back.

Whatever goes wrong in production ends the same way: all requests go back to stable at once, then the
overlay in git is put back by the train, at the priority of a hotfix. A release that a person stops is
taken back too.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import Priority
    from leverframe.model.releases import Environment, ReleaseOutcome
    from workflows.release.book import Book
    from workflows.release.builds import Builds
    from workflows.release.calls import Calls
    from workflows.release.canary import Move
    from workflows.release.climb import Climb, begin_anew_when_long
    from workflows.release.pager import Pager
    from workflows.release.pages import overlay_not_back, requests_not_back
    from workflows.release.reasons import is_a, reason
    from workflows.release.rides import RIDES, Ride, Rides
    from workflows.release.slot import Slot
    from workflows.release.stop import Stop

REQUESTS_BACK = timedelta(minutes=1)
"""How long the requests may take to be back on stable until people are paged."""
OVERLAY_BACK = timedelta(minutes=30)
"""How long the train may take to put the overlay back until people are paged."""


class Way:
    """From a landed commit to its outcome. What is done stands in the book, so it goes on from there."""

    def __init__(
        self,
        book: Book,
        calls: Calls,
        *,
        builds: Builds,
        rides: Rides,
        slot: Slot,
        climb: Climb,
        pager: Pager,
        stop: Stop,
    ) -> None:
        self._book, self._calls, self._builds, self._rides = book, calls, builds, rides
        self._slot, self._climb, self._pager, self._stop = slot, climb, pager, stop

    async def to_its_end(self) -> ReleaseOutcome:
        """Release the commit. Raises HistoryIsLong when it is to go on from the book in a new history."""
        try:
            if not self._book.state.tested and (stopped := await self._to_dev()) is not None:
                return stopped
            self._book.note(tested=True)
            return await self._through_production()
        except (ActivityError, asyncio.CancelledError) as error:
            return self._book.ended("failed", self._why(error))

    def _why(self, error: BaseException) -> str:
        """Why it ends: a person's word, or why a call failed."""
        if self._stop.why is not None and is_cancelled_exception(error):
            return self._stop.why
        return reason(error)

    # build and dev

    async def _to_dev(self) -> ReleaseOutcome | None:
        book = self._book
        repository = await self._calls.describe()
        book.note(
            repository=repository,
            progress=book.progress.model_copy(update={"service": repository.service.name}),
        )
        book.tell("build", "now", "building the artifact")
        artifact = await self._builds.artifact(repository)
        book.note(artifact=artifact)
        book.tell("build", "done", f"built once as {artifact.digest[:19]}")
        return await self._through_dev()

    async def _through_dev(self) -> ReleaseOutcome | None:
        """Run it in dev and probe it. Returns the outcome when the release ends here."""
        book, service = self._book, self._book.service
        before = (await self._calls.state(service.name, "dev")).stable
        ride = Ride(landed=False)
        for _ in range(RIDES):
            if newer := await self._rides.newer(await self._calls.overlay_sha("dev")):
                return self._superseded("dev", newer)
            ride = await self._rides.ride("dev", book.sha, Priority.PROMOTION, "the release starts in dev")
            if not ride.again:
                break
        if not ride.landed:
            return book.ended("failed", f"the train did not take the overlay of dev: {ride.detail}")
        try:
            await self._calls.wait_reconciled("dev")
            failures = await self._calls.probe("dev")
        except ActivityError as error:
            if is_a(error, "Conflict") and (
                newer := await self._rides.newer(await self._calls.overlay_sha("dev"))
            ):
                return self._superseded("dev", newer)
            failures = [reason(error)]
        if not failures:
            book.tell("dev", "done", f"runs and answers its {len(service.probes)} smoke requests")
            book.note(moments=book.state.moments.model_copy(update={"in_dev_at": workflow.now()}))
            return None
        return await self._dev_red(before, "; ".join(failures))

    async def _dev_red(self, before: str | None, why: str) -> ReleaseOutcome:
        self._book.tell("dev", "failed", why)
        detail = f"red in dev: {why}. Production was not touched."
        if before is not None and before != self._book.sha:
            detail += (await self._rides.put_back("dev", before, why)).words
        return self._book.ended("failed", detail)

    # production

    async def _through_production(self) -> ReleaseOutcome:
        book = self._book
        try:
            if book.state.ladder is None:
                if (ended := await self._enter_production()) is not None:
                    return ended
                state = await self._calls.wait_reconciled("production")
                if state.stable == book.sha:
                    return await self._landed("nothing was stable before it, so there was no comparison")
                book.tell("production", "now", f"the canary beside {(state.stable or 'nothing')[:12]}")
            return await self._after(await self._climb.to_its_end())
        except (ActivityError, asyncio.CancelledError) as error:
            if self._stop.past and book.state.promoted:
                return book.ended("landed", f"stable, but without a marker: {self._why(error)}")
            if not book.state.entered:
                return book.ended("failed", f"{self._why(error)}; production was not touched")
            return await self._turned_back(error)

    async def _enter_production(self) -> ReleaseOutcome | None:
        """Wait for the canary slot, then let the train point production's overlay at the commit."""
        book, service = self._book, self._book.service
        poll = timedelta(seconds=service.canary.poll_seconds)
        while True:
            begin_anew_when_long()
            if book.helm.paused:
                book.tell("production", "now", book.helm.paused.words("has paused it"))
                await self._stop.wait(lambda: book.helm.paused is None)
            state = await self._calls.state(service.name, "production")
            if newer := await self._rides.newer(state.wanted):
                return self._superseded("production", newer)
            await self._slot.wait_behind(state)
            slot = await self._calls.canary_slot(state.wanted, poll)
            if slot.wanted != state.wanted:
                continue
            if await self._calls.overlay_sha("production") not in (slot.wanted, book.sha):
                # Git is ahead of what the environment has seen.
                await self._stop.wait(lambda: False, poll)
                continue
            book.note(last_good=slot.stable, entered=True)
            ride = await self._rides.ride(
                "production", book.sha, Priority.PROMOTION, "the release enters production as a canary"
            )
            if ride.landed:
                return None
            book.note(entered=False)
            if not ride.again:
                return book.ended("failed", f"the train did not take production's overlay: {ride.detail}")

    async def _after(self, move: Move) -> ReleaseOutcome:
        if move.kind == "promote":
            return await self._landed(move.verdict.reason)
        if move.kind == "lost":
            return await self._lost()
        return await self._take_back(move.verdict.reason)

    async def _landed(self, why: str) -> ReleaseOutcome:
        book, service = self._book, self._book.service
        await self._calls.promote(service.name)
        book.note(promoted=True)
        self._stop.heed()  # a word that came while it became stable
        self._stop.pass_by()
        book.tell_share(100)
        book.tell("production", "done", "stable at 100 %")
        marked = await self._calls.mark(book.state)
        untold = await self._calls.tell_live(marked)
        return book.ended("landed", f"at 100 %, {marked.words}: {why}{untold}", marker=marked.name)

    # the way back

    async def _turned_back(self, error: BaseException) -> ReleaseOutcome:
        """The end after a call in production has failed, or a person has stopped it."""
        self._stop.pass_by()
        if is_a(error, "Conflict"):
            return await self._lost()
        newer = self._stop.superseded_by if is_cancelled_exception(error) else None
        return await self._take_back(self._why(error), superseded_by=newer)

    async def _lost(self) -> ReleaseOutcome:
        """The canary is no longer ours: the overlay says why."""
        named = await self._calls.overlay_sha("production")
        if named == self._book.sha:
            return await self._take_back("the canary was taken back from outside")
        if newer := await self._rides.newer(named):
            return self._superseded("production", newer)
        where = (named or "no commit")[:12]
        return self._book.ended("failed", f"production was pointed at {where} from outside")

    async def _take_back(self, why: str, *, superseded_by: str | None = None) -> ReleaseOutcome:
        """Requests first, git second; whatever people say meanwhile, it goes back all the way."""
        self._stop.pass_by()
        book, last_good = self._book, self._book.state.last_good
        book.tell("production", "failed", why)
        refused = await self._requests_back(why)
        went = refused or "All requests went back to stable."
        book.tell_share(book.progress.percent if refused else 0)
        book.tell("production", "failed", f"{why}. {went}")
        if self._rides.riding is not None:
            # or the overlay would name us after we have put it back
            await self._rides.settle(self._rides.riding)
        if last_good is None:
            return book.ended("failed", f"{why}. {went} There is no earlier release to go back to.")
        back = await self._pager.in_time(
            self._rides.put_back("production", last_good, why),
            OVERLAY_BACK,
            "overlay not back",
            lambda: overlay_not_back(book.state, why),
        )
        if back.there:
            book.tell_share(0)
        if back.there and superseded_by is not None:
            return book.ended("superseded", f"{why}. {went}{back.words}")
        return book.ended(
            "rolled_back" if back.there or not refused else "failed", f"{why}. {went}{back.words}"
        )

    async def _requests_back(self, why: str) -> str | None:
        """All requests back to stable, or the sentence that says why the overlay alone can do that now."""
        service, sha = self._book.service, self._book.sha

        def alarm() -> str:
            return requests_not_back(self._book.state, why, workflow.now())

        try:
            await self._pager.in_time(
                self._calls.abort(service.name), REQUESTS_BACK, "requests not back", alarm
            )
        except ActivityError as error:
            if (
                is_a(error, "Conflict")
                and (await self._calls.state(service.name, "production")).stable == sha
            ):
                self._book.note(promoted=True)
                return "It had become stable already."
            self._pager.page("requests not back", alarm)
            return f"The delivery does not send the requests back: {reason(error)}."
        return None

    def _superseded(self, environment: Environment, by: str) -> ReleaseOutcome:
        detail = f"{environment} names {by[:12]} already, which contains this commit"
        self._book.tell(environment, "done", detail)
        return self._book.ended("superseded", detail)
