"""The quarantine file: which tests may fail without failing the build, for which failures, until when.

A strict part of YAML that the standard library can read: each value is written as JSON, which YAML reads as
the same value. Whatever else stands in the file makes it unreadable as a whole, and then no test is
quarantined.

    version: 1
    tests:
      - test: "tests/test_cart.py::test_total[usd]"
        signatures: ["3f2a9c0d11e85b67"]
        since: "2026-11-20"
        expires: "2026-12-20"
        owner: "@acme/payments"
        evidence: "failed and passed on the same commit in 4 of 311 runs"
        tracking: "https://git.example/acme/shop/issues/7"
        executions: 5
"""

import json
import re
from dataclasses import dataclass, fields
from datetime import date
from typing import Any

PLACE = ".leverframe/quarantine.yaml"
"""Where it lies in a repository."""
VERSION = 1
LARGEST = 5_000_000
"""Characters; a larger file is not read."""
EXECUTIONS = 3
"""Of a test whose entry says nothing else."""
MOST_EXECUTIONS = 15
LONGEST_SECONDS = 600
"""After so long no further execution begins: a slow test that is broken must not take the job's time."""

_COMMENT = re.compile(r"\s*(#.*)?")
_LINE = re.compile(r"  (?P<lead>- |  )(?P<key>[a-z]+): (?P<value>\S.*)")


class Unreadable(ValueError):
    """The file is no quarantine file; the text says where and why."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One quarantined test."""

    test: str
    """The whole node id."""
    signatures: tuple[str, ...]
    """Only failures with one of these are forgiven."""
    since: date
    expires: date
    """The first day on which it is not quarantined any more."""
    owner: str
    evidence: str
    tracking: str
    """Where its repair is tracked; may be empty."""
    executions: int = EXECUTIONS
    """How often it is executed again, until it passes, after a failure that is forgiven if it does. An entry
    need not say it."""


def read(text: str) -> dict[str, Entry]:
    """Test → its entry, in the order of the file. Raises Unreadable."""
    if len(text) > LARGEST:
        raise Unreadable(f"it has more than {LARGEST} characters")
    lines = [
        (number, line.rstrip())
        for number, line in enumerate(text.splitlines(), start=1)
        if not _COMMENT.fullmatch(line)
    ]
    if [line for _, line in lines[:2]] not in (
        [f"version: {VERSION}", "tests:"],
        [f"version: {VERSION}", "tests: []"],
    ):
        raise Unreadable(f"it does not begin with `version: {VERSION}` and `tests:`")
    entries: dict[str, Entry] = {}
    for number, values in _blocks(lines[2:]):
        entry = _entry(number, values)
        if entry.test in entries:
            raise Unreadable(f"line {number}: {entry.test} is there twice")
        entries[entry.test] = entry
    if entries and lines[1][1] != "tests:":
        raise Unreadable(f"line {lines[1][0]}: `tests: []` has no tests below it")
    return entries


def write(entries: dict[str, Entry]) -> str:
    """The file's text, sorted by test, so that two changes meet in the same place only over the same test."""
    if not entries:
        return f"{_HEAD}version: {VERSION}\ntests: []\n"
    blocks = [_block(entries[test]) for test in sorted(entries)]
    return f"{_HEAD}version: {VERSION}\ntests:\n{''.join(blocks)}"


_HEAD = """\
# Tests that may fail without failing the build: only with these failure signatures, until they expire.
# Each value is JSON. What can't be read quarantines nothing.
"""


def _block(entry: Entry) -> str:
    lines = [
        f"{field.name}: {json.dumps(_plain(getattr(entry, field.name)), ensure_ascii=True)}"
        for field in fields(Entry)
        if field.name != "executions" or entry.executions != EXECUTIONS
    ]
    return "  - " + "\n    ".join(lines) + "\n"


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


def _blocks(lines: list[tuple[int, str]]) -> list[tuple[int, dict[str, Any]]]:
    """The line on which each entry begins, and its values."""
    blocks: list[tuple[int, dict[str, Any]]] = []
    for number, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise Unreadable(f"line {number}: it is not `key: value`, indented like its neighbours")
        if match["lead"] == "- ":
            blocks.append((number, {}))
        if not blocks:
            raise Unreadable(f"line {number}: an entry begins with `- test:`")
        values = blocks[-1][1]
        if match["key"] in values:
            raise Unreadable(f"line {number}: {match['key']} is there twice")
        try:
            values[match["key"]] = json.loads(match["value"])
        except (ValueError, RecursionError) as error:
            raise Unreadable(f"line {number}: the value of {match['key']} is not JSON") from error
    return blocks


def _entry(number: int, values: dict[str, Any]) -> Entry:
    expected = {field.name for field in fields(Entry)}
    if missing := sorted(expected - set(values) - {"executions"}):
        raise Unreadable(f"line {number}: {missing[0]} is missing")
    if unknown := sorted(set(values) - expected):
        raise Unreadable(f"line {number}: there is no {unknown[0]} in an entry")
    signatures = values.pop("signatures")
    if (
        not isinstance(signatures, list)
        or not signatures
        or not all(isinstance(one, str) for one in signatures)
    ):
        raise Unreadable(f"line {number}: signatures is a list of at least one text")
    executions = values.pop("executions", EXECUTIONS)
    if type(executions) is not int or not 1 <= executions <= MOST_EXECUTIONS:
        raise Unreadable(f"line {number}: executions is a whole number from 1 to {MOST_EXECUTIONS}")
    for key, value in values.items():
        if not isinstance(value, str):
            raise Unreadable(f"line {number}: {key} is no text")
    if not values["test"] or not values["owner"]:
        raise Unreadable(f"line {number}: test and owner are not empty")
    try:
        since, expires = (date.fromisoformat(values.pop(key)) for key in ("since", "expires"))
    except ValueError as error:
        raise Unreadable(f"line {number}: since and expires are days such as 2026-11-20") from error
    if expires <= since:
        raise Unreadable(f"line {number}: it expires before it begins")
    return Entry(signatures=tuple(signatures), since=since, expires=expires, executions=executions, **values)
