"""The overlay changes of one release, each from its branch to its landing on the train."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CarEjected, CarOutcome, Priority
    from leverframe.model.frozen import Frozen
    from leverframe.model.releases import Environment
    from workflows.release.book import Book
    from workflows.release.calls import Calls
    from workflows.release.reasons import is_a, reason
    from workflows.release.stop import Stop

SILENCE = timedelta(minutes=5)
"""After this long without word from the train we look ourselves; then after twice as long, and so on."""
RARELY = timedelta(hours=1)
"""… but at least so often."""
RIDES = 5
"""How often an overlay change that lost a race is built anew."""

_TRY_AGAIN = frozenset({"conflict", "head_moved", "check_inconclusive"})
"""Ejections that are nobody's fault: another overlay commit landed first, or a runner was lost."""


class Ride(Frozen):
    """How an overlay change fared on the train."""

    landed: bool
    again: bool = False
    """Whether building the change anew can help."""
    detail: str = ""
    change: str = ""
    """The change that rode; empty when none was needed."""


class Back(Frozen):
    """How putting an overlay back went."""

    there: bool
    """Whether the environment has taken it over."""
    words: str
    """A sentence that says so, or why not."""


class Rides:
    """What one release has on the train. `hear` takes the train's word from a signal."""

    def __init__(self, book: Book, calls: Calls, stop: Stop, *, target: str) -> None:
        self._book, self._calls, self._stop, self._target = book, calls, stop, target
        self._heard: dict[str, CarOutcome] = {}
        self.riding: str | None = None
        """The overlay change that is on the train now."""

    def hear(self, outcome: CarOutcome) -> None:
        """The train tells how an overlay change fared. Told twice, or late, it changes nothing."""
        self._heard[outcome.change] = outcome

    async def newer(self, named: str | None) -> str | None:
        """The commit that an overlay names, when it is another one that contains ours."""
        if named is None or named == self._book.sha or not await self._calls.is_in(named):
            return None
        return named

    async def put_back(self, environment: Environment, sha: str, why: str) -> Back:
        """The overlay on the last good commit again.

        One that names a third commit was pointed there by somebody else, and is left alone.
        """
        ride = Ride(landed=False)
        try:
            for _ in range(RIDES):
                named = await self._calls.overlay_sha(environment)
                if named not in (self._book.sha, sha):
                    pointed = f"was pointed at {(named or 'no commit')[:12]} from outside: it was left alone"
                    return Back(there=False, words=f" The overlay of {environment} {pointed}.")
                ride = await self.ride(environment, sha, Priority.HOTFIX, f"taken back: {why}")
                if ride.landed:
                    by = f", by {ride.change}" if ride.change else ""
                    return await self._back(environment, sha, by)
                if not ride.again:
                    break
        except ActivityError as error:
            ride = Ride(landed=False, detail=reason(error))
        failed = f"could not be put back ({ride.detail}): point it at {sha[:12]}"
        return Back(there=False, words=f" The overlay of {environment} {failed}.")

    async def _back(self, environment: Environment, sha: str, by: str) -> Back:
        """Once the environment has taken over what was put back, or why that is not known."""
        words = f" The overlay of {environment} names {sha[:12]} again{by}."
        try:
            await self._calls.wait_back(environment, sha)
        except ActivityError as error:
            return Back(there=False, words=f"{words} It is not there yet: {reason(error)}.")
        return Back(there=True, words=words)

    async def ride(self, environment: Environment, sha: str, priority: Priority, why: str) -> Ride:
        """One overlay change, from its branch to its landing."""
        number = self._book.state.rides + 1
        self._book.note(rides=number)
        try:
            change = await self._calls.overlay_change(
                environment,
                sha,
                priority=priority,
                why=why,
                key=f"{workflow.info().first_execution_run_id}/{number}",
                at=workflow.now(),
            )
        except ActivityError as error:
            # A newer release was quicker between our look and our change.
            if is_a(error, "Conflict") and workflow.patched("overtaken"):
                return Ride(landed=False, again=True, detail=reason(error))
            raise
        if change is None:
            return Ride(landed=True, detail="it names the commit already")
        self.riding = change.id
        await self._calls.enqueue(self._target, change, priority)
        return await self.settle(change.id)

    async def settle(self, change: str) -> Ride:
        """Wait for the train's word; after a long silence ask the forge."""
        silence = SILENCE
        while not await self._stop.wait(lambda: change in self._heard, silence):
            found = await self._calls.get_change(change)
            if found.state != "open":
                self.riding = None
                return Ride(
                    landed=found.state == "landed", detail=f"the change is {found.state}", change=change
                )
            silence = min(2 * silence, RARELY)
        self.riding = None
        outcome = self._heard.pop(change)
        if isinstance(outcome, CarEjected):
            return Ride(
                landed=False, again=outcome.reason in _TRY_AGAIN, detail=outcome.detail, change=change
            )
        return Ride(landed=True, change=change)
