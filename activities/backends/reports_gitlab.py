"""Test reports of GitLab's pipelines, and how jobs ended, as the port `ForgeReports`.

Whole JUnit files lie in the archives of jobs that keep them as artifacts (`artifacts:paths`), those of
retried jobs too: what ran for the second time in pipeline 77 is a run of its own here, `77.2`, since a
pipeline that is retried keeps its number. Where no job keeps any, the pipeline's own test report is taken, in
which GitLab keeps one case of each name.

A pipeline goes on after it has ended when a manual or delayed job begins, or one is retried. So what is
fetched is named by the job that ended last, `77+9001`: once another one has, the pipeline is fetched again,
and what is known of it is kept once.
API: https://docs.gitlab.com/api/pipelines/, https://docs.gitlab.com/api/jobs/, …/api/job_artifacts/.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from activities.backends.gitlab_account import SCOPE, GitlabAccount, explain, parsed
from activities.backends.gitlab_answers import Pipeline
from activities.backends.gitlab_places import Place, Places
from activities.backends.jobs_gitlab import GitlabJobs, Job
from activities.forge_reports_port import Fetched, FoundJobs, FoundRun
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.paths import any_match
from leverframe.model.topology import Repository
from leverframe.reports.gitlab_document import TestReportDocument, read_document
from leverframe.reports.reading import MAX_BYTES
from leverframe.reports.zipped import read_zipped

_RUN = re.compile(r"(?P<pipeline>[1-9][0-9]{0,17})(\+[1-9][0-9]{0,17})?")
_MOST_TIMES = 20
"""That a job is executed in one pipeline and read."""
_ENDED = frozenset({"success", "failed", "canceled", "skipped", "manual", "scheduled"})
"""The last two wait for a person or a time, maybe for ever: what ran has ended all the same."""
_LISTED = ({"scope": "finished"}, {"status": "manual"}, {"status": "scheduled"})


class GitlabReports:
    """The `ForgeReports` port over GitLab's REST API."""

    def __init__(
        self,
        account: GitlabAccount,
        *,
        repositories: Sequence[Repository],
        projects: Mapping[str, str],
        wanted: Mapping[str, tuple[str, ...]],
        jobs: Mapping[str, tuple[str, ...]],
    ) -> None:
        """`wanted`: declared repository → globs of the paths of reports in jobs' archives; none of them takes
        the pipeline's own report. `jobs`: → of the names of jobs whose ends are wanted.

        Raises BadConfiguration: a declared repository has no project on GitLab.
        """
        self._account = account
        self._places = Places(account.host, repositories, projects)
        self._wanted = wanted
        self._jobs = GitlabJobs(account, jobs)

    def run(self, repository: Repository, run: str) -> FoundRun | None:
        """See `ForgeReports.run`. A pipeline of a fork's merge request runs in the fork."""
        at, pipeline = self._places.at(repository.name), _pipeline(run)
        told = self._account.read(Pipeline, f"{at.url}/pipelines/{pipeline}", f"read pipeline {pipeline}")
        if told.source == "external":
            return None
        if told.status not in _ENDED:
            raise Unavailable(f"pipeline {pipeline} goes on")
        began = told.created_at or datetime.fromtimestamp(0, UTC)
        return FoundRun(id=run, sha=told.sha, branch=told.ref, began=began, ended=told.updated_at or began)

    def ended(self, repository: Repository, since: datetime) -> list[str]:
        """See `ForgeReports.ended`."""
        if repository.name not in {*self._wanted, *self._jobs.wanted}:
            return []
        at, found = self._places.at(repository.name), list[str]()
        for which in _LISTED:
            asked = {"updated_after": since.isoformat(), "order_by": "updated_at", **which}
            for told in self._account.pages(
                Pipeline, f"{at.url}/pipelines", f"read the pipelines of {at.key}", asked
            ):
                if told.source != "external":
                    last = self._jobs.last(at, told.id)
                    found.append(str(told.id) if last is None else f"{told.id}+{last}")
        return list(dict.fromkeys(found))

    def fetch(self, repository: Repository, run: FoundRun) -> Iterator[Fetched]:
        """See `ForgeReports.fetch`; a place is a job, or the pipeline."""
        globs = self._wanted.get(repository.name)
        if globs is None:
            return
        at, pipeline, found = self._places.at(repository.name), _pipeline(run.id), 0
        for time, job in self._jobs.listed(at, pipeline) if globs else ():
            if job.artifacts_file is None or time > _MOST_TIMES:
                continue
            named = replace(run, id=f"{pipeline}.{time}" if time > 1 else str(pipeline))
            fetched = self._of_job(at, repository, named, job)
            found += len(fetched.reports)
            yield fetched
        if not found:
            yield self._of_pipeline(at, repository, replace(run, id=str(pipeline)))

    def jobs(self, repository: Repository, run: FoundRun) -> FoundJobs:
        """See `ForgeReports.jobs`."""
        if repository.name not in self._jobs.wanted:
            return FoundJobs()
        at = self._places.at(repository.name)
        return self._jobs.of_pipeline(at, repository.name, run, _pipeline(run.id))

    def health(self) -> Health:
        """Whether the pipelines of the projects can be read whose reports are wanted."""
        try:
            for name in sorted({*self._wanted, *self._jobs.wanted}):
                at = self._places.at(name)
                next(self._account.pages(Pipeline, f"{at.url}/pipelines", f"read {at.key}", size=1), None)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        wanted = f"reports of {len(self._wanted)} and jobs of {len(self._jobs.wanted)} projects"
        return Health(ok=True, detail=f"{wanted} are wanted")

    def _of_job(self, at: Place, repository: Repository, run: FoundRun, job: Job) -> Fetched:
        doing = f"download the artifacts of job {job.id}"
        try:
            packed = self._account.content(f"{at.url}/jobs/{job.id}/artifacts", doing, limit=MAX_BYTES)
        except (NotFound, Refused):
            return Fetched(complaints=(f"job {job.id}: its artifacts are gone",))
        if packed is None:
            return Fetched(complaints=(f"job {job.id}: its artifacts are larger than {MAX_BYTES:,} bytes",))
        globs = self._wanted[repository.name]
        facts = run.facts(repository.name, github=False).filled(run="", sha="", branch="", job=job.name)
        # Jobs know the pipeline alone, and lines of attempts say it.
        facts = replace(facts, run=run.id.partition(".")[0])
        # Not when the pipeline ended: that changes when it goes on, and the same reports must stay the same.
        now = job.finished_at or run.began
        reports, complaints = read_zipped(
            packed, facts, of=f"job {job.id}", now=now, wanted=lambda name: any_match((name,), globs)
        )
        reports = tuple(replace(report, run=run.id) for report in reports)
        return Fetched(reports=reports, complaints=complaints)

    def _of_pipeline(self, at: Place, repository: Repository, run: FoundRun) -> Fetched:
        pipeline = _pipeline(run.id)
        doing = f"read the test report of pipeline {pipeline}"
        answer = self._account.send("GET", f"{at.url}/pipelines/{pipeline}/test_report", doing)
        document = parsed(TestReportDocument, answer.body, doing)
        return Fetched(
            reports=tuple(read_document(document, run.facts(repository.name, github=False), now=run.began))
        )


def _pipeline(run: str) -> int:
    found = _RUN.fullmatch(run)
    if found is None:
        raise NotFound(f"there is no pipeline {run[:40]!r}")
    return int(found["pipeline"])


BACKEND = Backend(kind="reports", name="gitlab", scopes=(SCOPE,), build=GitlabReports)
