"""The overlay changes of one release, each from its branch to its landing on the train."""

from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CarEjected, CarOutcome, Priority
    from leverframe.model.frozen import Frozen
    from leverframe.model.releases import Environment
    from workflows.release.calls import Calls

SILENCE = timedelta(minutes=5)
"""After this long without word from the train we look ourselves."""
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


class Rides:
    """What one release has on the train. `hear` takes the train's word from a signal."""

    def __init__(self, calls: Calls, *, target: str, sha: str) -> None:
        self._calls, self._target, self._sha = calls, target, sha
        self._heard: dict[str, CarOutcome] = {}
        self._rides = 0
        self.riding: str | None = None
        """The overlay change that is on the train now."""

    def hear(self, outcome: CarOutcome) -> None:
        """The train tells how an overlay change fared."""
        self._heard[outcome.change] = outcome

    async def newer(self, named: str | None) -> str | None:
        """The commit that an overlay names, when it is another one that contains ours."""
        if named is None or named == self._sha or not await self._calls.is_in(named):
            return None
        return named

    async def put_back(self, environment: Environment, sha: str, why: str) -> str:
        """The overlay on the last good commit again. Returns the sentence that says so, or why not."""
        ride = Ride(landed=False)
        for _ in range(RIDES):
            ride = await self.ride(environment, sha, Priority.HOTFIX, f"taken back: {why}")
            if ride.landed:
                return f" The overlay of {environment} names {sha[:12]} again."
            if not ride.again:
                break
        return f" The overlay of {environment} could not be put back ({ride.detail}): point it at {sha[:12]}."

    async def ride(self, environment: Environment, sha: str, priority: Priority, why: str) -> Ride:
        """One overlay change, from its branch to its landing."""
        self._rides += 1
        change = await self._calls.overlay_change(
            environment,
            sha,
            priority=priority,
            why=why,
            key=f"{workflow.info().run_id}/{self._rides}",
            at=workflow.now(),
        )
        if change is None:
            return Ride(landed=True, detail="it names the commit already")
        self.riding = change.id
        await self._calls.enqueue(self._target, change, priority)
        return await self.settle(change.id)

    async def settle(self, change: str) -> Ride:
        """Wait for the train's word; after a long silence ask the forge."""
        while change not in self._heard:
            try:
                await workflow.wait_condition(lambda: change in self._heard, timeout=SILENCE)
            except TimeoutError:
                found = await self._calls.get_change(change)
                if found.state != "open":
                    self.riding = None
                    return Ride(landed=found.state == "landed", detail=f"the change is {found.state}")
        self.riding = None
        outcome = self._heard[change]
        if isinstance(outcome, CarEjected):
            return Ride(landed=False, again=outcome.reason in _TRY_AGAIN, detail=outcome.detail)
        return Ride(landed=True)
