"""How jobs of GitLab's pipelines ended, those that were retried included.

A retried job is a job of its own with the same name; which time of its name it is counts as its attempt.
API: https://docs.gitlab.com/api/jobs/.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from pydantic import BaseModel

from activities.backends.gitlab_account import GitlabAccount
from activities.backends.gitlab_places import Place
from activities.backends.jobs_told import JobsOf, ToldJob, found_jobs
from activities.forge_reports_port import FoundJobs, FoundRun
from leverframe.model.frozen import Instant
from leverframe.model.jobs import JobConclusion

_CONCLUSIONS: Mapping[str, JobConclusion] = {"success": "pass", "failed": "fail"}
"""`failed` is also a job that ran out of time. Canceled, skipped and manual ones say nothing."""


class _File(BaseModel):
    size: int | None = None


class Job(BaseModel):
    """A job of a pipeline, as lists show it."""

    id: int
    name: str
    status: str = ""
    started_at: Instant | None = None
    finished_at: Instant | None = None
    artifacts_file: _File | None = None


class GitlabJobs:
    """Reads them; `wanted`: declared repository → globs of the names of jobs."""

    def __init__(self, account: GitlabAccount, wanted: Mapping[str, Sequence[str]]) -> None:
        self._account = account
        self.wanted = wanted

    def listed(self, at: Place, pipeline: int) -> Iterator[tuple[int, Job]]:
        """Each job, and for which time one of its name ran, the first ones first."""
        path, doing = f"{at.url}/pipelines/{pipeline}/jobs", f"read the jobs of pipeline {pipeline}"
        times: Counter[str] = Counter()
        found = self._account.pages(Job, path, doing, {"include_retried": "true"})
        for job in sorted(found, key=lambda job: job.id):
            times[job.name] += 1
            yield times[job.name], job

    def last(self, at: Place, pipeline: int) -> int | None:
        """The job that ended last, by whole seconds and then by id, as the webhook tells them, too."""
        ended = [
            (job.finished_at.replace(microsecond=0), job.id)
            for _, job in self.listed(at, pipeline)
            if job.started_at and job.finished_at
        ]
        return max(ended)[1] if ended else None

    def of_pipeline(self, at: Place, repository: str, run: FoundRun, pipeline: int) -> FoundJobs:
        """All jobs that have ended so far."""
        told = (
            ToldJob(
                id=job.id,
                name=job.name,
                attempt=time,
                conclusion=_CONCLUSIONS.get(job.status),
                began=job.started_at,
                ended=job.finished_at,
            )
            for time, job in self.listed(at, pipeline)
        )
        of = JobsOf(
            repository=repository, source="gitlab", run=str(pipeline), globs=self.wanted.get(repository, ())
        )
        return found_jobs(told, of, run)
