"""Decisions. `Allowed` is the only way to get a `Reservation`, and every agent's effect takes one."""

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import digest
from leverframe.model.proposals import Effect, Lever


class Verdict(IntEnum):
    """A lattice: the strictest finding decides."""

    ALLOW = 0
    ESCALATE = 1
    DENY = 2


class Finding(Frozen):
    """One rule's verdict on a proposal's step."""

    rule: str
    """A stable dotted path into the policy document, for example `org.limits.flips-per-hour`."""
    verdict: Verdict
    observed: str
    limit: str
    retry_at: Instant | None = None
    """When merely waiting would make the rule pass."""
    remedy: str
    """One imperative sentence: what would make it pass."""
    source: str
    """`policies/defaults/org.yaml:14`."""


class Approval(Frozen):
    """People said yes to exactly this effect."""

    approval: str
    """The approval's workflow id; a ledger consumes it once."""
    effect_digest: str
    policy_digest: str
    approvers: tuple[str, ...] = Field(min_length=1)
    expires_at: Instant


class ReserveRequest(Frozen):
    """Ask the ledger for one effect."""

    reservation: str
    """The caller's key: `<run>/<step>`. Asked twice, answered the same."""
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    effect: Effect
    approval: Approval | None = None

    @property
    def lever(self) -> Lever:
        """The kind of action that is asked for."""
        return self.effect.lever


class Reservation(Frozen):
    """The proof that policy allowed one effect, and the only key to it."""

    id: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    effect: Effect
    effect_digest: str
    policy_digest: str
    reserved_at: Instant
    lapses_at: Instant


class Allowed(Frozen):
    """Every rule passes; the slot is taken."""

    kind: Literal["allow"] = "allow"
    reservation: Reservation
    findings: tuple[Finding, ...] = ()

    @classmethod
    def grant(
        cls,
        request: ReserveRequest,
        *,
        policy_digest: str,
        now: Instant,
        lapses_at: Instant,
        findings: tuple[Finding, ...] = (),
    ) -> "Allowed":
        """The one place where a reservation comes into being; only `policies.ledger` calls it."""
        return cls(
            findings=findings,
            reservation=Reservation(
                id=request.reservation,
                agent=request.agent,
                repository=request.repository,
                service=request.service,
                subject=request.subject,
                effect=request.effect,
                effect_digest=digest(request.effect),
                policy_digest=policy_digest,
                reserved_at=now,
                lapses_at=lapses_at,
            ),
        )


class Escalated(Frozen):
    """A person may lift it."""

    kind: Literal["escalate"] = "escalate"
    findings: tuple[Finding, ...] = Field(min_length=1)
    policy_digest: str
    quorum: int = Field(ge=1)
    expires_after_seconds: int = Field(gt=0)


class Denied(Frozen):
    """Nobody may lift it: the policy itself would have to change, or time to pass."""

    kind: Literal["deny"] = "deny"
    findings: tuple[Finding, ...] = Field(min_length=1)
    policy_digest: str
    retry_at: Instant | None = None


Decision = Annotated[Allowed | Escalated | Denied, Field(discriminator="kind")]
