"""The canary's ladder as a state machine: documents and the clock in, the next move out. Pure."""

from datetime import timedelta
from typing import Literal, Self

from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.releases import ERRORS, GateVerdict, HealthDocument
from leverframe.model.topology import CanaryPlan, CanaryStep
from workflows.release.exposures import Between, between
from workflows.release.gate_state import GateState, Judgement, Poll
from workflows.release.judge import begin, observe
from workflows.release.standstill import BLIND_PAGE, Standstill


class Move(Frozen):
    """What to do after one poll."""

    kind: Literal["hold", "advance", "promote", "reweigh", "lost", "take_back"]
    """`reweigh`: the router lost the weight, set it again. `lost`: the canary is no longer ours."""
    verdict: GateVerdict


class Ladder(Frozen):
    """Where one release stands on its way up."""

    sha: Sha
    plan: CanaryPlan
    gate: GateState
    rung: int = 0
    opened_at: Instant
    """When the step began, moved on by the time in which there was nothing to see."""
    blind_since: Instant | None = None
    """Since when there was no document, or one without all signals."""
    held_since: Instant | None = None
    """When a person told it to stay where it is."""
    counting_since: Instant | None = None
    """When the step's first document was taken."""
    latest: HealthDocument | None = None
    """The document that the next one is compared with."""

    @classmethod
    def at_the_foot(cls, sha: Sha, plan: CanaryPlan, now: Instant) -> Self:
        """The ladder before its first step."""
        return cls(
            sha=sha, plan=plan, gate=begin(plan.gate, plan.signals, steps=len(plan.steps)), opened_at=now
        )

    @property
    def step(self) -> CanaryStep:
        """The step that the ladder stands on."""
        return self.plan.steps[self.rung]

    @property
    def last(self) -> bool:
        """Whether promotion comes next."""
        return self.rung == len(self.plan.steps) - 1

    def climbed(self, now: Instant) -> "Ladder":
        """The next step. What was seen so far goes along with it."""
        return self.model_copy(
            update={
                "rung": self.rung + 1,
                "opened_at": now,
                "blind_since": None,
                "counting_since": None,
                "latest": None,
            }
        )

    def observed(
        self, document: HealthDocument | None, now: Instant, *, held: bool = False
    ) -> tuple["Ladder", Move]:
        """One poll: the ladder after it and what to do.

        `document` is None when none could be read. `held`: a person wants it to stay on this step; only red
        moves it then.
        """
        ladder = self._on_hold(now) if held else self._let_go(now)
        if document is None:
            return ladder._in_the_dark(now)
        whole = document.signals.keys() >= self.plan.signals.keys()
        ladder = ladder._with_sight(now) if whole else ladder._losing_sight(now)
        if document.canary != self.sha:
            return ladder, ladder._move("lost", "the router's canary is another commit")
        if document.canary_percent != self.step.percent:
            lost_weight = f"the canary gets {document.canary_percent} % instead of {self.step.percent} %"
            fresh = ladder.model_copy(update={"latest": None})
            return fresh, fresh._held("reweigh", lost_weight, now)
        return ladder._compared(document, now)

    def _compared(self, document: HealthDocument, now: Instant) -> tuple["Ladder", Move]:
        """The poll that this document makes with the one before it."""
        since = self.counting_since or document.taken_at
        ladder = self.model_copy(update={"latest": document, "counting_since": since})
        if self.latest is None:
            return ladder, ladder._held("hold", "counting starts here", now)
        if self.latest.stable != document.stable:
            return ladder, ladder._held("hold", "another commit is stable: counting starts anew here", now)
        found = between(self.latest, document, canary=self.sha, signals=self.plan.signals)
        if not found.seen:
            return ladder, ladder._held("hold", _untold(found), now)
        poll = Poll(at=document.taken_at, weight=self.step.percent, signals=found.seen)
        excludes = None if self.step.excludes == "nothing" else self.step.excludes
        gate, judgement = observe(self.plan.gate, self.gate, poll, excludes)
        if judgement.finding == "blind":
            judgement = judgement.model_copy(update={"explanation": _untold(found)})
        ladder = ladder.model_copy(update={"gate": gate})
        return ladder, ladder._decided(judgement, document, now)

    def _decided(self, judgement: Judgement, document: HealthDocument, now: Instant) -> Move:
        if judgement.finding == "red":
            return Move(kind="take_back", verdict=self._verdict("red", judgement.explanation, judgement))
        short = "a person holds it here" if self.held_since else self._short_of(judgement, document)
        if short is None:
            verdict = self._verdict("green", judgement.explanation, judgement)
            return Move(kind="promote" if self.last else "advance", verdict=verdict)
        said = f"{judgement.explanation}; {short}" if short else judgement.explanation
        return self._bounded(Move(kind="hold", verdict=self._verdict("hold", said, judgement)), now)

    def _short_of(self, judgement: Judgement, document: HealthDocument) -> str | None:
        """What the step still needs to be green; empty when the judgement says it, None for nothing."""
        if judgement.finding == "blind":
            return ""
        if self.gate.polls < self.plan.looks:
            return "" if judgement.finding == "warming_up" else "harm could not show so early"
        wanted = max(self.step.min_requests, 1)
        if self.gate.signals[ERRORS].seen.canary.total < wanted:
            return f"waiting for {wanted:,} canary requests"
        seconds = (document.taken_at - (self.counting_since or document.taken_at)).total_seconds()
        if seconds < self.step.min_seconds:
            return f"{seconds:.0f} of {self.step.min_seconds:g} seconds have passed"
        if self.step.excludes == "nothing" or judgement.finding == "cleared":
            return None
        return f"{self.step.excludes:g} times must be"

    def _held(self, kind: Literal["hold", "reweigh"], reason: str, now: Instant) -> Move:
        return self._bounded(self._move(kind, reason), now)

    def _bounded(self, move: Move, now: Instant) -> Move:
        """A step that can't be decided in its time holds, and is taken back when that has lasted too long."""
        if self.held_since is not None:
            return move
        if self.blind_since is not None:
            if now - self.blind_since <= self._hold:
                return move
            reason = f"{move.verdict.reason}; for longer than {self.plan.hold_seconds:g} seconds"
            return Move(kind="take_back", verdict=move.verdict.model_copy(update={"reason": reason}))
        if now <= self._may_hold_until():
            return move
        reason = f"{move.verdict.reason}; not green within {self.step.max_seconds:g} seconds"
        if self.plan.undecided == "hold":
            reason += f", nor while it was held for {self.plan.hold_seconds:g} more"
        return Move(kind="take_back", verdict=move.verdict.model_copy(update={"reason": reason}))

    def standstill(self, now: Instant) -> Standstill | None:
        """Why people have to decide, when they have to: not while one of them holds it."""
        if self.held_since is not None:
            return None
        percent, blind = self.step.percent, self.blind_since
        if blind is not None:
            since, until = blind + BLIND_PAGE, blind + self._hold
            if now < since:
                return None
            return Standstill(kind="blind", percent=percent, since=since, until=until, outage=blind)
        since, until = self.opened_at + timedelta(seconds=self.step.max_seconds), self._may_hold_until()
        if now <= since or until == since:
            return None
        return Standstill(kind="undecided", percent=percent, since=since, until=until)

    @property
    def _hold(self) -> timedelta:
        return timedelta(seconds=self.plan.hold_seconds)

    def _may_hold_until(self) -> Instant:
        over = self.opened_at + timedelta(seconds=self.step.max_seconds)
        return over + self._hold if self.plan.undecided == "hold" else over

    def left(self, move: Move, reason: str) -> Move:
        """People leave the step although the gate holds; what it has seen stays in the verdict."""
        verdict = move.verdict.model_copy(update={"reason": f"{reason}; {move.verdict.reason}"})
        return Move(kind="promote" if self.last else "advance", verdict=verdict)

    def _on_hold(self, now: Instant) -> "Ladder":
        return self if self.held_since else self.model_copy(update={"held_since": now})

    def _let_go(self, now: Instant) -> "Ladder":
        """Time on hold is not held against the release, nor is it added to an outage."""
        if self.held_since is None:
            return self
        opened_at, blind_since = self.opened_at + (now - self.held_since), self.blind_since
        if blind_since is not None:
            blind_since += now - max(self.held_since, blind_since)
        moved = {"opened_at": opened_at, "blind_since": blind_since, "held_since": None}
        return self.model_copy(update=moved)

    def _in_the_dark(self, now: Instant) -> tuple["Ladder", Move]:
        ladder = self._losing_sight(now)
        move = ladder._move("hold", "no health document can be read: holding, blind")
        return ladder, ladder._bounded(move, now)

    def _losing_sight(self, now: Instant) -> "Ladder":
        return self if self.blind_since else self.model_copy(update={"blind_since": now})

    def _with_sight(self, now: Instant) -> "Ladder":
        """Time spent blind is not held against the release."""
        if self.blind_since is None:
            return self
        return self.model_copy(
            update={"opened_at": self.opened_at + (now - self.blind_since), "blind_since": None}
        )

    def _verdict(
        self, colour: Literal["green", "red", "hold"], reason: str, judgement: Judgement
    ) -> GateVerdict:
        """A verdict with the errors that were counted on this step."""
        errors = self.gate.signals[ERRORS]
        stable = errors.control if self.step.percent >= 100 else errors.seen.stable
        return GateVerdict(
            colour=colour,
            percent=self.step.percent,
            reason=reason,
            evidence=judgement.evidence,
            excluded=judgement.excluded,
            canary_requests=errors.seen.canary.total,
            canary_errors=errors.seen.canary.bad,
            stable_requests=stable.total,
            stable_errors=stable.bad,
        )

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


def _untold(found: Between) -> str:
    """Which signals could not be read or compared, and why."""
    said = [f"{name} can't be read ({why})" for name, why in sorted(found.unreadable.items())]
    said += [f"the counts of {name} began anew" for name in sorted(found.anew)]
    return f"{'; '.join(said)}: holding, blind"
