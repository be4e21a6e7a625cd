"""Which failures of a run are forgiven, for test runners that have no plugin of ours.

The same rules as those of the pytest plugin: a failure counts unless its test is quarantined today for just
this signature. What is not known counts.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from leverframe.model.test_reports import Attempt
from leverframe_pytest.quarantine import Entry


@dataclass(frozen=True, slots=True)
class Failure:
    """A test whose last execution failed."""

    test: str
    fingerprint: str
    said: str
    """Why it is forgiven, or why it counts."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The failures of a run."""

    forgiven: tuple[Failure, ...]
    counted: tuple[Failure, ...]


def judged(attempts: Iterable[Attempt], entries: Mapping[str, Entry], today: date) -> Judged:
    """The tests that failed and did not pass after that, in the order of their names."""
    last: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.outcome != "skip" and attempt.attempt >= last.get(attempt.test, attempt).attempt:
            last[attempt.test] = attempt
    forgiven, counted = [], []
    for test in sorted(last):
        attempt = last[test]
        if attempt.outcome == "pass":
            continue
        entry = entries.get(test)
        if why := _why_not(attempt, entry, today):
            counted.append(Failure(test, attempt.fingerprint, why))
        elif entry is not None:
            said = f"until {entry.expires}, {entry.owner}" + (f", {entry.tracking}" if entry.tracking else "")
            forgiven.append(Failure(test, attempt.fingerprint, said))
    return Judged(tuple(forgiven), tuple(counted))


def _why_not(attempt: Attempt, entry: Entry | None, today: date) -> str:
    """Why the failure counts; empty if it is forgiven."""
    if entry is None:
        return "it is not quarantined"
    if today >= entry.expires:
        return f"its quarantine expired on {entry.expires}"
    if not attempt.fingerprint:
        return "the report does not say what failed"
    if attempt.fingerprint not in entry.signatures:
        return f"the failure {attempt.fingerprint} is another one than it is quarantined for"
    return ""
