"""Pipelines, jobs and commit statuses of the fake: https://docs.gitlab.com/api/pipelines/,
https://docs.gitlab.com/api/jobs/, https://docs.gitlab.com/api/commits/#commit-status."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx

from tests.fakes import gitlab_documents as documents
from tests.fakes.gitlab_http import Query, answer, page_of, problem
from tests.fakes.gitlab_state import BEGAN, ME, JobState, Json, PipelineState, ProjectState

if TYPE_CHECKING:
    from tests.fakes.gitlab import FakeGitlab

_ENDED = ("success", "failed", "canceled", "skipped")


def routes(gitlab: "FakeGitlab", at: str) -> list[tuple[str, str, Any]]:
    here = _Ci(gitlab)
    pipeline, job, sha = (
        f"{at}/pipelines/(?P<pipeline>\\d+)",
        f"{at}/jobs/(?P<job>\\d+)",
        "(?P<sha>[0-9a-f]+)",
    )
    return [
        ("GET", f"{at}/pipelines", here.pipelines),
        ("GET", pipeline, here.one),
        ("GET", f"{pipeline}/test_report", here.test_report),
        ("GET", f"{pipeline}/jobs", here.jobs),
        ("GET", f"{job}/artifacts", here.archive),
        ("POST", f"{pipeline}/retry", here.retry_pipeline),
        ("POST", f"{pipeline}/cancel", here.cancel),
        ("POST", f"{job}/retry", here.retry),
        ("GET", f"{job}/trace", here.trace),
        ("GET", f"{at}/repository/commits/{sha}/statuses", here.statuses),
        ("POST", f"{at}/statuses/{sha}", here.report),
    ]


class _Ci:
    def __init__(self, gitlab: "FakeGitlab") -> None:
        self._gitlab = gitlab

    def pipelines(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        wanted, after = query.get("sha"), query.get("updated_after", ["1970-01-01T00:00:00Z"])[0]
        found = [
            document
            for each in reversed(at.pipelines)
            if (wanted is None or each.sha == wanted[0])
            and (query.get("scope") != ["finished"] or each.status in _ENDED)
            and query.get("status", [each.status]) == [each.status]
            and (document := documents.pipeline(at, each))
            and datetime.fromisoformat(document["updated_at"]) >= datetime.fromisoformat(after)
        ]
        return page_of(found, query, self._gitlab.page_size)

    def one(self, at: ProjectState, query: Query, body: Json, pipeline: str) -> httpx.Response:
        for each in at.pipelines:
            if each.id == int(pipeline):
                return answer(documents.pipeline(at, each))
        return problem(404, "404 Not found")

    def test_report(self, at: ProjectState, query: Query, body: Json, pipeline: str) -> httpx.Response:
        return answer(documents.test_report(at.test_suites.get(int(pipeline), {})))

    def archive(self, at: ProjectState, query: Query, body: Json, job: str) -> httpx.Response:
        """Sent to where the file lies, as with object storage."""
        if int(job) not in at.archives:
            return problem(404, "404 Not Found")
        return httpx.Response(302, headers={"location": f"https://blobs.example/{job}"})

    def jobs(self, at: ProjectState, query: Query, body: Json, pipeline: str) -> httpx.Response:
        made, scopes = self._pipeline(at, pipeline), query.get("scope[]", [])
        retried = query.get("include_retried") == ["true"]
        shown = [
            job for job in made.jobs if (retried or not job.retried) and (not scopes or job.status in scopes)
        ]
        return page_of(
            [documents.job(at, made, job) for job in reversed(shown)], query, self._gitlab.page_size
        )

    def retry(self, at: ProjectState, query: Query, body: Json, job: str) -> httpx.Response:
        for made in at.pipelines:
            for each in made.jobs:
                if each.id == int(job):
                    if each.retried or each.status not in ("success", "failed", "canceled"):
                        return problem(403, "403 Forbidden - Job is not retryable")
                    return answer(documents.job(at, made, self._again(at, made, each)), 201)
        return problem(404, "404 Not Found")

    def retry_pipeline(self, at: ProjectState, query: Query, body: Json, pipeline: str) -> httpx.Response:
        made = self._pipeline(at, pipeline)
        for each in [
            job for job in made.jobs if not job.retried and job.status in ("failed", "canceled", "skipped")
        ]:
            self._again(at, made, each)
        return answer(documents.pipeline(at, made), 201)

    def cancel(self, at: ProjectState, query: Query, body: Json, pipeline: str) -> httpx.Response:
        made = self._pipeline(at, pipeline)
        if made.status not in _ENDED:
            made.status = "canceled"
            for job in made.jobs:
                job.status = "canceled" if job.status not in _ENDED else job.status
        return answer(documents.pipeline(at, made), 200)

    def trace(self, at: ProjectState, query: Query, body: Json, job: str) -> httpx.Response:
        text = at.traces.get(int(job))
        return problem(404, "404 Not Found") if text is None else httpx.Response(200, text=text)

    def statuses(self, at: ProjectState, query: Query, body: Json, sha: str) -> httpx.Response:
        """The latest of each name; jobs of CI are among them."""
        if not at.knows(sha):
            return problem(404, "404 Commit Not Found")
        jobs = [
            documents.job_as_status(at, made, job)
            for made in at.pipelines
            if made.sha == sha
            for job in made.jobs
            if not job.retried
        ]
        latest = {each["name"]: each for each in at.statuses if each["sha"] == sha}
        wanted = query.get("name")
        found = [each for each in (*jobs, *latest.values()) if wanted is None or each["name"] == wanted[0]]
        return page_of(found, query, self._gitlab.page_size)

    def report(self, at: ProjectState, query: Query, body: Json, sha: str) -> httpx.Response:
        if not at.knows(sha):
            return problem(404, "404 Commit Not Found")
        if "ref" not in body and sha not in at.branches.values():
            return problem(404, "404 References for commit Not Found")
        assert body["state"] in ("pending", "running", "success", "failed", "canceled", "skipped")
        if len(body.get("description", "")) > 255:
            return problem(400, {"description": ["is too long (maximum is 255 characters)"]})
        self.outside(at, sha, body["name"], body["state"], body.get("description"), ref=body.get("ref", ""))
        return answer(at.statuses[-1], 201)

    def outside(
        self, at: ProjectState, sha: str, name: str, state: str, description: str | None, *, ref: str = ""
    ) -> None:
        """Somebody reports of a commit; GitLab makes up a pipeline that holds it."""
        if not any(each.sha == sha and each.source == "external" for each in at.pipelines):
            at.pipelines.append(PipelineState(next(at.ids), sha, ref, "external", state))
        at.statuses.append(
            {
                "id": next(at.ids), "sha": sha, "ref": ref, "status": state, "name": name,
                "target_url": None, "description": description, "created_at": BEGAN.isoformat(),
                "started_at": None, "finished_at": BEGAN.isoformat(), "allow_failure": False,
                "coverage": None, "author": ME,
            }
        )  # fmt: skip

    def _again(self, at: ProjectState, made: PipelineState, job: JobState) -> JobState:
        again = JobState(next(at.ids), job.name, "running", allow_failure=job.allow_failure)
        job.retried, made.status = True, "running"
        made.jobs.append(again)
        return again

    @staticmethod
    def _pipeline(at: ProjectState, pipeline: str) -> PipelineState:
        return next(each for each in at.pipelines if each.id == int(pipeline))


def outside(gitlab: "FakeGitlab", sha: str, name: str, state: str, description: str | None = None) -> None:
    """A system outside GitLab reports of a commit of the shop."""
    _Ci(gitlab).outside(gitlab.shop, sha, name, state, description)


def again(gitlab: "FakeGitlab", made: PipelineState, job: JobState) -> JobState:
    """Somebody retries a job of the shop's pipeline, which goes on."""
    return _Ci(gitlab)._again(gitlab.shop, made, job)


