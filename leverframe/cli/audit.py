"""`leverframe audit`: the hash-chained log of every decision and every answer."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import BaseModel, ValidationError

from leverframe.cli.exits import Exit
from leverframe.cli.output import AsJson, print_json, say
from leverframe.cli.session import lines_of, load
from leverframe.model.errors import BadInput
from leverframe.settings import Settings

if TYPE_CHECKING:
    from policies.audit import Head, Record

app = typer.Typer(help="What was decided, and what people said.", no_args_is_help=True)

PAGE = 1000

LONGEST = 4_000_000
"""Bytes of a record's line; the ledger writes far shorter ones."""

FromFile = Annotated[
    Path | None, typer.Option("--file", help="An exported log, in the place of the store's.")
]


class Verified(BaseModel):
    """Whether the chain holds."""

    ok: bool
    records: int
    hash: str
    """Of the last record: whoever kept an earlier one can tell whether the log was written anew."""
    problem: str = ""


@app.command("verify")
def verify(
    file: FromFile = None,
    known: Annotated[
        str, typer.Option("--known", help="A hash that you kept: the log must contain it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Check every link of the chain, and that the store has what the ledger wrote. Exits 1 if not."""
    found = _verified(from_file(file), known) if file else _stored(known)
    if as_json:
        print_json(found)
    elif found.ok:
        say(f"{found.records} records, each chained to the one before it; the last is {found.hash}")
    else:
        say(f"The log does not hold: {found.problem}")
    if not found.ok:
        raise typer.Exit(Exit.FAILED)


@app.command("export")
def export(
    after: Annotated[int, typer.Option("--after", help="Begin after this record's number.")] = 0,
) -> None:
    """Print the log as JSON lines, oldest first, as `verify --file` reads it."""
    for record in from_store(load(), after=after):
        sys.stdout.write(record.line() + "\n")


def from_store(settings: Settings, *, after: int = 0) -> "Iterator[Record]":
    """The records of the store, page by page. Raises Unavailable."""
    from leverframe.bootstrap import build_audit  # noqa: PLC0415 - the store loads when it is used

    log = build_audit(settings)
    while page := log.read(settings.organisation, after=after, limit=PAGE):
        yield from page
        after = page[-1].sequence


def from_file(path: Path) -> "Iterator[Record]":
    """The records of an exported log. Raises BadInput with the line that is none."""
    from policies.audit import Record  # noqa: PLC0415 - the policy loads when it is used

    for number, line in lines_of(path, longest=LONGEST):
        try:
            yield Record.model_validate_json(line)
        except ValidationError as error:
            raise BadInput(f"{path}:{number}: not a record of the audit log") from error


def _stored(known: str) -> Verified:
    """The store's log, which must be the one that the ledger wrote. It is asked first: it moves on."""
    from leverframe.cli.ledger import standing  # noqa: PLC0415 - the SDK loads when it is used

    ledger = standing()
    found = _verified(from_store(load()), known, ledger.audit_head)
    written = ledger.audit_head.sequence - ledger.unwritten
    if found.ok and found.records < written:
        problem = f"the ledger wrote {written} records and the store has {found.records}"
        return found.model_copy(update={"ok": False, "problem": problem})
    return found


def _verified(records: "Iterator[Record]", known: str, written: "Head | None" = None) -> Verified:
    """Walk the chain once, in bounded memory. `written`: where the ledger says that it ends, or ended."""
    from policies.audit import Head, broken_at  # noqa: PLC0415 - the policy loads when it is used

    head: Head | None = None
    met = not known
    count = 0
    for record in records:
        if head is None and record.sequence > 1 and written is None:
            head = Head(sequence=record.sequence - 1, hash=record.previous)
        if broken := broken_at((record,), head):
            return Verified(
                ok=False,
                records=count,
                hash=head.hash if head else "",
                problem=f"at {broken[0]}: {broken[1]}",
            )
        head = record.as_head()
        if written is not None and head.sequence == written.sequence and head != written:
            return Verified(
                ok=False,
                records=count,
                hash=head.hash,
                problem=f"at {head.sequence}: the ledger wrote another record, with the hash {written.hash}",
            )
        met = met or record.hash == known
        count += 1
    last = head or Head()
    if not met:
        return Verified(ok=False, records=count, hash=last.hash, problem=f"no record has the hash {known}")
    return Verified(ok=True, records=count, hash=last.hash)
