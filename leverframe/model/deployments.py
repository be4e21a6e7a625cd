"""Deployments as they are kept for good: each release with its moments, and each hand that moved production.

The engine forgets a release after its retention; the delivery figures are counted from these.
"""

from typing import Literal

from pydantic import Field

from leverframe.model.changes import Author, Receipt
from leverframe.model.frozen import Frozen, Instant, Sha, Slug

ReleaseEnding = Literal["landed", "rolled_back", "superseded", "failed"]

Rework = Literal["hotfix", "revert", "repair"]
"""Why a deployment was not planned: it rode at the priority of a hotfix, it undoes a landed commit, or an
agent that watches errors made it."""


class ChangeOrigin(Frozen):
    """What git says of a change's beginning."""

    committed_at: Instant | None = None
    """When the oldest of its commits was written, by its author's clock."""
    reverts: Sha | None = None
    """The commit that it undoes, as `git revert` words it."""


class Moments(Frozen):
    """When a release came how far."""

    began_at: Instant | None = None
    in_dev_at: Instant | None = None
    """When dev ran it and answered."""
    entered_at: Instant | None = None
    """When production's first request could reach it."""
    live_at: Instant | None = None
    """When it became stable at 100 %."""
    recovered_at: Instant | None = None
    """When every request was back on stable, of one that was taken back."""

    def at_share(self, percent: int, *, promoted: bool, now: Instant) -> "Moments":
        """The moments once it has that share of production's requests. Said again, nothing changes."""
        known = self
        if percent > 0 and known.entered_at is None:
            known = known.model_copy(update={"entered_at": now})
        if percent == 100 and promoted and known.live_at is None:
            known = known.model_copy(update={"live_at": now})
        if percent == 0 and known.entered_at is not None and known.recovered_at is None:
            known = known.model_copy(update={"recovered_at": now})
        return known


class ReleaseEntry(Frozen):
    """What a release tells of itself, at its start and at its end."""

    receipt: Receipt
    moments: Moments
    replaced: Sha | None = None
    """What was stable when it entered production."""
    ended_at: Instant | None = None
    outcome: ReleaseEnding | None = None
    """None while it is on its way."""
    reached_percent: int = Field(default=0, ge=0, le=100)
    """The largest share of production's requests that it had."""
    detail: str = ""


class DeploymentRecord(Frozen):
    """One landed commit, from its first line to its end in production."""

    repository: Slug
    service: Slug
    sha: Sha
    sequence: int = Field(ge=1)
    """Of its receipt: a commit contains every one with a smaller number."""
    change: str
    author: Author
    committed_at: Instant | None = None
    opened_at: Instant | None = None
    """When the change was opened on the forge."""
    landed_at: Instant
    rework: Rework | None = None
    """None: planned."""
    reverts: Sha | None = None
    began_at: Instant
    replaced: Sha | None = None
    entered_at: Instant | None = None
    live_at: Instant | None = None
    recovered_at: Instant | None = None
    ended_at: Instant | None = None
    outcome: ReleaseEnding | None = None
    reached_percent: int = Field(default=0, ge=0, le=100)
    detail: str = ""


class Repointing(Frozen):
    """Production's overlay was moved by somebody other than the release machinery: a person, an agent."""

    service: Slug
    landed_as: Sha
    """The commit that moved it."""
    named: Sha
    """What production should run from then on."""
    change: str
    author: Author
    landed_at: Instant


class DeploymentHistory(Frozen):
    """Everything that is kept, in no particular order."""

    deployments: tuple[DeploymentRecord, ...] = ()
    repointings: tuple[Repointing, ...] = ()
