"""Attempts of a job, as a forge tells them."""

from datetime import datetime, timedelta

from leverframe.model.ids import short_hash
from leverframe.model.jobs import JobAttempt, JobConclusion, JobSource
from leverframe.model.untrusted import Untrusted
from tests.fakes.result_reports import BEGAN

UNIT = "CI / unit"
HOSTILE = "CI / \x1b[31m[bold]\u202e<script>alert(1)</script>'; DROP TABLE job_attempts; --"


def executed(
    run: int,
    *conclusions: JobConclusion,
    job: str = UNIT,
    source: JobSource = "github",
    repository: str = "shop",
    began: datetime = BEGAN,
) -> list[JobAttempt]:
    """A job of a run, executed once for each conclusion: for two minutes, ten minutes apart."""
    times = [began + timedelta(minutes=10 * number) for number in range(len(conclusions))]
    return [
        JobAttempt(
            repository=repository,
            source=source,
            id=f"{run}/{number}/{short_hash(job)}",
            run=str(run),
            job=Untrusted(job),
            sha=f"{run:040x}",
            branch=Untrusted("work"),
            attempt=number,
            conclusion=conclusion,
            began=at,
            ended=at + timedelta(minutes=2),
        )
        for number, (conclusion, at) in enumerate(zip(conclusions, times, strict=True), start=1)
    ]
