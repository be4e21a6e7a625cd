"""Reports of tests as jobs send them, and their way through the store."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from activities.backends.results_store import ResultsStore
from activities.results_port import RunFolded
from agents.flaky_tests.bounds import Bounds
from leverframe.model.test_reports import Attempt, Outcome, Report

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
SETTLE = timedelta(minutes=10)
SIGNATURE = "00000000000000aa"
OUTCOMES: Mapping[str, Outcome] = {".": "pass", "F": "fail", "E": "error", "s": "skip"}
SENSITIVE = Bounds(runs_to_false_quarantine=100)
"""Short lives reach every state."""


def attempts(signs: Mapping[str, str], at: datetime = BEGAN) -> tuple[Attempt, ...]:
    """By test, a sign for each attempt: `.` passed, F failed, E had an error, s was skipped."""
    return tuple(
        Attempt(
            test=test,
            attempt=number,
            outcome=OUTCOMES[sign],
            fingerprint=SIGNATURE if sign in "FE" else "",
            at=at,
            duration_ms=100 * number,
            path=test.partition("::")[0],
        )
        for test, row in signs.items()
        for number, sign in enumerate(row, 1)
    )


def report(
    signs: Mapping[str, str],
    *,
    markers: tuple[str, ...] | None = None,
    run: str = "1",
    sha: str = "a1",
    branch: str = "main",
    job: str = "tests",
    repository: str = "shop",
    at: datetime = BEGAN,
) -> Report:
    """One job's report, in which all tests have these marks."""
    return Report(
        repository=repository,
        run=run,
        sha=sha,
        branch=branch,
        job=job,
        source="upload",
        attempts=tuple(one._replace(markers=markers) for one in attempts(signs, at)),
    )


def fold_all(
    store: ResultsStore,
    *,
    repository: str = "shop",
    now: datetime,
    bounds: Bounds = SENSITIVE,
    lacking: Iterable[tuple[str, str]] = (),
) -> list[RunFolded]:
    """Everything that has settled by now. `lacking`: (fix, commit) where the commit lacks the fix."""
    folded = []
    while one := store.fold_next(
        repository,
        target="main",
        settled_before=now - SETTLE,
        at=now,
        bounds=bounds,
        contains=lambda fix, sha: (fix, sha) not in set(lacking),
    ):
        folded.append(one)
    return folded


def tell(
    store: ResultsStore, runs: Sequence[Mapping[str, str]], *, repository: str = "shop", branch: str = "main"
) -> datetime:
    """Runs of one job each, an hour apart, folded as they settle; returns when the last was."""
    now = BEGAN
    begun = store.suite(repository).runs
    for number, signs in enumerate(runs, begun + 1):
        now = BEGAN + timedelta(hours=number)
        told = report(
            signs, run=str(number), sha=f"{number:040x}", branch=branch, repository=repository, at=now
        )
        store.keep(told, at=now)
        now += SETTLE
        fold_all(store, repository=repository, now=now)
    return now
