"""Ledger events: everything that changes what the ledger knows, as the audit log keeps it.

The ledger decides a command into events and applies them; applying the recorded events again gives the same
state, which is how a past decision is explained exactly and a candidate policy is simulated.
"""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from leverframe.model.frozen import Frozen, Instant
from policies.audit import Head, Record, chain
from policies.decision import Approval, Finding
from policies.intent import Intent
from policies.reservations import (
    AnsweredQuestion,
    Entry,
    PauseRequest,
    PromoteRequest,
    RefusedPolicy,
    Settlement,
    ShadowEntry,
    ShadowScore,
)
from policies.usage import Asking, Demotion


class Granted(Frozen):
    """A reservation came into being."""

    kind: Literal["granted"] = "granted"
    entry: Entry
    approval: Approval | None = None
    """The approval that it spent."""


class _NotGranted(Frozen):
    reservation: str
    intent: Intent
    words: str
    findings: tuple[Finding, ...]
    policy_digest: str


class EscalatedEvent(_NotGranted):
    """People have to be asked."""

    kind: Literal["escalated"] = "escalated"


class DeniedEvent(_NotGranted):
    """Policy said no."""

    kind: Literal["denied"] = "denied"
    parked: bool = False
    """Only a pause stood in the way: the run waits."""


class CommittedEvent(Frozen):
    """The effect may happen now."""

    kind: Literal["committed"] = "committed"
    reservation: str


class WithdrawnEvent(Frozen):
    """The effect must not happen; the place is given back unless the reservation had lapsed."""

    kind: Literal["withdrawn"] = "withdrawn"
    reservation: str
    findings: tuple[Finding, ...]
    policy_digest: str
    gives_back: bool


class Released(Frozen):
    """A place was given back."""

    kind: Literal["released"] = "released"
    reservation: str


class Lapsed(Frozen):
    """Nobody committed in time: the outcome is unknown and the place is kept."""

    kind: Literal["lapsed"] = "lapsed"
    reservation: str


class Settled(Frozen):
    """It is known how an effect ended."""

    kind: Literal["settled"] = "settled"
    settlement: Settlement


class Shadowed(Frozen):
    """An agent in observe mode asked."""

    kind: Literal["shadowed"] = "shadowed"
    entry: ShadowEntry


class Scored(Frozen):
    """It is known what people did instead."""

    kind: Literal["scored"] = "scored"
    score: ShadowScore


class Demoted(Frozen):
    """An agent's outcomes lowered its level."""

    kind: Literal["demoted"] = "demoted"
    demotion: Demotion


class PromotedEvent(Frozen):
    """A person lifted a demotion."""

    kind: Literal["promoted"] = "promoted"
    request: PromoteRequest


class Paused(Frozen):
    """A person stopped effects."""

    kind: Literal["paused"] = "paused"
    request: PauseRequest


class Resumed(Frozen):
    """A person let the policy decide again."""

    kind: Literal["resumed"] = "resumed"
    request: PauseRequest


class InstalledEvent(Frozen):
    """A policy came into force. Its documents are kept by digest beside the log."""

    kind: Literal["installed"] = "installed"
    policy_digest: str
    files: tuple[str, ...]


class PolicyRefused(Frozen):
    """A newer policy can't be installed, and the old one stays; None: the trouble is over."""

    kind: Literal["policy_refused"] = "policy_refused"
    refused: RefusedPolicy | None


class Asked(Frozen):
    """People are asked now."""

    kind: Literal["asked"] = "asked"
    question: Asking


class DeferredEvent(Frozen):
    """People are asked in the next digest: they have been asked enough."""

    kind: Literal["deferred"] = "deferred"
    question: Asking
    findings: tuple[Finding, ...]


class Answered(Frozen):
    """A question to people has ended."""

    kind: Literal["answered"] = "answered"
    answer: AnsweredQuestion


class Began(Frozen):
    """A ledger began anew after one that was lost. It remembers nothing of what was granted before."""

    kind: Literal["began"] = "began"
    after: Head
    """Where the log ended that it continues."""


Event = Annotated[
    Granted
    | EscalatedEvent
    | DeniedEvent
    | CommittedEvent
    | WithdrawnEvent
    | Released
    | Lapsed
    | Settled
    | Shadowed
    | Scored
    | Demoted
    | PromotedEvent
    | Paused
    | Resumed
    | InstalledEvent
    | PolicyRefused
    | Asked
    | DeferredEvent
    | Answered
    | Began,
    Field(discriminator="kind"),
]

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def recorded(head: Head, event: Event, at: Instant) -> Record:
    """The event as the audit record after `head`."""
    return chain(head, event.kind, event.model_dump(mode="json", exclude={"kind"}), at)


def event_of(record: Record) -> Event:
    """The event that a record keeps. Raises pydantic's ValidationError when it keeps none."""
    return _EVENT.validate_python({"kind": record.kind, **record.data})
