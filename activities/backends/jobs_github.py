"""How jobs ended at GitHub: those of an attempt of a workflow run, and the check runs of other Apps.

A job of GitHub Actions knows its attempt. An attempt in which only some jobs ran again may list the others
once more, with the times of before, so that what began before the attempt is left out. Another App's check
run knows none: what has one name in one check suite is counted by id, which grows. A suite that ends again
has a new name here, by when it was updated. API: https://docs.github.com/en/rest/actions/workflow-jobs,
https://docs.github.com/en/rest/checks/suites, https://docs.github.com/en/rest/checks/runs.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice, pairwise
from typing import Any

import structlog
from githubkit import Response
from pydantic import BaseModel, Field

from activities.backends.github_account import GithubAccount
from activities.backends.github_errors import answering
from activities.backends.github_places import Place
from activities.backends.jobs_told import MOST_JOBS, JobsOf, ToldJob, found_jobs
from activities.forge_reports_port import FoundJobs, FoundRun
from leverframe.model.errors import BadConfiguration, BadInput, NotFound, Refused, Unavailable
from leverframe.model.frozen import Instant
from leverframe.model.jobs import JobConclusion

SUITE = re.compile(r"suite-([1-9][0-9]{0,17})\.([0-9]{1,12})")
"""The name of a check suite as it ended: its id, and seconds since the Unix epoch."""

ACTIONS = "github-actions"
"""The App of which workflow runs tell more."""

_CONCLUSIONS: Mapping[str, JobConclusion] = {"success": "pass", "failure": "fail", "timed_out": "fail"}
"""A job that ran out of time has failed. Cancelled, skipped, neutral, stale, action_required and
startup_failure say nothing of how it would have ended, and neither does what GitHub may add."""
_PAGE = 100
_MOST_COMMITS = 100
"""Of which other Apps' suites are looked for at once, the newest ones."""

_log = structlog.get_logger(__name__)


class _Job(BaseModel):
    id: int
    run_attempt: int | None = None
    name: str
    workflow_name: str | None = None
    conclusion: str | None = None
    started_at: Instant | None = None
    completed_at: Instant | None = None


class _Jobs(BaseModel):
    jobs: list[_Job]


class _App(BaseModel):
    id: int
    slug: str | None = None


class _Suite(BaseModel):
    id: int
    head_branch: str | None = None
    head_sha: str
    status: str | None = None
    app: _App | None = None
    created_at: Instant | None = None
    updated_at: Instant | None = None


class _Suites(BaseModel):
    suites: list[_Suite] = Field(alias="check_suites")


class _Check(BaseModel):
    id: int
    name: str
    conclusion: str | None = None
    started_at: Instant | None = None
    completed_at: Instant | None = None
    app: _App | None = None


class _Checks(BaseModel):
    checks: list[_Check] = Field(alias="check_runs")


