"""What Flagger and the Deployments that it moves say, and what that means. Pure.

https://docs.flagger.app/usage/how-it-works: the target Deployment is the canary, scaled to zero in between;
its copy `<target>-primary` is stable.
"""

import re
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from activities.backends.argo_answers import Answer, Deployment, Metadata
from leverframe.model.releases import DeliveryState, Environment

Phase = Literal[
    "", "Initializing", "Initialized", "Waiting", "Progressing", "WaitingPromotion", "Promoting",
    "Finalising", "Succeeded", "Failed", "Terminating", "Terminated",
]  # fmt: skip

GATES = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
"""The hooks without which Flagger would move on its own."""


USUAL_INTERVAL, LEAST_INTERVAL = 60.0, 10.0
"""Seconds: what Flagger takes where none can be read, and the shortest that it keeps."""

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]*)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


class _Webhook(Answer):
    type: str = ""
    url: str = ""


class _Analysis(Answer):
    interval: str = ""
    step_weights: tuple[int, ...] = ()
    step_weight: int = 0
    max_weight: int = 0
    iterations: int = 0
    mirror: bool = False
    webhooks: tuple[_Webhook, ...] = ()


class _Spec(Answer):
    skip_analysis: bool = False
    suspend: bool = False
    analysis: _Analysis = _Analysis()


class _Status(Answer):
    phase: Phase = ""
    canary_weight: int = Field(default=0, ge=0, le=100)


class FlaggerCanary(Answer):
    """The Canary object."""

    metadata: Metadata
    spec: _Spec = _Spec()
    status: _Status = _Status()


@dataclass(frozen=True)
class Sight:
    """One look at a Canary and its two Deployments."""

    object: FlaggerCanary
    target: Deployment
    primary: Deployment | None
    container: str

    @property
    def version(self) -> str:
        """The Canary's resource version."""
        return self.object.metadata.resource_version

    @property
    def phase(self) -> Phase:
        return self.object.status.phase

    @property
    def wanted(self) -> str | None:
        """What the target names, which follows git."""
        return self.target.spec.template.sha(self.container)

    @property
    def stable(self) -> str | None:
        """What the primary runs; None before Flagger has made it."""
        if self.primary is None or self.phase in ("", "Initializing"):
            return None
        return self.primary.spec.template.sha(self.container)

    @property
    def canary(self) -> str | None:
        """What is being let in."""
        under_way = self.phase in ("Waiting", "Progressing", "WaitingPromotion")
        return self.wanted if under_way and self.wanted != self.stable else None

    @property
    def percent(self) -> int:
        """What the canary gets. While it waits to be promoted, the status says 0 and the routes do not."""
        if self.canary is None:
            return 0
        steps = steps_of(self.object)
        if self.phase == "WaitingPromotion" and steps:
            return max(steps)
        return self.object.status.canary_weight

    @property
    def promoted(self) -> bool:
        """Nothing is on its way, and what git names is stable."""
        return self.phase in ("Initialized", "Succeeded") and self.stable == self.wanted

    @property
    def unasked(self) -> bool:
        """It has requests, but its pods are not ready: Flagger asks no hook then, not even `rollback`."""
        return self.percent > 0 and not self.target.rolled_out

    def trouble(self) -> list[str]:
        """Why it is not as it should be."""
        if self.primary is None or self.phase in ("", "Initializing"):
            return ["Flagger has not made its primary yet"]
        said = [] if self.primary.rolled_out else ["the pods of stable are not ready"]
        started = self.target.spec.replicas > 0 and self.target.rolled_out
        if self.canary is not None and self.phase != "Waiting" and not started:
            said.append("the pods of the canary are not ready")
        if self.phase in ("Promoting", "Finalising"):
            said.append("Flagger is making the canary stable")
        if self.phase in ("Initialized", "Succeeded") and self.stable != self.wanted:
            said.append("Flagger has not begun with it yet")
        return said

    def state(self, environment: Environment) -> DeliveryState:
        """As the port tells it."""
        trouble = self.trouble()
        waiting = self.phase == "Waiting" and self.canary is not None
        return DeliveryState(
            environment=environment,
            wanted=self.wanted,
            stable=self.stable,
            canary=self.canary,
            canary_percent=self.percent,
            ready=not trouble,
            detail="; ".join(trouble) or ("Flagger waits for a release to let it in" if waiting else ""),
        )


def interval_of(canary: FlaggerCanary) -> float:
    """Seconds between two looks of Flagger, so the longest that it takes to send requests back."""
    text = canary.spec.analysis.interval
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return USUAL_INTERVAL
    return max(sum(float(number) * _SECONDS[unit] for number, unit in parts), LEAST_INTERVAL)


def steps_of(canary: FlaggerCanary) -> tuple[int, ...]:
    """The weights at which Flagger asks before it goes on."""
    analysis = canary.spec.analysis
    if analysis.step_weights or not analysis.step_weight:
        return analysis.step_weights
    most = analysis.max_weight or 100
    return tuple(range(analysis.step_weight, most + 1, analysis.step_weight))
