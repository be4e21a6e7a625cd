"""How often jobs of CI failed and passed at one commit, and what that cost. Says nothing of any test.

Attempts are compared within one run only, and only when one was over before the other began: two jobs of one
name beside each other, such as two of a matrix, may well end differently.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from agents.flaky_tests.bounds import lower
from leverframe.model.jobs import JobAttempt, JobSource


class Job(NamedTuple):
    """A job of a repository. Its name is data from outside."""

    source: JobSource
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRuns:
    """In how many runs a job came to an end."""

    runs: int
    failed: int
    """In which one of its attempts failed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyRun:
    """A run in which a job failed and passed."""

    run: str
    sha: str
    branch: str
    """Data from outside."""
    at: datetime
    """When the later one of both was over."""
    lost: timedelta
    """What its attempts took that failed before one passed."""
    waited: timedelta
    """From the end of the first of them until one had passed: people waited, or did something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlakyJob:
    """A job that failed and passed at one commit, at least once."""

    source: JobSource
    job: str
    """Data from outside."""
    runs: int
    failed_runs: int
    """In which it failed, whether it passed later or not."""
    flaky_runs: int
    commits: int
    """At which it did both."""
    at_least_ppm: int
    """In at least so many of a million runs it does both, with 90 % confidence: see `bounds.lower`."""
    lost_ms: int
    waited_ms: int
    last: FlakyRun
    reported_runs: int
    """Of its flaky runs, those of which test reports came: only they say which test it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobCost:
    """What flaky jobs cost together."""

    jobs: int
    flaky_runs: int
    reported_runs: int
    lost_ms: int
    waited_ms: int

    @property
    def lost(self) -> timedelta:
        return timedelta(milliseconds=self.lost_ms)

    @property
    def waited(self) -> timedelta:
        return timedelta(milliseconds=self.waited_ms)


def cost_of(jobs: Sequence[FlakyJob]) -> JobCost:
    """The sums."""
    return JobCost(
        jobs=len(jobs),
        flaky_runs=sum(job.flaky_runs for job in jobs),
        reported_runs=sum(job.reported_runs for job in jobs),
        lost_ms=sum(job.lost_ms for job in jobs),
        waited_ms=sum(job.waited_ms for job in jobs),
    )


def how_often(job: FlakyJob) -> str:
    """The measurement, and the least that it shows: `3 of 40 runs, at least 2.1 %`."""
    return f"{job.flaky_runs:,} of {job.runs:,} runs, at least {job.at_least_ppm / 10_000:.1f} %"


def flaky_job(
    job: Job, standing: JobRuns, attempts: Iterable[JobAttempt], *, reported: frozenset[str]
) -> FlakyJob | None:
    """What the attempts of its runs with both outcomes come to; None when none of them tells a flake.

    Args:
        job: whose attempts they are.
        standing: counts over all runs, those with one outcome included.
        attempts: in any order; one that comes twice counts once.
        reported: runs that test reports came of.
    """
    runs = defaultdict[str, dict[str, JobAttempt]](dict)
    for attempt in attempts:
        runs[attempt.run][attempt.id] = attempt
    found = {name: flake for name, told in runs.items() if (flake := _flake(list(told.values())))}
    if not found:
        return None
    return FlakyJob(
        source=job.source,
        job=job.name,
        runs=standing.runs,
        failed_runs=standing.failed,
        flaky_runs=len(found),
        commits=len({flake.sha for flake in found.values()}),
        at_least_ppm=int(lower(len(found), standing.runs) * 1_000_000),
        lost_ms=_milliseconds(flake.lost for flake in found.values()),
        waited_ms=_milliseconds(flake.waited for flake in found.values()),
        last=max(found.values(), key=lambda flake: (flake.at, flake.run)),
        reported_runs=sum(any(one.reports_run in reported for one in runs[name].values()) for name in found),
    )


def flaky_jobs(
    standing: Mapping[Job, JobRuns], attempts: Iterable[JobAttempt], *, reported: frozenset[str]
) -> list[FlakyJob]:
    """Of many jobs, those that cost most first."""
    of = defaultdict[Job, list[JobAttempt]](list)
    for attempt in attempts:
        of[Job(attempt.source, attempt.job.stored())].append(attempt)
    found = [
        flaky
        for job, told in of.items()
        if job in standing and (flaky := flaky_job(job, standing[job], told, reported=reported))
    ]
    return sorted(found, key=lambda one: (-one.lost_ms, -one.flaky_runs, one.source, one.job))


def _flake(attempts: Sequence[JobAttempt]) -> FlakyRun | None:
    """Of one run of one job."""
    passes = [one for one in attempts if one.conclusion == "pass"]
    failures = [one for one in attempts if one.conclusion == "fail"]
    overcome = [(f, p) for f in failures for p in passes if _repeats(p, f)]
    both = [*overcome, *((p, f) for f in failures for p in passes if _repeats(f, p))]
    if not both:
        return None
    last = max((later for _, later in both), key=lambda one: (one.ended, one.id))
    first = min((f.ended for f, _ in overcome), default=last.ended)
    passed = min((p.ended for _, p in overcome), default=last.ended)
    lost = {f.id: f.took for f, _ in overcome}
    return FlakyRun(
        run=last.run,
        sha=last.sha,
        branch=last.branch.stored(),
        at=last.ended,
        lost=sum(lost.values(), timedelta(0)),
        waited=max(passed - first, timedelta(0)),
    )


def _repeats(later: JobAttempt, earlier: JobAttempt) -> bool:
    return later.sha == earlier.sha and later.attempt > earlier.attempt and later.began >= earlier.ended


def _milliseconds(spans: Iterable[timedelta]) -> int:
    return sum(spans, timedelta(0)) // timedelta(milliseconds=1)
