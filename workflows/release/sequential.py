"""An anytime-valid test of two arms: bad events out of exposure, poll by poll. Pure.

In one poll the canary has X bad events in n_c, both arms together have K in n, and ρ = n_c / n is the split
as it was observed. For the null hypothesis "the canary's rate is r₀ times stable's" and an alternative r,

    factor = (r / r₀)^X · ((1 − ρ + ρ·r₀) / (1 − ρ + ρ·r))^K

is a likelihood ratio given K and the exposures. Its products over polls are supermartingales under every
ratio ≤ r₀ when r > r₀ (and under every ratio ≥ r₀ when r < r₀), whatever the rate of both arms does in the
meantime and however the split is chosen from the past: exact for Poisson counts (X given K is binomial, with
a monotone likelihood ratio), and for r₀ = 1 also without replacement (Hoeffding 1963, theorem 4: the
hypergeometric is below the binomial in convex order, and r^x is convex). A cap only lowers a factor. So is
the mixture

    E = Σ wⱼ · Πₜ factorⱼ,ₜ

and P(E ever reaches 1/α) ≤ α (Ville 1939), over all polls and all steps, which is what lets people look as
often as they like. Averages of such E over signals are of the same kind (Vovk & Wang 2021). See also Robbins
1970 on mixtures, Ramdas et al. 2023 for a survey.

Harm may also begin late, when a long good past speaks against it. So each alternative j runs as a mixture
over the polls at which it may have begun, with masses πₜ that sum to 1 (Shiryaev 1963 and Roberts 1966, with
a prior):

    Mⱼ ← (Mⱼ + πₜ) · factorⱼ,ₜ        E = Σ wⱼ · Mⱼ + the mass that has not begun

A sum of supermartingales that start at πₜ is one, so the bound stays.

One burst, or the cold start of new instances, must not decide alone. So the products of a stretch of time
are capped as a whole, at what `Ceiling` allows: min(·, c) is concave, so a capped product is a
supermartingale still, also while the stretch is under way, when c is known before the stretch or falls within
it with K. What is said against harm is never capped.

Evidence is kept as whole billionths of a nat, rounded down: the same counts give the same evidence on every
machine, and rounding only ever takes evidence away.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from leverframe.model.frozen import Frozen
from leverframe.model.releases import Count

NANO = 1_000_000_000
"""Units of evidence in one nat."""

Evidence = tuple[int, ...]
"""Billionths of a nat for each alternative of a mixture."""


class Exposure(Frozen):
    """What one signal saw of both arms in one poll."""

    canary: Count = Count()
    stable: Count = Count()

    def __add__(self, other: "Exposure") -> "Exposure":
        return Exposure(canary=self.canary + other.canary, stable=self.stable + other.stable)

    @property
    def compares(self) -> bool:
        """Whether both arms were exposed."""
        return self.canary.total > 0 and self.stable.total > 0

    def tolerable(self, ratio: float) -> float:
        """How many of the bad events would fall on a canary at so many times stable's rate; else 0."""
        if not self.compares:
            return 0.0
        weighed = ratio * self.canary.total
        return (self.canary.bad + self.stable.bad) * weighed / (weighed + self.stable.total)


