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
from temporalio.exceptions import ActivityError, ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import CarOutcome, Priority
    from leverframe.model.releases import Environment, GateVerdict, ReleaseOutcome, ReleaseRequest
    from leverframe.model.topology import Repository, Service
    from workflows import attributes
    from workflows.release.calls import Calls, is_a, reason
    from workflows.release.canary import Ladder, Move
    from workflows.release.helm import Helm, Order
    from workflows.release.rides import RIDES, Ride, Rides
    from workflows.release.story import Progress, State


def _refuse(why: str | None) -> None:
    if why is not None:
        raise ApplicationError(why, type="Refused")


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
        self._rides = Rides(self._calls, target=receipt.target, sha=receipt.sha)
        self._last_good: str | None = None
        self._entered = False
        """Whether production's overlay may name us."""
        self._reached = 0
        self._promoted = False
        self._verdicts: tuple[GateVerdict, ...] = ()
        self._helm = Helm()
        self._going_back = False
        self._way: asyncio.Task[ReleaseOutcome] | None = None

    @workflow.run
    async def run(self, request: ReleaseRequest) -> ReleaseOutcome:
        """Release, tell who waits for it, and return how it ended."""
        self._way = asyncio.create_task(self._release())
        if self._helm.aborted is not None:  # before anything had begun
            self._way.cancel()
        try:
            outcome = await self._way
        except (ActivityError, asyncio.CancelledError) as error:
            outcome = self._ended("failed", self._why(error))
        self._progress = self._progress.model_copy(update={"outcome": outcome.outcome})
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome.outcome)])
        self._tell("outcome", "done" if outcome.outcome == "landed" else "failed", outcome.detail)
        for listener in request.notify:
            await self._announce(listener, outcome)
        return outcome

    @workflow.signal
    def car_settled(self, outcome: CarOutcome) -> None:
        """The train tells how an overlay change fared."""
        self._rides.hear(outcome)

    @workflow.update
    def pause(self, order: Order) -> Progress:
        """Stay on the step, or out of production. Red is taken back all the same."""
        return self._told(self._helm.model_copy(update={"paused": order}))

    @pause.validator
    def _may_pause(self, order: Order) -> None:
        _refuse(self._over() or self._helm.refuses_pause())

    @workflow.update
    def resume(self, order: Order) -> Progress:
        """Go on."""
        return self._told(self._helm.model_copy(update={"paused": None}))

    @resume.validator
    def _may_resume(self, order: Order) -> None:
        _refuse(self._helm.refuses_resume())

    @workflow.update
    def promote(self, order: Order) -> Progress:
        """Leave the step ahead of the evidence, once a second person wants it too."""
        return self._told(self._helm.model_copy(update={"leaving": (*self._helm.leaving, order)}))

    @promote.validator
    def _may_promote(self, order: Order) -> None:
        author, percent = self._request.receipt.author, self._progress.percent
        _refuse(self._over() or self._helm.refuses_promotion(order, author, percent))

    @workflow.update
    def abort(self, order: Order) -> Progress:
        """Take the release back."""
        told = self._told(self._helm.model_copy(update={"aborted": order}))
        if self._way is not None:
            self._way.cancel()
        return told

    @abort.validator
    def _may_abort(self, order: Order) -> None:
        _refuse(self._over())

    @workflow.query
    def progress(self) -> Progress:
        """How far the release is."""
        return self._progress

    def _told(self, helm: Helm) -> Progress:
        """Keep what people said, and show it."""
        self._helm = helm
        self._progress = self._progress.model_copy(update={"helm": helm})
        workflow.set_current_details(self._progress.markdown())
        return self._progress

    def _over(self) -> str | None:
        """Why nothing can be told to the release any more."""
        if self._promoted:
            return "it is at 100 %: roll it back by a change instead"
        if self._helm.aborted is not None:
            return self._helm.aborted.words("has aborted it already")
        return "it is on its way back already" if self._going_back else None

    def _heed_abort(self) -> None:
        """A cancellation that meets an activity's result is lost: the order itself still stands."""
        if self._helm.aborted is not None:
            raise asyncio.CancelledError

    def _why(self, error: BaseException) -> str:
        """Why a call failed; an abort has a name."""
        if self._helm.aborted is not None and is_cancelled_exception(error):
            return self._helm.aborted.words("aborted the release")
        return reason(error)

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
            if newer := await self._rides.newer(await self._calls.overlay_sha("dev")):
                return self._superseded("dev", newer)
            ride = await self._rides.ride("dev", self._sha, Priority.PROMOTION, "the release starts in dev")
            if not ride.again:
                break
        if not ride.landed:
            return self._ended("failed", f"the train did not take the overlay of dev: {ride.detail}")
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
            self._tell("dev", "done", f"runs and answers its {len(self._service.probes)} smoke requests")
            return None
        return await self._dev_red(before, "; ".join(failures))

    async def _dev_red(self, before: str | None, why: str) -> ReleaseOutcome:
        self._tell("dev", "failed", why)
        detail = f"red in dev: {why}. Production was not touched."
        if before is not None and before != self._sha:
            detail += await self._rides.put_back("dev", before, why)
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
                return self._ended("landed", f"stable, but without a marker: {self._why(error)}")
            if not self._entered:
                return self._ended("failed", f"{self._why(error)}; production was not touched")
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
        return await self._take_back(self._why(error))

    async def _enter_production(self) -> ReleaseOutcome | None:
        """Wait for the canary slot, then let the train point production's overlay at the commit."""
        service = self._service
        poll = timedelta(seconds=service.canary.poll_seconds)
        while True:
            self._heed_abort()
            if self._helm.paused:
                self._tell("production", "now", self._helm.paused.words("has paused it"))
                await workflow.wait_condition(lambda: self._helm.paused is None)
            self._tell("production", "now", "waiting until no other release is in canary")
            state = await self._calls.state(service.name, "production")
            if newer := await self._rides.newer(state.wanted):
                return self._superseded("production", newer)
            slot = await self._calls.canary_slot(state.wanted, poll)
            if slot.wanted != state.wanted:
                continue
            if await self._calls.overlay_sha("production") not in (slot.wanted, self._sha):
                await workflow.sleep(poll)  # git is ahead of what the environment has seen
                continue
            self._last_good, self._entered = slot.stable, True
            ride = await self._rides.ride(
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
            self._heed_abort()
            ladder, move = ladder.observed(document, workflow.now(), held=self._helm.paused is not None)
            if move.kind == "hold" and self._helm.leaves:
                move = ladder.left(move, self._helm.leaving_reason())
            self._tell_move(move)
            if move.kind == "advance":
                ladder = ladder.climbed(workflow.now())
                await self._weigh(ladder)
                self._told(self._helm.model_copy(update={"leaving": ()}))
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
        if newer := await self._rides.newer(named):
            return self._superseded("production", newer)
        return self._ended("failed", f"production was pointed at {(named or 'no commit')[:12]} from outside")

    async def _take_back(self, why: str) -> ReleaseOutcome:
        """Requests first, git second."""
        self._going_back = True
        self._tell("production", "failed", why)
        await self._calls.abort(self._service.name)
        self._progress = self._progress.model_copy(update={"percent": 0})
        self._tell("production", "failed", f"{why}. All requests are back on stable.")
        if self._rides.riding is not None:
            await self._rides.settle(
                self._rides.riding
            )  # or the overlay would name us after we have put it back
        if self._last_good is None:
            return self._ended("failed", f"{why}. There is no earlier release to go back to.")
        back = await self._rides.put_back("production", self._last_good, why)
        return self._ended("rolled_back", f"{why}. All requests went back to stable.{back}")

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
        self._progress = self._progress.model_copy(update={"verdict": verdict, "judged_at": workflow.now()})
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