class GithubJobs:
    """Reads them; `wanted`: declared repository → globs of the names of jobs."""

    def __init__(self, account: GithubAccount, wanted: Mapping[str, Sequence[str]]) -> None:
        self._rest = account.client.rest
        self._ours = account.app.app_id if account.app else None
        self.wanted = wanted

    def suite(self, at: Place, name: str, number: int) -> FoundRun | None:
        """A check suite of another App. None for one of a fork, of which GitHub knows no branch, for our own
        App's, and for those of GitHub Actions. Raises NotFound, Refused, Unavailable (also while it goes on).
        """
        with answering(f"read the check suite {number}"):
            told = _Suite.model_validate(self._rest.checks.get_suite(at.owner, at.repo, number).json())
        if not self._is_anothers(told):
            return None
        if told.status != "completed":
            raise Unavailable(f"the check suite {number} goes on")
        ended = told.updated_at or datetime.now(UTC)
        began = told.created_at or ended
        return FoundRun(id=name, sha=told.head_sha, branch=told.head_branch or "", began=began, ended=ended)

    def suites(self, at: Place, shas: Iterable[str], since: datetime) -> list[str]:
        """The check suites of other Apps on these commits that ended since then, each by its name.

        None where they may not be read, or of a commit that is gone: runs of workflows don't depend on it.
        """
        found = list[str]()
        for sha in islice(dict.fromkeys(shas), _MOST_COMMITS):
            try:
                told = self._suites_of(at, sha)
            except BadConfiguration:
                raise
            except Refused as error:
                _log.warning("github.suites", repository=at.key, why=str(error))
                break
            except (NotFound, BadInput):
                continue
            found += [
                f"suite-{one.id}.{int(one.updated_at.timestamp())}"
                for one in told
                if one.updated_at and one.updated_at >= since
                if one.status == "completed" and self._is_anothers(one)
            ]
        return found

    def _suites_of(self, at: Place, sha: str) -> list[_Suite]:
        with answering(f"list the check suites of {sha[:12]}"):
            pages = self._rest.paginate(
                self._rest.checks.list_suites_for_ref, map_func=_suites,
                owner=at.owner, repo=at.repo, ref=sha, per_page=_PAGE,
            )  # fmt: skip
            return list(islice(pages, MOST_JOBS))

    def of_attempt(self, at: Place, repository: str, run: FoundRun, number: int, attempt: int) -> FoundJobs:
        """The jobs of one attempt of a workflow run, but for several with one name: which of them ran again
        can't be told."""
        with answering(f"list the jobs of the workflow run {run.id}"):
            pages = self._rest.paginate(
                self._rest.actions.list_jobs_for_workflow_run_attempt, map_func=_jobs,
                owner=at.owner, repo=at.repo, run_id=number, attempt_number=attempt, per_page=_PAGE,
            )  # fmt: skip
            ran = [
                (_name(job.workflow_name, job.name, " / "), job)
                for job in islice(pages, MOST_JOBS)
                if job.run_attempt in (None, attempt)
                if job.started_at is None or job.started_at >= run.began
            ]
        named = Counter(name for name, _ in ran)
        told = (
            ToldJob(
                id=job.id,
                name=name,
                attempt=attempt,
                conclusion=_CONCLUSIONS.get(job.conclusion or ""),
                began=job.started_at,
                ended=job.completed_at,
            )
            for name, job in ran
            if named[name] == 1
        )
        return found_jobs(told, self._of(repository, str(number)), run)

    def of_suite(self, at: Place, repository: str, run: FoundRun, number: int) -> FoundJobs:
        """The check runs of a suite, those that were run again included."""
        with answering(f"list the check runs of the suite {number}"):
            pages = self._rest.paginate(
                self._rest.checks.list_for_suite, map_func=_checks,
                owner=at.owner, repo=at.repo, check_suite_id=number, filter_="all", per_page=_PAGE,
            )  # fmt: skip
            found = list(islice(pages, MOST_JOBS))
        return found_jobs(_counted(found), self._of(repository, f"suite-{number}"), run)

    def _of(self, repository: str, run: str) -> JobsOf:
        return JobsOf(repository=repository, source="github", run=run, globs=self.wanted.get(repository, ()))

    def _is_anothers(self, suite: _Suite) -> bool:
        app = suite.app
        return app is not None and bool(suite.head_branch) and app.slug != ACTIONS and app.id != self._ours


def _counted(checks: Iterable[_Check]) -> Iterator[ToldJob]:
    """Numbered as they were made. Those of one name that ran beside each other are no repetitions."""
    named = defaultdict[str, list[_Check]](list)
    for check in sorted({one.id: one for one in checks}.values(), key=lambda one: one.id):
        app = check.app
        named[_name(app.slug or str(app.id) if app else None, check.name, ": ")].append(check)
    for name, several in named.items():
        if any(_beside(first, second) for first, second in pairwise(several)):
            continue
        for attempt, check in enumerate(several, start=1):
            yield ToldJob(
                id=check.id,
                name=name,
                attempt=attempt,
                conclusion=_CONCLUSIONS.get(check.conclusion or ""),
                began=check.started_at,
                ended=check.completed_at,
            )


def _beside(first: _Check, second: _Check) -> bool:
    return not first.completed_at or not second.started_at or second.started_at < first.completed_at


def _name(of: str | None, name: str, between: str) -> str:
    """As people know it: `CI / unit`, `circleci-checks: build`."""
    return f"{of}{between}{name}" if of else name


def _jobs(response: "Response[Any, Any]") -> list[_Job]:
    return _Jobs.model_validate(response.json()).jobs


def _suites(response: "Response[Any, Any]") -> list[_Suite]:
    return _Suites.model_validate(response.json()).suites


def _checks(response: "Response[Any, Any]") -> list[_Check]:
    return _Checks.model_validate(response.json()).checks
