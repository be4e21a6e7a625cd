"""Jobs of attempts of workflow runs, and check suites of other Apps, in the model of GitHub."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from githubkit_schemas.latest import models
from pydantic import BaseModel

from tests.fakes.github_shapes import AT, NUMBER, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub, Repo

CIRCLE = 18001
"""An App that is neither GitHub's own nor ours."""
MINUTE = timedelta(minutes=1)

_HERE = "https://api.github.com/repos/acme"


class JobDesk:
    """Answers for jobs and suites of `acme/shop`. CI acts through the methods with its names."""

    def __init__(self, github: "FakeGithub") -> None:
        self._github = github
        self.suites: list[Json] = []
        self.copies = True
        """Whether an attempt lists jobs that did not run again, as GitHub does at times."""
        self._jobs: list[Json] = []

    def routes(self) -> list[Route]:
        return [
            ("GET", f"{AT}/actions/runs/(?P<which>[0-9]+/attempts/[0-9]+)/jobs", self._list_jobs),
            ("GET", f"{AT}/commits/(?P<sha>[0-9a-f]+)/check-suites", self._list_suites),
            ("GET", f"{AT}/check-suites/{NUMBER}", self._get_suite),
            ("GET", f"{AT}/check-suites/{NUMBER}/check-runs", self._list_checks),
        ]

    def before(self) -> None:
        """Nothing happens by itself."""

    def job(
        self,
        run: int,
        attempt: int,
        name: str,
        conclusion: str | None,
        *,
        began: datetime,
        took: timedelta = MINUTE,
        workflow: str | None = "CI",
        sha: str = "a" * 40,
    ) -> Json:
        """A job of an attempt is executed; None as its conclusion while it runs."""
        known = {
            "id": self._github.new_id(), "run_id": run, "run_attempt": attempt, "name": name, "head_sha": sha,
            "workflow_name": workflow, "status": "completed" if conclusion else "in_progress",
            "conclusion": conclusion, "started_at": began.isoformat(), "created_at": began.isoformat(),
            "completed_at": (began + took).isoformat() if conclusion else None,
        }  # fmt: skip
        self._jobs.append(sample(models.Job, known))
        return self._jobs[-1]

    def suite(
        self, sha: str, *, app: int = CIRCLE, slug: str = "circleci-checks", branch: str | None = "work"
    ) -> Json:
        """An App begins to check a commit; of a fork's GitHub knows no branch."""
        known = {
            "id": self._github.new_id(), "head_sha": sha, "head_branch": branch, "status": "queued",
            "conclusion": None, "app": sample(models.Integration, {"id": app, "slug": slug}),
            "created_at": self._github.now.isoformat(), "updated_at": self._github.now.isoformat(),
        }  # fmt: skip
        self.suites.append(sample(models.CheckSuite, known))
        return self.suites[-1]

    def check(
        self, suite: Json, name: str, conclusion: str | None, *, began: datetime, took: timedelta = MINUTE
    ) -> Json:
        """The App tells of a check in its suite, which has ended when the check has."""
        known = {
            "id": self._github.new_id(), "name": name, "head_sha": suite["head_sha"], "external_id": "",
            "status": "completed" if conclusion else "in_progress", "conclusion": conclusion,
            "started_at": began.isoformat(), "app": suite["app"], "check_suite": {"id": suite["id"]},
            "completed_at": (began + took).isoformat() if conclusion else None,
        }  # fmt: skip
        self._github.repos["shop"].runs.append(sample(models.CheckRun, known))
        ended = "completed" if conclusion else "in_progress"
        suite.update(status=ended, conclusion=conclusion, updated_at=(began + took).isoformat())
        return self._github.repos["shop"].runs[-1]

    def _list_jobs(self, repo: "Repo", actor: Json, query: Any, body: Json, which: str) -> httpx.Response:
        run, number = (int(part) for part in which.split("/attempts/"))
        of_run = [job for job in self._jobs if job["run_id"] == run and job["run_attempt"] <= number]
        found = [job for job in of_run if job["run_attempt"] == number]
        if self.copies:
            ran = {job["name"] for job in found}
            before = {job["name"]: job for job in of_run if job["name"] not in ran}
            found += [
                {**job, "id": job["id"] + 10**6 * number, "run_attempt": number} for job in before.values()
            ]
        model = models.ReposOwnerRepoActionsRunsRunIdAttemptsAttemptNumberJobsGetResponse200
        return self._page(model, "jobs", found, query, f"{repo.name}/actions/runs/{which}/jobs")

    def _list_suites(self, repo: "Repo", actor: Json, query: Any, body: Json, sha: str) -> httpx.Response:
        found = [suite for suite in self.suites if suite["head_sha"] == sha]
        model = models.ReposOwnerRepoCommitsRefCheckSuitesGetResponse200
        return self._page(model, "check_suites", found, query, f"{repo.name}/commits/{sha}/check-suites")

    def _get_suite(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        for suite in self.suites:
            if suite["id"] == int(number):
                return httpx.Response(200, json=suite)
        return problem(404, "Not Found")

    def _list_checks(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        """The newest first; by default only the newest of each name."""
        mine = [run for run in reversed(repo.runs) if run["check_suite"] == {"id": int(number)}]
        newest = {run["name"]: run["id"] for run in reversed(mine)}
        every = query.get("filter", "latest") == "all"
        found = [run for run in mine if every or newest[run["name"]] == run["id"]]
        model = models.ReposOwnerRepoCheckSuitesCheckSuiteIdCheckRunsGetResponse200
        return self._page(model, "check_runs", found, query, f"{repo.name}/check-suites/{number}/check-runs")

    def _page(
        self, model: type[BaseModel], name: str, found: list[Json], query: Any, place: str
    ) -> httpx.Response:
        answer = self._github.page(found, query, f"{_HERE}/{place}")
        document = {"total_count": len(found), name: answer.json()}
        links = {"link": answer.headers["link"]} if "link" in answer.headers else {}
        return httpx.Response(200, json=sample(model, document), headers=links)
