"""A flag's way to everybody as a state machine: documents and the clock in, the next move out. Pure.

Nothing but red takes it back: a step that is blind, has too little traffic or can't be decided holds.
"""

from datetime import timedelta
from typing import Literal, Self

from pydantic import Field

from leverframe.model.flags import INTERNAL, Audience, FlagHealthDocument, Part
from leverframe.model.frozen import Frozen, Instant
from leverframe.model.releases import ERRORS, GateVerdict
from leverframe.model.topology import GateRules, RolloutPlan, RolloutStep, SignalRules
from workflows.flag_rollout.exposures import between, signals
from workflows.release.gate_state import GateState, Judgement, Poll
from workflows.release.judge import begin, observe
from workflows.release.sentences import one_in
from workflows.release.sequential import Exposure

Kind = Literal["hold", "advance", "finish", "take_back"]


class Move(Frozen):
    """What to do after one look."""

    kind: Kind
    verdict: GateVerdict


def internal_rules(plan: RolloutPlan) -> GateRules:
    """The promise of the first step: internal users may differ from the others for other reasons."""
    r0 = max(plan.gate.r0, plan.internal_r0)
    return plan.gate.model_copy(update={"alpha": plan.gate.alpha / 2, "r0": r0})


def external_rules(plan: RolloutPlan) -> GateRules:
    """The promise of all later steps together."""
    return plan.gate.model_copy(update={"alpha": plan.gate.alpha / 2})


