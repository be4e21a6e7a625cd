"""The judge: polls of many signals folded into one verdict for a whole rollout. Pure.

    red     E, the weighted average over the signals of their evidence for harm, has reached 1/α
    cleared not red, and on this step every signal that must be is cleared of the harm that the step excludes
    open    everything else, with the reason: no data clears nobody, and no outage of the metrics is harm

α bounds the chance that a release whose every ratio to stable is at most `r0` is ever called red, over all
polls, steps and signals together; β bounds for each signal and step the chance that a harm passes for
excluded. Both bounds hold however often the judge looks (see `sequential`), and neither one burst of errors
nor a cold start decides alone: see `ceiling`. What instances do while they get warm clears nobody.

At 100 % there is no control arm. There the canary's own rate is tested against a bound (99.8 %) of what
stable did in the steps before: α then holds for a service whose rate stays what it was.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache

from leverframe.model.frozen import Instant
from leverframe.model.topology import GateRules, SignalRules
from workflows.release.ceiling import Ceiling, while_cold
from workflows.release.gate_state import Finding, GateState, Judgement, Poll, Seen, SignalState
from workflows.release.sentences import compared, one_in, together
from workflows.release.sequential import (
    NEVER,
    Battery,
    Evidence,
    Exposure,
    Mixture,
    begun,
    bounds,
    clearance,
    faultless,
    harm,
    log_mean,
    plus,
)


@dataclass(frozen=True, slots=True)
class RuleTests:
    """The rules as tests."""

    harm: Mixture
    cold: Battery
    """The alternatives of `harm` while instances get warm."""
    clearances: Battery
    """By level, as in the rules."""
    faultless: Mixture
    ceiling: Ceiling

    def step_anew(self, held: SignalState, *, cold: bool) -> SignalState:
        """The signal at the first poll of a step."""
        return self.stretch_over(held, cold=cold).model_copy(
            update={
                "cleared": self.clearances.nothing,
                "faultless": self.faultless.nothing,
                "seen": Exposure(),
                "control": held.control + held.seen.stable,
            }
        )

    def so_far(self, held: SignalState, *, cold: bool) -> Evidence:
        """The evidence for harm, with what the stretch under way may say."""
        if not held.stretch:
            return held.harm
        return self.ceiling.under(held.stretch, held.expected, held.harm, cold=cold, trust=held.trust)

    def stretch_over(self, held: SignalState, *, cold: bool, mass: float = 0.0) -> SignalState:
        """The signal at the first poll of a stretch. `mass` is that of a harm which begins with it."""
        harmed = begun(self.so_far(held, cold=cold), mass)
        update = {"harm": harmed, "stretch": (), "expected": 0.0, "trust": held.start.trust}
        return held.model_copy(update=update)

    def seen(self, held: SignalState, exposure: Exposure, weight: float, *, cold: bool) -> SignalState:
        """The signal after what one poll saw of it. What is seen of `cold` instances clears nobody."""
        alone = weight >= 100
        against = self._alone if alone else self._beside_stable
        expected, harmed, cleared = against(held, exposure, cold=cold)
        return SignalState(
            share=held.share,
            must_clear=held.must_clear,
            harm=held.harm,
            stretch=plus(held.stretch, harmed) if held.stretch else harmed,
            expected=held.expected + expected,
            trust=held.trust,
            start=held.start
            if alone or not exposure.compares
            else held.start.plus(exposure.canary.bad, expected, cold=cold),
            cleared=cleared,
            faultless=held.faultless
            if cold
            else plus(held.faultless, self.faultless.by_rate(exposure.canary)),
            seen=held.seen + exposure,
            control=held.control,
            matched=held.matched if alone else _matched(held.matched, exposure),
        )

    def _beside_stable(
        self, held: SignalState, exposure: Exposure, *, cold: bool
    ) -> tuple[float, Evidence, Evidence]:
        cleared = held.cleared
        if not cold and exposure.compares:
            cleared = plus(cleared, self.clearances.by_ratio(exposure))
        against = self.cold if cold else self.harm
        return exposure.tolerable(self.harm.null), against.by_ratio(exposure), cleared

    def _alone(
        self, held: SignalState, exposure: Exposure, *, cold: bool
    ) -> tuple[float, Evidence, Evidence]:
        if not held.control.total:
            return 0.0, self.harm.nothing, held.cleared
        low, high = bounds(held.control)
        cleared = held.cleared
        if not cold:
            cleared = plus(cleared, self.clearances.by_rate(exposure.canary, low))
        expected = exposure.canary.total * high * self.harm.null
        against = self.cold if cold else self.harm
        return expected, against.by_rate(exposure.canary, high), cleared


@cache
def rule_tests(rules: GateRules) -> RuleTests:
    """The tests that keep what the rules promise."""
    tests = harm(rules.r0)
    return RuleTests(
        harm=tests,
        cold=while_cold(tests),
        clearances=Battery(tuple(clearance(level) for level in rules.levels)),
        faultless=faultless(rules.negligible),
        ceiling=Ceiling(-math.log(rules.alpha), tests.alternatives),
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
            name: SignalState(
                share=each.weight / whole,
                must_clear=each.must_clear,
                harm=never,
                cleared=tests.clearances.nothing,
                faultless=tests.faultless.nothing,
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
    state = _at(rules, state, poll)
    cold = _cold(rules, state)
    if state.polls > rules.warm_up:
        signals = {
            name: tests.seen(held, poll.signals.get(name, _UNSEEN), poll.weight, cold=cold)
            for name, held in state.signals.items()
        }
        state = state.model_copy(update={"signals": signals})
    return state, _judged(rules, state, poll, excludes, cold=cold)


_UNSEEN = Exposure()


def _cold(rules: GateRules, state: GateState) -> bool:
    """Whether the stretch that is under way is the one in which instances get warm."""
    if state.opened_at is None or state.since is None:
        return False
    return state.since - state.opened_at < timedelta(seconds=rules.cold_seconds)


def _at(rules: GateRules, state: GateState, poll: Poll) -> GateState:
    """The state at this poll, before what it saw: a step or a stretch may begin with it."""
    tests, cold = rule_tests(rules), _cold(rules, state)
    signals, waiting = state.signals, state.waiting
    fresh = state.weight != poll.weight
    if fresh:
        signals = {name: tests.step_anew(held, cold=cold) for name, held in signals.items()}
        state = state.model_copy(
            update={"step": state.step + 1, "opened_at": poll.at, "since": None, "stretches": 0, "polls": 0}
        )
    polls, since, stretches = state.polls + 1, state.since, state.stretches
    if polls > rules.warm_up and _stretch_begins(rules, state, poll.at, cold=cold):
        since, stretches = poll.at, stretches + 1
        mass = min(waiting, rules.begins(state.step, state.steps, stretches))
        waiting -= mass
        signals = {name: tests.stretch_over(held, cold=cold, mass=mass) for name, held in signals.items()}
    return GateState(
        signals=signals,
        steps=state.steps,
        step=state.step,
        weight=poll.weight,
        polls=polls,
        opened_at=state.opened_at,
        since=since,
        stretches=stretches,
        waiting=waiting,
    )


def _stretch_begins(rules: GateRules, state: GateState, at: Instant, *, cold: bool) -> bool:
    if state.since is None or state.opened_at is None:
        return True
    if cold and at - state.opened_at >= timedelta(seconds=rules.cold_seconds):
        return True
    return at - state.since >= timedelta(seconds=rules.burst_seconds)


def _judged(
    rules: GateRules, state: GateState, poll: Poll, excludes: float | None, *, cold: bool
) -> Judgement:
    tests = rule_tests(rules)
    logs = {
        name: tests.harm.log(tests.so_far(held, cold=cold), state.waiting)
        for name, held in state.signals.items()
    }
    log = log_mean([(held.share, logs[name]) for name, held in state.signals.items()])
    strength = math.exp(min(log, 700.0))
    excluded = _excluded(rules, state)
    finding = _finding(
        rules, state, poll, red=log >= -math.log(rules.alpha), cleared=_at_most(excluded, excludes)
    )
    if finding == "blind":
        explanation = _blind(state, poll)
    else:
        worst = max(logs, key=lambda name: (logs[name], name))
        explanation = _words(
            finding,
            state,
            counts=_counted(state, worst),
            so_far=_so_far(rules, state, excluded),
            strength=strength,
            looks=rules.warm_up,
        )
    return Judgement(
        finding=finding, evidence=float(f"{strength:.6g}"), excluded=excluded, explanation=explanation
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
        if tests.faultless.reaches(held.faultless, enough):
            return min(rules.levels)
        reached = tests.clearances.reached(held.cleared, enough)
        return min((level for level, found in zip(rules.levels, reached, strict=True) if found), default=None)

    found = [of(held) for held in state.signals.values() if held.must_clear]
    known = [level for level in found if level is not None]
    return max(known) if len(known) == len(found) else None


def _so_far(rules: GateRules, state: GateState, excluded: float | None) -> str:
    """What is excluded, in words: no ratio of both arms is claimed where the canary's own rate was enough."""
    if excluded is None:
        return "nothing is excluded yet"
    tests, enough = rule_tests(rules), -math.log(rules.beta)
    by_rate = [
        tests.faultless.reaches(held.faultless, enough) for held in state.signals.values() if held.must_clear
    ]
    rate = f"a rate of {100 * rules.negligible:g} %"
    if all(by_rate):
        return f"{rate} or more is excluded"
    ratio = f"{excluded:g} times stable's rate"
    return f"{ratio}, or {rate}, is excluded" if any(by_rate) else f"{ratio} is excluded"


