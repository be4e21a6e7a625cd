"""Decisions. `Allowed` is the only way to get a `Reservation`, and every agent's effect takes one."""

from datetime import timedelta
from enum import IntEnum
from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.differences import TreeDifference
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import digest
from leverframe.model.proposals import MAX_REQUESTERS, Affected, Cost, Effect, Lever, Measurement
from policies.people import Group, Principal


class Verdict(IntEnum):
    """A lattice: the strictest finding decides."""

    ALLOW = 0
    ESCALATE = 1
    DENY = 2

    @property
    def word(self) -> Literal["allow", "escalate", "deny"]:
        """As JSON and people write it."""
        words: dict[Verdict, Literal["allow", "escalate", "deny"]] = {
            Verdict.ALLOW: "allow",
            Verdict.ESCALATE: "escalate",
            Verdict.DENY: "deny",
        }
        return words[self]


class Finding(Frozen):
    """One rule's verdict on what is asked."""

    rule: str
    """A stable dotted path into the policy document, for example `org.limits.flips-per-hour`."""
    verdict: Verdict
    observed: str
    figure: int | None = None
    """The number in `observed` that grows as things get worse; None when its words are all there is."""
    limit: str
    retry_at: Instant | None = None
    """When merely waiting would make the rule pass."""
    remedy: str
    """One imperative sentence: what would make it pass."""
    source: str
    """`org.yaml:14`, relative to the policy directory; `ledger` for what no file says."""

    def covers(self, later: "Finding") -> bool:
        """Whether who saw this one saw the later one, too: the same rule, and the same or better observed."""
        if self.rule != later.rule:
            return False
        if self.figure is None or later.figure is None:
            return self.observed == later.observed
        return later.figure <= self.figure


class Approval(Frozen):
    """People said yes to exactly this."""

    approval: str
    """The approval's workflow id; a ledger consumes it once."""
    request_digest: str
    policy_digest: str
    lifts: tuple[Finding, ...]
    """What people were shown; a rule that is not among it, or observes worse by now, is not lifted."""
    approvers: tuple[Principal, ...] = Field(min_length=1)
    expires_at: Instant


class _Asked(Frozen):
    """What a digest covers: what would be done, to what, by whom. Not why, and not on which base."""

    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    effect: Effect
    patch: str | None


class ReserveRequest(Frozen):
    """Ask the ledger for one effect."""

    reservation: str
    """The caller's key: `<run>/<step>`. Asked twice, answered the same."""
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    effect: Effect
    difference: TreeDifference | None = None
    """What the effect would change in the repository; rules on paths deny when it is missing."""
    cost: Cost | None = None
    """The estimate; limits in cents or tokens deny when it is missing."""
    evidence: tuple[Measurement, ...] = Field(default=(), max_length=50)
    affected: Affected | None = None
    lineage: tuple[str, ...] = Field(default=(), max_length=20)
    """The runs whose effects led here, oldest first."""
    requesters: tuple[str, ...] = Field(default=(), max_length=MAX_REQUESTERS)
    """Git addresses and logins of people who must not approve."""
    approval: Approval | None = None

    @property
    def lever(self) -> Lever:
        """The kind of action that is asked for."""
        return self.effect.lever

    @property
    def run(self) -> str:
        """The run that asks: a reservation's id is `<run>/<step>`."""
        return self.reservation.rpartition("/")[0] or self.reservation

    @property
    def digest(self) -> str:
        """Names exactly what would be done: approvals and reservations are bound to it."""
        return digest(
            _Asked(
                agent=self.agent,
                repository=self.repository,
                service=self.service,
                subject=self.subject,
                effect=self.effect,
                patch=self.difference.patch if self.difference else None,
            )
        )


class Reservation(Frozen):
    """The proof that policy allowed one effect, and the only key to it."""

    id: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    effect: Effect
    effect_digest: str
    patch: str | None = None
    """The `patch` of the difference that policy looked at; what is pushed must have the same."""
    policy_digest: str
    reserved_at: Instant
    lapses_at: Instant

    @property
    def run(self) -> str:
        """The run that holds it."""
        return self.id.rpartition("/")[0] or self.id


class Allowed(Frozen):
    """Every rule passes; the slot is taken."""

    kind: Literal["allow"] = "allow"
    reservation: Reservation
    findings: tuple[Finding, ...] = ()
    """The escalations that people lifted."""

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
                patch=request.difference.patch if request.difference else None,
                policy_digest=policy_digest,
                reserved_at=now,
                lapses_at=lapses_at,
            ),
        )


class Terms(Frozen):
    """What lifting an escalation takes."""

    chain: tuple[Group, ...] = Field(min_length=1)
    """Who is asked, first group first; only these people may vote."""
    quorum: int = Field(ge=1)
    """How many different people must say yes."""
    remind_after: timedelta
    escalate_after: timedelta
    """Silence of a group for so long brings in the next one."""
    expires_after: timedelta


class Escalated(Frozen):
    """A person may lift it."""

    kind: Literal["escalate"] = "escalate"
    findings: tuple[Finding, ...] = Field(min_length=1)
    policy_digest: str
    terms: Terms


class Denied(Frozen):
    """Nobody may lift it: the policy itself would have to change, or time to pass."""

    kind: Literal["deny"] = "deny"
    findings: tuple[Finding, ...] = Field(min_length=1)
    policy_digest: str
    retry_at: Instant | None = None
    paused: bool = False
    """Nothing but a pause stands in the way: park, and ask again when it is over."""
    would: Literal["allow", "escalate", "deny"] | None = None
    """In observe mode: what the shadow ledger says."""


Decision = Annotated[Allowed | Escalated | Denied, Field(discriminator="kind")]
