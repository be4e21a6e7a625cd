"""What the ledger keeps, and the answers it gives."""

import base64
import binascii
import zlib
from collections.abc import Callable, Iterable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Literal, TypeVar

from pydantic import Field, TypeAdapter, ValidationError

from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Cost, Lever
from policies.audit import Head, Record
from policies.decision import Finding
from policies.documents import NO_POLICY, PolicySnapshot
from policies.intent import Intent
from policies.usage import Asking, Demotion, Pause, Rejection, Sighting

MAX_POLICY_BYTES = 300_000
"""Of policies that wait for the store; older ones are not kept for replay then."""

LEASE = timedelta(minutes=15)
"""How long a reservation may wait for its commit before its outcome counts as unknown."""


class Phase(StrEnum):
    """Where a reservation is in its life.

    reserved ──commit──▶ committed ──settle──▶ settled
       ├──release: the effect certainly did not happen──▶ released (given back)
       └──the lease runs out: nobody knows──▶ lapsed ──settle──▶ settled
    """

    RESERVED = "reserved"
    COMMITTED = "committed"
    LAPSED = "lapsed"
    SETTLED = "settled"
    RELEASED = "released"


OPEN = frozenset({Phase.RESERVED, Phase.COMMITTED, Phase.LAPSED})
"""Unknown is not free: these hold their place until somebody says how it ended."""


class SettledBy(Frozen):
    """Who said how a reservation ended, because its run did not: a person, or the reconciler."""

    by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)


class Settlement(Frozen):
    """How an effect ended, and what it cost."""

    reservation: str
    outcome: Outcome
    actual: Cost | None = None
    """None: exactly the estimate."""
    settled_by: SettledBy | None = None
    """None: its own run says so."""


class Entry(Frozen):
    """One reservation as the ledger remembers it."""

    id: str
    intent: Intent
    """Without the files of its difference once nobody asks about them any more."""
    words: str
    """What would happen, verb first: `switch the flag new-checkout off for everybody`."""
    policy_digest: str
    reserved_at: Instant
    lapses_at: Instant
    phase: Phase = Phase.RESERVED
    lifted: tuple[Finding, ...] = ()
    """The escalations that people lifted; dropped when the reservation ends."""
    ended_at: Instant | None = None
    outcome: Outcome | None = None
    actual: Cost | None = None
    settled_by: SettledBy | None = None

    @property
    def open(self) -> bool:
        """Whether it holds its place."""
        return self.phase in OPEN


class ShadowEntry(Frozen):
    """What an agent in observe mode would have done, and later what people did instead."""

    id: str
    intent: Intent
    words: str
    at: Instant
    would: Literal["allow", "escalate", "deny"]
    matched: bool | None = None
    """Whether people did the same within the day after; None while nobody has looked."""
    scored_at: Instant | None = None


class SpentApproval(Frozen):
    """An approval that lifted something, remembered until it would have expired."""

    approval: str
    expires_at: Instant


class EndedQuestion(Frozen):
    """A question to people that has ended, remembered so that its end is recorded once."""

    approval: str
    at: Instant


class Deferral(Frozen):
    """A question that waits for the daily digest, and why."""

    question: Asking
    findings: tuple[Finding, ...] = Field(min_length=1)


class ParkedRun(Frozen):
    """A run that waits for a pause to end."""

    run: str
    words: str
    since: Instant
    asked_at: Instant
    """The last time it asked; one that stopped asking is forgotten."""


class RefusedPolicy(Frozen):
    """A newer policy that can't be installed: the old one stays in force."""

    revision: str
    """Where it was read: a commit, or a directory."""
    problems: tuple[str, ...] = Field(min_length=1, max_length=20)
    since: Instant


class LedgerState(Frozen):
    """Everything the ledger knows. It travels whole from one workflow run to the next."""

    snapshot: PolicySnapshot = NO_POLICY
    entries: tuple[Entry, ...] = ()
    """In the order of their reservation."""
    shadow: tuple[ShadowEntry, ...] = ()
    spent_approvals: tuple[SpentApproval, ...] = ()
    rejections: tuple[Rejection, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    questions: tuple[Asking, ...] = ()
    deferrals: tuple[Deferral, ...] = ()
    ended_questions: tuple[EndedQuestion, ...] = ()
    pauses: tuple[Pause, ...] = ()
    demotions: tuple[Demotion, ...] = ()
    parked: tuple[ParkedRun, ...] = ()
    refused_policy: RefusedPolicy | None = None
    began_anew: Instant | None = None
    """When it began without what a ledger before it had granted; None: it remembers everything."""
    audit_head: Head = Head()
    unwritten: tuple[Record, ...] = ()
    """Audit records that the store does not have yet, oldest first."""


class Committed(Frozen):
    """The policy still allows it: act now, then settle."""

    kind: Literal["committed"] = "committed"
    reservation: str


class Withdrawn(Frozen):
    """The effect must not happen: the world or the policy changed since the reservation."""

    kind: Literal["withdrawn"] = "withdrawn"
    reservation: str
    findings: tuple[Finding, ...] = Field(min_length=1)
    policy_digest: str


CommitAnswer = Annotated[Committed | Withdrawn, Field(discriminator="kind")]


class Standing(Frozen):
    """Where a reservation stands after a command."""

    reservation: str
    phase: Phase
    outcome: Outcome | None = None
    settled_by: SettledBy | None = None


class PauseRequest(Frozen):
    """Stop effects, or let the policy decide again: all, or one agent's, or one repository's."""

    by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)
    agent: Slug | None = None
    repository: Slug | None = None