@dataclass(frozen=True)
class Mixture:
    """A null hypothesis and weighted alternatives to it, all on the same side of it."""

    null: float
    alternatives: tuple[float, ...]
    weights: tuple[float, ...]
    """Sum to 1."""

    @cached_property
    def log_ratios(self) -> tuple[float, ...]:
        """ln of each alternative's multiple of the null."""
        return tuple(math.log(ratio / self.null) for ratio in self.alternatives)

    @cached_property
    def steps(self) -> tuple[tuple[float, float], ...]:
        """Each alternative with its logarithm from `log_ratios`."""
        return tuple(zip(self.alternatives, self.log_ratios, strict=True))

    @cached_property
    def nothing(self) -> Evidence:
        """The evidence before the first poll."""
        return (0,) * len(self.alternatives)

    def by_ratio(self, exposure: Exposure) -> Evidence:
        """The logarithms of one poll's factors, where null and alternatives are ratios to stable's rate.

        Nothing when an arm was not exposed.
        """
        return self._alone.by_ratio(exposure)

    @cached_property
    def _alone(self) -> "Battery":
        return Battery((self,))

    def by_rate(self, count: Count, reference: float = 1.0) -> Evidence:
        """The same for one arm alone: null and alternatives are multiples of a reference rate.

        Binomial likelihood ratios. Nothing where the null would be no rate.
        """
        null = self.null * reference
        if not 0 < null < 1:
            return self.nothing
        per_event = self._of_rates if reference == 1.0 else self._per_event(reference)
        bad, good = count.bad, count.total - count.bad
        return tuple([math.floor(NANO * (bad * log + good * spared)) for log, spared in per_event])

    def _per_event(self, reference: float) -> tuple[tuple[float, float], ...]:
        """Of each alternative the evidence of one bad and of one good event."""
        null = self.null * reference
        rates = [min(alternative * reference, (1 + null) / 2) for alternative in self.alternatives]
        return tuple((math.log(rate / null), math.log1p(-rate) - math.log1p(-null)) for rate in rates)

    @cached_property
    def _of_rates(self) -> tuple[tuple[float, float], ...]:
        return self._per_event(1.0)

    def log(self, evidence: Evidence, waiting: float = 0.0) -> float:
        """ln E of the whole mixture, in nats; `waiting` is the mass that has not begun."""
        top = max(evidence) / NANO
        if waiting > 0 and top < 0:
            top = 0.0
        exp = math.exp
        terms = [weight * exp(nano / NANO - top) for weight, nano in zip(self.weights, evidence, strict=True)]
        if waiting > 0:
            terms.append(waiting * exp(-top))
        return round(top + math.log(math.fsum(terms)), 9)

    @cached_property
    def least_weight(self) -> float:
        """ln of the smallest weight."""
        return math.log(min(self.weights))

    def reaches(self, evidence: Evidence, enough: float) -> bool:
        """Whether ln E is at least so many nats; the logarithm is taken only where the largest is unsure."""
        top = max(evidence) / NANO
        if top < enough - 1e-6:
            return False
        return top + self.least_weight >= enough or self.log(evidence) >= enough


@dataclass(frozen=True)
class Battery:
    """Several tests whose evidence is kept in one row: a poll is read in one go."""

    tests: tuple[Mixture, ...]

    @cached_property
    def nothing(self) -> Evidence:
        """The evidence before the first poll."""
        return (0,) * sum(len(test.alternatives) for test in self.tests)

    @cached_property
    def _steps(self) -> tuple[tuple[int, float, float], ...]:
        """Of every alternative its test's number, its ratio less one, and ln of its multiple of the null."""
        return tuple(
            (number, ratio - 1, log) for number, test in enumerate(self.tests) for ratio, log in test.steps
        )

    def by_ratio(self, exposure: Exposure) -> Evidence:
        """As `Mixture.by_ratio`."""
        if not exposure.compares:
            return self.nothing
        canary, stable = exposure.canary, exposure.stable
        bad, both = canary.bad, canary.bad + stable.bad
        share = canary.total / (canary.total + stable.total)
        log1p, floor = math.log1p, math.floor
        nulls = [log1p(share * (test.null - 1)) for test in self.tests]
        return tuple(
            [
                floor(NANO * (bad * log + both * (nulls[number] - log1p(share * above))))
                for number, above, log in self._steps
            ]
        )

    def by_rate(self, count: Count, reference: float = 1.0) -> Evidence:
        """As `Mixture.by_rate`."""
        return tuple([nano for test in self.tests for nano in test.by_rate(count, reference)])

    def reached(self, evidence: Evidence, enough: float) -> list[bool]:
        """Of each test whether its ln E is at least so many nats."""
        found, start = list[bool](), 0
        for test in self.tests:
            end = start + len(test.alternatives)
            found.append(test.reaches(evidence[start:end], enough))
            start = end
        return found


