"""Which failures of a run are forgiven, for test runners that have no plugin of ours.

The same rules as those of the pytest plugin: a failure counts unless its test is quarantined today for just
this signature and, where the command is executed again, passes in one of the executions. What is not known
counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from leverframe.model.test_reports import Attempt
from leverframe_pytest.quarantine import Entry


@dataclass(frozen=True, slots=True)
class Failure:
    """A test that failed in the end of an execution."""

    test: str
    fingerprint: str
    said: str
    """Why it is forgiven, why it counts, or what is missing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The failures of a run."""

    forgiven: tuple[Failure, ...]
    counted: tuple[Failure, ...]
    pending: tuple[Failure, ...]
    """Those that a pass in one more execution would forgive, and nothing else."""


def judged(
    executions: Sequence[Iterable[Attempt]], entries: Mapping[str, Entry], today: date, *, needs_pass: bool
) -> Judged:
    """The tests that failed at the end of an execution, in the order of their names.

    `executions`: the attempts of each execution of the command, a test's in their order. `needs_pass`:
    whether only a pass in an execution forgives, as often as the test's entry says.
    """
    runs: dict[str, list[list[Attempt]]] = {}
    for execution in executions:
        for test, attempts in by_test(execution).items():
            runs.setdefault(test, []).append(attempts)
    forgiven, counted, pending = list[Failure](), list[Failure](), list[Failure]()
    for test in sorted(runs):
        failed = [attempts for attempts in runs[test] if attempts[-1].outcome != "pass"]
        if not failed:
            continue
        entry = entries.get(test)
        looked_at = runs[test] if needs_pass else [attempts[-1:] for attempts in failed]
        attempt, why = _counts(looked_at, entry, today)
        if entry is None or why:
            counted.append(Failure(test, attempt.fingerprint, why))
            continue
        said = f"until {entry.expires}, {entry.owner}" + (f", {entry.tracking}" if entry.tracking else "")
        if not needs_pass:
            forgiven.append(Failure(test, attempt.fingerprint, f"without a pass, {said}"))
        elif len(failed) < len(runs[test]):
            forgiven.append(Failure(test, attempt.fingerprint, said))
        elif len(executions) <= entry.executions:
            pending.append(Failure(test, attempt.fingerprint, "it has not passed at this commit"))
        else:
            why = f"it never passed at this commit, executed {entry.executions} times again"
            counted.append(Failure(test, attempt.fingerprint, why))
    return Judged(tuple(forgiven), tuple(counted), tuple(pending))


def by_test(attempts: Iterable[Attempt]) -> dict[str, list[Attempt]]:
    """Test → its attempts in one execution, in their order; a skip is none."""
    found: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.outcome != "skip":
            found.setdefault(attempt.test, []).append(attempt)
    return found


def _counts(runs: list[list[Attempt]], entry: Entry | None, today: date) -> tuple[Attempt, str]:
    """The failure that counts and why, or the last one and nothing.

    An attempt that its runner made again counts only when it is known to have failed in another way: most
    runners don't say.
    """
    failures = [
        attempt
        for attempts in runs
        for attempt in attempts
        if attempt.outcome != "pass" and (attempt is attempts[-1] or attempt.fingerprint)
    ]
    for attempt in failures:
        if why := _why_not(attempt, entry, today):
            return attempt, why
    return failures[-1], ""


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
