"""What a forge says of jobs, made into attempts: what is wanted, sound, and of a known end."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from activities.forge_reports_port import FoundJobs, FoundRun
from leverframe.model.jobs import JobAttempt, JobConclusion, JobSource, is_wanted
from leverframe.model.test_reports import MOST_NAME
from leverframe.model.untrusted import Untrusted
from leverframe.reports.facts import unstorable

MOST_JOBS = 5_000
"""That are read of one run."""
MOST_ATTEMPTS = 1_000
"""Of one job in one run: as many check runs of one name as GitHub keeps."""
LONGEST = timedelta(days=7)
"""A job that says it took longer has told a wrong time."""
SLACK = timedelta(minutes=5)
"""By which a job may be later than the end of its run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldJob:
    """One execution, as a forge tells it."""

    id: int
    name: str
    attempt: int
    conclusion: JobConclusion | None
    """None for one that came to no end of its own: cancelled, skipped, or still running."""
    began: datetime | None
    ended: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobsOf:
    """What the jobs are of."""

    repository: str
    source: JobSource
    run: str
    """What its attempts have in common."""
    globs: Sequence[str]
    """Of the names of jobs that are wanted."""


def found_jobs(told: Iterable[ToldJob], of: JobsOf, found: FoundRun) -> FoundJobs:
    """The attempts that can be used; the others are counted, by reason, since their names may be anything."""
    attempts, wrong = list[JobAttempt](), Counter[str]()
    for job in told:
        # Of a longer name, which is told below, no more than this: a glob with several `*` takes ever longer.
        if job.conclusion is None or not is_wanted(job.name[: MOST_NAME + 1], of.globs):
            continue
        if job.began is None or job.ended is None:
            wrong["do not say when they ran"] += 1
        elif job.ended > found.ended + SLACK or job.ended - job.began > LONGEST:
            wrong["tell times that can't be"] += 1
        elif not 0 < len(job.name) <= MOST_NAME or unstorable(job.name):
            wrong[f"have a name of more than {MOST_NAME} characters, or one that can't be stored"] += 1
        elif job.attempt > MOST_ATTEMPTS:
            wrong[f"are attempts beyond the first {MOST_ATTEMPTS:,}"] += 1
        else:
            attempts.append(
                JobAttempt(
                    repository=of.repository,
                    source=of.source,
                    id=str(job.id),
                    run=of.run,
                    job=Untrusted(job.name),
                    sha=found.sha,
                    branch=Untrusted("" if unstorable(found.branch) else found.branch[:MOST_NAME]),
                    attempt=job.attempt,
                    conclusion=job.conclusion,
                    began=job.began,
                    ended=job.ended,
                )
            )
    complaints = tuple(f"{count:,} jobs {why}" for why, count in wrong.items())
    return FoundJobs(attempts=tuple(attempts), complaints=complaints)