def _at_most(excluded: float | None, wanted: float | None) -> bool:
    return excluded is not None and wanted is not None and excluded <= wanted


def _matched(matched: tuple[float, float], exposure: Exposure) -> tuple[float, float]:
    above, below = matched
    whole = exposure.canary.total + exposure.stable.total
    if whole:
        above += exposure.canary.bad * exposure.stable.total / whole
        below += exposure.stable.bad * exposure.canary.total / whole
    return above, below


def _counted(state: GateState, name: str) -> str:
    """Both arms of one signal."""
    held = state.signals[name]
    alone = (state.weight or 0) >= 100
    control = held.control if alone else held.seen.stable
    where = "stable in the earlier steps" if alone else "stable"
    return compared(name, held.seen.canary, control, where, None if alone else held.ratio)


def _words(finding: Seen, state: GateState, *, counts: str, so_far: str, strength: float, looks: int) -> str:
    match finding:
        case "red":
            return f"{counts}; a good release looks like this at most {one_in(strength)}"
        case "cleared":
            cleared = [signal for signal, held in state.signals.items() if held.must_clear]
            return f"{counts}; {so_far} for {together(cleared)}"
        case "thin_data":
            return f"{counts}; {so_far}"
        case "warming_up":
            return f"the first {looks} looks after a change of the weight don't count"
        case "no_control":
            return f"{counts}; there is nothing to compare with"


def _blind(state: GateState, poll: Poll) -> str:
    missing = [name for name in state.signals if name not in poll.signals]
    return f"{together(missing)} can't be read: holding, blind"
