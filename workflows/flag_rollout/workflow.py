"""The rollout of one flag, as the engine sees it: what it is told, asked, and how it ends."""

import asyncio

from temporalio import workflow
from temporalio.common import VersioningBehavior
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from leverframe.model.changes import Author
    from workflows.flag_rollout.story import RolloutProgress, RolloutStart
    from workflows.flag_rollout.way import Way, cancelled
    from workflows.release.helm import Order


def _refuse(why: str | None) -> None:
    if why is not None:
        raise ApplicationError(why, type="Refused")


@workflow.defn(name="FlagRolloutWorkflow", versioning_behavior=VersioningBehavior.PINNED)
class FlagRolloutWorkflow:
    """One flag on its way from internal users to everybody."""

    @workflow.init
    def __init__(self, start: RolloutStart) -> None:
        self._by = Author(kind="person", name=start.by.person)
        self._way = Way(start)

    @workflow.run
    async def run(self, start: RolloutStart) -> RolloutProgress:
        """Go the way, whatever happens on it, and return how it ended."""
        way = asyncio.create_task(self._way.to_its_end())
        while not way.done():
            try:
                await workflow.wait([way])
            except asyncio.CancelledError:
                if self._way.helm.aborted is None:
                    self._way.tell_helm(aborted=cancelled())
        ended = way.result()
        if ended is None:
            await workflow.wait_condition(workflow.all_handlers_finished)
            workflow.continue_as_new(start.model_copy(update={"known": self._way.state}))
        return ended

    @workflow.update
    def pause(self, order: Order) -> RolloutProgress:
        """Stay on the step. Red is taken back all the same."""
        return self._way.tell_helm(paused=order)

    @pause.validator
    def _may_pause(self, order: Order) -> None:
        _refuse(self._over() or self._way.helm.refuses_pause())

    @workflow.update
    def resume(self, order: Order) -> RolloutProgress:
        """Go on."""
        return self._way.tell_helm(paused=None)

    @resume.validator
    def _may_resume(self, order: Order) -> None:
        _refuse(self._way.helm.refuses_resume())

    @workflow.update
    def promote(self, order: Order) -> RolloutProgress:
        """Leave the step ahead of the evidence, once a second person wants it too."""
        return self._way.tell_helm(leaving=(*self._way.helm.leaving, order))

    @promote.validator
    def _may_promote(self, order: Order) -> None:
        began = None if self._way.state.ladder else "it has not begun yet"
        _refuse(
            self._over() or began or self._way.helm.refuses_leaving(order, self._by, "started the rollout")
        )

    @workflow.update
    def abort(self, order: Order) -> RolloutProgress:
        """Off for everybody at once."""
        return self._way.tell_helm(aborted=order)

    @abort.validator
    def _may_abort(self, order: Order) -> None:
        _refuse(self._over())

    @workflow.query
    def progress(self) -> RolloutProgress:
        """How far the rollout is."""
        return self._way.state.progress

    def _over(self) -> str | None:
        """Why nothing can be told to the rollout any more."""
        if aborted := self._way.helm.aborted:
            return aborted.words("has aborted it already")
        outcome = self._way.state.progress.outcome
        return f"it has ended: {outcome.replace('_', ' ')}" if outcome else None
