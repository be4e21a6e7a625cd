"""How reports and counts lie in the store: arrays of numbers and a little JSON, compressed.

A report of 100,000 tests that passed at once is two arrays. Each packed text begins with the version of its
form.
"""

import json
import sys
import zlib
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from activities.backends.store_sql import from_micros, to_micros
from leverframe.model.errors import BadInput
from leverframe.model.test_reports import Attempt, Outcome

VERSION = 1
MOST = 2**32 - 1
"""A count, or a sum of milliseconds, that is more is as much."""
_LEVEL = 3
_LETTERS: Mapping[str, str] = {"pass": "p", "fail": "f", "error": "e", "skip": "s"}
_OUTCOMES: Mapping[str, Outcome] = {"p": "pass", "f": "fail", "e": "error", "s": "skip"}


class Detail(NamedTuple):
    """One attempt of which more is to be said than that its test passed at once."""

    number: int
    attempt: int
    outcome: Outcome
    fingerprint: str
    at: datetime
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Packed:
    """The attempts of one report, by their tests' numbers."""

    last: datetime
    """Of its attempts, as the report says."""
    passed: Sequence[int]
    """Tests whose only attempt here was the first, and passed; ascending."""
    milliseconds: Sequence[int]
    """For each of `passed`."""
    details: tuple[Detail, ...]
    """All others, in the report's order for each test."""


def gathered(attempts: Sequence[Attempt], numbers: Mapping[str, int]) -> Packed:
    """The attempts of a report that has some; `numbers` has each of its tests."""
    first: dict[int, Attempt] = {}
    several: dict[int, list[Attempt]] = {}
    for attempt in attempts:
        number = numbers[attempt.test]
        if (known := first.setdefault(number, attempt)) is not attempt:
            several.setdefault(number, [known]).append(attempt)
    alone, details = [], []
    for number, attempt in first.items():
        if number in several:
            details += [_detail(number, one) for one in several[number]]
        elif attempt.outcome == "pass" and attempt.attempt == 1:
            alone.append(number)
        else:
            details.append(_detail(number, attempt))
    alone.sort()
    return Packed(
        last=max(attempt.at for attempt in attempts),
        passed=array("I", alone),
        milliseconds=array("I", [_bounded(first[number].duration_ms) for number in alone]),
        details=tuple(details),
    )


def packed(report: Packed) -> bytes:
    """Before it is compressed: the same bytes for the same content, whenever it comes."""
    passed = report.passed
    steps = array("I", [number - before for before, number in zip([0, *passed], passed, strict=False)])
    rows = [
        [one.number, one.attempt, _LETTERS[one.outcome], one.fingerprint, to_micros(one.at), one.milliseconds]
        for one in report.details
    ]
    head = json.dumps({"last": to_micros(report.last), "passed": len(passed), "details": rows})
    return b"\n".join((head.encode(), _bytes(steps) + _bytes(array("I", report.milliseconds))))


def compressed(body: bytes) -> bytes:
    """With the version of its form in front."""
    return bytes([VERSION]) + zlib.compress(body, _LEVEL)


def unpacked(payload: bytes) -> Packed:
    """The inverse of `compressed` after `packed`. Raises BadInput for what it can't read."""
    try:
        head, _, arrays = _decompressed(payload).partition(b"\n")
        told = json.loads(head)
        count = told["passed"]
        numbers = _array(arrays[: 4 * count])
        before = 0
        for place, step in enumerate(numbers):
            before += step
            numbers[place] = before
        return Packed(
            last=from_micros(told["last"]),
            passed=numbers,
            milliseconds=_array(arrays[4 * count :]),
            details=tuple(
                Detail(number, attempt, _OUTCOMES[letter], fingerprint, from_micros(at), milliseconds)
                for number, attempt, letter, fingerprint, at, milliseconds in told["details"]
            ),
        )
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise BadInput(f"a stored test report can't be read: {error}") from error


def packed_columns(columns: Sequence["array[int]"]) -> bytes:
    """Columns of counts, all of the same length."""
    return compressed(b"".join(_bytes(column) for column in columns))


def unpacked_columns(payload: bytes, count: int) -> list["array[int]"]:
    """The inverse. Raises BadInput for what it can't read."""
    try:
        body = _decompressed(payload)
        size = len(body) // count
        return [_array(body[place * size : (place + 1) * size]) for place in range(count)]
    except ValueError as error:
        raise BadInput(f"stored counts of tests can't be read: {error}") from error


def _detail(number: int, attempt: Attempt) -> Detail:
    return Detail(
        number,
        attempt.attempt,
        attempt.outcome,
        attempt.fingerprint,
        attempt.at,
        _bounded(attempt.duration_ms),
    )


def _bounded(milliseconds: int) -> int:
    return min(max(milliseconds, 0), MOST)


def _decompressed(payload: bytes) -> bytes:
    """Raises ValueError."""
    if payload[:1] != bytes([VERSION]):
        raise ValueError(f"its form is not {VERSION}, the one that this release reads")
    try:
        return zlib.decompress(payload[1:])
    except zlib.error as error:
        raise ValueError(str(error)) from error


def _bytes(column: "array[int]") -> bytes:
    """Little-endian, whatever the machine."""
    if sys.byteorder == "big":
        column = array("I", column)
        column.byteswap()
    return column.tobytes()


def _array(body: bytes) -> "array[int]":
    column = array("I", body)
    if sys.byteorder == "big":
        column.byteswap()
    return column
