"""The one health document of a service: what real traffic did to each SHA, and what the gate says of it.

Argo Rollouts' `web` provider and other pollers read `gate.verdict`. It is `stale` when nobody has judged for
a while: a gate that is dead must not look green.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Literal

from temporalio.client import Client

from activities.delivery_ports import Metrics
from leverframe.gateway.questions import answer_of
from leverframe.model.frozen import Frozen, Instant, Sha
from leverframe.model.ids import release_id
from leverframe.model.releases import HealthDocument
from leverframe.model.topology import Service
from workflows.release.story import Progress

ANSWER_SECONDS = 3.0

MISSED_LOOKS = 5
"""After so many looks that did not come, and a minute, the gate is stale."""


class GateNow(Frozen):
    """What the gate says now."""

    verdict: Literal["green", "hold", "red", "stale", "none"]
    """`none`: no release of ours is in the canary."""
    sha: Sha | None = None
    weight: int = 0
    evidence: float = 1.0
    excluded: float | None = None
    explanation: str = ""
    judged_at: Instant | None = None
    paused_by: str | None = None
    stands_still: str | None = None
    """Since when people have to decide, and when it goes back by itself."""


class ReleaseHealth(HealthDocument):
    """The counts of real traffic with the gate's word."""

    gate: GateNow


async def release_health(service: Service, metrics: Metrics, client: Client) -> ReleaseHealth:
    """The document of now.

    Raises:
        Unavailable: the metrics are blind, or the engine does not answer: nobody can say that it is well.
    """
    document = await asyncio.to_thread(metrics.release_health, service.name)
    now = GateNow(verdict="none", explanation="no release is in the canary")
    if document.canary is not None:
        progress = await answer_of(
            client,
            release_id(service.name, document.canary),
            "progress",
            Progress,
            who="release",
            seconds=ANSWER_SECONDS,
        )
        if progress is not None and progress.outcome is None:
            now = gate_now(progress, service.canary.poll_seconds, datetime.now(UTC))
    return ReleaseHealth(**dict(document), gate=now)


def gate_now(progress: Progress, poll_seconds: float, now: datetime) -> GateNow:
    """The gate's last word, or that it is too old."""
    seen, paused = progress.verdict, progress.helm.paused
    if seen is None or progress.judged_at is None:
        return GateNow(verdict="hold", sha=progress.sha, explanation="the gate has not judged yet")
    silence = timedelta(seconds=60 + MISSED_LOOKS * poll_seconds)
    stale = now - progress.judged_at > silence
    return GateNow(
        verdict="stale" if stale else seen.colour,
        sha=progress.sha,
        weight=progress.percent,
        evidence=seen.evidence,
        excluded=seen.excluded,
        explanation=f"nobody has judged for {silence.total_seconds():g} s" if stale else seen.reason,
        judged_at=progress.judged_at,
        paused_by=paused.person if paused else None,
        stands_still=progress.standstill.words() if progress.standstill else None,
    )
