"""A question to people: everything that whoever is asked needs to see, for any chat to render."""

from typing import Literal

from pydantic import Field

from leverframe.model.differences import TreeDifference
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.proposals import Effect, Lever, Measurement
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Terms

QuestionState = Literal["open", "approved", "rejected", "expired", "withdrawn", "superseded"]


class Question(Frozen):
    """What is asked, why, of whom, and until when."""

    approval: str
    """The approval's workflow id: buttons carry this and nothing else."""
    title: str
    """Verb and object in plain words: `Switch the flag new-checkout off for everybody`."""
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    run: str
    run_url: str
    """Where a person opens the run; ours."""
    effect: Effect
    difference: TreeDifference | None = None
    request_digest: str
    policy_digest: str
    why: str
    """The step's reason, one sentence of ours."""
    reversibility: str
    """How it can be undone, and how fast."""
    findings: tuple[Finding, ...] = Field(min_length=1)
    error: Untrusted
    """What the agent saw, as the outside says it."""
    evidence: tuple[Measurement, ...]
    terms: Terms
    requesters: tuple[str, ...] = ()
    """Git addresses and logins of people who must not approve."""
    asked_at: Instant
    expires_at: Instant
    batch: str
    """Like questions have the same: one message may hold them."""

    @property
    def lever(self) -> Lever:
        """The kind of action in question."""
        return self.effect.lever


class VoteLine(Frozen):
    """One person's answer, for display."""

    name: str
    approve: bool
    reason: str
    via: Literal["cli", "slack", "ui"]
    at: Instant


class Ending(Frozen):
    """How a question ended: shown in the place of its buttons, whichever door the answer came through."""

    state: QuestionState
    text: str
    """One sentence: who, what, why."""
    votes: tuple[VoteLine, ...] = ()
    ended_at: Instant