def waits(gitlab: "FakeGitlab", made: PipelineState, name: str, *, blocks: bool = False) -> JobState:
    """The shop's pipeline has a manual job, which may keep it from its end."""
    made.jobs.append(JobState(next(gitlab.shop.ids), name, "manual", allow_failure=not blocks))
    return made.jobs[-1]


def ends(
    gitlab: "FakeGitlab", made: PipelineState, job: JobState, status: str, *, began: datetime, ended: datetime
) -> None:
    """A job was executed, and the shop's pipeline ends if it was the last one to wait for."""
    job.status, job.began, job.ended = status, began, ended
    latest = [one.status for one in made.jobs if not one.retried]
    blocked = any(one.status == "manual" and not one.allow_failure for one in made.jobs)
    if not {"running", "created"} & set(latest):
        made.status = "failed" if "failed" in latest else "manual" if blocked else "success"


def hook(made: PipelineState, *, project: str = "acme/shop") -> Json:
    """What the webhook tells of a pipeline: of each name the job that ran last, with times to the second."""
    return {
        "object_kind": "pipeline",
        "object_attributes": {"id": made.id, "ref": made.ref, "status": made.status, "sha": made.sha},
        "project": {"path_with_namespace": project},
        "builds": [
            {
                "id": job.id, "name": job.name, "status": job.status, "stage": "test",
                "started_at": job.began and job.began.strftime("%Y-%m-%d %H:%M:%S UTC"),
                "finished_at": job.ended and job.ended.strftime("%Y-%m-%d %H:%M:%S UTC"),
            }
            for job in made.jobs
            if not job.retried
        ],
    }  # fmt: skip
