"""Usage: what the ledger knows that the rules look at, indexed so that a question costs no scan."""

from typing import Literal

from pydantic import Field

from leverframe.model.differences import TreeDifference
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.ids import digest
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import (
    Affected,
    Cost,
    Effect,
    FlipFlag,
    Lever,
    Measurement,
    RevertChange,
    RollBack,
)
from policies.decision import ReserveRequest
from policies.rules import Autonomy, Direction


class Intent(Frozen):
    """What the rules look at in a request."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    request_digest: str
    effect_digest: str
    flag: str | None = None
    direction: Direction | None = None
    commit: Sha | None = None
    """What a revert undoes, or what a rollback goes back to."""
    difference: TreeDifference | None = None
    cost: Cost | None = None
    evidence: tuple[Measurement, ...] = ()
    affected: Affected | None = None
    lineage: tuple[str, ...] = ()
    requesters: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: ReserveRequest) -> "Intent":
        """The intent of a request. Two requests with equal digests ask for the same thing."""
        effect = request.effect
        flip = effect if isinstance(effect, FlipFlag) else None
        return cls(
            agent=request.agent,
            repository=request.repository,
            service=request.service,
            subject=request.subject,
            lever=request.lever,
            request_digest=request.digest,
            effect_digest=digest(effect),
            flag=flip.flag if flip else None,
            direction=("to_on" if flip.on else "to_off") if flip else None,
            commit=_commit(effect),
            difference=request.difference,
            cost=request.cost,
            evidence=request.evidence,
            affected=request.affected,
            lineage=request.lineage,
            requesters=request.requesters,
        )

    def effect(self) -> Effect:
        """What would be done, without the words around it: enough to look whether it was."""
        if self.flag is not None:
            return FlipFlag(flag=self.flag, on=self.direction == "to_on")
        if self.commit is None:
            raise BadInput(f"the intent of {self.agent} on {self.subject} names neither a flag nor a commit")
        if self.lever is Lever.ROLL_BACK:
            return RollBack(service=self.service, to=self.commit)
        return RevertChange(repository=self.repository, commit=self.commit, title="", body="")


def _commit(effect: Effect) -> str | None:
    match effect:
        case RollBack():
            return effect.to
        case RevertChange():
            return effect.commit
        case FlipFlag():
            return None


class Use(Frozen):
    """One granted effect that was not given back."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    at: Instant
    """When it was reserved: windows count from here."""
    held: bool = True
    """Its outcome is not known yet."""
    cost: Cost = Cost()
    """The estimate until it is settled, then the actual figure."""
    outcome: Outcome | None = None
    """None while held."""
    ended_at: Instant | None = None
    overrun: bool = False
    """It cost more than was reserved: bad for the breaker, whatever its outcome."""


class Rejection(Frozen):
    """People said no."""

    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    at: Instant


class Sighting(Frozen):
    """A subject asked for an effect, whatever became of it: storms are seen by these."""

    repository: Slug
    service: Slug
    subject: str
    at: Instant
    """The last time."""


class Asking(Frozen):
    """People were asked: their attention is limited, too."""

    approval: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    group: Slug
    at: Instant


class Pause(Frozen):
    """An operator stopped effects without touching a file: all of them, or one agent's, or one repository's."""

    by: str
    reason: str
    since: Instant
    agent: Slug | None = None
    repository: Slug | None = None

    def stops(self, agent: str, repository: str) -> bool:
        """Whether it is about an effect of that agent in that repository."""
        return self.agent in (None, agent) and self.repository in (None, repository)


class Demotion(Frozen):
    """An agent was lowered by its outcomes. Only a person lifts it."""

    agent: Slug
    to: Autonomy
    since: Instant
    reason: str


class UsageDocument(Frozen):
    """Usage as plain data: what `policy explain --usage` reads, and what the index is built of."""

    uses: tuple[Use, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    questions: tuple[Asking, ...] = ()
    pauses: tuple[Pause, ...] = ()
    demotions: tuple[Demotion, ...] = ()
