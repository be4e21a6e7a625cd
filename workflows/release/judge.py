"""The judge: polls of many signals folded into one verdict for a whole rollout. Pure.

    red     E, the weighted average over the signals of their evidence for harm, has reached 1/α
    cleared not red, and on this step every signal that must be is cleared of the harm that the step excludes
    open    everything else, with the reason: no data clears nobody, and no outage of the metrics is harm

α bounds the chance that a release whose every ratio to stable is at most `r0` is ever called red, over all
polls, steps and signals together; β bounds for each signal and step the chance that a harm passes for
excluded. Both bounds hold however often the judge looks (see `sequential`), and one burst of errors can't
decide alone: a poll says at the most a third of what is needed.

At 100 % there is no control arm. There the canary's own rate is tested against a bound (99.8 %) of what
stable did in the steps before: α then holds for a service whose rate stays what it was.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.releases import MOST_SIGNALS, Count
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.sentences import compared, one_in, together
from workflows.release.sequential import (
    NANO,
    NEVER,
    Evidence,
    Exposure,
    Mixture,
    begun,
    bounds,
    capped,
    clearance,
    faultless,
    harm,
    log_mean,
    plus,
)

Seen = Literal["red", "cleared", "warming_up", "no_control", "thin_data"]
Finding = Literal["blind"] | Seen


class Poll(Frozen):
    """What was seen since the poll before, each event in one poll only."""

    at: Instant
    weight: float = Field(ge=0, le=100)
    """Percent of the traffic that the canary should get; the split is taken from the counts."""
    signals: dict[str, Exposure] = Field(default={}, max_length=MOST_SIGNALS)


class SignalState(Frozen):
    """What one signal has said."""

    share: float = Field(gt=0, le=1)
    """Of the average; those of all signals sum to 1."""
    must_clear: bool
    harm: Evidence
    """Since the rollout began."""
    cleared: tuple[Evidence, ...]
    """Since the step began, by level."""
    faultless: Evidence
    seen: Exposure = Exposure()
    """Since the step began, without the warm-up."""
    control: Count = Count()
    """What stable did in the steps before."""
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
    """What the judge remembers between polls. JSON, and of constant size."""

    signals: dict[str, SignalState]
    steps: int
    """How many the rollout has, as declared before it began."""
    step: int = 0
    weight: float | None = None
    polls: int = 0
    """At this weight, the warm-up included."""
    waiting: float = 1.0
    """The mass of harms that have not begun."""


class Judgement(Frozen):
    """What the judge says after a poll."""

    finding: Finding
    evidence: float
    """E: a good release shows so much for harm by chance in at most one of E rollouts."""
    excluded: float | None
    """The smallest harm that this step has excluded for every signal; None for none yet."""
    explanation: str


@dataclass(frozen=True, slots=True)
class RuleTests:
    """The rules as tests."""

    harm: Mixture
    clearances: tuple[Mixture, ...]
    """By level, as in the rules."""
    faultless: Mixture
    ceiling: int
    """What one poll may say for harm."""

    def step_anew(self, held: SignalState) -> SignalState:
        """The signal at the first poll of a step."""
        return held.model_copy(
            update={
                "cleared": tuple(test.nothing for test in self.clearances),
                "faultless": self.faultless.nothing,
                "seen": Exposure(),
                "control": held.control + held.seen.stable,
            }
        )

    def seen(self, held: SignalState, exposure: Exposure, weight: float, mass: float) -> SignalState:
        """The signal after what one poll saw of it. `mass` is that of a harm which begins with it."""
        against = self._alone if weight >= 100 else self._beside_stable
        harmed, cleared = against(held, exposure)
        return SignalState(
            share=held.share,
            must_clear=held.must_clear,
            harm=plus(begun(held.harm, mass), capped(harmed, self.ceiling)),
            cleared=tuple(plus(had, more) for had, more in zip(held.cleared, cleared, strict=True)),
            faultless=plus(held.faultless, self.faultless.by_rate(exposure.canary)),
            seen=held.seen + exposure,
            control=held.control,
            matched=_matched(held.matched, exposure) if weight < 100 else held.matched,
        )

    def _beside_stable(self, held: SignalState, exposure: Exposure) -> tuple[Evidence, tuple[Evidence, ...]]:
        return self.harm.by_ratio(exposure), tuple(test.by_ratio(exposure) for test in self.clearances)

    def _alone(self, held: SignalState, exposure: Exposure) -> tuple[Evidence, tuple[Evidence, ...]]:
        if not held.control.total:
            return self.harm.nothing, tuple(test.nothing for test in self.clearances)
        low, high = bounds(held.control)
        return self.harm.by_rate(exposure.canary, high), tuple(
            test.by_rate(exposure.canary, low) for test in self.clearances
        )


@cache
def rule_tests(rules: GateRules) -> RuleTests:
    """The tests that keep what the rules promise."""
    return RuleTests(
        harm=harm(rules.r0),
        clearances=tuple(clearance(level) for level in rules.levels),
        faultless=faultless(rules.negligible),
        ceiling=math.floor(rules.ceiling * NANO),
    )


def begin(rules: GateRules, signals: Mapping[str, SignalRules], *, steps: int) -> GateState:
    """The state before the first poll. The signals are declared: without one of them the judge is blind."""
    if not any(each.must_clear for each in signals.values()):
        raise ValueError("a gate without a signal that must be cleared could never be green")
    tests = rule_tests(rules)
    never = (NEVER,) * len(tests.harm.alternatives)
    whole = math.fsum(each.weight for each in signals.values())
    return GateState(
        signals={
            name: tests.step_anew(
                SignalState(
                    share=each.weight / whole,
                    must_clear=each.must_clear,
                    harm=never,
                    cleared=(),
                    faultless=(),
                )
            )
            for name, each in sorted(signals.items())
        },
        steps=steps,
    )


def observe(
    rules: GateRules, state: GateState, poll: Poll, excludes: float | None
) -> tuple[GateState, Judgement]:
    """One poll: the state after it, and what it says. `excludes` is the level that clears, if any."""
    tests = rule_tests(rules)
    fresh = state.weight != poll.weight
    polls, step = (1, state.step + 1) if fresh else (state.polls + 1, state.step)
    signals, waiting = state.signals, state.waiting
    if fresh:
        signals = {name: tests.step_anew(held) for name, held in signals.items()}
    if polls > rules.warm_up:
        mass = min(waiting, rules.begins(step, state.steps, polls - rules.warm_up))
        waiting -= mass
        signals = {
            name: tests.seen(held, poll.signals.get(name, Exposure()), poll.weight, mass)
            for name, held in signals.items()
        }
    after = GateState(
        signals=signals, steps=state.steps, step=step, weight=poll.weight, polls=polls, waiting=waiting
    )
    return after, _judged(rules, after, poll, excludes)


def _judged(rules: GateRules, state: GateState, poll: Poll, excludes: float | None) -> Judgement:
    tests = rule_tests(rules)
    log = log_mean(
        [(held.share, tests.harm.log(held.harm, state.waiting)) for held in state.signals.values()]
    )
    strength = math.exp(min(log, 700.0))
    excluded = _excluded(rules, state)
    finding = _finding(
        rules, state, poll, red=log >= -math.log(rules.alpha), cleared=_at_most(excluded, excludes)
    )
    return Judgement(
        finding=finding,
        evidence=float(f"{strength:.6g}"),
        excluded=excluded,
        explanation=_blind(state, poll)
        if finding == "blind"
        else _words(rules, state, finding, strength, excluded),
    )


def _finding(rules: GateRules, state: GateState, poll: Poll, *, red: bool, cleared: bool) -> Finding:
    if red:
        return "red"
    if any(name not in poll.signals for name in state.signals):
        return "blind"
    if state.polls <= rules.warm_up:
        return "warming_up"
    if cleared:
        return "cleared"
    lonely = any(
        held.seen.canary.total and not (held.control if poll.weight >= 100 else held.seen.stable).total
        for held in state.signals.values()
    )
    return "no_control" if lonely else "thin_data"


def _excluded(rules: GateRules, state: GateState) -> float | None:
    """The smallest harm that this step has excluded for every signal that must be cleared."""
    tests, enough = rule_tests(rules), -math.log(rules.beta)

    def of(held: SignalState) -> float | None:
        if tests.faultless.log(held.faultless) >= enough:
            return min(rules.levels)
        levels = zip(rules.levels, tests.clearances, held.cleared, strict=True)
        return min((level for level, test, had in levels if test.log(had) >= enough), default=None)

    found = [of(held) for held in state.signals.values() if held.must_clear]
    known = [level for level in found if level is not None]
    return max(known) if len(known) == len(found) else None


def _at_most(excluded: float | None, wanted: float | None) -> bool:
    return excluded is not None and wanted is not None and excluded <= wanted


def _matched(matched: tuple[float, float], exposure: Exposure) -> tuple[float, float]:
    above, below = matched
    whole = exposure.canary.total + exposure.stable.total
    if whole:
        above += exposure.canary.bad * exposure.stable.total / whole
        below += exposure.stable.bad * exposure.canary.total / whole
    return above, below


def _words(rules: GateRules, state: GateState, finding: Seen, strength: float, excluded: float | None) -> str:
    tests = rule_tests(rules)
    name, worst = max(state.signals.items(), key=lambda item: (tests.harm.log(item[1].harm), item[0]))
    alone = (state.weight or 0) >= 100
    control = worst.control if alone else worst.seen.stable
    where = "stable in the earlier steps" if alone else "stable"
    counts = compared(name, worst.seen.canary, control, where, None if alone else worst.ratio)
    so_far = f"{excluded:g} times stable's rate is excluded" if excluded else "nothing is excluded yet"
    match finding:
        case "red":
            return f"{counts}; a good release looks like this at most {one_in(strength)}"
        case "cleared":
            cleared = [signal for signal, held in state.signals.items() if held.must_clear]
            return f"{counts}; {so_far} for {together(cleared)}"
        case "thin_data":
            return f"{counts}; {so_far}"
        case "warming_up":
            return f"the first {rules.warm_up} looks after a change of the weight don't count"
        case "no_control":
            return f"{counts}; there is nothing to compare with"


def _blind(state: GateState, poll: Poll) -> str:
    missing = [name for name in state.signals if name not in poll.signals]
    return f"{together(missing)} can't be read: holding, blind"
