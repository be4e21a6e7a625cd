"""What GitLab's CI says of a commit: jobs by their name, whole pipelines, and statuses from elsewhere.

https://docs.gitlab.com/api/jobs/, https://docs.gitlab.com/api/pipelines/ and
https://docs.gitlab.com/api/commits/#commit-status. Names are data: a check is found by an equal name only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from activities.backends.gitlab_account import SCOPE, GitlabAccount, explain
from activities.backends.gitlab_answers import CommitStatus, Job, Pipeline
from activities.backends.gitlab_places import Place, Places
from activities.ports import Backend, Health
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.errors import LeverframeError, NotFound, Refused
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted

PIPELINE = "pipeline"
"""The context of a check that is the pipeline as a whole; a job of this name can't be a check."""

Outcome = Literal["passed", "failed", "inconclusive"]

_UNKNOWN_BY_STATUS = frozenset({"canceled", "skipped"})
_NOT_THE_CHANGE = frozenset(
    {
        "api_failure",
        "stuck_or_timeout_failure",
        "runner_system_failure",
        "runner_unsupported",
        "stale_schedule",
        "job_execution_timeout",
        "job_execution_server_timeout",
        "archived_failure",
        "scheduler_failure",
        "data_integrity_failure",
        "user_blocked",
        "project_deleted",
        "ci_quota_exceeded",
        "no_matching_runner",
        "builds_disabled",
        "environment_creation_failure",
        "stuck_pending_with_matching_runners",
        "stuck_pending_no_matching_runners",
    }
)
"""Reasons of a failed job that are nobody's verdict on the code. One that we don't know is a failure."""

