"""Test reports of GitLab's pipelines, as the port `ForgeReports`.

Whole JUnit files lie in the archives of jobs that keep them as artifacts (`artifacts:paths`), those of
retried jobs too: what ran for the second time in pipeline 77 is a run of its own here, `77.2`, since a
pipeline that is retried keeps its number. Where no job keeps any, the pipeline's own test report is taken, in
which GitLab keeps one case of each name.
API: https://docs.gitlab.com/api/pipelines/, https://docs.gitlab.com/api/jobs/, …/api/job_artifacts/.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from pydantic import BaseModel

from activities.backends.gitlab_account import SCOPE, GitlabAccount, explain, parsed
from activities.backends.gitlab_answers import Pipeline
from activities.backends.gitlab_places import Place, Places
from activities.forge_reports_port import Fetched, FoundRun
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.paths import any_match
from leverframe.model.topology import Repository
from leverframe.reports.gitlab_document import TestReportDocument, read_document
from leverframe.reports.reading import MAX_BYTES
from leverframe.reports.zipped import read_zipped

_RUN = re.compile(r"(?P<pipeline>[1-9][0-9]{0,17})(\.(?P<time>[2-9]|[1-9][0-9]))?")
_MOST_TIMES = 20
"""That a job is executed in one pipeline."""
_ENDED = frozenset({"success", "failed", "canceled", "skipped"})


class _File(BaseModel):
    size: int | None = None


class _Job(BaseModel):
    id: int
    name: str
    artifacts_file: _File | None = None


class GitlabReports:
    """The `ForgeReports` port over GitLab's REST API."""

    def __init__(
        self,
        account: GitlabAccount,
        *,
        repositories: Sequence[Repository],
        projects: Mapping[str, str],
        wanted: Mapping[str, tuple[str, ...]],
    ) -> None:
        """`wanted`: declared repository → globs of the paths of reports in jobs' archives; none of them takes
        the pipeline's own report.

        Raises BadConfiguration: a declared repository has no project on GitLab.
        """
        self._account = account
        self._places = Places(account.host, repositories, projects)
        self._wanted = wanted

    def run(self, repository: Repository, run: str) -> FoundRun | None:
        """See `ForgeReports.run`. A pipeline of a fork's merge request runs in the fork."""
        at, (pipeline, _) = self._places.at(repository.name), _parts(run)
        told = self._account.read(Pipeline, f"{at.url}/pipelines/{pipeline}", f"read pipeline {pipeline}")
        if told.source == "external":
            return None
        if told.status not in _ENDED:
            raise Unavailable(f"pipeline {pipeline} goes on")
        began = told.created_at or datetime.fromtimestamp(0, UTC)
        return FoundRun(id=run, sha=told.sha, branch=told.ref, began=began, ended=told.updated_at or began)

    def ended(self, repository: Repository, since: datetime) -> list[str]:
        """See `ForgeReports.ended`. With globs also what ran another time: no webhook tells it."""
        if repository.name not in self._wanted:
            return []
        at, found = self._places.at(repository.name), list[str]()
        asked = {"updated_after": since.isoformat(), "scope": "finished", "order_by": "updated_at"}
        for told in self._account.pages(
            Pipeline, f"{at.url}/pipelines", f"read the pipelines of {at.key}", asked
        ):
            if told.source == "external":
                continue
            found.append(str(told.id))
            if self._wanted[repository.name]:
                times = max((time for time, _ in self._jobs(at, told.id)), default=1)
                found += [f"{told.id}.{time}" for time in range(2, min(times, _MOST_TIMES) + 1)]
        return found

    def fetch(self, repository: Repository, run: FoundRun) -> Iterator[Fetched]:
        """See `ForgeReports.fetch`; a place is a job, or the pipeline."""
        at, globs = self._places.at(repository.name), self._wanted.get(repository.name, ())
        pipeline, wanted = _parts(run.id)
        found = 0
        for time, job in self._jobs(at, pipeline) if globs else ():
            if time != wanted or job.artifacts_file is None:
                continue
            fetched = self._of_job(at, repository, run, job)
            found += len(fetched.reports)
            yield fetched
        if not found and wanted == 1:
            yield self._of_pipeline(at, repository, run)

    def health(self) -> Health:
        """Whether the pipelines of the projects can be read whose reports are wanted."""
        try:
            for name in self._wanted:
                at = self._places.at(name)
                next(self._account.pages(Pipeline, f"{at.url}/pipelines", f"read {at.key}", size=1), None)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        return Health(ok=True, detail=f"reports of {len(self._wanted)} projects are wanted")

    def _jobs(self, at: Place, pipeline: int) -> Iterator[tuple[int, _Job]]:
        """Each job, and for which time one of its name ran, the first ones first."""
        path, doing = f"{at.url}/pipelines/{pipeline}/jobs", f"read the jobs of pipeline {pipeline}"
        times: Counter[str] = Counter()
        found = self._account.pages(_Job, path, doing, {"include_retried": "true"})
        for job in sorted(found, key=lambda job: job.id):
            times[job.name] += 1
            yield times[job.name], job

    def _of_job(self, at: Place, repository: Repository, run: FoundRun, job: _Job) -> Fetched:
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
        facts = replace(facts, run=str(_parts(run.id)[0]))
        reports, complaints = read_zipped(
            packed, facts, of=f"job {job.id}", now=run.ended, wanted=lambda name: any_match((name,), globs)
        )
        reports = tuple(replace(report, run=run.id) for report in reports)
        return Fetched(reports=reports, complaints=complaints)

    def _of_pipeline(self, at: Place, repository: Repository, run: FoundRun) -> Fetched:
        pipeline, _ = _parts(run.id)
        doing = f"read the test report of pipeline {pipeline}"
        answer = self._account.send("GET", f"{at.url}/pipelines/{pipeline}/test_report", doing)
        document = parsed(TestReportDocument, answer.body, doing)
        return Fetched(
            reports=tuple(read_document(document, run.facts(repository.name, github=False), now=run.ended))
        )


def _parts(run: str) -> tuple[int, int]:
    """The pipeline, and for which time its jobs ran."""
    found = _RUN.fullmatch(run)
    if found is None:
        raise NotFound(f"there is no pipeline {run[:40]!r}")
    return int(found["pipeline"]), int(found["time"] or 1)


BACKEND = Backend(kind="reports", name="gitlab", scopes=(SCOPE,), build=GitlabReports)
