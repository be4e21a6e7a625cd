"""What the gate will be able to see at a given traffic, before a rollout begins. Pure.

What is said is when nine of ten rollouts are decided, half of them sooner. The events of both arms are
Poisson, and the logarithm of the evidence is taken for normal: its mean less 1.2816 deviations (the quantile
of nine in ten) is that of the unlucky rollout.

- Red: what one stretch of time says for each alternative, under its ceiling, is averaged over the numbers of
  bad events that both arms may show in it.
- Green: the evidence is linear in the counts, and their joint deviation that hurts most is taken.

Tests compare both with simulated rollouts.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from leverframe.model.frozen import Frozen
from leverframe.model.releases import Count
from leverframe.model.topology import GateRules
from workflows.release.judge import RuleTests, rule_tests
from workflows.release.sequential import NANO, Battery, Exposure, Mixture

NINE_IN_TEN = 1.2816
"""The normal quantile of 0.9."""

FORETOLD = (1.5, 2.0, 5.0, 10.0)
"""The ratios to stable's rate whose sighting is foretold."""

MOST = 1e12
"""Canary requests, or minutes, beyond which nothing is promised."""


PLENTY = 5e7
"""Bad events in one stretch from which on more say no more: each alternative is at its ceiling."""

ROUGHLY = 12.0
"""Bad events of stable in one stretch from which on their spread is taken for two numbers."""


class Sight(Frozen):
    """One ratio at one step: how long nine of ten rollouts take to be decided."""

    ratio: float
    canary_requests: int | None
    """None: not within reach at all."""
    minutes: float | None


class StepOutlook(Frozen):
    """What one step can see."""

    weight: float
    canary_rps: float
    red: tuple[Sight, ...]
    """How long a harm of this ratio goes unseen."""
    green: tuple[Sight, ...]
    """How long a release as good as stable takes to be cleared of this ratio."""


class Traffic(Frozen):
    """What a service gets, and how it is going to be split."""

    rps: float = Field(gt=0, le=1e9, allow_inf_nan=False)
    """Requests a second to the whole service."""
    base_error: float = Field(ge=0, lt=1)
    """The share of them that is bad on stable."""
    weights: tuple[Annotated[float, Field(gt=0, lt=100)], ...] = Field(default=(1, 5, 25, 50), min_length=1)
    """Percent of the traffic on the canary, one for each step that has a control arm."""
    poll_seconds: float = Field(default=15, gt=0, le=86_400)


class Outlook(Frozen):
    """What a whole rollout can see, at its traffic and its base rate."""

    traffic: Traffic
    rules: GateRules
    excludes: float
    share: float
    """Of the signal in the average of the evidence for harm."""
    steps: tuple[StepOutlook, ...]
    minutes: float | None
    """How long a good release takes from the first step to the last; None when a step can't be cleared."""
    advice: tuple[str, ...]


def outlook(rules: GateRules, traffic: Traffic, *, excludes: float, share: float = 1.0) -> Outlook:
    """What the gate can see at each step.

    `excludes` is the level of the rules that each must exclude; `share` that of the signal in the average, of
    which the others say nothing.
    """
    steps = tuple(_step(rules, traffic, weight, share) for weight in traffic.weights)
    waits = [sight.minutes for step in steps for sight in step.green if sight.ratio == excludes]
    known = [minutes for minutes in waits if minutes is not None]
    total = round(math.fsum(known), 1) if len(known) == len(waits) else None
    return Outlook(
        traffic=traffic,
        rules=rules,
        steps=steps,
        minutes=total,
        excludes=excludes,
        share=share,
        advice=_advice(excludes, steps),
    )


def _step(rules: GateRules, traffic: Traffic, weight: float, counts_for: float) -> StepOutlook:
    share, base = weight / 100, traffic.base_error
    per_minute = traffic.rps * share * 60
    poll = traffic.poll_seconds / 60
    warm_up, cold = rules.warm_up * poll, rules.cold_seconds / 60
    saturated = rules.looks(traffic.poll_seconds, len(traffic.weights), counts_for) * poll
    enough = -math.log(rules.alpha) - math.log(counts_for)

    def red(ratio: float) -> Sight:
        minutes = _until_red(rules, traffic, share, ratio, enough)
        if minutes is None:
            return Sight(ratio=ratio, canary_requests=None, minutes=None)
        requests = math.ceil(minutes * per_minute)
        return Sight(
            ratio=ratio, canary_requests=requests, minutes=round(max(warm_up + minutes, saturated), 1)
        )

    def green(level: float, test: Mixture) -> Sight:
        requests = _until_clear(rules, test, share, base)
        if requests is None:
            return Sight(ratio=level, canary_requests=None, minutes=None)
        minutes = max(warm_up + cold + requests / per_minute, warm_up + cold + poll)
        return Sight(ratio=level, canary_requests=math.ceil(requests), minutes=round(minutes, 1))

    return StepOutlook(
        weight=weight,
        canary_rps=traffic.rps * share,
        red=tuple(red(ratio) for ratio in FORETOLD),
        green=tuple(
            green(level, test)
            for level, test in zip(rules.levels, rule_tests(rules).clearances.tests, strict=True)
        ),
    )


