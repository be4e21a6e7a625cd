"""The audit log: what the ledger decided and what people said, each record chained to the one before it.

A record's hash covers its content and its predecessor's hash, so that nothing can be changed, left out or
put between without every later hash being wrong (Haber & Stornetta, *How to time-stamp a digital document*,
1991). The ledger is the only writer; the store only keeps what it wrote.
"""

import hashlib
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant

BEGINNING = "0" * 64
"""What the first record calls its predecessor's hash."""

Kind = Literal[
    "granted",
    "escalated",
    "denied",
    "committed",
    "withdrawn",
    "released",
    "lapsed",
    "settled",
    "shadowed",
    "scored",
    "demoted",
    "promoted",
    "paused",
    "resumed",
    "installed",
    "policy_refused",
    "asked",
    "deferred",
    "answered",
    "began",
]


class Head(Frozen):
    """Where the chain ends."""

    sequence: int = Field(default=0, ge=0)
    hash: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = BEGINNING


class Record(Frozen):
    """One line of the log."""

    sequence: int = Field(ge=1)
    at: Instant
    kind: Kind
    data: dict[str, Any]
    """JSON: the event's own fields, see `policies.events`."""
    previous: str
    hash: str

    def as_head(self) -> Head:
        """Where the chain ends after it."""
        return Head(sequence=self.sequence, hash=self.hash)

    def line(self) -> str:
        """The record as one line of canonical JSON: sorted keys, no spaces, ASCII."""
        return _canonical(self.model_dump(mode="json"))


def chain(head: Head, kind: Kind, data: dict[str, Any], at: Instant) -> Record:
    """The next record after `head`. `data` must be JSON already."""
    content = {"sequence": head.sequence + 1, "at": _instant(at), "kind": kind, "data": data}
    return Record(
        sequence=head.sequence + 1,
        at=at,
        kind=kind,
        data=data,
        previous=head.hash,
        hash=_hash(content, head.hash),
    )


def broken_at(records: Iterable[Record], after: Head | None = None) -> tuple[int, str] | None:
    """The first record that does not follow from the one before it, and why; None when all do."""
    head = after or Head()
    for record in records:
        if record.sequence != head.sequence + 1:
            return record.sequence, f"record {head.sequence + 1} is missing"
        if record.previous != head.hash:
            return record.sequence, "it does not name the hash of the record before it"
        content = {
            "sequence": record.sequence,
            "at": _instant(record.at),
            "kind": record.kind,
            "data": record.data,
        }
        if record.hash != _hash(content, record.previous):
            return record.sequence, "its content does not have its hash"
        head = Head(sequence=record.sequence, hash=record.hash)
    return None


def _hash(content: dict[str, Any], previous: str) -> str:
    return hashlib.sha256(f"{previous}\n{_canonical(content)}".encode()).hexdigest()


def _instant(at: Instant) -> str:
    """Microseconds, so that the text does not depend on who prints it."""
    return at.isoformat(timespec="microseconds")


def _canonical(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
