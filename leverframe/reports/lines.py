"""JSON lines of attempts, as `leverframe_pytest.results` writes them; checked by hand: there are millions."""

import json
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, get_args

from pydantic_core import from_json

from leverframe.model.test_reports import FETCHED, Attempt, Outcome, Report
from leverframe.reports.facts import Facts
from leverframe.reports.gathering import Gathering
from leverframe_pytest.signatures import fingerprint

LONGEST = 1_000_000
"""Bytes of one line."""

_OUTCOMES = frozenset(get_args(Outcome))
_BAD = (KeyError, ValueError, TypeError)
"""What the functions of a line raise: `why` says it in words."""


def read_lines(body: bytes, facts: Facts, *, now: datetime) -> Report:
    """The report of one run in UTF-8 lines. Lines that can't be used, or are of another run, are left out.

    Raises BadInput: there is none that can be used, or nobody says which run they are of.
    """
    gathered = Gathering(now=now, variant=facts.variant)
    of_forge = facts.source in FETCHED
    others, seen = list[int](), set[tuple[str, int, str]]()
    for number, line in _split(body):
        try:
            fields = fields_of(line)
            said = _said(fields)
            key = (_test(fields), _number(fields), fields["at"])
            at, outcome, duration = instant(fields["at"]), _outcome(fields), _duration(fields)
            signature, markers, path = _signature(fields), _markers(fields), _path(fields)
        except _BAD as error:
            gathered.complain(f"line {number}: {why(error)}")
            continue
        if of_forge and said["run"] == facts.run and said["sha"]:
            # The job knows the commit that it tested: of a pull request the merge; the forge says the head.
            facts, of_forge = replace(facts, sha=said["sha"]), False
        if not (facts.run and facts.sha and facts.branch and facts.job):
            facts = facts.filled(**said)
        if (said["run"] and said["run"] != facts.run) or (said["sha"] and said["sha"] != facts.sha):
            others.append(number)
            continue
        if key in seen:
            continue
        seen.add(key)
        gathered.add(
            key[0],
            outcome,
            signature,
            at=at,
            duration_ms=duration,
            path=path,
            markers=markers,
        )
    if others:
        gathered.complain(
            f"{len(others):,} lines are of another run or commit than {facts.run} and were left out, "
            f"the first is line {others[0]}: send each run by itself"
        )
    return gathered.report(facts)


def line_of(attempt: Attempt, said: Mapping[str, str]) -> str:
    """The line of an attempt, with its end. `said`: what each line says of its run."""
    fields = {
        **said,
        "test": attempt.test,
        "attempt": attempt.attempt,
        "at": attempt.at.isoformat(),
        "outcome": attempt.outcome,
        "signature": attempt.fingerprint or None,
        "duration_ms": attempt.duration_ms,
        "path": attempt.path,
        "markers": attempt.markers,
    }
    return json.dumps(fields) + "\n"


def fields_of(line: bytes) -> dict[str, Any]:
    """The object of a line. Raises ValueError with what is wrong."""
    if len(line) > LONGEST:
        raise ValueError(f"it is longer than {LONGEST} bytes")
    try:
        fields = from_json(line)
    except ValueError:
        fields = _slowly(line)
    if type(fields) is not dict:
        raise ValueError("it is not a JSON object")
    return fields


def _slowly(line: bytes) -> Any:
    """For what the fast reader refuses: it says less of why, and knows no half of a surrogate pair."""
    try:
        return json.loads(line.decode())
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8: byte {error.start + 1}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from error


def instant(text: object) -> datetime:
    """A time; without a time zone it is UTC. Raises ValueError."""
    if not isinstance(text, str):
        raise ValueError("at must be an ISO 8601 time such as 2026-11-22T18:00:00Z")
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"at is not an ISO 8601 time such as 2026-11-22T18:00:00Z: {text[:40]!r}") from error


def why(error: Exception) -> str:
    """What is wrong with a line, in words."""
    if isinstance(error, KeyError):
        return f"it has no {error.args[0]}"
    if isinstance(error, TypeError):
        return "outcome must be pass, fail, error or skip"
    return str(error)


def _split(body: bytes) -> Iterator[tuple[int, bytes]]:
    """The numbered lines that aren't blank."""
    start = len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0
    for number in count(1):
        end = body.find(b"\n", start)
        line = body[start : end if end >= 0 else len(body)]
        if line and not line.isspace():
            yield number, line
        if end < 0:
            return
        start = end + 1


def _said(fields: dict[str, Any]) -> dict[str, str]:
    """Which run the line says that it is of; a line need not say anything of it."""
    said = {name: fields.get(name) or "" for name in ("run", "sha", "branch", "job")}
    for name, value in said.items():
        if type(value) is not str:
            raise ValueError(f"{name} must be a text")
    return said


def _test(fields: dict[str, Any]) -> str:
    test = fields["test"]
    if type(test) is not str or not test:
        raise ValueError("test must be a text that is not empty")
    return test


def _path(fields: dict[str, Any]) -> str:
    """The test's file; where the line does not say it, what stands before `::`."""
    path = fields.get("path")
    if path is None:
        place, _, inside = _test(fields).partition("::")
        return place if inside else ""
    if type(path) is not str:
        raise ValueError("path must be a text or null")
    return path


def _number(fields: dict[str, Any]) -> int:
    number = fields.get("attempt", 1)
    if type(number) is not int:
        raise ValueError("attempt must be a whole number")
    return number


def _outcome(fields: dict[str, Any]) -> Outcome:
    outcome: Outcome = fields["outcome"]
    if outcome not in _OUTCOMES:
        raise ValueError("outcome must be pass, fail, error or skip")
    return outcome


def _signature(fields: dict[str, Any]) -> str:
    signature = fields.get("signature")
    if signature is not None and type(signature) is not str:
        raise ValueError("signature must be a text or null")
    return fingerprint(signature)


def _markers(fields: dict[str, Any]) -> tuple[str, ...] | None:
    markers = fields.get("markers")
    if markers is None:
        return None
    if type(markers) is not list or not all(type(name) is str for name in markers):
        raise ValueError("markers must be a list of texts or null")
    return tuple(markers)


def _duration(fields: dict[str, Any]) -> int:
    duration = fields.get("duration_ms", 0)
    if type(duration) is not int:
        raise ValueError("duration_ms must be a whole number")
    return duration
