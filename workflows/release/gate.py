"""The gate: polls of many signals folded into one verdict for a whole rollout. Pure.

    red     E, the average over the signals of their evidence for harm, has reached 1/α
    green   not red, and on this step every signal is cleared of the harm that the step must exclude
    hold    everything else, with the reason: no data is never green, and no outage of the metrics is ever red

α bounds the chance that a release whose every ratio to stable is at most `r0` is ever called red, over all
polls, steps and signals together; β bounds for each signal and step the chance that a harm of `excludes`
times passes as cleared. Both bounds hold however often the gate looks (see `sequential`), and one burst of
errors can't decide alone: a poll says at the most a third of what is needed.
"""

import math
from functools import cached_property
from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant
from workflows.release.sequential import (
    NANO,
    Count,
    Evidence,
    Exposure,
    Mixture,
    clearance,
    faultless,
    harm,
    log_mean,
    plus,
)

CERTIFIED = (10.0, 5.0, 3.0, 2.0, 1.5)
"""The harms, as multiples of stable's rate, of which a step can clear a signal."""

Reason = Literal["harm", "cleared", "warming_up", "thin_data", "blind", "no_control"]


class GateRules(Frozen):
    """What the gate promises and asks for."""

    alpha: float = Field(default=0.05, gt=0, lt=1)
    """A release at most `r0` times as bad as stable is taken back with at most this probability."""
    beta: float = Field(default=0.05, gt=0, lt=1)
    """A harm of `excludes` times passes a step with at most this probability."""
    r0: float = Field(default=1.25, ge=1, le=10)
    """So many times stable's rate is tolerated: noise of instances, not harm."""
    excludes: float = Field(default=2.0, gt=1, le=10)
    """A step is green when so many times stable's rate is excluded."""
    negligible: float = Field(default=0.0005, gt=0, lt=0.5)
    """… or when the canary's own rate is surely below this one, whatever stable's is."""
    warm_up: int = Field(default=2, ge=0)
    """Polls that don't count after each change of the weight: a cold start is no harm."""

    @cached_property
    def harm(self) -> Mixture:
        """The alternatives to "it does no harm"."""
        return harm(self.r0)

    @cached_property
    def ceiling(self) -> int:
        """What one poll may say for harm."""
        return math.floor(-math.log(self.alpha) / 3 * NANO)

    @cached_property
    def levels(self) -> tuple[float, ...]:
        """The harms that a step certifies as excluded, largest first."""
        return tuple(sorted({*CERTIFIED, self.excludes}, reverse=True))

    @cached_property
    def clearances(self) -> tuple[Mixture, ...]:
        """One test for each level."""
        return tuple(clearance(level) for level in self.levels)

    @cached_property
    def faultless(self) -> Mixture:
        """The test of the canary's own rate."""
        return faultless(self.negligible)


class Poll(Frozen):
    """What was seen since the poll before, each event in one poll only."""

    at: Instant
    weight: float = Field(ge=0, le=100)
    """Percent of the traffic that the canary should get; the split is taken from the counts."""
    signals: dict[str, Exposure] = Field(default={}, max_length=100)


class SignalState(Frozen):
    """What one signal has said."""

    harm: Evidence
    """Since the rollout began."""
    cleared: tuple[Evidence, ...]
    """Since the step began, by level."""
    faultless: Evidence
    seen: Exposure = Exposure()
    """Since the step began."""
    matched: tuple[float, float] = (0.0, 0.0)
    """Numerator and denominator of the common ratio over all polls (Mantel & Haenszel 1959)."""

    @property
    def ratio(self) -> float | None:
        """How many times stable's rate it is, compared within each poll; None without bad events."""
        above, below = self.matched
        if not above and not below:
            return None
        return above / below if below else math.inf


class GateState(Frozen):
    """What the gate remembers between polls. JSON, and of constant size."""

    signals: dict[str, SignalState]
    weight: float | None = None
    polls: int = 0
    """At this weight, the warm-up included."""


class Judgement(Frozen):
    """What the gate says after a poll."""

    verdict: Literal["red", "green", "hold"]
    reason: Reason
    evidence: float
    """E: harm of this strength appears by chance in at most one of E good releases."""
    excluded: float | None
    """The smallest level of harm that this step has excluded for every signal; None for none yet."""
    explanation: str


def begin(rules: GateRules, signals: tuple[str, ...]) -> GateState:
    """The state before the first poll. The signals are declared: without one of them the gate is blind."""
    if not signals:
        raise ValueError("a gate without a signal could never see anything")
    nothing = SignalState(
        harm=rules.harm.nothing,
        cleared=tuple(level.nothing for level in rules.clearances),
        faultless=rules.faultless.nothing,
    )
    return GateState(signals=dict.fromkeys(sorted(signals), nothing))


def observe(rules: GateRules, state: GateState, poll: Poll) -> tuple[GateState, Judgement]:
    """One poll: the state after it, and the verdict."""
    fresh = state.weight != poll.weight
    polls = 1 if fresh else state.polls + 1
    counted = polls > rules.warm_up
    signals = {
        name: _seen(rules, _step_anew(rules, held) if fresh else held, poll.signals.get(name), counted)
        for name, held in state.signals.items()
    }
    after = GateState(signals=signals, weight=poll.weight, polls=polls)
    return after, _judged(rules, after, poll)


