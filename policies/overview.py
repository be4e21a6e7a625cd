"""The overview: what a person asks the ledger first. How much room is left, and what is still open?"""

from datetime import datetime
from typing import Literal

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.proposals import Lever
from policies.documents import Limit, PolicyDocument, duration_words
from policies.evaluate import Pause
from policies.layering import is_about
from policies.reservations import Entry, LedgerState, Phase
from policies.usage import Use, scope_key, sees


class Headroom(Frozen):
    """One limit, for one group of effects that count together."""

    rule: str
    scope: str
    """`sentry_spike · shop`; empty for a limit that everything shares, or that nothing uses now."""
    used: int
    max: int | Literal["unlimited"]
    span: str
    """`1h`, or `unsettled`."""


class OpenReservation(Frozen):
    """A reservation that holds its place."""

    id: str
    agent: str
    repository: str
    subject: str
    lever: Lever
    phase: Phase
    reserved_at: Instant


class LedgerOverview(Frozen):
    """The ledger at one time."""

    organisation: str
    policy_digest: str
    files: tuple[str, ...]
    pause: Pause | None
    headroom: tuple[Headroom, ...]
    open: tuple[OpenReservation, ...]
    """Oldest first."""


def overview(organisation: str, state: LedgerState, now: datetime) -> LedgerOverview:
    """What the ledger knows at `now`, without its history."""
    uses = state.uses()
    return LedgerOverview(
        organisation=organisation,
        policy_digest=state.snapshot.digest,
        files=tuple(document.file for document in state.snapshot.documents),
        pause=state.pause,
        headroom=tuple(
            row
            for document in state.snapshot.documents
            for limit in document.rules.limits
            for row in _headroom(document, limit, uses, now)
        ),
        open=tuple(_open(entry) for entry in state.entries if entry.open),
    )


def _headroom(
    document: PolicyDocument, limit: Limit, uses: tuple[Use, ...], now: datetime
) -> tuple[Headroom, ...]:
    groups: dict[str, int] = {}
    for use in uses:
        if is_about(document, use.intent) and sees(limit, use, now):
            key = " · ".join(name for part in scope_key(limit, use.intent) for name in part)
            groups[key] = groups.get(key, 0) + 1
    return tuple(
        Headroom(
            rule=f"{document.name}.limits.{limit.id}",
            scope=scope,
            used=used,
            max=limit.max,
            span=duration_words(limit.window) if limit.window else "unsettled",
        )
        for scope, used in (groups or {"": 0}).items()
    )


def _open(entry: Entry) -> OpenReservation:
    return OpenReservation(
        id=entry.id,
        agent=entry.intent.agent,
        repository=entry.intent.repository,
        subject=entry.intent.subject,
        lever=entry.intent.lever,
        phase=entry.phase,
        reserved_at=entry.reserved_at,
    )
