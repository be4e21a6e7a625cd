"""The release of one landed commit: built once, through dev, up the canary's ladder, marked.

Whatever goes wrong in production ends the same way: all requests go back to stable at once, then the
overlay in git is put back by the train, at the priority of a hotfix. A release cancelled by a person is
taken back too.
"""

import asyncio
from datetime import timedelta
from typing import Literal

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CarEjected, CarOutcome, Priority
    from leverframe.model.frozen import Frozen
    from leverframe.model.releases import Environment, GateVerdict, ReleaseOutcome, ReleaseRequest
    from leverframe.model.topology import Repository, Service
    from workflows import attributes
    from workflows.release.calls import Calls, is_a, reason
    from workflows.release.canary import Ladder, Move
    from workflows.release.story import Progress, State

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


@workflow.defn(name="ReleaseWorkflow", versioning_behavior=VersioningBehavior.PINNED)
class ReleaseWorkflow:
    """One landed commit on its way to 100 % of real traffic."""

    @workflow.init
    def __init__(self, request: ReleaseRequest) -> None:
        receipt = request.receipt
        self._request = request
        self._sha = receipt.sha
        self._calls = Calls(repository=receipt.repository, sha=receipt.sha)
        self._repository: Repository | None = None
        self._progress = Progress(service=receipt.repository, sha=receipt.sha)
        self._settled: dict[str, CarOutcome] = {}
        self._riding: str | None = None
        """The overlay change that is on the train now."""
        self._rides = 0
        self._last_good: str | None = None
        self._entered = False
        """Whether production's overlay may name us."""
        self._reached = 0
        self._promoted = False
        self._verdicts: tuple[GateVerdict, ...] = ()

    @workflow.run
    async def run(self, request: ReleaseRequest) -> ReleaseOutcome:
        """Release, tell who waits for it, and return how it ended."""
        try:
            outcome = await self._release()
        except (ActivityError, asyncio.CancelledError) as error:
            outcome = self._ended("failed", reason(error))
        self._progress = self._progress.model_copy(update={"outcome": outcome.outcome})
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome.outcome)])
        self._tell("outcome", "done" if outcome.outcome == "landed" else "failed", outcome.detail)
        for listener in request.notify:
            await self._announce(listener, outcome)
        return outcome

    @workflow.signal
    def car_settled(self, outcome: CarOutcome) -> None:
        """The train tells how an overlay change fared."""
        self._settled[outcome.change] = outcome

    @workflow.query
    def progress(self) -> Progress:
        """How far the release is."""
        return self._progress

    @property
    def _service(self) -> Service:
        assert self._repository is not None  # noqa: S101 - `_release` reads it before anything else
        return self._repository.service

    async def _release(self) -> ReleaseOutcome:
        self._repository = await self._calls.describe()
        self._progress = self._progress.model_copy(update={"service": self._service.name})
        self._tell("build", "now", "building the artifact")
        artifact = await self._calls.export()
        await self._calls.deploy_artifact(artifact)
        self._tell("build", "done", f"built once as {artifact.digest[:19]}")
        stopped = await self._through_dev()
        return stopped or await self._through_production()

    # dev

    async def _through_dev(self) -> ReleaseOutcome | None:
        """Run it in dev and probe it. Returns the outcome when the release ends here."""
        before = (await self._calls.state(self._service.name, "dev")).stable
        ride = Ride(landed=False)
        for _ in range(RIDES):
            if newer := await self._newer(await self._calls.overlay_sha("dev")):
                return self._superseded("dev", newer)
            ride = await self._ride("dev", self._sha, Priority.PROMOTION, "the release starts in dev")
            if not ride.again:
                break
        if not ride.landed:
            return self._ended("failed", f"the train did not take the overlay of dev: {ride.detail}")
        try:
            await self._calls.wait_reconciled("dev")
            failures = await self._calls.probe("dev")
        except ActivityError as error:
            if is_a(error, "Conflict") and (newer := await self._newer(await self._calls.overlay_sha("dev"))):
                return self._superseded("dev", newer)
            failures = [reason(error)]
        if not failures:
            self._tell("dev", "done", f"runs and answers its {len(self._service.probes)} smoke requests")
            return None
        return await self._dev_red(before, "; ".join(failures))

    async def _dev_red(self, before: str | None, why: str) -> ReleaseOutcome:
        self._tell("dev", "failed", why)
        detail = f"red in dev: {why}. Production was not touched."
        if before is not None and before != self._sha:
            detail += await self._put_back("dev", before, why)
        return self._ended("failed", detail)

    # production

    async def _through_production(self) -> ReleaseOutcome:
        try:
            if (ended := await self._enter_production()) is not None:
                return ended
            state = await self._calls.wait_reconciled("production")
            if state.stable == self._sha:
                return await self._landed(
                    "nothing was stable before it, so there was nothing to compare with"
                )
            return await self._after(await self._climb())
        except (ActivityError, asyncio.CancelledError) as error:
            if self._promoted:
                return self._ended("landed", f"stable, but without a marker: {reason(error)}")
            if not self._entered:
                return self._ended("failed", f"{reason(error)}; production was not touched")
            try:
                return await self._turned_back(error)
            except (ActivityError, asyncio.CancelledError) as second:
                if not is_cancelled_exception(second):
                    raise
                # A person cancels what is on its way back already: it goes back all the way.
                return await self._turned_back(error)

    async def _turned_back(self, error: BaseException) -> ReleaseOutcome:
        """The end after a call in production has failed. Safe to begin anew."""
        if is_a(error, "Conflict"):
            return await self._lost()
        return await self._take_back(reason(error))

    async def _enter_production(self) -> ReleaseOutcome | None:
        """Wait for the canary slot, then let the train point production's overlay at the commit."""
        service = self._service
        poll = timedelta(seconds=service.canary.poll_seconds)
        while True:
            self._tell("production", "now", "waiting until no other release is in canary")
            state = await self._calls.state(service.name, "production")
            if newer := await self._newer(state.wanted):
                return self._superseded("production", newer)
            slot = await self._calls.canary_slot(state.wanted, poll)
            if slot.wanted != state.wanted:
                continue
            if await self._calls.overlay_sha("production") not in (slot.wanted, self._sha):
                await workflow.sleep(poll)  # git is ahead of what the environment has seen
                continue
            self._last_good, self._entered = slot.stable, True
            ride = await self._ride(
                "production", self._sha, Priority.PROMOTION, "the release enters production as a canary"
            )
            if ride.landed:
                return None
            self._entered = False
            if not ride.again:
                return self._ended("failed", f"the train did not take production's overlay: {ride.detail}")

    async def _climb(self) -> Move:
        """Up the ladder, one poll after the other; returns the move that ends it."""
        service = self._service
        poll = timedelta(seconds=service.canary.poll_seconds)
        ladder = Ladder.at_the_foot(self._sha, service.canary, workflow.now())
        await self._weigh(ladder)
        while True:
            document = await self._calls.release_health(service.name)
            ladder, move = ladder.observed(document, workflow.now())
            self._tell_move(move)
            if move.kind == "advance":
                ladder = ladder.climbed(workflow.now())
                await self._weigh(ladder)
            elif move.kind == "reweigh":
                await self._weigh(ladder)
            elif move.kind == "hold":
                await workflow.sleep(poll)
            else:
                return move

    async def _weigh(self, ladder: Ladder) -> None:
        step = ladder.step
        await self._calls.set_weight(
            self._service.name, step.percent, timedelta(seconds=max(step.max_seconds, 30))
        )
        self._reached = max(self._reached, step.percent)
        self._progress = self._progress.model_copy(update={"percent": step.percent})

    async def _after(self, move: Move) -> ReleaseOutcome:
        if move.kind == "promote":
            return await self._landed(move.verdict.reason)
        if move.kind == "lost":
            return await self._lost()
        return await self._take_back(move.verdict.reason)

    async def _landed(self, why: str) -> ReleaseOutcome:
        await self._calls.promote(self._service.name)
        self._promoted, self._reached = True, 100
        self._progress = self._progress.model_copy(update={"percent": 100})
        self._tell("production", "done", "stable at 100 %")
        marker = f"live/{self._service.name}/{workflow.now():%Y%m%d-%H%M%S}-{self._sha[:12]}"
        await self._calls.tag(marker, f"{self._service.name} at 100 % of production")
        return self._ended("landed", f"at 100 % and marked: {why}", marker=marker)

    async def _lost(self) -> ReleaseOutcome:
        """The canary is no longer ours: the overlay says why."""
        named = await self._calls.overlay_sha("production")
        if named == self._sha:
            return await self._take_back("the canary was taken back from outside")
        if newer := await self._newer(named):
            return self._superseded("production", newer)
        return self._ended("failed", f"production was pointed at {(named or 'no commit')[:12]} from outside")

    async def _take_back(self, why: str) -> ReleaseOutcome:
        """Requests first, git second."""
        self._tell("production", "failed", why)
        await self._calls.abort(self._service.name)
        self._progress = self._progress.model_copy(update={"percent": 0})
        self._tell("production", "failed", f"{why}. All requests are back on stable.")
        if self._riding is not None:
            await self._settle(self._riding)  # or the overlay would name us after we have put it back
        if self._last_good is None:
            return self._ended("failed", f"{why}. There is no earlier release to go back to.")
        back = await self._put_back("production", self._last_good, why)
        return self._ended("rolled_back", f"{why}. All requests went back to stable.{back}")

    # the train and git

    async def _newer(self, named: str | None) -> str | None:
        """The commit that an overlay names, when it is another one that contains ours."""
        if named is None or named == self._sha or not await self._calls.is_in(named):
            return None
        return named

    async def _put_back(self, environment: Environment, sha: str, why: str) -> str:
        """The overlay on the last good commit again. Returns the sentence that says so, or why not."""
        ride = Ride(landed=False)
        for _ in range(RIDES):
            ride = await self._ride(environment, sha, Priority.HOTFIX, f"taken back: {why}")
            if ride.landed:
                return f" The overlay of {environment} names {sha[:12]} again."
            if not ride.again:
                break
        return f" The overlay of {environment} could not be put back ({ride.detail}): point it at {sha[:12]}."

    async def _ride(self, environment: Environment, sha: str, priority: Priority, why: str) -> Ride:
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
        self._riding = change.id
        await self._calls.enqueue(self._request.receipt.target, change, priority)
        return await self._settle(change.id)

    async def _settle(self, change: str) -> Ride:
        """Wait for the train's word; after a long silence ask the forge."""
        while change not in self._settled:
            try:
                await workflow.wait_condition(lambda: change in self._settled, timeout=SILENCE)
            except TimeoutError:
                found = await self._calls.get_change(change)
                if found.state != "open":
                    self._riding = None
                    return Ride(landed=found.state == "landed", detail=f"the change is {found.state}")
        self._riding = None
        outcome = self._settled[change]
        if isinstance(outcome, CarEjected):
            return Ride(landed=False, again=outcome.reason in _TRY_AGAIN, detail=outcome.detail)
        return Ride(landed=True)

    # the end and the story

    def _superseded(self, environment: Environment, by: str) -> ReleaseOutcome:
        detail = f"{environment} names {by[:12]} already, which contains this commit"
        self._tell(environment, "done", detail)
        return self._ended("superseded", detail)

    def _ended(
        self,
        outcome: Literal["landed", "rolled_back", "superseded", "failed"],
        detail: str,
        marker: str | None = None,
    ) -> ReleaseOutcome:
        return ReleaseOutcome(
            service=self._progress.service,
            sha=self._sha,
            outcome=outcome,
            reached_percent=self._reached,
            detail=detail,
            marker=marker,
            verdicts=self._verdicts,
        )

    async def _announce(self, listener: str, outcome: ReleaseOutcome) -> None:
        """A listener that is gone already does not spoil the release."""
        try:
            await workflow.get_external_workflow_handle(listener).signal("release_settled", outcome)
        except FailureError as error:
            workflow.logger.info("nobody waits any more", extra={"listener": listener, "reason": str(error)})

    def _tell_move(self, move: Move) -> None:
        """Write the verdict into the story; one that decides is kept for the outcome."""
        verdict = move.verdict
        state: State = "now" if move.kind in ("hold", "reweigh") else "failed"
        if move.kind in ("advance", "promote"):
            state = "done"
        self._tell(f"{verdict.percent} %", state, verdict.reason)
        if state != "now":
            self._verdicts = (*self._verdicts, verdict)
            workflow.upsert_search_attributes([attributes.VERDICT.value_set(verdict.colour)])

    def _tell(self, step: str, state: State, text: str) -> None:
        self._progress = self._progress.told(step, state, text)
        workflow.set_current_details(self._progress.markdown())