LEAST_HARM = 1.5
"""The least of the alternatives to "no harm"."""

EXPECTED, SPREAD = 1.8, 0.18
"""The middle and the deviation (in the logarithm) of most of their weight, in multiples of the null."""

LARGE, LARGE_SPREAD = 9.5, 0.25
"""The same of the weight for catastrophes, which must be found before they have cost much."""

OF_LARGE, EVEN = 0.18, 0.02
"""The share of the weight that is for catastrophes, and the share that is even."""

NEVER = -(10**6) * NANO
"""The evidence of what has not begun: as good as a factor of 0."""


def begun(evidence: Evidence, mass: float) -> Evidence:
    """The evidence with a harm that begins now, of this mass."""
    if not mass:
        return evidence
    logs, new = [nano / NANO for nano in evidence], math.log(mass)
    return tuple([math.floor(NANO * (max(log, new) + math.log1p(math.exp(-abs(log - new))))) for log in logs])


def log_mean(terms: Sequence[tuple[float, float]]) -> float:
    """The logarithm of Σ weight · e^log over (weight, log), without overflow; rounded to 1e-9."""
    top = max(log for _, log in terms)
    return round(top + math.log(math.fsum(weight * math.exp(log - top) for weight, log in terms)), 9)


def plus(one: Evidence, other: Evidence) -> Evidence:
    """The evidence of both together."""
    return tuple([a + b for a, b in zip(one, other, strict=True)])


def bounds(count: Count, deviations: float = 3.0) -> tuple[float, float]:
    """A lower and an upper bound of the rate of one arm; 3 deviations leave 0.3 % outside of the two.

    Anscombe's square-root transform of a Poisson count (Anscombe 1948).
    """
    root, half = math.sqrt(count.bad + 3 / 8), deviations / 2
    low, high = max(0.0, root - half) ** 2 - 3 / 8, (root + half) ** 2 + 5 / 8
    return max(0.0, low) / count.total, high / count.total


def harm(null: float, *, highest: float = 40.0, points: int = 16) -> Mixture:
    """Alternatives above the null, up to `highest` times stable's rate.

    A geometric grid. Most of the weight is a log-normal around `EXPECTED`: harms of about twice are the ones
    that cost most until they are found, and smaller ones are what bursts look like. A part is around `LARGE`,
    so that a catastrophe needs not much more than its own evidence, and a small one even, for all between. A
    ratio below the middle between the null and the least alternative never adds up to harm, however long it
    lasts.
    """
    lowest = max(LEAST_HARM, 1.1 * null)
    highest = max(highest, 2 * lowest)
    step = (highest / lowest) ** (1 / (points - 1))
    grid = tuple(lowest * step**number for number in range(points))
    usual = _around(grid, EXPECTED * null, SPREAD)
    large = _around(grid, min(LARGE * null, highest), LARGE_SPREAD)
    mixed = [
        (1 - OF_LARGE - EVEN) * one + OF_LARGE * other + EVEN / points
        for one, other in zip(usual, large, strict=True)
    ]
    return _weighed(null, grid, mixed)


def _around(grid: Sequence[float], middle: float, spread: float) -> list[float]:
    """Log-normal weights that sum to 1."""
    shares = [math.exp(-((math.log(ratio / middle) / spread) ** 2) / 2) for ratio in grid]
    whole = math.fsum(shares)
    return [share / whole for share in shares]


def clearance(null: float) -> Mixture:
    """Alternatives below the null: half of the weight on "as good as stable", the rest between the two."""
    between = [null ** (number / 4) for number in range(1, 4)]
    return _weighed(null, (1.0, *between), [3.0, *(1.0 for _ in between)])


def faultless(rate: float) -> Mixture:
    """Alternatives far below a rate that is too small to matter."""
    return _weighed(rate, tuple(rate / 4**number for number in range(1, 5)), [1.0] * 4)


def _weighed(null: float, alternatives: tuple[float, ...], shares: list[float]) -> Mixture:
    whole = math.fsum(shares)
    return Mixture(null, alternatives, tuple(share / whole for share in shares))
