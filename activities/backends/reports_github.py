"""Test reports in the artifacts of GitHub's workflow runs, and how jobs ended, as the port `ForgeReports`.

GitHub has no API of test results. Each attempt of a run is a run of its own here, named as the jobs'
variables name it (`GITHUB_RUN_ID.GITHUB_RUN_ATTEMPT`); artifacts don't say of which attempt they are, but
when they were made. API: https://docs.github.com/en/rest/actions/artifacts, …/actions/workflow-runs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from githubkit import Response
from pydantic import BaseModel

from activities.backends.github_account import NEEDED_BY_CHECKS, GithubAccount
from activities.backends.github_errors import answering
from activities.backends.github_places import Place, Places
from activities.backends.jobs_github import SUITE, GithubJobs
from activities.forge_reports_port import Fetched, FoundJobs, FoundRun
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError, NotFound, Unavailable
from leverframe.model.frozen import Instant
from leverframe.model.paths import any_match
from leverframe.model.topology import Repository
from leverframe.reports.reading import MAX_BYTES
from leverframe.reports.zipped import read_zipped

NEEDED: Mapping[str, str] = {"actions": "read", "checks": "read"}
"""Checks only where jobs are wanted: those of other Apps are check runs."""

_RUN = re.compile(r"([1-9][0-9]{0,17})\.([1-9][0-9]{0,4})")
_PAGE = 100
_MOST_ARTIFACTS = 500
_MOST_RUNS = 1_000
"""As many as GitHub lists."""
_MOST_ATTEMPTS = 10
"""Of one run, the last ones."""
_LONGEST = timedelta(days=3)
"""Between a run's beginning and the end of its last attempt."""
_SLACK = timedelta(minutes=5)
"""By which an artifact may be later than the end of its run."""


class _Repository(BaseModel):
    full_name: str


class _Run(BaseModel):
    id: int
    run_attempt: int = 1
    head_sha: str
    head_branch: str | None = None
    status: str | None = None
    head_repository: _Repository | None = None
    run_started_at: Instant
    updated_at: Instant


class _Runs(BaseModel):
    workflow_runs: list[_Run]


class _Artifact(BaseModel):
    id: int
    name: str
    size_in_bytes: int
    expired: bool
    created_at: Instant | None = None


class _Artifacts(BaseModel):
    artifacts: list[_Artifact]


