"""Check runs, commit statuses and workflow runs in the model of GitHub. CI reports through `CheckDesk`."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from githubkit_schemas.latest import models

from tests.fakes.github_shapes import APP_ID, AT, BOT, MALLORY, NUMBER, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub, Repo

ACTIONS = 15368
"""The id of GitHub's own App, whose check suites are runs of workflows."""
LINTER = 29310

_HERE = "https://api.github.com/repos/acme"


class CheckDesk:
    """Answers for CI, and is CI when a test says what it reports."""

    def __init__(self, github: "FakeGithub") -> None:
        self._github = github
        self.workflows: list[Json] = []
        self.statuses: list[Json] = []
        self.asked_again: list[int] = []
        """Check suites of other Apps that were asked for once more."""

    def routes(self) -> list[Route]:
        runs = f"{AT}/actions/runs"
        return [
            ("GET", f"{AT}/commits/(?P<sha>[0-9a-f]+)/check-runs", self._list_runs),
            ("POST", f"{AT}/check-runs", self._add_run),
            ("PATCH", f"{AT}/check-runs/{NUMBER}", self._edit_run),
            ("GET", f"{AT}/commits/(?P<sha>[0-9a-f]+)/statuses", self._list_statuses),
            ("POST", f"{AT}/check-suites/{NUMBER}/rerequest", self._rerequest),
            ("GET", runs, self._list_workflows),
            ("POST", f"{runs}/{NUMBER}/rerun-failed-jobs", self._rerun),
            ("POST", f"{runs}/{NUMBER}/cancel", self._cancel),
        ]

    def before(self) -> None:
        """CI does nothing by itself."""

    def workflow(self, sha: str) -> Json:
        """A workflow of GitHub Actions begins on the commit."""
        known = {"id": self._github.new_id(), "head_sha": sha, "status": "in_progress", "conclusion": None}
        self.workflows.append(sample(models.WorkflowRun, {**known, "check_suite_id": self._github.new_id()}))
        return self.workflows[-1]

    def job(self, workflow: Json, name: str, conclusion: str | None, *, text: str = "") -> Json:
        """A job of the workflow reports; None as its conclusion while it runs."""
        if conclusion is not None:
            workflow.update(status="completed", conclusion=conclusion)
        suite = workflow["check_suite_id"]
        return self.reports(workflow["head_sha"], name, conclusion, app=ACTIONS, suite=suite, text=text)

    def reports(
        self,
        sha: str,
        name: str,
        conclusion: str | None,
        *,
        app: int = LINTER,
        suite: int = 0,
        text: str = "",
    ) -> Json:
        """A check run of any App."""
        now = self._github.now
        known = {
            "id": self._github.new_id(), "name": name, "head_sha": sha, "external_id": "",
            "status": "completed" if conclusion else "in_progress", "conclusion": conclusion,
            "started_at": now.isoformat(), "app": sample(models.Integration, {"id": app}),
            "completed_at": (now + timedelta(seconds=90)).isoformat() if conclusion else None,
            "check_suite": {"id": suite or self._github.new_id()},
            "output": _output({"title": "It says", "summary": text, "text": text}),
        }  # fmt: skip
        self._github.repos["shop"].runs.append(sample(models.CheckRun, known))
        return self._github.repos["shop"].runs[-1]

    def status(self, sha: str, context: str, state: str, *, description: str = "") -> Json:
        """A commit status."""
        at = self._github.now.isoformat()
        known = {
            "id": self._github.new_id(), "context": context, "state": state, "description": description,
            "created_at": at, "updated_at": at, "creator": sample(models.SimpleUser, MALLORY),
        }  # fmt: skip
        self.statuses.append({**sample(models.Status, known), "sha": sha})
        return self.statuses[-1]

    def _list_runs(self, repo: "Repo", actor: Json, query: Any, body: Json, sha: str) -> httpx.Response:
        found = [
            run
            for run in repo.runs
            if run["head_sha"] == sha
            and run["name"] == query["check_name"]
            and run["app"]["id"] == int(query.get("app_id", run["app"]["id"]))
        ]
        answer = self._github.page(found, query, f"{_HERE}/{repo.name}/commits/{sha}/check-runs")
        document = {"total_count": len(found), "check_runs": answer.json()}
        model = models.ReposOwnerRepoCommitsRefCheckRunsGetResponse200
        links = {"link": answer.headers["link"]} if "link" in answer.headers else {}
        return httpx.Response(200, json=sample(model, document), headers=links)

    def _add_run(self, repo: "Repo", actor: Json, query: Any, body: Json) -> httpx.Response:
        if actor is not BOT:
            return problem(403, "You must authenticate via a GitHub App.")
        if not repo.has(body["head_sha"]):
            return problem(422, f"No commit found for SHA: {body['head_sha']}")
        app = sample(models.Integration, {"id": APP_ID})
        known = {"id": self._github.new_id(), "app": app, "check_suite": None}
        repo.runs.append(sample(models.CheckRun, {**known, **_run(body)}))
        return httpx.Response(201, json=repo.runs[-1])

    def _edit_run(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        run = next(each for each in repo.runs if each["id"] == int(number))
        run.update(_run(body))
        return httpx.Response(200, json=sample(models.CheckRun, run))

    def _list_statuses(self, repo: "Repo", actor: Json, query: Any, body: Json, sha: str) -> httpx.Response:
        newest_first = [each for each in reversed(self.statuses) if each["sha"] == sha]
        found = [{key: value for key, value in each.items() if key != "sha"} for each in newest_first]
        return self._github.page(found, query, f"{_HERE}/{repo.name}/commits/{sha}/statuses")

    def _rerequest(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        self.asked_again.append(int(number))
        return httpx.Response(201, json={})

    def _list_workflows(self, repo: "Repo", actor: Json, query: Any, body: Json) -> httpx.Response:
        """Of each run the last attempt, the newest runs first."""
        after = datetime.fromisoformat(query.get("created", ">=1970-01-01T00:00:00Z").removeprefix(">="))
        last = {each["id"]: each for each in (*self.workflows, *self._github.runs.attempts)}
        found = [
            each
            for each in reversed(last.values())
            if each["head_sha"] == query.get("head_sha", each["head_sha"])
            and each.get("check_suite_id", 0)
            == int(query.get("check_suite_id", each.get("check_suite_id", 0)))
            and each["status"] == query.get("status", each["status"])
            and datetime.fromisoformat(each["created_at"]) >= after
        ]
        answer = self._github.page(found, query, f"{_HERE}/{repo.name}/actions/runs")
        document = {"total_count": len(found), "workflow_runs": answer.json()}
        links = {"link": answer.headers["link"]} if "link" in answer.headers else {}
        model = models.ReposOwnerRepoActionsRunsGetResponse200
        return httpx.Response(200, json=sample(model, document), headers=links)

    def _rerun(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        workflow = self._workflow(number)
        if workflow["status"] != "completed":
            return problem(403, "This workflow is already running")
        workflow.update(status="queued", conclusion=None)
        suite = workflow["check_suite_id"]
        mine = [run for run in repo.runs if run["check_suite"] == {"id": suite}]
        for run in mine:
            if run["conclusion"] not in ("success", None):
                self.reports(run["head_sha"], run["name"], None, app=ACTIONS, suite=suite)
        return httpx.Response(201, json={})

    def _cancel(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        workflow = self._workflow(number)
        if workflow["status"] == "completed":
            return problem(409, "Cannot cancel a workflow run that is completed.")
        workflow.update(status="completed", conclusion="cancelled")
        return httpx.Response(202, json={})

    def _workflow(self, number: str) -> Json:
        return next(each for each in self.workflows if each["id"] == int(number))


def _run(body: Json) -> Json:
    return {**body, "output": _output(body["output"])}


def _output(given: Json) -> Json:
    return sample(models.CheckRunPropOutput, {"annotations_count": 0, "annotations_url": "", **given})
