"""The release's book: its state, and the story of it as people see it in the engine's UI."""

from typing import Any, Literal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from leverframe.model.releases import ReleaseOutcome
    from leverframe.model.topology import Service
    from workflows import attributes
    from workflows.release.canary import Move
    from workflows.release.helm import Helm
    from workflows.release.standstill import Standstill
    from workflows.release.state import ReleaseState
    from workflows.release.story import Progress, State


class Book:
    """Holds the state and shows each change of the story."""

    def __init__(self, state: ReleaseState) -> None:
        self.state = state

    @property
    def sha(self) -> str:
        """The commit that is released."""
        return self.progress.sha

    @property
    def service(self) -> Service:
        """What is released, as declared."""
        assert self.state.repository is not None  # noqa: S101 - it is read before anything else
        return self.state.repository.service

    @property
    def progress(self) -> Progress:
        """The story so far."""
        return self.state.progress

    @property
    def helm(self) -> Helm:
        """What people have told it."""
        return self.state.progress.helm

    def note(self, **known: Any) -> None:
        """Keep these fields of the state."""
        self.state = self.state.model_copy(update=known)

    def tell(self, step: str, state: State, text: str) -> None:
        """Write a row of the story, or write it anew."""
        self._show(self.progress.told(step, state, text))

    def tell_share(self, percent: int) -> None:
        """The share of production's requests that it gets now."""
        self._show(self.progress.model_copy(update={"percent": percent}))
        reached, promoted = max(self.state.reached, percent), self.state.promoted
        moments = self.state.moments.at_share(percent, promoted=promoted, now=workflow.now())
        self.note(reached=reached, moments=moments)

    def tell_standstill(self, standstill: Standstill | None) -> None:
        """Why people have to decide, or that they need not."""
        if standstill != self.progress.standstill:
            self._show(self.progress.model_copy(update={"standstill": standstill}))

    def tell_newer(self, sha: str | None) -> None:
        """Which newer release waits for the canary, or that none does."""
        self._show(self.progress.model_copy(update={"newer": sha}))

    def tell_helm(self, **orders: Any) -> Progress:
        """Keep what people said, and show it."""
        helm = self.helm.model_copy(update=orders)
        return self._show(self.progress.model_copy(update={"helm": helm}))

    def tell_move(self, move: Move) -> None:
        """Write the verdict into the story; one that decides is kept for the outcome."""
        verdict = move.verdict
        judged = {"verdict": verdict, "judged_at": workflow.now()}
        state: State = "now" if move.kind in ("hold", "reweigh") else "failed"
        if move.kind in ("advance", "promote"):
            state = "done"
        self._show(
            self.progress.model_copy(update=judged).told(f"{verdict.percent} %", state, verdict.reason)
        )
        if state != "now":
            self.note(verdicts=(*self.state.verdicts, verdict))
            workflow.upsert_search_attributes([attributes.VERDICT.value_set(verdict.colour)])

    def tell_end(self, outcome: ReleaseOutcome) -> None:
        """The last row."""
        workflow.upsert_search_attributes([attributes.OUTCOME.value_set(outcome.outcome)])
        over = self.progress.model_copy(update={"outcome": outcome.outcome, "standstill": None})
        self._show(over.told("outcome", "done" if outcome.outcome == "landed" else "failed", outcome.detail))

    def ended(
        self,
        outcome: Literal["landed", "rolled_back", "superseded", "failed"],
        detail: str,
        marker: str | None = None,
    ) -> ReleaseOutcome:
        """The outcome with all that was seen on the way."""
        return ReleaseOutcome(
            service=self.progress.service,
            sha=self.sha,
            outcome=outcome,
            reached_percent=self.state.reached,
            detail=detail,
            marker=marker,
            verdicts=self.state.verdicts,
        )

    def show(self) -> None:
        """Show the story: a run that goes on from a state has shown nothing yet."""
        self._show(self.progress)

    def _show(self, progress: Progress) -> Progress:
        self.note(progress=progress)
        workflow.set_current_details(progress.markdown())
        return progress