class PauseState(Frozen):
    """Every pause in force."""

    pauses: tuple[Pause, ...]


class PromoteRequest(Frozen):
    """A person lifts an agent's demotion; the policy files decide again."""

    agent: Slug
    by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)


class Promoted(Frozen):
    """Which agents are demoted after the command."""

    demotions: tuple[Demotion, ...]


class AttentionRequest(Frozen):
    """May this question be put to these people now? Asked twice, answered the same."""

    approval: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    group: Slug


class Attended(Frozen):
    """Ask them now."""

    kind: Literal["attended"] = "attended"


class Deferred(Frozen):
    """They have been asked enough: put it into the daily digest."""

    kind: Literal["deferred"] = "deferred"
    findings: tuple[Finding, ...] = Field(min_length=1)


AttentionAnswer = Annotated[Attended | Deferred, Field(discriminator="kind")]


class CastVote(Frozen):
    """One person's answer, as the audit log keeps it."""

    principal: Slug
    account: str
    """`slack:T0123/U0456`, `login:ada`."""
    approve: bool
    reason: str
    via: Literal["cli", "slack", "ui"]
    at: Instant


class AnsweredQuestion(Frozen):
    """How a question to people ended, for the audit log and the cooldown after a rejection."""

    approval: str
    agent: Slug
    repository: Slug
    service: Slug
    subject: str
    lever: Lever
    request_digest: str
    policy_digest: str
    state: Literal["approved", "rejected", "expired", "withdrawn", "superseded"]
    votes: tuple[CastVote, ...]
    links: tuple[str, ...] = ()
    """Where it was shown."""
    asked_at: Instant
    ended_at: Instant


class Installed(Frozen):
    """Which policy is in force now."""

    policy_digest: str
    changed: bool


class ShadowScore(Frozen):
    """What the reconciler saw: whether people did what an agent in observe mode would have done."""

    id: str
    matched: bool


T = TypeVar("T")
_SNAPSHOTS = TypeAdapter(list[PolicySnapshot])


class LedgerStart(Frozen):
    """Input of the ledger's workflow, and what it carries into its next run."""

    organisation: str
    packed: str = ""
    """The state as JSON, deflated (RFC 1950), in base64, because a message holds 2 MB. Empty: nothing yet."""
    packed_policies: str = ""
    """The policies that the audit log does not keep yet, a JSON list packed in the same way."""

    @classmethod
    def of(
        cls, organisation: str, state: LedgerState, unkept: Iterable[PolicySnapshot] = ()
    ) -> "LedgerStart":
        """The input of the next run. Of the policies, the newest `MAX_POLICY_BYTES` when packed."""
        kept = list(unkept)
        while len(policies := _packed(_SNAPSHOTS.dump_json(kept)) if kept else "") > MAX_POLICY_BYTES:
            del kept[0]
        return cls(organisation=organisation, packed=packed(state), packed_policies=policies)

    @property
    def size(self) -> int:
        """Bytes that it needs in a message, but for the few around it."""
        return len(self.packed) + len(self.packed_policies)

    @property
    def state(self) -> LedgerState:
        """What is carried. Raises BadInput when it can't be read."""
        return self._read(self.packed, LedgerState.model_validate_json) if self.packed else LedgerState()

    @property
    def unkept(self) -> list[PolicySnapshot]:
        """Policies that came into force and that the audit log does not keep yet. Raises BadInput, too."""
        return self._read(self.packed_policies, _SNAPSHOTS.validate_json) if self.packed_policies else []

    def _read(self, packed: str, parse: Callable[[bytes], T]) -> T:
        try:
            return parse(zlib.decompress(base64.b64decode(packed)))
        except (binascii.Error, zlib.error, ValidationError) as error:
            raise BadInput(f"the ledger of {self.organisation} carries a state that can't be read") from error


def packed(state: LedgerState) -> str:
    """The state as `LedgerStart` carries it."""
    return _packed(state.model_dump_json().encode())


def _packed(plain: bytes) -> str:
    return base64.b64encode(zlib.compress(plain, level=6)).decode()
