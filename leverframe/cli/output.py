"""What a command prints: JSON and nothing else, or tables that no outside text can disturb."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from textwrap import indent
from typing import Annotated

import typer
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.table import Table
from rich.text import Text

from leverframe.model.untrusted import Untrusted

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]

WIDE = 200
"""Columns when stdout is not a terminal: lines are for other programs then, not for an eye."""


def print_json(value: object) -> None:
    """One JSON document. Non-ASCII is escaped, so that no byte of it steers a terminal."""
    sys.stdout.write(json.dumps(to_jsonable_python(value), indent=2) + "\n")


def print_long_json(name: str, entries: Iterable[tuple[str, object]], **rest: object) -> None:
    """What `print_json` makes of `{name: {key: value, …}, **rest}`, one entry after the other.

    So that an answer about very many things is never in memory as a whole.
    """
    write, between = sys.stdout.write, "\n"
    write(f"{{\n  {json.dumps(name)}: {{")
    for key, value in entries:
        entry = json.dumps(to_jsonable_python({key: value}), indent=2)
        write(between + indent(entry.removeprefix("{\n").removesuffix("\n}"), "  "))
        between = ",\n"
    write("\n  }" if between != "\n" else "}")
    for key, value in rest.items():
        write(f",\n  {json.dumps(key)}: {json.dumps(to_jsonable_python(value))}")
    write("\n}\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence `empty` when there is no row."""
    if not rows:
        _console().print(inert(empty))
        return
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(inert(cell) for cell in row))
    _console().print(table)


def print_fields(fields: Mapping[str, object]) -> None:
    """Names and values, one a line; empty values are left out."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in fields.items():
        if value not in (None, "", ()):
            table.add_row(inert(name), inert(value))
    _console().print(table)


def say(sentence: str) -> None:
    """One plain line on stdout."""
    _console().print(inert(sentence), soft_wrap=True)


def complain(sentence: str) -> None:
    """One message on stderr: lines survive, escape sequences and control characters don't."""
    sys.stderr.write(f"leverframe: {Untrusted(sentence).for_model(8000)}\n")


def inert(value: object) -> Text:
    """Any value as text that has no meaning to the terminal or to rich."""
    if isinstance(value, Untrusted):
        return Text(value.for_terminal(500))
    if isinstance(value, datetime):
        return Text(value.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    return Text(Untrusted("" if value is None else str(value)).for_terminal(500))


def on_a_terminal() -> bool:
    """Whether a person reads along, not a file or another program."""
    return sys.stdout.isatty()


def _console() -> Console:
    return Console(width=None if on_a_terminal() else WIDE)