def _until_red(rules: GateRules, traffic: Traffic, share: float, ratio: float, enough: float) -> float | None:
    """Minutes until nine of ten rollouts at this ratio are red."""
    if ratio <= rules.r0 or traffic.base_error == 0:
        return None
    tests, length = rule_tests(rules), max(rules.burst_seconds, traffic.poll_seconds)
    both = traffic.rps * length * traffic.base_error
    canary, stable = both * share * ratio, both * (1 - share)
    warm = _stretch(tests, tests.harm, canary, stable, share, cold=False)
    first = _stretch(tests, tests.cold, canary, stable, share, cold=True)

    def log(minutes: float) -> float:
        cold = min(minutes * 60, rules.cold_seconds) / length
        rest = minutes * 60 / length - cold
        logs = [
            cold * before.mean
            + rest * after.mean
            - NINE_IN_TEN * math.sqrt(cold * before.variance + rest * after.variance)
            for before, after in zip(first, warm, strict=True)
        ]
        return tests.harm.log(tuple(math.floor(log * NANO) for log in logs))

    return _least(log, enough, least=length / 60 / 50)


@dataclass(frozen=True)
class _Said:
    """What one stretch says for one alternative, in nats."""

    mean: float
    variance: float


def _stretch(
    tests: RuleTests, against: Mixture | Battery, canary: float, stable: float, share: float, *, cold: bool
) -> list[_Said]:
    """Of every alternative, for the mean numbers of bad events of both arms in a stretch."""
    nothing = tests.harm.nothing
    fewer = min(1.0, PLENTY / (canary + stable))
    canary, stable = canary * fewer, stable * fewer
    total = (1e6 + 10 * (canary + stable)) / max(min(share, 1 - share), 1e-6)  # only the split counts
    means, squares = [0.0] * len(nothing), [0.0] * len(nothing)
    for (bad, one), (other, part) in itertools.product(_poisson(canary), _either(stable)):
        seen = Exposure(
            canary=Count(bad=bad, total=round(total * share)),
            stable=Count(bad=other, total=round(total * (1 - share))),
        )
        said = tests.ceiling.under(
            against.by_ratio(seen), seen.tolerable(tests.harm.null), nothing, cold=cold
        )
        for number, nano in enumerate(said):
            means[number] += one * part * nano / NANO
            squares[number] += one * part * (nano / NANO) ** 2
    return [_Said(mean, max(0.0, square - mean**2)) for mean, square in zip(means, squares, strict=True)]


def _poisson(mean: float) -> list[tuple[int, float]]:
    """Numbers and their chances: all within four deviations, or some sixty of them."""
    spread = 4 * math.sqrt(mean) + 3
    low, high = max(0, math.floor(mean - spread)), math.ceil(mean + spread)
    numbers = range(low, high + 1, 1 + (high - low) // 60)
    logs = [number * math.log(mean) - mean - math.lgamma(number + 1) for number in numbers]
    chances = [math.exp(log) for log in logs]
    whole = math.fsum(chances)
    return [(number, chance / whole) for number, chance in zip(numbers, chances, strict=True)]


def _either(mean: float) -> list[tuple[int, float]]:
    """The same in two numbers where it is large: a deviation below, and one above."""
    if mean < ROUGHLY:
        return _poisson(mean)
    return [(round(mean - math.sqrt(mean)), 0.5), (round(mean + math.sqrt(mean)), 0.5)]


def _until_clear(rules: GateRules, test: Mixture, share: float, base: float) -> float | None:
    enough = -math.log(rules.beta)
    by_ratio = _least(lambda requests: _log_at(test, requests, share, base, 1.0), enough) if base else None
    by_rate = _least(lambda requests: _faultless_at(rules, requests, base), enough)
    known = [requests for requests in (by_ratio, by_rate) if requests is not None]
    return min(known, default=None)


def _log_at(test: Mixture, requests: float, share: float, base: float, ratio: float) -> float:
    """ln E after so many canary requests of an unlucky rollout."""
    canary, stable = requests * base * ratio, requests * (1 - share) / share * base
    under_null = math.log1p(share * (test.null - 1))
    logs = []
    for alternative in test.alternatives:
        of_both = under_null - math.log1p(share * (alternative - 1))
        of_canary = math.log(alternative / test.null) + of_both
        spread = math.sqrt(of_canary**2 * canary + of_both**2 * stable)
        logs.append(of_canary * canary + of_both * stable - NINE_IN_TEN * spread)
    return test.log(tuple(math.floor(log * NANO) for log in logs))


def _faultless_at(rules: GateRules, requests: float, base: float) -> float:
    unlucky = math.ceil(requests * base + NINE_IN_TEN * math.sqrt(requests * base))
    count = Count(bad=min(unlucky, int(requests)), total=int(requests))
    test = rule_tests(rules).faultless
    return test.log(test.by_rate(count))


def _least(reached: Callable[[float], float], enough: float, least: float = 1.0) -> float | None:
    """The smallest exposure at which the evidence is enough, to `least` or a thousandth: by bisection."""
    high = least
    while reached(high) < enough:
        high *= 2
        if high > MOST:
            return None
    low = high / 2
    while high - low > max(least, high / 1000):
        middle = (low + high) / 2
        low, high = (low, middle) if reached(middle) >= enough else (middle, high)
    return high


def _advice(excludes: float, steps: tuple[StepOutlook, ...]) -> tuple[str, ...]:
    said: list[str] = []
    for step in steps:
        wanted = next(sight for sight in step.green if sight.ratio == excludes)
        if wanted.minutes is None or wanted.minutes > 240:
            in_reach = [s.ratio for s in step.green if s.minutes is not None and s.minutes <= 60]
            can = (
                f"within an hour it can exclude {min(in_reach):g} times"
                if in_reach
                else "it sees next to nothing"
            )
            said.append(
                f"The step at {step.weight:g} % can't exclude {excludes:g} times stable's rate "
                f"within four hours: {can}. Give it more weight or traffic, or ask it for less."
            )
    return tuple(said)
