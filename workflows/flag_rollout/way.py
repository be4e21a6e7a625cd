"""A flag's way from internal users to everybody, one look after the other."""

import asyncio
import contextlib
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ChildWorkflowError

with workflow.unsafe.imports_passed_through():
    from leverframe.model.flags import Audience, FlagReading, Whole
    from leverframe.model.outcomes import Outcome
    from leverframe.model.proposals import Measurement
    from workflows import attributes
    from workflows.flag_rollout.calls import Calls
    from workflows.flag_rollout.ladder import Ladder, Move
    from workflows.flag_rollout.leave import leave
    from workflows.flag_rollout.story import Ending, RolloutProgress, RolloutStart, RolloutState
    from workflows.permit import Permit
    from workflows.release.helm import Helm, Order
    from workflows.release.reasons import is_a, reason
    from workflows.release.story import State
    from workflows.run_ledger import RunLedger

LONG = 4000
"""Events after which the history begins anew between two looks."""
PEOPLE_THINK = timedelta(minutes=5)
"""How often it is looked while people are asked: their answer ends the wait."""


class Way:
    """Goes it, and keeps what the rollout knows."""

    def __init__(self, start: RolloutStart) -> None:
        info = workflow.info()
        self._start = start
        self.state = start.known or RolloutState(
            progress=RolloutProgress(service=start.service, flag=start.flag, started_by=start.by.person),
            revision="",
            key=f"{info.workflow_id}/{info.first_execution_run_id[:8]}",
        )
        self._calls = Calls(start.service, start.flag)
        held = self.state.reservation
        self._ledger = RunLedger(unsettled=[held] if held else [], committed={held} if held else set())
        self._permit: Permit | None = None
        self._asking: asyncio.Task[str | None] | None = None

    @property
    def helm(self) -> Helm:
        """What people have told it."""
        return self.state.progress.helm

    def tell_helm(self, **orders: object) -> RolloutProgress:
        """Keep what people said, and show it."""
        return self._tells(helm=self.helm.model_copy(update=orders))

    async def to_its_end(self) -> RolloutProgress | None:
        """How it ended; None when its history is so long that it should begin anew."""
        try:
            if self.state.ladder is None and (refused := await self._begun()) is not None:
                return await self._ended("failed", refused)
            while (end := await self._looked()) is None:
                if self._history_is_long():
                    return None
                if self.helm.aborted is None:
                    await self._rest()
            return end
        except (ActivityError, ChildWorkflowError) as error:
            if is_a(error, "Conflict"):
                return await self._changed(None, reason(error))
            try:
                return await self._take_back(reason(error), workflow.now(), "failed")
            except ActivityError as second:
                return await self._changed(None, reason(second))

    async def _begun(self) -> str | None:
        """Give it to internal users; why it can't begin, with nothing changed, or None."""
        reading = await self._calls.read()
        if reading.audience != Whole(on=False):
            return f"it is {reading.words()}: a rollout begins with a flag that is off for everybody"
        self._keeps(revision=reading.revision)
        foot = Ladder.at_the_foot(self._start.plan, reading.on, reading.off, workflow.now())
        wrong = await self._give(foot)
        return None if wrong is None else await self._off_again(wrong)

    async def _off_again(self, wrong: str) -> str:
        await self._write(Whole(on=False), "off", wrong)
        return wrong

    async def _looked(self) -> RolloutProgress | None:
        """One look, and what follows from it; how the rollout ended, if it did."""
        ladder = self.state.ladder
        assert ladder is not None  # noqa: S101 - it has begun
        if (aborted := self.helm.aborted) is not None:
            return await self._take_back(aborted.words("aborted the rollout"), workflow.now(), "rolled_back")
        look = await self._calls.look()
        if look.reading is not None and look.reading.revision != self.state.revision:
            return await self._changed(look.reading, "")
        ladder, move = ladder.observed(look.document, workflow.now(), held=self.helm.paused is not None)
        self._keeps(ladder=ladder)
        if move.kind == "hold" and self.helm.leaves:
            move = ladder.left(move, self.helm.leaving_reason())
        self._tell_move(ladder, move)
        if move.kind == "take_back":
            seen_at = look.document.taken_at if look.document else workflow.now()
            return await self._take_back(move.verdict.reason, seen_at, "rolled_back")
        if ladder.overdue(workflow.now()):
            await self._page_undecided(ladder, move)
        if ladder.internal and self.state.reservation is None:
            refused = self._leave_refused(ladder, move)
            if refused is not None:
                return await self._take_back(refused, workflow.now(), "rejected")
            if self.state.reservation is None:
                return None
        return None if move.kind == "hold" else await self._upwards(ladder, move)

    async def _upwards(self, ladder: Ladder, move: Move) -> RolloutProgress | None:
        """The next step, or everybody for good."""
        if move.kind == "finish":
            await self._write(Whole(on=True), "done", move.verdict.reason)
            check = await self._calls.verify(Whole(on=True))
            return await self._ended("landed" if check.ok else "failed", check.detail)
        self.tell_helm(leaving=())
        wrong = await self._give(ladder.climbed(workflow.now()))
        return None if wrong is None else await self._take_back(wrong, workflow.now(), "failed")

    def _leave_refused(self, ladder: Ladder, move: Move) -> str | None:
        """Why nobody else may have it. While policy or people are asked, looks go on: None then, too."""
        if self._asking is None:
            if move.kind != "hold":
                self._permit = self._new_permit(ladder)
                self._asking = asyncio.create_task(self._permit.refused())
            return None
        if self._permit is None or not self._asking.done():
            return None
        asking, self._asking = self._asking, None
        refused = asking.result()
        if self._permit.granted is not None:
            self._keeps(reservation=self._permit.granted.id)
            self._tell("leave", "done", "users who are not internal may have it")
        return refused

    def _new_permit(self, ladder: Ladder) -> Permit:
        evidence = tuple(
            Measurement(
                name=f"{name} of internal users",
                observed=each.canary.bad,
                threshold=0,
                unit=f"of {each.canary.total} requests",
            )
            for name, each in ladder.seen.items()
        )
        return leave(
            self._start,
            self.state.key,
            self._ledger,
            evidence,
            tell=lambda text: self._tell("leave", "now", text),
        )

    async def _give(self, ladder: Ladder) -> str | None:
        """Stand on this step: write it, see it evaluated. What is wrong with it, or None."""
        self._keeps(ladder=ladder)
        audience = ladder.audience
        await self._write(audience, str(ladder.rung), f"rollout by {self._start.by.person}: {ladder.name}")
        check = await self._calls.verify(audience)
        self._tell(ladder.name, "now" if check.ok else "failed", check.detail)
        return None if check.ok else check.detail

    async def _write(self, audience: Audience, step: str, why: str) -> datetime:
        """Give the flag to the audience; when it was written. Raises ActivityError when somebody else did."""
        written = await self._calls.expose(
            audience, expected=self.state.revision, key=f"{self.state.key}/{step}", reason=why
        )
        self._keeps(revision=written.reading.revision)
        self._tells(audience=audience)
        return written.written_at

    async def _take_back(self, why: str, since: datetime, outcome: Ending) -> RolloutProgress:
        """Off for everybody at once. `since`: when it was seen that it must be."""
        written = await self._write(Whole(on=False), "off", why)
        check = await self._calls.verify(Whole(on=False))
        self._tells(
            timings_ms={
                "seen_to_off": _milliseconds(check.verified_at - since),
                "written_to_off": _milliseconds(check.verified_at - written),
            }
        )
        after = check.detail if check.ok else f"it is written off for everybody, but {check.detail}"
        return await self._ended(outcome, f"{why}. {after}")

    async def _changed(self, reading: FlagReading | None, conflict: str) -> RolloutProgress:
        """Somebody else has changed the flag: it stays as it is."""
        if reading is None:
            with contextlib.suppress(ActivityError):
                reading = await self._calls.read()
        if reading is None:
            return await self._ended("superseded", f"{conflict}. The rollout leaves it as it is.")
        by = reading.changed_by or ""
        self._tells(audience=reading.audience or self.state.progress.audience)
        if by.startswith("run/") and reading.audience == Whole(on=False):
            return await self._ended("rolled_back", f"{by} switched it off for everybody")
        hand = "by hand" if by.startswith(self.state.key) else f"by {by}"
        return await self._ended(
            "superseded",
            f"somebody changed it {hand}: it is {reading.words()}. The rollout ends and leaves it so.",
        )

    async def _ended(self, outcome: Ending, detail: str) -> RolloutProgress:
        """Keep how it ended, settle with the ledger, tell people."""
        if self._asking is not None:
            self._asking.cancel()
            await workflow.wait([self._asking])
        self._tells(outcome=outcome, detail=detail)
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome)])
        self._tell("outcome", "done" if outcome == "landed" else "failed", detail)
        for reservation in tuple(self._ledger.unsettled):
            await self._ledger.settle(reservation, Outcome(outcome))
        if outcome != "landed":
            await self._page("ended", f"{outcome.replace('_', ' ')}: {detail}")
        return self.state.progress

    async def _page_undecided(self, ladder: Ladder, move: Move) -> None:
        """Tell people once for each step that it holds on and on."""
        if ladder.name in self.state.paged:
            return
        self._keeps(paged=(*self.state.paged, ladder.name))
        hours = ladder.step.page_after_seconds / 3600
        await self._page(
            f"undecided/{ladder.rung}",
            f"after {hours:g} hours at {ladder.name} it is not decided: {move.verdict.reason}. It holds; "
            f"`leverframe rollout explain {self._start.flag}` says more, `promote` (two people) or `abort` "
            "decide it",
        )

    async def _page(self, key: str, text: str) -> None:
        start = self._start
        await self._calls.tell(
            f"{self.state.key}/{key}",
            f"Rollout of the flag {start.flag} in {start.service}, started by {start.by.person}: {text}",
        )

    async def _rest(self) -> None:
        """Until the next look, an abort, or an answer."""
        asking = self._asking
        every = timedelta(seconds=self._start.plan.poll_seconds)
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self.helm.aborted is not None or (asking is not None and asking.done()),
                timeout=every if asking is None else max(every, PEOPLE_THINK),
                timeout_summary="the next look",
            )

    def _history_is_long(self) -> bool:
        if self._asking is not None:
            return False
        info = workflow.info()
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > LONG

    def _tell_move(self, ladder: Ladder, move: Move) -> None:
        """Write the verdict into the story."""
        verdict = move.verdict
        self._tells(verdict=verdict, judged_at=workflow.now())
        states: dict[str, State] = {"hold": "now", "take_back": "failed"}
        self._tell(ladder.name, states.get(move.kind, "done"), verdict.reason)
        if move.kind != "hold":
            workflow.upsert_search_attributes([attributes.VERDICT.value_set(verdict.colour)])

    def _tell(self, step: str, state: State, text: str) -> None:
        self._shows(self.state.progress.told(step, state, text))

    def _tells(self, **said: object) -> RolloutProgress:
        return self._shows(self.state.progress.model_copy(update=said))

    def _shows(self, progress: RolloutProgress) -> RolloutProgress:
        self._keeps(progress=progress)
        workflow.set_current_details(progress.markdown())
        return progress

    def _keeps(self, **known: object) -> None:
        self.state = self.state.model_copy(update=known)


def cancelled() -> Order:
    """The word of a person who cancelled the workflow at the engine."""
    return Order(person="a person at the engine", reason=workflow.cancellation_reason() or "cancelled it")


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span / timedelta(milliseconds=1)))
