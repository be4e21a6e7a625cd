"""Simulation: what agents really asked for, under a policy that is not in force. Which verdicts change?

The candidate is asked in the recorded order, at the recorded times, with a usage of its own: what it allows
takes a place, what it denies takes none. What is not known is assumed plainly: an effect that never happened
holds nothing and says nothing about its agent, and what would ask people happened if people said yes.
Where the ledger began anew, the candidate's begins anew as well: no end of what was before is recorded.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.outcomes import Outcome
from policies import events
from policies.answers import OWN
from policies.audit import Head, Record
from policies.book import Book
from policies.decision import Finding, Verdict
from policies.documents import PolicySnapshot
from policies.evaluate import evaluate
from policies.intent import Intent
from policies.replay import Word, checked
from policies.reservations import LEASE, Entry, LedgerState, Phase, Settlement


class _Asked(NamedTuple):
    """A recorded request."""

    reservation: str
    intent: Intent
    words: str
    was: Word
    by_the_ledger_itself: bool
    """No policy denied it: there was no room, or the audit log could not be written."""


class RequestRow(Frozen):
    """One recorded request, and what the candidate says."""

    sequence: int
    """The audit record."""
    at: Instant
    reservation: str
    agent: str
    subject: str
    words: str
    """What would happen, verb first."""
    was: Word
    now: Word
    findings: tuple[Finding, ...]
    """The candidate's; empty when it allows."""


class Simulation(Frozen):
    """A candidate policy on the past."""

    policy_digest: str
    since: Instant
    requests: int
    """How many were decided again."""
    changed: tuple[RequestRow, ...]


def simulate(records: Sequence[Record], candidate: PolicySnapshot, *, since: datetime) -> Simulation:
    """Every recorded request since then, decided by the candidate. What is older only builds up its usage.

    Raises:
        BadInput: the chain is broken, or a record can't be read.
    """
    past = list(_read(records))
    happened = {event.entry.id for _, event in past if isinstance(event, events.Granted)}
    trial = _Trial(candidate, happened)
    rows = [row for record, event in past if (row := trial.live_through(event, record)) is not None]
    recent = [row for row in rows if row.at >= since]
    return Simulation(
        policy_digest=candidate.digest,
        since=since,
        requests=len(recent),
        changed=tuple(row for row in recent if row.was != row.now),
    )


def _read(records: Sequence[Record]) -> Iterator[tuple[Record, events.Event]]:
    """The log may begin anywhere; from there on its chain must hold."""
    head: Head | None = None
    for record in records:
        yield record, checked(record, head or Head(sequence=record.sequence - 1, hash=record.previous))
        head = record.as_head()


class _Trial:
    """The book as it would stand under the candidate."""

    def __init__(self, candidate: PolicySnapshot, happened: Collection[str]) -> None:
        self._book = Book(LedgerState(snapshot=candidate))
        self._happened = happened
        """The reservations that were really granted, sooner or later: their end will be recorded."""
        self._asked: set[str] = set()
        """Reservations that people were asked about: asking again with their answer is the same request."""

    def live_through(self, event: events.Event, record: Record) -> RequestRow | None:
        """One recorded event. For a request its row, whether the verdict changes or not."""
        self._book.forget(record.at)
        match event:
            case events.Granted() | events.EscalatedEvent() | events.DeniedEvent() | events.Shadowed():
                return self._request(_asked(event), event, record)
            case events.CommittedEvent() | events.Lapsed() | events.Released() | events.WithdrawnEvent():
                entry = self._book.entries.get(event.reservation)
                if entry is not None and entry.phase is Phase.RESERVED:
                    self._book.apply(event, record.at)
            case events.Settled():
                entry = self._book.entries.get(event.settlement.reservation)
                if entry is not None and entry.open:
                    self._book.apply(event, record.at)
            case events.Began():
                self._book = Book(LedgerState(snapshot=self._book.snapshot))
            case events.InstalledEvent() | events.PolicyRefused() | events.Scored():
                pass
            case _:
                self._book.apply(event, record.at)
        return None

    def _request(self, asked: _Asked, event: events.Event, record: Record) -> RequestRow | None:
        found, now = self._decided(asked, record.at)
        people_said_yes = isinstance(event, events.Granted) and bool(event.entry.lifted)
        if asked.reservation not in self._book.entries:
            if now is Verdict.ALLOW or (now is Verdict.ESCALATE and people_said_yes):
                self._take(asked, record.at)
            else:
                self._book.apply(_refusal(asked, found, self._book.snapshot.digest), record.at)
        again = people_said_yes and asked.reservation in self._asked
        self._asked.add(asked.reservation)
        if again or asked.by_the_ledger_itself:
            return None
        return RequestRow(
            sequence=record.sequence,
            at=record.at,
            reservation=asked.reservation,
            agent=asked.intent.agent,
            subject=asked.intent.subject,
            words=asked.words,
            was=asked.was,
            now=now.word,
            findings=found,
        )

    def _decided(self, asked: _Asked, at: datetime) -> tuple[tuple[Finding, ...], Verdict]:
        """What holds a place already was allowed before."""
        if asked.reservation in self._book.entries:
            return (), Verdict.ALLOW
        found = evaluate(self._book.snapshot, asked.intent, self._book.usage, at)
        return found.findings, found.verdict

    def _take(self, asked: _Asked, at: datetime) -> None:
        entry = Entry(
            id=asked.reservation,
            intent=asked.intent,
            words=asked.words,
            policy_digest=self._book.snapshot.digest,
            reserved_at=at,
            lapses_at=at + LEASE,
        )
        self._book.apply(events.Granted(entry=entry), at)
        if entry.id not in self._happened:
            nothing = Settlement(reservation=entry.id, outcome=Outcome.SUPERSEDED)
            self._book.apply(events.Settled(settlement=nothing), at)


def _asked(event: "events.Granted | events.EscalatedEvent | events.DeniedEvent | events.Shadowed") -> _Asked:
    match event:
        case events.Granted(entry=entry):
            was: Word = "escalate" if entry.lifted else "allow"
            return _Asked(entry.id, entry.intent, entry.words, was, by_the_ledger_itself=False)
        case events.Shadowed(entry=shadow):
            return _Asked(shadow.id, shadow.intent, shadow.words, "deny", by_the_ledger_itself=False)
        case _:
            denials = [finding.rule for finding in event.findings if finding.verdict is Verdict.DENY]
            return _Asked(
                event.reservation,
                event.intent,
                event.words,
                "deny" if isinstance(event, events.DeniedEvent) else "escalate",
                by_the_ledger_itself=bool(denials) and OWN.issuperset(denials),
            )


def _refusal(asked: _Asked, findings: tuple[Finding, ...], policy_digest: str) -> events.DeniedEvent:
    """It takes no place, but its subject was seen."""
    return events.DeniedEvent(
        reservation=asked.reservation,
        intent=asked.intent,
        words=asked.words,
        findings=findings,
        policy_digest=policy_digest,
    )
