"""Replay: the audit records applied again, up to any of them, and a past decision decided again.

A record that is replayed is compared by rules and numbers, not by the line of a file or the wording of a
remedy: moving a line changes no decision.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Literal, NamedTuple

from pydantic import ValidationError

from leverframe.model.errors import BadInput, NotFound
from leverframe.model.frozen import Frozen, Instant
from policies import events
from policies.answers import OWN, used_up
from policies.approvals import in_the_way
from policies.audit import Head, Record, broken_at
from policies.book import Book
from policies.decision import Finding, Verdict
from policies.documents import PolicySnapshot
from policies.evaluate import evaluate
from policies.intent import Intent
from policies.reservations import LedgerState, Phase
from policies.rules import Autonomy

SnapshotOf = Callable[[str], PolicySnapshot]
"""The policy of a digest. Raises NotFound."""

Word = Literal["allow", "escalate", "deny"]


class Replayed(Frozen):
    """A past decision, decided again by what was known and in force at its time."""

    sequence: int
    at: Instant
    reservation: str
    agent: str
    subject: str
    words: str
    """What would happen, verb first."""
    was: Word
    now: Word
    policy_digest: str
    findings: tuple[Finding, ...]
    """Of the new evaluation."""
    same: bool
    """The verdict and every finding's rule, numbers and time are the same."""


def fold(records: Iterable[Record], snapshot_of: SnapshotOf, *, until: int | None = None) -> LedgerState:
    """The ledger's state after the record number `until`, or after the last one.

    Raises:
        BadInput: the log does not begin at its first record, its chain is broken, or a record can't be read.
        NotFound: a policy of its time is not kept.
    """
    book, head = Book(LedgerState()), Head()
    for record in records:
        if until is not None and record.sequence > until:
            break
        _apply(book, record, head, snapshot_of)
        head = record.as_head()
    return book.state().model_copy(update={"audit_head": head})


def replay(records: Iterable[Record], sequence: int, snapshot_of: SnapshotOf) -> Replayed:
    """The decision of the record number `sequence` again.

    Raises:
        BadInput: as `fold`, or the record keeps no decision.
        NotFound: there is no such record, or a policy of its time is not kept.
    """
    book, head = Book(LedgerState()), Head()
    for record in records:
        if record.sequence == sequence:
            checked(record, head)
            return _again(book, record)
        _apply(book, record, head, snapshot_of)
        head = record.as_head()
    raise NotFound(f"the audit log has no record {sequence}: it ends with {head.sequence}")


def checked(record: Record, head: Head) -> events.Event:
    """The event of the record after `head`. Raises BadInput when it does not follow or can't be read."""
    if broken := broken_at((record,), head):
        raise BadInput(f"the audit log does not hold at record {broken[0]}: {broken[1]}")
    try:
        return events.event_of(record)
    except ValidationError as error:
        raise BadInput(f"record {record.sequence} of the audit log can't be read: {error}") from error


def _apply(book: Book, record: Record, head: Head, snapshot_of: SnapshotOf) -> None:
    event = checked(record, head)
    snapshot = snapshot_of(event.policy_digest) if isinstance(event, events.InstalledEvent) else None
    book.forget(record.at)
    book.apply(event, record.at, snapshot)


class _Past(NamedTuple):
    """What was decided, and what would be decided again."""

    reservation: str
    intent: Intent
    words: str
    policy_digest: str
    was: Word
    found: tuple[Finding, ...]
    now: Word
    findings: tuple[Finding, ...]


def _again(book: Book, record: Record) -> Replayed:
    book.forget(record.at)
    past = _past(book, events.event_of(record), record.at)
    if past is None:
        raise BadInput(f"record {record.sequence} of the audit log is no decision, it is `{record.kind}`")
    return Replayed(
        sequence=record.sequence,
        at=record.at,
        reservation=past.reservation,
        agent=past.intent.agent,
        subject=past.intent.subject,
        words=past.words,
        was=past.was,
        now=past.now,
        policy_digest=past.policy_digest,
        findings=past.findings,
        same=past.was == past.now
        and past.policy_digest == book.snapshot.digest
        and _essence(past.found) == _essence(past.findings),
    )


def _past(book: Book, event: events.Event, at: datetime) -> _Past | None:
    """The decision again. None for a record that keeps no decision."""
    match event:
        case events.Granted(entry=entry):
            again = evaluate(book.snapshot, entry.intent, book.usage, at)
            lifted = {finding.rule for finding in entry.lifted}
            live = [f for f in again.findings if f.verdict is Verdict.DENY or f.rule not in lifted]
            now = max((finding.verdict for finding in live), default=Verdict.ALLOW).word
            return _Past(
                entry.id,
                entry.intent,
                entry.words,
                entry.policy_digest,
                "allow",
                entry.lifted,
                now,
                again.findings,
            )
        case events.EscalatedEvent() | events.DeniedEvent():
            again = evaluate(book.snapshot, event.intent, book.usage, at)
            own = tuple(finding for finding in event.findings if finding.rule in OWN)
            verdicts = [again.verdict, *(finding.verdict for finding in own)]
            return _Past(
                event.reservation,
                event.intent,
                event.words,
                event.policy_digest,
                "escalate" if isinstance(event, events.EscalatedEvent) else "deny",
                event.findings,
                max(verdicts).word,
                (*again.findings, *own),
            )
        case events.Shadowed(entry=shadow):
            again = evaluate(book.snapshot, shadow.intent, book.shadow_usage, at, as_if=Autonomy.ACT)
            return _Past(
                shadow.id,
                shadow.intent,
                shadow.words,
                book.snapshot.digest,
                shadow.would,
                again.findings,
                again.verdict.word,
                again.findings,
            )
        case events.CommittedEvent() | events.WithdrawnEvent():
            return _committed(book, event, at)
        case _:
            return None


def _committed(book: Book, event: "events.CommittedEvent | events.WithdrawnEvent", at: datetime) -> _Past:
    entry = book.entries[event.reservation]
    live = in_the_way(book, entry, at) if entry.phase is Phase.RESERVED else (used_up(entry),)
    again: Word = "deny" if live else "allow"
    digest = book.snapshot.digest
    if isinstance(event, events.CommittedEvent):
        return _Past(entry.id, entry.intent, entry.words, digest, "allow", (), again, live)
    return _Past(
        entry.id, entry.intent, entry.words, event.policy_digest, "deny", event.findings, again, live
    )


def _essence(findings: Iterable[Finding]) -> list[tuple[object, ...]]:
    return [(f.rule, f.verdict, f.observed, f.limit, f.retry_at) for f in findings]
