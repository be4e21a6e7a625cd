"""Outcomes: how a run ended, and the report that a person reads."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.proposals import Lever, Proposal


class Outcome(StrEnum):
    """How a run ended."""

    LANDED = "landed"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    EXPIRED = "expired"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class StepReport(Frozen):
    """What became of one rung."""

    lever: Lever
    purpose: Literal["mitigate", "repair", "restore"]
    verdict: Literal["allow", "escalate", "deny"]
    findings: tuple[str, ...] = ()
    """One sentence each, as `policies.explain` words them."""
    result: Literal["done", "denied", "expired", "rejected", "failed", "skipped"]
    detail: str
    reservation: str | None = None
    change: str | None = None
    """The change that its lever opened, however that fared."""
    started_at: Instant
    ended_at: Instant
    timings_ms: dict[str, int] = Field(default_factory=dict)


class RunReport(Frozen):
    """One agent run, whole."""

    run: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    outcome: Outcome | None = None
    """None while the run goes on."""
    detail: str
    """How it ended, or what it is doing."""
    detected_at: Instant
    ended_at: Instant | None = None
    proposal: Proposal | None = None
    steps: tuple[StepReport, ...] = ()