_LOG = 40_000


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One job, status or pipeline that answers for a check."""

    kind: Literal["job", "status", "pipeline"]
    id: int
    pipeline: int
    """0 for a status."""
    status: str
    created_at: datetime
    seconds: float
    reasons: tuple[str, ...] = ()
    """Why its jobs failed."""

    @property
    def outcome(self) -> Outcome | None:
        """None while it runs, or waits for a click."""
        if self.status == "success":
            return "passed"
        if self.status in _UNKNOWN_BY_STATUS:
            return "inconclusive"
        if self.status != "failed":
            return None
        return failure(self.reasons)


def failure(reasons: Sequence[str]) -> Literal["failed", "inconclusive"]:
    """What a failure means when its jobs failed for these reasons: a verdict as soon as one job gives one."""
    return "inconclusive" if reasons and set(reasons) <= _NOT_THE_CHANGE else "failed"


def reasons_of(account: GitlabAccount, at: Place, pipeline: int) -> tuple[str, ...]:
    """Why the jobs of a failed pipeline failed; those that it may do without did not fail it."""
    path = f"{at.url}/pipelines/{pipeline}/jobs"
    jobs = account.pages(Job, path, f"read the jobs of pipeline {pipeline}", {"scope[]": ["failed"]})
    failed = [job for job in jobs if job.status == "failed" and not job.allow_failure]
    return tuple(sorted(job.failure_reason or "unknown_failure" for job in failed))


class GitlabChecks:
    """The `ForgeChecks` port over GitLab's REST API."""

    def __init__(
        self, account: GitlabAccount, *, repositories: Sequence[Repository], projects: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no project on GitLab."""
        self._account = account
        self._places = Places(account.host, repositories, projects)

    def result(self, repository: Repository, *, sha: str, check: Check) -> CheckResult | None:
        """What the newest run of the check said; None while there is none or the newest one is at work.

        Raises Unavailable, NotFound (a project that the token can't see).
        """
        at = self._places.at(repository.name)
        run = self._newest(at, sha, check)
        outcome = run.outcome if run else None
        if run is None or outcome is None:
            return None
        about = f"{run.kind} {run.id}" + (f" of pipeline {run.pipeline}" if run.kind == "job" else "")
        why = f" ({', '.join(sorted(set(run.reasons)))})" if run.status == "failed" and run.reasons else ""
        return CheckResult(
            check=check.name,
            sha=sha,
            outcome=outcome,
            seconds=run.seconds,
            summary=Untrusted(f"GitLab's {about}: {run.status}{why}").for_terminal(200),
            log=self._log(at, run) if outcome == "failed" else "",
        )

    def run_again(self, repository: Repository, *, sha: str, check: Check) -> None:
        """Retry the newest run if it has ended without passing. A lost answer is settled by the next look.

        Raises:
            NotFound: there is no run, or only a status that somebody else reported.
            Refused: GitLab does not retry it.
        """
        at = self._places.at(repository.name)
        context, run = check.context or check.name, self._newest(at, sha, check)
        if run is None:
            raise NotFound(f"GitLab knows no run of {context!r} for {sha[:12]}")
        if run.outcome in (None, "passed"):
            return
        if run.kind == "status":
            raise NotFound(
                f"{context!r} of {sha[:12]} is reported from outside: only its reporter can repeat it"
            )
        # A skipped job waits for one before it, which the retry of the whole pipeline runs.
        whole = run.kind == "pipeline" or run.status == "skipped"
        path = f"{at.url}/pipelines/{run.pipeline}" if whole else f"{at.url}/jobs/{run.id}"
        answer = self._account.send("POST", f"{path}/retry", f"retry {run.kind} {run.id}", allow=(400, 403))
        if answer.status < 300:
            return
        again = self._newest(at, sha, check)
        if again is None or (again.id, again.status) == (run.id, run.status):
            raise Refused(f"GitLab does not retry {run.kind} {run.id}: {answer.words}")

    def cancel(self, repository: Repository, *, sha: str) -> None:
        """Cancel every pipeline of the commit that still runs."""
        at = self._places.at(repository.name)
        for pipeline in self._pipelines(at, sha):
            if pipeline.status in ("success", "failed", "canceled", "canceling", "skipped"):
                continue
            path, doing = f"{at.url}/pipelines/{pipeline.id}/cancel", f"cancel pipeline {pipeline.id}"
            # One that has ended since, or was deleted, leaves nothing to cancel.
            self._account.send("POST", path, doing, allow=(400, 404))

    def health(self) -> Health:
        """Whether the pipelines of each project can be read."""
        try:
            for at in self._places:
                next(self._account.pages(Pipeline, f"{at.url}/pipelines", f"read {at.key}", size=1), None)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        return Health(ok=True, detail=f"the pipelines of {len(self._places)} projects can be read")

    def _newest(self, at: Place, sha: str, check: Check) -> _Run | None:
        context = check.context or check.name
        pipelines = self._pipelines(at, sha)
        if context == PIPELINE:
            runs = [_of_pipeline(each) for each in pipelines]
        else:
            runs = [run for each in pipelines for run in self._jobs(at, each, context)]
            runs += self._statuses(at, sha, context, but={run.id for run in runs})
        newest = max(runs, key=lambda run: (run.created_at, run.id), default=None)
        if newest is None or newest.kind != "pipeline" or newest.status != "failed":
            return newest
        return replace(newest, reasons=reasons_of(self._account, at, newest.id))

    def _pipelines(self, at: Place, sha: str) -> list[Pipeline]:
        """Those of exactly this commit; not the one that GitLab makes up to hold statuses from outside."""
        doing = f"look for the pipelines of {sha[:12]}"
        found = self._account.pages(Pipeline, f"{at.url}/pipelines", doing, {"sha": sha})
        return [each for each in found if each.sha == sha and each.source != "external"]

    def _jobs(self, at: Place, pipeline: Pipeline, context: str) -> list[_Run]:
        """A job that was retried is not listed; the one that it became is."""
        path, doing = f"{at.url}/pipelines/{pipeline.id}/jobs", f"read the jobs of pipeline {pipeline.id}"
        jobs = self._account.pages(Job, path, doing, {"include_retried": "false"})
        return [_of_job(job, pipeline.id) for job in jobs if job.name == context]

    def _statuses(self, at: Place, sha: str, context: str, *, but: set[int]) -> list[_Run]:
        """Statuses that were reported; GitLab lists jobs among them, under the same ids."""
        path, doing = f"{at.url}/repository/commits/{sha}/statuses", f"read the statuses of {sha[:12]}"
        answers = self._account.pages(CommitStatus, path, doing, {"name": context})
        return [_of_status(each) for each in answers if each.name == context and each.id not in but]

    def _log(self, at: Place, run: _Run) -> str:
        """The end of a failed job's log; for a pipeline that of its first job that failed."""
        job = run.id
        if run.kind == "status":
            return ""
        if run.kind == "pipeline":
            path, doing = f"{at.url}/pipelines/{run.id}/jobs", f"read the jobs of pipeline {run.id}"
            jobs = self._account.pages(Job, path, doing, {"scope[]": ["failed"]})
            failed = [each.id for each in jobs if not each.allow_failure]
            if not failed:
                return ""
            job = min(failed)
        try:
            text = self._account.tail(f"{at.url}/jobs/{job}/trace", f"read the log of job {job}", limit=_LOG)
        except (NotFound, Refused):
            return ""  # erased, or not for the token's role: the verdict stands without it
        return Untrusted(text).for_model(_LOG)


def _of_pipeline(pipeline: Pipeline) -> _Run:
    return _Run(
        kind="pipeline",
        id=pipeline.id,
        pipeline=pipeline.id,
        status=pipeline.status,
        created_at=pipeline.created_at or datetime.fromtimestamp(0, UTC),
        seconds=_between(pipeline.created_at, pipeline.updated_at),
    )


def _of_job(job: Job, pipeline: int) -> _Run:
    return _Run(
        kind="job",
        id=job.id,
        pipeline=pipeline,
        status=job.status,
        created_at=job.created_at,
        seconds=max(job.duration or 0.0, 0.0),
        reasons=(job.failure_reason or "unknown_failure",) if job.status == "failed" else (),
    )


def _of_status(status: CommitStatus) -> _Run:
    return _Run(
        kind="status",
        id=status.id,
        pipeline=0,
        status=status.status,
        created_at=status.created_at,
        seconds=_between(status.started_at or status.created_at, status.finished_at),
    )


def _between(begin: datetime | None, end: datetime | None) -> float:
    return max((end - begin).total_seconds(), 0.0) if begin and end else 0.0


BACKEND = Backend(kind="checks", name="gitlab", scopes=(SCOPE,), build=GitlabChecks)