def evidence(rules: GateRules, state: GateState) -> float:
    """ln E over all signals, each with the same weight."""
    share = 1 / len(state.signals)
    return log_mean([(share, rules.harm.log(held.harm)) for held in state.signals.values()])


def _step_anew(rules: GateRules, held: SignalState) -> SignalState:
    return held.model_copy(
        update={
            "cleared": tuple(level.nothing for level in rules.clearances),
            "faultless": rules.faultless.nothing,
            "seen": Exposure(),
        }
    )


def _seen(rules: GateRules, held: SignalState, exposure: Exposure | None, counted: bool) -> SignalState:
    if exposure is None or not counted:
        return held
    above, below = held.matched
    whole = exposure.canary.total + exposure.stable.total
    if whole:
        above += exposure.canary.bad * exposure.stable.total / whole
        below += exposure.stable.bad * exposure.canary.total / whole
    return SignalState(
        harm=plus(held.harm, rules.harm.by_ratio(exposure, rules.ceiling)),
        cleared=tuple(
            plus(had, level.by_ratio(exposure))
            for had, level in zip(held.cleared, rules.clearances, strict=True)
        ),
        faultless=plus(held.faultless, rules.faultless.by_rate(exposure.canary)),
        seen=held.seen + exposure,
        matched=(above, below),
    )


def _judged(rules: GateRules, state: GateState, poll: Poll) -> Judgement:
    log = evidence(rules, state)
    excluded = _excluded(rules, state)
    verdict, reason = _verdict(rules, state, poll, log, excluded)
    strength = math.exp(min(log, 700.0))
    return Judgement(
        verdict=verdict,
        reason=reason,
        evidence=float(f"{strength:.6g}"),
        excluded=excluded,
        explanation=_words(rules, state, reason, strength, excluded),
    )


def _verdict(
    rules: GateRules, state: GateState, poll: Poll, log: float, excluded: float | None
) -> tuple[Literal["red", "green", "hold"], Reason]:
    if log >= -math.log(rules.alpha):
        return "red", "harm"
    if any(name not in poll.signals for name in state.signals):
        return "hold", "blind"
    if state.polls <= rules.warm_up:
        return "hold", "warming_up"
    if excluded is not None and excluded <= rules.excludes:
        return "green", "cleared"
    if any(held.seen.canary.total and not held.seen.stable.total for held in state.signals.values()):
        return "hold", "no_control"
    return "hold", "thin_data"


def _excluded(rules: GateRules, state: GateState) -> float | None:
    """The smallest harm that this step has excluded for every signal."""
    enough = -math.log(rules.beta)

    def of(held: SignalState) -> float | None:
        if rules.faultless.log(held.faultless) >= enough:
            return rules.levels[-1]
        tests = zip(rules.levels, rules.clearances, held.cleared, strict=True)
        return min((level for level, test, had in tests if test.log(had) >= enough), default=None)

    found = [of(held) for held in state.signals.values()]
    known = [level for level in found if level is not None]
    return max(known) if len(known) == len(found) else None


def _words(
    rules: GateRules, state: GateState, reason: Reason, strength: float, excluded: float | None
) -> str:
    name, worst = max(state.signals.items(), key=lambda item: (rules.harm.log(item[1].harm), item[0]))
    match reason:
        case "harm":
            chance = f"in a good release by chance at most 1 time in {_round(strength)}"
            return f"{name}: {_compared(worst)}; {chance}"
        case "cleared":
            return f"{excluded:g} times stable's rate and more is excluded for {_and(state.signals)}"
        case "warming_up":
            return f"the first {rules.warm_up} polls after a change of the weight don't count"
        case "blind":
            return "a signal can't be read: holding, blind"
        case "no_control":
            return "stable got no traffic to compare with"
        case "thin_data":
            short = f", {excluded:g} times is excluded so far" if excluded else ""
            waiting = f"too little to exclude {rules.excludes:g} times stable's rate"
            return f"{name}: {_compared(worst)}; {waiting}{short}"


def _compared(held: SignalState) -> str:
    counts = (
        f"{_counted(held.seen.canary)} on the canary, {_counted(held.seen.stable)} on stable in this step"
    )
    match held.ratio:
        case None:
            return f"nothing bad in either arm ({counts})"
        case math.inf:
            return f"bad on the canary only ({counts})"
        case ratio:
            return f"{ratio:.2g} times stable's rate ({counts})"


def _counted(count: Count) -> str:
    return f"{count.bad:,} of {count.total:,}"


def _round(strength: float) -> str:
    digits = max(0, math.floor(math.log10(max(strength, 1))) - 1)
    return f"{int(strength // 10**digits * 10**digits):,}"


def _and(names: dict[str, SignalState]) -> str:
    return " and ".join(names) if len(names) < 4 else f"all {len(names)} signals"
