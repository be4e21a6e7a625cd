"""The judge: counts of real requests in, a verdict out. Pure, so a verdict can be computed again from them.

This judge compares plain thresholds; it makes no statistical promise about false alarms over many looks.
A sequential test can take its place: it is any function of the type `Judge`.

With canary rate c, stable rate s (errors / requests), all in exact integer arithmetic:

    exceeds   c − s > max_error_ppm_over_stable  and  c > max_error_ratio · s  and  errors ≥ min_errors
    red       exceeds, and the step's min_requests were seen (a verdict on enough data),
              or exceeds, and at least half of the canary's requests failed (a catastrophe, told early)
    green     not red, min_requests (at least one) were seen and min_seconds have passed
    hold      everything else: no data is never green
"""

from typing import Protocol

from pydantic import Field

from leverframe.model.frozen import Frozen
from leverframe.model.releases import GateVerdict, HealthDocument
from leverframe.model.topology import CanaryPlan, CanaryStep

MILLION = 1_000_000
CATASTROPHE_PPM = 500_000
"""From this share of failed canary requests on, the verdict does not wait for `min_requests`."""


class Arm(Frozen):
    """What one arm did while it was watched."""

    requests: int = Field(default=0, ge=0)
    errors: int = Field(default=0, ge=0)

    def plus(self, other: "Arm") -> "Arm":
        """Both together."""
        return Arm(requests=self.requests + other.requests, errors=self.errors + other.errors)

    def words(self) -> str:
        """`9 errors in 61 requests (14.8 %)`."""
        noun = "error" if self.errors == 1 else "errors"
        counted = f"{_grouped(self.errors)} {noun} in {_grouped(self.requests)} requests"
        return f"{counted} ({100 * self.errors / self.requests:.1f} %)" if self.requests else counted


class Evidence(Frozen):
    """What happened since a step began."""

    canary: Arm
    stable: Arm
    """The control: stable in the same time, or at 100 %, where there is none, in the earlier steps."""
    seconds: float = Field(ge=0)
    """Between the first document of the step and the last."""
    control: str = "stable"
    """What the control is called in a sentence."""


class Judge(Protocol):
    """The seam: anything that turns evidence into a verdict. Deterministic."""

    def __call__(self, plan: CanaryPlan, step: CanaryStep, evidence: Evidence) -> GateVerdict: ...


def judge(plan: CanaryPlan, step: CanaryStep, evidence: Evidence) -> GateVerdict:
    """The threshold judge described at the top of this file."""
    canary = evidence.canary
    enough = canary.requests >= max(step.min_requests, 1)
    catastrophe = canary.errors * MILLION >= CATASTROPHE_PPM * canary.requests
    counts = f"canary {canary.words()}, {evidence.control} {evidence.stable.words()}"
    if exceeds(plan, canary, evidence.stable) and (enough or catastrophe):
        return _verdict("red", step, evidence, f"{counts}: {_limit(plan)}")
    if not enough:
        waiting = f"waiting for {_grouped(max(step.min_requests, 1))} canary requests"
        return _verdict("hold", step, evidence, f"{counts}: {waiting}")
    if evidence.seconds < step.min_seconds:
        waiting = f"{evidence.seconds:.0f} of {step.min_seconds:g} seconds have passed"
        return _verdict("hold", step, evidence, f"{counts}: {waiting}")
    return _verdict("green", step, evidence, f"{counts}: within the limits")


def exceeds(plan: CanaryPlan, canary: Arm, stable: Arm) -> bool:
    """Whether the canary fails by every one of the three limits. An unseen control counts as faultless."""
    control = stable if stable.requests else Arm(requests=1)
    over = canary.errors * control.requests - control.errors * canary.requests
    by_difference = over * MILLION > plan.max_error_ppm_over_stable * canary.requests * control.requests
    by_ratio = canary.errors * control.requests > plan.max_error_ratio * control.errors * canary.requests
    return by_difference and by_ratio and canary.errors >= plan.min_errors


def between(first: HealthDocument, last: HealthDocument, sha: str) -> Arm | None:
    """What one SHA did between two documents; None when they can't be compared.

    They can't after a restart of the router, or when a counter went backwards.
    """
    if first.router_started_at != last.router_started_at:
        return None
    before, after = _counted(first, sha), _counted(last, sha)
    requests, errors = after.requests - before.requests, after.errors - before.errors
    if requests < 0 or errors < 0:
        return None
    return Arm(requests=requests, errors=errors)


def _counted(document: HealthDocument, sha: str) -> Arm:
    for arm in document.arms:
        if arm.sha == sha:
            return Arm(requests=arm.requests, errors=arm.errors)
    return Arm()


def _verdict(colour: str, step: CanaryStep, evidence: Evidence, reason: str) -> GateVerdict:
    return GateVerdict.model_validate(
        {
            "colour": colour,
            "percent": step.percent,
            "reason": reason,
            "canary_requests": evidence.canary.requests,
            "canary_errors": evidence.canary.errors,
            "stable_requests": evidence.stable.requests,
            "stable_errors": evidence.stable.errors,
        }
    )


def _limit(plan: CanaryPlan) -> str:
    """The limits that were broken, in the plan's own numbers."""
    points = f"{plan.max_error_ppm_over_stable / 10_000:g}"
    return f"over {points} percentage points more than stable, and over {plan.max_error_ratio} times its rate"


def _grouped(number: int) -> str:
    """`1 204`: thin groups, so that long counts can be read."""
    return f"{number:,}".replace(",", " ")
