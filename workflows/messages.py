"""What the workflows take and send each other. The workflow id says who; these say what."""

from typing import Annotated, Literal

from pydantic import Field

from agents.contract import Due
from leverframe.model.changes import CarOutcome
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Effect
from leverframe.model.releases import ReleaseOutcome
from leverframe.model.untrusted import Untrusted
from policies.decision import Approval, Finding


class WatchStart(Frozen):
    """Input of `WatchWorkflow`, and what it carries into its next run."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    tuning: dict[str, int] = Field(default_factory=dict)
    """The agent's settings, all integers."""
    ui_url: str = ""
    """Base address of the Temporal UI, for links."""
    state: dict[str, object] | None = None
    """The agent's state, as JSON of its `state_type`; None for a subject never seen before."""
    seen: tuple[str, ...] = ()
    """Ids of the newest batches that were folded in, oldest first; bounded."""
    runs: int = 0
    active_run: str | None = None
    active_since: Instant | None = None
    quiet_since: Instant | None = None
    title: Untrusted = Untrusted("")
    events: int = 0
    """Events folded in, each once."""
    batches: int = 0
    escalations: int = 0


class RunRequest(Frozen):
    """Input of `RemediationWorkflow`."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    due: Due
    detected_at: Instant
    watch: str
    """The watch's workflow id: it gets `run_settled`."""
    ui_url: str = ""


class RunSettled(Frozen):
    """A run tells its watch that it has ended."""

    run: str
    outcome: Outcome


class ApprovalRequest(Frozen):
    """Input of `ApprovalWorkflow`: one question to people, bound to exactly one effect."""

    title: str
    """Verb and object in plain words."""
    body: str
    """Markdown with the findings, the evidence and the exact effect."""
    agent: Slug
    repository: Slug
    subject: str
    run: str
    effect: Effect
    effect_digest: str
    policy_digest: str
    findings: tuple[Finding, ...]
    quorum: int = Field(ge=1)
    expires_after_seconds: int = Field(gt=0)


class Vote(Frozen):
    """One person's answer, through Slack, the CLI or the UI: one door."""

    voter: str = Field(min_length=1, max_length=100)
    approve: bool
    reason: str = Field(default="", max_length=500)
    effect_digest: str
    """What the person saw; a vote for anything else is refused."""
    via: Literal["cli", "slack", "ui"]


class Approved(Frozen):
    kind: Literal["approved"] = "approved"
    approval: Approval


class Rejected(Frozen):
    kind: Literal["rejected"] = "rejected"
    by: str
    reason: str


class Expired(Frozen):
    kind: Literal["expired"] = "expired"


ApprovalResult = Annotated[Approved | Rejected | Expired, Field(discriminator="kind")]

__all__ = [
    "ApprovalRequest",
    "ApprovalResult",
    "Approved",
    "CarOutcome",
    "Expired",
    "Rejected",
    "ReleaseOutcome",
    "RunRequest",
    "RunSettled",
    "Vote",
    "WatchStart",
]
