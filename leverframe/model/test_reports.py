"""Test reports: what one job of one run says of its tests, attempt by attempt.

Millions of attempts pass through here, so they are plain tuples; whoever reads a report from outside checks
them (`Attempt` says the bounds).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

Outcome = Literal["pass", "fail", "error", "skip"]
"""`error`: of its setup or teardown, or a process that died with it; a skip is no execution."""

Source = Literal["upload", "car", "github", "gitlab"]
"""How a report came: sent by a job, made by a check of a car, or fetched from the forge."""
FETCHED: tuple[Source, ...] = ("github", "gitlab")

MOST_TEST, MOST_NAME, MOST_SHA = 2_000, 500, 100
"""Characters of a test's identity; of a run, a branch, a job or a path; of a commit."""
MOST_ATTEMPT = 100
"""Attempts of one test in one run."""
MOST_TESTS = 1_000_000
"""In one repository."""
MOST_MARKERS, MOST_MARKER = 50, 100
"""Marks of one test, and characters of one; of a test with more or longer ones none is known."""


class Attempt(NamedTuple):
    """One execution of one test. Every text of it is data from outside."""

    test: str
    """Its full identity: file, whole node id with parameters, variant; never the last part alone."""
    attempt: int
    """Counts from 1 within the run."""
    outcome: Outcome
    fingerprint: str
    """Of the failure: 16 hex digits, or empty for a pass and for a failure of which nothing is known."""
    at: datetime
    duration_ms: int = 0
    path: str = ""
    """The test's file in the repository; empty where the report does not say."""
    markers: tuple[str, ...] | None = None
    """What pytest calls marks, sorted; empty for a test without one, None where the report does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One job of one run at one commit. A run has several when its tests are spread over jobs."""

    repository: str
    run: str
    """Names the run within the repository: attempts of one run belong together."""
    sha: str
    branch: str
    job: str
    source: Source
    attempts: tuple[Attempt, ...]
    complaints: tuple[str, ...] = ()
    """What of it could not be used, in our words: the sound part is kept."""
