"""What is kept of a report: attempts within the bounds, numbered, and complaints about all else."""

from collections import Counter
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import PurePosixPath

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import (
    MOST_ATTEMPT,
    MOST_MARKER,
    MOST_MARKERS,
    MOST_NAME,
    MOST_TEST,
    Attempt,
    Outcome,
    Report,
)
from leverframe.reports.facts import Facts, unstorable

MOST_ATTEMPTS = 250_000
"""Of one report."""
APART = timedelta(minutes=5)
MOST_COMPLAINTS = 20
LONGEST_COMPLAINT = 300
"""Characters."""
MOST_MILLISECONDS = 7 * 24 * 3600 * 1000


def with_variant(test: str, variant: str) -> str:
    """The test's whole name."""
    return f"{test} ({variant})" if variant else test


class Gathering:
    """Takes attempts in the order in which a test's attempts were made."""

    def __init__(self, *, now: datetime, variant: str = "") -> None:
        """`now`: attempts are not later, but for clocks that are a little apart."""
        self._latest = now + APART
        # Not to the second: the same bytes, sent again, have to be the same report.
        self._unsaid = now.replace(minute=0, second=0, microsecond=0)
        self._variant = variant
        self._attempts: list[Attempt] = []
        self._numbers: Counter[str] = Counter()
        self._complaints: list[str] = []
        self._more = 0
        self._left_out: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._attempts)

    def add(
        self,
        test: str,
        outcome: Outcome,
        fingerprint: str,
        *,
        at: datetime | None,
        duration_ms: int,
        path: str,
        markers: tuple[str, ...] | None,
    ) -> None:
        """One attempt more; one that can't be kept becomes part of a complaint."""
        named = with_variant(test, self._variant)
        if len(named) > MOST_TEST:
            self._left_out[f"of tests whose names are longer than {MOST_TEST} characters"] += 1
        elif unstorable(named):
            self._left_out["of tests with characters in their names that can't be stored"] += 1
        elif len(self._attempts) >= MOST_ATTEMPTS:
            self._left_out[f"after the first {MOST_ATTEMPTS:,} of the report"] += 1
        elif self._numbers[named] >= MOST_ATTEMPT:
            self._left_out[f"after the first {MOST_ATTEMPT} of one test"] += 1
        else:
            self._numbers[named] += 1
            self._attempts.append(
                Attempt(
                    test=named,
                    attempt=self._numbers[named],
                    outcome=outcome,
                    fingerprint=fingerprint if outcome in ("fail", "error") else "",
                    at=self._unsaid if at is None or at > self._latest else at,
                    duration_ms=min(max(duration_ms, 0), MOST_MILLISECONDS),
                    path=path if len(path) <= MOST_NAME and _is_place(path) else "",
                    markers=_kept(markers),
                )
            )

    def complain(self, sentence: str) -> None:
        """Something of the report could not be used."""
        if len(self._complaints) < MOST_COMPLAINTS:
            self._complaints.append(sentence[:LONGEST_COMPLAINT])
        else:
            self._more += 1

    def report(self, facts: Facts) -> Report:
        """The report. Raises BadInput when nothing of it is left, or the facts can't be used."""
        told = [f"{count:,} attempts {why} were left out" for why, count in self._left_out.items()]
        told += self._complaints
        if self._more:
            told.append(f"and {self._more:,} complaints more")
        if not self._attempts:
            raise BadInput("; ".join(["the report holds no test that can be used", *told[:3]]))
        facts.check()
        return Report(
            repository=facts.repository,
            run=facts.run,
            sha=facts.sha,
            branch=facts.branch,
            job=facts.job,
            source=facts.source,
            attempts=tuple(self._attempts),
            complaints=tuple(told),
        )


def _kept(markers: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """None where not all of them can be kept: one that is left out might be a forbidden one."""
    if not markers:
        return markers
    # What is too much is not remembered either.
    small = len(markers) <= MOST_MARKERS and all(0 < len(name) <= MOST_MARKER for name in markers)
    return _sorted(markers) if small else None


@lru_cache(maxsize=4096)
def _sorted(markers: tuple[str, ...]) -> tuple[str, ...] | None:
    """Each once, and the same object for the same marks."""
    return None if any(map(unstorable, markers)) else tuple(sorted(set(markers)))


@lru_cache(maxsize=4096)
def _is_place(path: str) -> bool:
    """Whether a path names a file in the repository, wherever that is checked out."""
    parts = PurePosixPath(path).parts
    return bool(path) and parts[:1] != ("/",) and ".." not in parts and not unstorable(path)
