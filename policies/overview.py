"""The overview: what a person asks the ledger first. How much room is left, what is open, who is stopped?"""

from datetime import datetime
from typing import Literal

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.proposals import Lever
from policies.audit import Head
from policies.counting import Scoped, amount, scope_key
from policies.documents import PolicyDocument
from policies.layering import is_about
from policies.reservations import Entry, LedgerState, ParkedRun, Phase, RefusedPolicy, ShadowEntry
from policies.retention import MAX_ENTRIES, use_of
from policies.rules import Limit, Unit, duration_words
from policies.usage import Asking, Demotion, Pause, Use

MAX_GROUPS = 20
MAX_OPEN = 500


class Headroom(Frozen):
    """One limit, for one group of effects or questions that count together."""

    rule: str
    scope: str
    """`sentry_spike · shop`; empty for a limit that everything shares, or that nothing uses now."""
    used: int
    max: int | Literal["unlimited"]
    span: str
    """`1h`, or `unsettled`."""
    unit: Unit = "count"


class OpenReservation(Frozen):
    """A reservation that holds its place."""

    id: str
    agent: str
    repository: str
    subject: str
    lever: Lever
    words: str
    """What would happen, verb first."""
    phase: Phase
    reserved_at: Instant


class ShadowTally(Frozen):
    """What an agent in observe mode would have been told, and how often people did the same."""

    agent: str
    asked: int
    would_allow: int
    would_escalate: int
    scored: int
    matched: int


class LedgerOverview(Frozen):
    """The ledger at one time."""

    organisation: str
    policy_digest: str
    files: tuple[str, ...]
    refused_policy: RefusedPolicy | None
    """A newer policy that can't be installed."""
    pauses: tuple[Pause, ...]
    demotions: tuple[Demotion, ...]
    parked: tuple[ParkedRun, ...]
    headroom: tuple[Headroom, ...]
    """For each limit the fullest groups, at most `MAX_GROUPS`."""
    open: tuple[OpenReservation, ...]
    """Oldest first, at most `MAX_OPEN`."""
    holding: int
    """How many reservations hold a place."""
    shadow: tuple[ShadowTally, ...]
    remembered: int
    """Reservations that are kept, open or not."""
    room: int
    """How many can be kept at most; then nothing is granted."""
    began_anew: Instant | None
    """When it began without what a ledger before it had granted, paused or lowered; None: nothing is lost."""
    audit_head: Head
    unwritten: int
    """Audit records that the store does not have yet."""


def overview(organisation: str, state: LedgerState, now: datetime) -> LedgerOverview:
    """What the ledger knows at `now`, without its history."""
    uses = [use_of(entry) for entry in state.entries if entry.phase is not Phase.RELEASED]
    holding = [entry for entry in state.entries if entry.open]
    return LedgerOverview(
        organisation=organisation,
        policy_digest=state.snapshot.digest,
        files=tuple(document.file for document in state.snapshot.documents),
        refused_policy=state.refused_policy,
        pauses=state.pauses,
        demotions=state.demotions,
        parked=state.parked,
        headroom=tuple(
            row
            for document in state.snapshot.documents
            for limit in document.rules.limits
            for row in _headroom(document, limit, uses, state.questions, now)
        ),
        open=tuple(_open(entry) for entry in holding[:MAX_OPEN]),
        holding=len(holding),
        shadow=_shadow(state.shadow),
        remembered=len(state.entries),
        room=MAX_ENTRIES,
        began_anew=state.began_anew,
        audit_head=state.audit_head,
        unwritten=len(state.unwritten),
    )


def _headroom(
    document: PolicyDocument,
    limit: Limit,
    uses: list[Use],
    questions: tuple[Asking, ...],
    now: datetime,
) -> tuple[Headroom, ...]:
    groups: dict[str, int] = {}

    def count(one: Scoped, group: str, units: int) -> None:
        key = " · ".join(name for part in scope_key(limit, one, group) for name in part)
        groups[key] = groups.get(key, 0) + units

    if limit.unit == "escalations":
        for question in questions:
            if _counts(document, limit, question, question.at, now):
                count(question, question.group, 1)
    else:
        for use in uses:
            if (use.held or limit.window is not None) and _counts(document, limit, use, use.at, now):
                count(use, "", amount(limit, use.cost, use.tests))
    fullest = sorted((groups or {"": 0}).items(), key=lambda group: (-group[1], group[0]))
    return tuple(
        Headroom(
            rule=f"{document.name}.limits.{limit.id}",
            scope=scope,
            used=used,
            max=limit.max,
            span=duration_words(limit.window) if limit.window else "unsettled",
            unit=limit.unit,
        )
        for scope, used in fullest[:MAX_GROUPS]
    )


def _counts(document: PolicyDocument, limit: Limit, one: Scoped, at: datetime, now: datetime) -> bool:
    seen = limit.window is None or at > now - limit.window
    return seen and one.lever in limit.levers and is_about(document, one)


def _open(entry: Entry) -> OpenReservation:
    return OpenReservation(
        id=entry.id,
        agent=entry.intent.agent,
        repository=entry.intent.repository,
        subject=entry.intent.subject,
        lever=entry.intent.lever,
        words=entry.words,
        phase=entry.phase,
        reserved_at=entry.reserved_at,
    )


def _shadow(shadow: tuple[ShadowEntry, ...]) -> tuple[ShadowTally, ...]:
    agents = sorted({entry.intent.agent for entry in shadow})
    return tuple(
        ShadowTally(
            agent=agent,
            asked=len(own),
            would_allow=sum(entry.would == "allow" for entry in own),
            would_escalate=sum(entry.would == "escalate" for entry in own),
            scored=sum(entry.matched is not None for entry in own),
            matched=sum(entry.matched is True for entry in own),
        )
        for agent in agents
        for own in [[entry for entry in shadow if entry.intent.agent == agent]]
    )
