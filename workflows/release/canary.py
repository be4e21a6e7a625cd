"""The canary's ladder as a state machine: documents and the clock in, the next move out. Pure."""

from datetime import timedelta
from typing import Literal

from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.releases import GateVerdict, HealthDocument
from leverframe.model.topology import CanaryPlan, CanaryStep
from workflows.release.judge import Arm, Evidence, Judge, between

BLIND_PATIENCE = 3
"""Without any health document a step holds for this many times its `max_seconds`; then it is taken back."""


class Move(Frozen):
    """What to do after one poll."""

    kind: Literal["hold", "advance", "promote", "reweigh", "lost", "take_back"]
    """`reweigh`: the router lost the weight, set it again. `lost`: the canary is no longer ours."""
    verdict: GateVerdict


class Ladder(Frozen):
    """Where one release stands on its way up."""

    sha: Sha
    plan: CanaryPlan
    rung: int = 0
    opened_at: Instant
    """When the step began, moved on by the time in which there was nothing to see."""
    blind_since: Instant | None = None
    baseline: HealthDocument | None = None
    """The document that the step's counts are taken from."""
    carried: Arm = Arm()
    """What stable did in the steps before: the control of the step that has none."""

    @property
    def step(self) -> CanaryStep:
        """The step that the ladder stands on."""
        return self.plan.steps[self.rung]

    @property
    def last(self) -> bool:
        """Whether promotion comes next."""
        return self.rung == len(self.plan.steps) - 1

    def climbed(self, now: Instant, document: HealthDocument) -> "Ladder":
        """The next step, with what stable did on this one carried along."""
        stable = self._stable_since(document)
        return self.model_copy(
            update={
                "rung": self.rung + 1,
                "opened_at": now,
                "blind_since": None,
                "baseline": None,
                "carried": self.carried.plus(stable or Arm()),
            }
        )

    def observed(self, document: HealthDocument | None, now: Instant, judge: Judge) -> tuple["Ladder", Move]:
        """One poll: the ladder after it and what to do. `None` means that no document could be read."""
        if document is None:
            return self._in_the_dark(now)
        ladder = self._with_sight(now)
        if document.canary != self.sha:
            return ladder, ladder._move("lost", "the router's canary is another commit")
        if document.canary_percent != self.step.percent:
            lost_weight = f"the canary gets {document.canary_percent} % instead of {self.step.percent} %"
            fresh = ladder.model_copy(update={"baseline": None})
            return fresh, fresh._held("reweigh", lost_weight, now)
        evidence = ladder._evidence(document)
        if evidence is None:
            fresh = ladder.model_copy(update={"baseline": document})
            why = "counting starts here" if self.baseline is None else "the router's counts began anew"
            return fresh, fresh._held("hold", why, now)
        return ladder, ladder._decided(judge(self.plan, self.step, evidence), now)

    def _decided(self, verdict: GateVerdict, now: Instant) -> Move:
        if verdict.colour == "red":
            return Move(kind="take_back", verdict=verdict)
        if verdict.colour == "green":
            return Move(kind="promote" if self.last else "advance", verdict=verdict)
        return self._bounded(Move(kind="hold", verdict=verdict), now)

    def _held(self, kind: Literal["hold", "reweigh"], reason: str, now: Instant) -> Move:
        return self._bounded(self._move(kind, reason), now)

    def _bounded(self, move: Move, now: Instant) -> Move:
        """A step that can't be decided in its time is taken back."""
        if now - self.opened_at <= timedelta(seconds=self.step.max_seconds):
            return move
        reason = f"{move.verdict.reason}; not green within {self.step.max_seconds:g} seconds"
        return Move(kind="take_back", verdict=move.verdict.model_copy(update={"reason": reason}))

    def _in_the_dark(self, now: Instant) -> tuple["Ladder", Move]:
        since = self.blind_since or now
        ladder = self.model_copy(update={"blind_since": since})
        limit = timedelta(seconds=self.step.max_seconds * BLIND_PATIENCE)
        if now - since <= limit:
            return ladder, ladder._move("hold", "no health document can be read: holding, blind")
        return ladder, ladder._move("take_back", f"no health document for {limit.total_seconds():g} seconds")

    def _with_sight(self, now: Instant) -> "Ladder":
        """Time spent blind is not held against the release."""
        if self.blind_since is None:
            return self
        return self.model_copy(
            update={"opened_at": self.opened_at + (now - self.blind_since), "blind_since": None}
        )

    def _evidence(self, document: HealthDocument) -> Evidence | None:
        if self.baseline is None:
            return None
        canary = between(self.baseline, document, self.sha)
        stable = self._stable_since(document)
        if canary is None or stable is None:
            return None
        seconds = (document.taken_at - self.baseline.taken_at).total_seconds()
        if stable.requests and self.step.percent < 100:  # at 100 % only stragglers are left on stable
            return Evidence(canary=canary, stable=stable, seconds=max(seconds, 0))
        return Evidence(
            canary=canary, stable=self.carried, seconds=max(seconds, 0), control="stable in the earlier steps"
        )

    def _stable_since(self, document: HealthDocument) -> Arm | None:
        """What stable did since the baseline; None when it can't be known."""
        if self.baseline is None or self.baseline.stable != document.stable:
            return None
        return between(self.baseline, document, document.stable)

    def _move(
        self, kind: Literal["hold", "advance", "promote", "reweigh", "lost", "take_back"], reason: str
    ) -> Move:
        """A move that no judge was asked about: there were no counts to show it."""
        verdict = GateVerdict(
            colour="hold",
            percent=self.step.percent,
            reason=reason,
            canary_requests=0,
            canary_errors=0,
            stable_requests=0,
            stable_errors=0,
        )
        return Move(kind=kind, verdict=verdict)
