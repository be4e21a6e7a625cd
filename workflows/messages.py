"""What the workflows take and send each other. The workflow id says who; these say what."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field
from temporalio.exceptions import ApplicationError

from agents.contract import Due
from leverframe.model.changes import CarOutcome
from leverframe.model.differences import TreeDifference
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import short_hash
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Effect, Measurement
from leverframe.model.releases import ReleaseOutcome
from leverframe.model.untrusted import Untrusted
from policies.decision import Approval, Finding, Terms
from policies.question import Question, QuestionState
from policies.reservations import CastVote


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
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    run: str
    run_url: str
    effect: Effect
    difference: TreeDifference | None = None
    request_digest: str
    policy_digest: str
    why: str
    reversibility: str
    findings: tuple[Finding, ...]
    error: Untrusted
    evidence: tuple[Measurement, ...]
    terms: Terms
    requesters: tuple[str, ...] = ()

    @property
    def batch(self) -> str:
        """The same for questions that one message may hold: one agent, one lever, the same rules."""
        rules = sorted({finding.rule for finding in self.findings})
        return short_hash(self.agent, self.repository, self.effect.lever, *rules)


class Vote(Frozen):
    """One person's answer, through Slack, the CLI or the UI: one door."""

    account: str = Field(pattern=r"^(?:login|slack):.{1,120}$")
    """How the door knows the person: `slack:T0123/U0456`, `login:ada`. The policy's people.yaml says who
    that is; a name that anybody can type is no proof of itself."""
    approve: bool
    reason: str = Field(default="", max_length=500)
    request_digest: str
    """What the person saw; a vote for anything else is refused."""
    via: Literal["cli", "slack", "ui"]


class Supersede(Frozen):
    """What was asked about is no longer what would be done: the votes are void."""

    request_digest: str
    why: str


VOTE_REFUSED = "VoteRefused"
"""The error type of a refused vote; its one detail is the `VoteRefusal`."""


class VoteRefusal(StrEnum):
    """Why a vote does not count."""

    CLOSED = "closed"
    UNKNOWN_PERSON = "unknown_person"
    """The account is of a workspace in which nobody is asked."""
    NOT_ASKED = "not_asked"
    """None of the people who are asked has the account."""
    OWN_CHANGE = "own_change"
    NOT_A_PERSON = "not_a_person"
    OTHER_EFFECT = "other_effect"
    VOTED_OTHERWISE = "voted_otherwise"

    def because(self, words: str) -> ApplicationError:
        """The refusal as `decide` raises it: the sentence for the person, the reason for the door."""
        return ApplicationError(words, self.value, type=VOTE_REFUSED, non_retryable=True)

    @classmethod
    def of(cls, cause: BaseException | None) -> "VoteRefusal | None":
        """Why a vote was refused, from the cause of the failed Update; None: it failed for another reason."""
        if isinstance(cause, ApplicationError) and cause.type == VOTE_REFUSED and cause.details:
            return cls(cause.details[0])
        return None


class QuestionStanding(Frozen):
    """What was asked, and how it stands: the answer to the query `question`."""

    question: Question
    state: QuestionState
    standing: str
    """The state in one sentence, with who said what."""
    votes: tuple[CastVote, ...] = ()
    """In the order they came, one a person."""
    shown: tuple[str, ...] = ()
    """Where it can be seen, as the chats said."""


class Approved(Frozen):
    kind: Literal["approved"] = "approved"
    approval: Approval


class Rejected(Frozen):
    kind: Literal["rejected"] = "rejected"
    by: str
    reason: str


class Expired(Frozen):
    kind: Literal["expired"] = "expired"


class Superseded(Frozen):
    kind: Literal["superseded"] = "superseded"
    why: str


ApprovalResult = Annotated[Approved | Rejected | Expired | Superseded, Field(discriminator="kind")]

__all__ = [
    "ApprovalRequest",
    "ApprovalResult",
    "Approved",
    "CarOutcome",
    "Expired",
    "QuestionStanding",
    "Rejected",
    "ReleaseOutcome",
    "RunRequest",
    "RunSettled",
    "Supersede",
    "Superseded",
    "Vote",
    "VoteRefusal",
    "WatchStart",
]