class Ladder(Frozen):
    """Where a flag stands on its way. JSON, and of constant size."""

    plan: RolloutPlan
    on: tuple[str, ...]
    off: tuple[str, ...]
    """The variants of the users picked by chance, and of those who do not have the flag."""
    gate: GateState
    rung: int = 0
    opened_at: Instant
    """When the step began, moved on by the time that people held it."""
    held_since: Instant | None = None
    counting_since: Instant | None = None
    """When the step's first document was taken."""
    latest: FlagHealthDocument | None = None
    """The document that the next one is compared with."""
    seen: dict[str, Exposure] = Field(default={})
    """Since the step began, by signal."""
    before: dict[str, Exposure] = Field(default={})
    """In the earlier steps with users picked by chance: the comparison when nobody lacks the flag."""

    @classmethod
    def at_the_foot(cls, plan: RolloutPlan, on: tuple[str, ...], off: tuple[str, ...], now: Instant) -> Self:
        """The ladder before its first step."""
        gate = begin(internal_rules(plan), dict.fromkeys(signals(plan), SignalRules()), steps=1)
        return cls(plan=plan, on=on, off=off, gate=gate, opened_at=now)

    @property
    def step(self) -> RolloutStep:
        """The step that the ladder stands on."""
        return self.plan.steps[self.rung]

    @property
    def audience(self) -> Audience:
        """Who has the flag on this step."""
        return Part(percent=self.step.percent)

    @property
    def internal(self) -> bool:
        """Whether internal users alone have it."""
        return self.rung == 0

    @property
    def rules(self) -> GateRules:
        """What the gate promises on this step."""
        return internal_rules(self.plan) if self.internal else external_rules(self.plan)

    @property
    def last(self) -> bool:
        """Whether everybody for good comes next."""
        return self.rung == len(self.plan.steps) - 1

    @property
    def name(self) -> str:
        """`internal users`, `5 %`."""
        return "internal users" if self.internal else f"{self.step.percent} %"

    def climbed(self, now: Instant) -> "Ladder":
        """The next step. What was seen of users picked by chance goes along; of internal users, nothing."""
        gate, before = self.gate, {}
        if self.internal:
            watched = dict.fromkeys(signals(self.plan), SignalRules())
            gate = begin(external_rules(self.plan), watched, steps=len(self.plan.steps) - 1)
        else:
            before = {name: self.before.get(name, Exposure()) + more for name, more in self.seen.items()}
        return Ladder(
            plan=self.plan,
            on=self.on,
            off=self.off,
            gate=gate,
            rung=self.rung + 1,
            opened_at=now,
            before=before,
        )

    def observed(
        self, document: FlagHealthDocument | None, now: Instant, *, held: bool = False
    ) -> tuple["Ladder", Move]:
        """One look: the ladder after it, and what to do.

        `document` is None when none could be read. `held`: a person wants it to stay; only red moves it then.
        """
        ladder = self._held(now) if held else self._let_go(now)
        if document is None:
            return ladder, ladder._hold("what requests did can't be read: holding, blind")
        since = ladder.counting_since or document.taken_at
        before = ladder.latest
        ladder = ladder.model_copy(update={"latest": document, "counting_since": since})
        if before is None:
            return ladder, ladder._hold("counting starts here")
        having = (INTERNAL,) if ladder.internal else ladder.on
        found = between(before, document, having=having, lacking=ladder.off, plan=ladder.plan)
        if found is None:
            return ladder, ladder._hold("the counts began anew")
        return ladder._judged(found, document)

    def overdue(self, now: Instant) -> bool:
        """Whether people should know that the step is not decided."""
        patience = timedelta(seconds=self.step.page_after_seconds)
        return self.held_since is None and now - self.opened_at > patience

    def left(self, move: Move, reason: str) -> Move:
        """People leave the step although the gate holds; what it has seen stays in the verdict."""
        verdict = move.verdict.model_copy(update={"reason": f"{reason}; {move.verdict.reason}"})
        return Move(kind="finish" if self.last else "advance", verdict=verdict)

    def _judged(self, found: dict[str, Exposure], document: FlagHealthDocument) -> tuple["Ladder", Move]:
        excludes = None if self.step.excludes == "nothing" else self.step.excludes
        poll = Poll(at=document.taken_at, weight=self.step.percent, signals=found)
        gate, judgement = observe(self.rules, self.gate, poll, excludes)
        seen = {name: self.seen.get(name, Exposure()) + more for name, more in found.items()}
        ladder = self.model_copy(update={"gate": gate, "seen": seen})
        return ladder, ladder._decided(judgement, document)

    def _decided(self, judgement: Judgement, document: FlagHealthDocument) -> Move:
        counts = self._counts()
        if judgement.finding == "red":
            why = f"{counts}; a harmless flag looks like this at most {one_in(judgement.evidence)}"
            return Move(kind="take_back", verdict=self._verdict("red", why, judgement))
        if (short := self._short_of(judgement, document)) is not None:
            return Move(kind="hold", verdict=self._verdict("hold", f"{counts}; {short}", judgement))
        sure = f"{counts}; {_excluded(judgement)}" if judgement.excluded else counts
        verdict = self._verdict("green", sure, judgement)
        return Move(kind="finish" if self.last else "advance", verdict=verdict)

    def _short_of(self, judgement: Judgement, document: FlagHealthDocument) -> str | None:
        """What the step still needs to be green; None for nothing."""
        if self.held_since:
            return "a person holds it here"
        share = 1 / len(self.gate.signals)
        if self.gate.polls < self.rules.looks(self.plan.poll_seconds, self.gate.steps, share):
            return "harm could not show so early"
        wanted, had = max(self.step.min_requests, 1), self.seen[ERRORS].canary.total
        if had < wanted:
            return f"{had:,} of {wanted:,} requests with the flag on have come"
        seconds = (document.taken_at - (self.counting_since or document.taken_at)).total_seconds()
        if seconds < self.step.min_seconds:
            return f"{seconds:.0f} of {self.step.min_seconds:g} seconds have passed"
        if self.step.excludes == "nothing" or judgement.finding == "cleared":
            return None
        return f"{_excluded(judgement)}, and {self.step.excludes:g} times must be"

    def _counts(self) -> str:
        """Both arms of the signal that speaks most against the flag, in words."""
        alone = self.step.percent == 100
        told = []
        for name, seen in self.seen.items():
            had, lacked = seen.canary, (self.before.get(name, seen) if alone else seen).stable
            words = f"{name} with the flag: {_share(had.bad, had.total)}, without it"
            words += f"{' in the earlier steps' if alone else ''}: {_share(lacked.bad, lacked.total)}"
            told.append((_rate(had.bad, had.total) - _rate(lacked.bad, lacked.total), name == ERRORS, words))
        return max(told)[-1]

    def _held(self, now: Instant) -> "Ladder":
        return self if self.held_since else self.model_copy(update={"held_since": now})

    def _let_go(self, now: Instant) -> "Ladder":
        if self.held_since is None:
            return self
        opened_at = self.opened_at + (now - self.held_since)
        return self.model_copy(update={"opened_at": opened_at, "held_since": None})

    def _hold(self, reason: str) -> Move:
        """A move that no judge was asked about: there were no counts to show it."""
        return Move(kind="hold", verdict=self._verdict("hold", reason, None))

    def _verdict(
        self, colour: Literal["green", "red", "hold"], reason: str, judgement: Judgement | None
    ) -> GateVerdict:
        errors = self.seen.get(ERRORS, Exposure()) if judgement else Exposure()
        return GateVerdict(
            colour=colour,
            percent=self.step.percent,
            reason=reason,
            evidence=judgement.evidence if judgement else 1.0,
            excluded=judgement.excluded if judgement else None,
            canary_requests=errors.canary.total,
            canary_errors=errors.canary.bad,
            stable_requests=errors.stable.total,
            stable_errors=errors.stable.bad,
        )


def _rate(bad: int, total: int) -> float:
    return bad / total if total else 0.0


def _share(bad: int, total: int) -> str:
    return f"{bad:,} of {total:,}" + (f" ({100 * bad / total:.1f} %)" if total else "")


def _excluded(judgement: Judgement) -> str:
    if judgement.excluded is None:
        return "no harm is excluded yet"
    return f"{judgement.excluded:g} times the rate without it is excluded"