class GithubReports:
    """The `ForgeReports` port over GitHub's REST API."""

    def __init__(
        self,
        account: GithubAccount,
        *,
        repositories: Sequence[Repository],
        owner_repo: Mapping[str, str],
        wanted: Mapping[str, tuple[str, ...]],
        jobs: Mapping[str, tuple[str, ...]],
    ) -> None:
        """`wanted`: declared repository → globs of the names of artifacts that hold reports; `jobs`: → of the
        names of jobs whose ends are wanted.

        Raises BadConfiguration: a declared repository has no `owner/name` on GitHub.
        """
        self._account = account
        self._rest = account.client.rest
        self._places = Places(repositories, owner_repo, host=account.host)
        self._wanted = wanted
        self._jobs = GithubJobs(account, jobs)

    def run(self, repository: Repository, run: str) -> FoundRun | None:
        """See `ForgeReports.run`; a check suite of another App is a run, too."""
        at = self._places.of(repository.name)
        if suite := SUITE.fullmatch(run):
            return self._jobs.suite(at, run, int(suite[1]))
        number, attempt = _parts(run)
        with answering(f"read the workflow run {run}"):
            answer = self._rest.actions.get_workflow_run_attempt(at.owner, at.repo, number, attempt)
            told = _Run.model_validate(answer.json())
        home = told.head_repository.full_name.lower() if told.head_repository else ""
        if home != f"{at.owner}/{at.repo}".lower():
            return None
        if told.status != "completed":
            raise Unavailable(f"the workflow run {run} goes on")
        return FoundRun(
            id=run,
            sha=told.head_sha,
            branch=told.head_branch or "",
            began=told.run_started_at,
            ended=told.updated_at,
        )

    def ended(self, repository: Repository, since: datetime) -> list[str]:
        """See `ForgeReports.ended`: each attempt of a run that began in the days before, and what other Apps
        checked on the same commits."""
        if repository.name not in {*self._wanted, *self._jobs.wanted}:
            return []
        at = self._places.of(repository.name)
        with answering("list the workflow runs"):
            pages = self._rest.paginate(
                self._rest.actions.list_workflow_runs_for_repo, map_func=_runs,
                owner=at.owner, repo=at.repo, status="completed", per_page=_PAGE,
                created=f">={since - _LONGEST:%Y-%m-%dT%H:%M:%SZ}",
            )  # fmt: skip
            found = list(islice(pages, _MOST_RUNS))
        home = f"{at.owner}/{at.repo}".lower()
        ours = [
            run
            for run in found
            if run.updated_at >= since
            and run.head_repository
            and run.head_repository.full_name.lower() == home
        ]
        attempts = [
            f"{run.id}.{attempt}"
            for run in ours
            for attempt in range(max(run.run_attempt - _MOST_ATTEMPTS, 0) + 1, run.run_attempt + 1)
        ]
        if repository.name not in self._jobs.wanted:
            return attempts
        return attempts + self._jobs.suites(at, (run.head_sha for run in ours), since)

    def fetch(self, repository: Repository, run: FoundRun) -> Iterator[Fetched]:
        """See `ForgeReports.fetch`; a place is an artifact. A check suite has none."""
        at = self._places.of(repository.name)
        if repository.name not in self._wanted or SUITE.fullmatch(run.id):
            return
        for artifact in self._artifacts(at, run):
            if not any_match((artifact.name,), self._wanted.get(repository.name, ())):
                continue
            if artifact.expired:
                yield Fetched(complaints=(f"artifact {artifact.id} has expired",))
            elif artifact.size_in_bytes > MAX_BYTES:
                yield Fetched(complaints=(f"artifact {artifact.id} is larger than {MAX_BYTES:,} bytes",))
            else:
                yield self._read(at, repository, run, artifact)

    def jobs(self, repository: Repository, run: FoundRun) -> FoundJobs:
        """See `ForgeReports.jobs`."""
        if repository.name not in self._jobs.wanted:
            return FoundJobs()
        at = self._places.of(repository.name)
        if suite := SUITE.fullmatch(run.id):
            return self._jobs.of_suite(at, repository.name, run, int(suite[1]))
        return self._jobs.of_attempt(at, repository.name, run, *_parts(run.id))

    def health(self) -> Health:
        """Whether artifacts and jobs may be read, if anybody wants them."""
        if not self._wanted and not self._jobs.wanted:
            return Health(ok=True, detail="no repository's artifacts or jobs are wanted")
        needed = [name for name in NEEDED if name != "checks" or self._jobs.wanted]
        try:
            grants = self._account.grants({**NEEDED_BY_CHECKS, **NEEDED})
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check changes.github")
        missing = [
            f"{name}: read" for name in needed if any(each.startswith(name) for each in grants.missing)
        ]
        if missing:
            detail = f"{grants.told}; not granted: {', '.join(missing)}"
            return Health(ok=False, detail=detail, remedy="grant it")
        wanted = f"artifacts of {len(self._wanted)} and jobs of {len(self._jobs.wanted)} repositories"
        return Health(ok=True, detail=f"{wanted} can be read")

    def _artifacts(self, at: Place, run: FoundRun) -> list[_Artifact]:
        """Those that were made while the attempt ran."""
        with answering(f"list the artifacts of the workflow run {run.id}"):
            pages = self._rest.paginate(
                self._rest.actions.list_workflow_run_artifacts, map_func=_listed,
                owner=at.owner, repo=at.repo, run_id=_parts(run.id)[0], per_page=_PAGE,
            )  # fmt: skip
            found = list(islice(pages, _MOST_ARTIFACTS))
        return [
            artifact
            for artifact in found
            if artifact.created_at and run.began <= artifact.created_at <= run.ended + _SLACK
        ]

    def _read(self, at: Place, repository: Repository, run: FoundRun, artifact: _Artifact) -> Fetched:
        with answering(f"download the artifact {artifact.id}"):
            packed = self._rest.actions.download_artifact(at.owner, at.repo, artifact.id, "zip").content
        facts = run.facts(repository.name, github=True).filled(run="", sha="", branch="", job=artifact.name)
        reports, complaints = read_zipped(packed, facts, of=f"artifact {artifact.id}", now=run.ended)
        return Fetched(reports=reports, complaints=complaints)


def _parts(run: str) -> tuple[int, int]:
    found = _RUN.fullmatch(run)
    if found is None:
        raise NotFound(f"there is no workflow run {run[:40]!r}")
    return int(found[1]), int(found[2])


def _runs(response: "Response[Any, Any]") -> list[_Run]:
    return _Runs.model_validate(response.json()).workflow_runs


def _listed(response: "Response[Any, Any]") -> list[_Artifact]:
    return _Artifacts.model_validate(response.json()).artifacts


BACKEND = Backend(
    kind="reports",
    name="github",
    scopes=tuple(f"{name}: {level}" for name, level in NEEDED.items()),
    build=GithubReports,
)
