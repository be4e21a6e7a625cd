"""Evidence of a change, in natural logarithms: a Shiryaev–Roberts mixture of likelihood ratios.

An e-detector (Shin, Ramdas, Rinaldo 2022, "E-detectors: a nonparametric framework for sequential change
detection", arXiv 2203.03532): M ← (M + 1)·l for each alternative rate, and the mean of all M over 1/ARL
bounds the mean time to a false alarm, whenever one looks. Exact for Poisson counts of a known rate; the
division by φ and the caller's excess rules are the practical cover for clustering and a mis-fitted rate.

Each M is kept as ln(1 + M), which never overflows and is 0 at rest.
"""

from math import exp, expm1, inf, log, log1p

from pydantic import Field

from leverframe.model.frozen import Frozen

RATIOS = (2.0, 4.0, 8.0, 16.0, 64.0, 256.0)
"""The alternatives: how many times the expected rate a spike may be."""
SLACK = 1.3
"""The null hypothesis allows this many times the expected rate: small drifts are not news."""

_REST = (0.0,) * len(RATIOS)


class Evidence(Frozen):
    """ln(1 + M) for each ratio: of the counts, and of the active ticks (those with any event)."""

    counts: tuple[float, ...] = Field(default=_REST, min_length=len(RATIOS), max_length=len(RATIOS))
    active: tuple[float, ...] = Field(default=_REST, min_length=len(RATIOS), max_length=len(RATIOS))

    def after(
        self, *, count: int, ticks: int, rate: float, phi: float, chance: float, active_phi: float
    ) -> "Evidence":
        """The evidence after `ticks` ticks of `count` events each; more than one only when silent."""
        return Evidence(
            counts=tuple(
                _shiryaev_roberts(old, (count * log(ratio) - (ratio - 1) * SLACK * rate) / phi, ticks)
                for old, ratio in zip(self.counts, RATIOS, strict=True)
            ),
            active=tuple(
                _shiryaev_roberts(old, _active_step(ratio, chance, active=count > 0) / active_phi, ticks)
                for old, ratio in zip(self.active, RATIOS, strict=True)
            ),
        )

    @property
    def total(self) -> float:
        """S, the logarithm of the mean of all M."""
        return log_mean([_log_expm1(value) for value in (*self.counts, *self.active)])

    @property
    def of_active(self) -> float:
        """The same of the active ticks alone."""
        return log_mean([_log_expm1(value) for value in self.active])


class BirthTest(Frozen):
    """ln of the e-values of a group's active ticks since its birth: one test, not a watch.

    By Ville's inequality the mean e-value exceeds 1/α with a chance of at most α, whenever one looks.
    """

    active: tuple[float, ...] = Field(default=_REST, min_length=len(RATIOS), max_length=len(RATIOS))

    def after(self, *, count: int, ticks: int, chance: float) -> "BirthTest":
        """The test after `ticks` equal ticks."""
        return BirthTest(
            active=tuple(
                old + ticks * _active_step(ratio, chance, active=count > 0)
                for old, ratio in zip(self.active, RATIOS, strict=True)
            )
        )

    @property
    def total(self) -> float:
        """The logarithm of the mean e-value."""
        return log_mean(self.active)


def log_mean(values: tuple[float, ...] | list[float]) -> float:
    """ln of the mean of exp(values)."""
    top = max(values)
    if top == -inf:
        return -inf
    return top + log(sum(exp(value - top) for value in values) / len(values))


def _active_step(ratio: float, chance: float, *, active: bool) -> float:
    """ln of the likelihood ratio of one tick: q = 1−(1−p)^ρ against p."""
    null = min(0.999, SLACK * chance)
    if not active:
        return (ratio - 1) * log1p(-null)
    return log(-expm1(ratio * log1p(-null))) - log(null)


def _shiryaev_roberts(level: float, step: float, ticks: int) -> float:
    """ln(1 + M) after `ticks` times M ← (M + 1)·exp(step), in closed form."""
    if ticks == 1:
        return _softplus(level + step)
    started_since = step + (log(expm1(ticks * step) / expm1(step)) if step else log(ticks))
    carried = ticks * step + _log_expm1(level)
    top = max(started_since, carried)
    return _softplus(top + log1p(exp(min(started_since, carried) - top)))


def _softplus(value: float) -> float:
    """ln(1 + exp(value))."""
    return value + log1p(exp(-value)) if value > 0 else log1p(exp(value))


def _log_expm1(value: float) -> float:
    """ln(exp(value) − 1), −∞ at 0."""
    return value + log(-expm1(-value)) if value > 0 else -inf
