"""What the ledger keeps: one bounded state, and the answers it gives."""

from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.outcomes import Outcome
from policies.decision import Finding
from policies.documents import NO_POLICY, PolicySnapshot
from policies.evaluate import Pause
from policies.usage import Intent, Use

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
    """The person who said how a reservation ended, because no run did."""

    by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)


class Entry(Frozen):
    """One reservation as the ledger remembers it."""

    id: str
    intent: Intent
    policy_digest: str
    reserved_at: Instant
    lapses_at: Instant
    phase: Phase = Phase.RESERVED
    lifted: tuple[Finding, ...] = ()
    """The escalations that people lifted; dropped when the reservation ends."""
    outcome: Outcome | None = None
    settled_by: SettledBy | None = None
    """None when its own run settled it."""

    @property
    def open(self) -> bool:
        """Whether it holds its place."""
        return self.phase in OPEN


class SpentApproval(Frozen):
    """An approval that lifted something, remembered until it would have expired."""

    approval: str
    expires_at: Instant


class LedgerState(Frozen):
    """Everything the ledger knows. It travels whole from one workflow run to the next."""

    snapshot: PolicySnapshot = NO_POLICY
    entries: tuple[Entry, ...] = ()
    """In the order of their reservation."""
    spent_approvals: tuple[SpentApproval, ...] = ()
    pause: Pause | None = None

    def entry(self, reservation: str) -> Entry | None:
        """The reservation of that id, if the ledger remembers it."""
        return next((entry for entry in self.entries if entry.id == reservation), None)

    def uses(self, *, but: str = "") -> tuple[Use, ...]:
        """What the rules count, without the reservation named `but`."""
        return tuple(
            Use(intent=entry.intent, at=entry.reserved_at, held=entry.open)
            for entry in self.entries
            if entry.phase is not Phase.RELEASED and entry.id != but
        )

    def with_entry(self, changed: Entry) -> "LedgerState":
        """The state with the entry of the same id replaced."""
        entries = tuple(changed if entry.id == changed.id else entry for entry in self.entries)
        return self.model_copy(update={"entries": entries})


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
    """Where a reservation is now."""

    reservation: str
    phase: Phase
    outcome: Outcome | None = None
    settled_by: SettledBy | None = None


class PauseRequest(Frozen):
    """Somebody stops every effect, or lets them go on, and says why."""

    by: str = Field(min_length=1, max_length=100)
    reason: str = Field(min_length=1, max_length=500)


class PauseState(Frozen):
    """Whether the ledger is paused now, and by whom."""

    pause: Pause | None


class Installed(Frozen):
    """Which policy is in force now."""

    policy_digest: str
    changed: bool


class LedgerStart(Frozen):
    """Input of the ledger's workflow, and what it carries into its next run."""

    organisation: str
    state: LedgerState = LedgerState()


def next_lapse(state: LedgerState) -> datetime | None:
    """When the next waiting reservation lapses."""
    return min((entry.lapses_at for entry in state.entries if entry.phase is Phase.RESERVED), default=None)
