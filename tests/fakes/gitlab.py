"""GitLab's REST API as far as the backends use it, with a memory. Written from the API's reference.

https://docs.gitlab.com/api/rest/. One project may lie on a real bare repository: its trains make real
commits. `version` switches what differs between versions. People act through the methods with their names.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, unquote

import httpx

from tests.fakes import gitlab_ci, gitlab_issues, gitlab_merge_requests
from tests.fakes import gitlab_documents as documents
from tests.fakes.gitlab_http import Query, answer, problem
from tests.fakes.gitlab_releases import GitlabReleases
from tests.fakes.gitlab_state import (
    MALLORY,
    ME,
    Json,
    MergeRequestState,
    PipelineState,
    ProjectState,
    counter,
)
from tests.fakes.gitlab_trains import Trains

TOKEN = "glpat-of_the_train"


@dataclass
class Fault:
    """What happens to the next request that matches."""

    method: str
    path: str
    """A regular expression, found anywhere in the path as it is sent."""
    status: int = 0
    """0: the connection breaks."""
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    applied: bool = False
    """Whether the server does what it was asked to before the answer is lost."""


Handler = Callable[..., httpx.Response]


class FakeGitlab:
    """Projects `acme/shop` and `acme/till`. `requests` are those that were answered or lost."""

    def __init__(self, *, version: str = "17.11.2-ee", remote: Path | None = None) -> None:
        ids = counter()
        self.shop = ProjectState("acme/shop", 1, ids, remote)
        self.projects = {"acme/shop": self.shop, "acme/till": ProjectState("acme/till", 2, ids)}
        self.version = version
        self.scopes: tuple[str, ...] | None = ("api",)
        """None: an OAuth token, of which another endpoint tells."""
        self.page_size = 100
        self.lagging = False
        """Whether merge requests have yet to notice what was pushed."""
        self.hidden = False
        """Whether listings do not show merge requests yet."""
        self.releases = GitlabReleases()
        self.faults: list[Fault] = []
        self.requests: list[httpx.Request] = []

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    @property
    def trains(self) -> Trains:
        return Trains(self.shop, self.number)

    @property
    def number(self) -> tuple[int, int]:
        major, minor = self.version.split(".")[:2]
        return int(major), int(minor)

    def writes(self) -> list[str]:
        """`POST /projects/acme%2Fshop/…` and the like."""
        return [
            f"{each.method} {each.url.raw_path.decode().removeprefix('/api/v4')}"
            for each in self.requests
            if each.method != "GET"
        ]

    def push(self, branch: str, sha: str, project: str = "acme/shop") -> None:
        """Somebody pushes a made-up commit."""
        at = self.projects[project]
        at.branches[branch] = sha
        at.commits.add(sha)
        if not self.lagging:
            self.notice(project)

    def land(self, head: str, sha: str, project: str = "acme/shop") -> None:
        """The target moves to a made-up commit that contains `head`, and GitLab has not noticed yet."""
        self.projects[project].commits.add(sha)
        self.projects[project].contained.add((head, sha))

    def notice(self, project: str = "acme/shop") -> None:
        """What GitLab does a moment after a push: heads move, and a train loses what was pushed to."""
        at = self.projects[project]
        for seen in at.merge_requests:
            head = at.head(seen.branch)
            if seen.state != "opened" or seen.fork or head in (None, seen.sha):
                continue
            seen.sha = head
            at.note(seen.iid, "added 1 commit\n\n<ul><li>work</li></ul>", MALLORY, system=True)
            if at is self.shop and self.trains.car(seen.iid):
                self.trains.drop(seen.iid, "the source branch was updated")

    def notice_merges(self, sha: str, project: str = "acme/shop") -> None:
        """What GitLab does a moment after the target moved to `sha`."""
        at = self.projects[project]
        for seen in at.merge_requests:
            if seen.state == "opened" and seen.sha and at.contains(sha, seen.sha):
                seen.state, seen.merge_commit = "merged", sha

    def person_opens(self, branch: str, sha: str, *, fork: bool = False, title: str = "Mine") -> int:
        if not fork and self.shop.remote is None:
            self.push(branch, sha)
        iid = len(self.shop.merge_requests) + 1
        self.shop.merge_requests.append(
            MergeRequestState(iid, branch, "main", title, "my words", MALLORY, sha, fork=fork)
        )
        return iid

    def person_comments(self, iid: int, body: str) -> None:
        self.shop.note(iid, body, MALLORY)

    def person_closes(self, iid: int) -> None:
        seen = self.shop.merge_request(iid)
        seen.state, seen.status = "closed", "not_open"
        if self.trains.car(iid):
            self.trains.drop(iid, "the merge request was closed")

    def checks_pass(self, iid: int) -> None:
        """What a merge request waited for has come: it goes onto the train."""
        self.trains.add(iid)

    def finish(
        self,
        pipeline: PipelineState,
        status: str = "success",
        *,
        reason: str | None = None,
        target: str = "main",
    ) -> None:
        """CI ends a pipeline and all of its jobs, and the train goes on."""
        pipeline.status = status
        for job in pipeline.jobs:
            job.status, job.reason = status, reason if status == "failed" else None
        self.trains.refresh(target)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "blobs.example":
            assert "authorization" not in request.headers, "the token goes to GitLab alone"
            return httpx.Response(200, content=self.shop.archives[int(request.url.path.strip("/"))])
        self.requests.append(request)
        fault = self._fault(request)
        if fault is not None and fault.status and not fault.applied:
            return httpx.Response(fault.status, json=fault.body, headers=fault.headers)
        if fault is not None and not fault.applied:
            raise httpx.ConnectError("refused", request=request)
        answer = self._routed(request)
        if fault is not None and fault.status:
            return httpx.Response(fault.status, json=fault.body, headers=fault.headers)
        if fault is not None:
            raise httpx.ReadTimeout("lost", request=request)
        return answer

    def _fault(self, request: httpx.Request) -> Fault | None:
        path = request.url.raw_path.decode().partition("?")[0]
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, path):
                self.faults.remove(fault)
                return fault
        return None

    def _routed(self, request: httpx.Request) -> httpx.Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return problem(401, "401 Unauthorized")
        path, _, query = request.url.raw_path.decode().partition("?")
        body = json.loads(request.content) if request.content else {}
        assert "skip_merge_train" not in {*body, *parse_qs(query)}, "passes the train by"
        for method, pattern, handle in self._routes():
            found = re.fullmatch(pattern, path)
            if found and request.method == method:
                named = {key: unquote(value) for key, value in found.groupdict().items()}
                at = self.projects.get(named.pop("project", "acme/shop"))
                if at is None:
                    return problem(404, "404 Project Not Found")
                return handle(at, parse_qs(query, keep_blank_values=True), body, **named)
        return problem(404, f"no such route in the fake: {request.method} {path}")

    def _routes(self) -> list[tuple[str, str, Handler]]:
        at = "/api/v4/projects/(?P<project>[^/]+)"
        return [
            ("GET", "/api/v4/user", lambda at, query, body: answer(documents.user(ME))),
            ("GET", "/api/v4/version", self._version),
            ("GET", "/api/v4/personal_access_tokens/self", self._token),
            (
                "GET",
                "/oauth/token/info",
                lambda at, query, body: answer({"scope": ["api"], "application": {}}),
            ),
            ("GET", at, self._project),
            ("GET", f"{at}/repository/branches/(?P<branch>[^/]+)", self._branch),
            ("GET", f"{at}/repository/merge_base", self._merge_base),
            *self.releases.routes(at),
            *gitlab_ci.routes(self, at),
            *gitlab_issues.routes(self, at),
            *gitlab_merge_requests.routes(self, at),
        ]

    def _version(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        return answer({"version": self.version, "revision": "4711abc"})

    def _token(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        if self.scopes is None:
            return problem(
                400, "400 Bad request - This endpoint requires token type to be a personal access token"
            )
        known = {"id": 1, "name": "train", "revoked": False, "active": True, "user_id": ME["id"]}
        return answer(
            {**known, "scopes": list(self.scopes), "expires_at": "2027-01-01", "last_used_at": None}
        )

    def _project(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        edition = "ee" if self.version.endswith("-ee") else "ce"
        return answer(documents.project(at, edition=edition))

    def _branch(self, at: ProjectState, query: Query, body: Json, branch: str) -> httpx.Response:
        head = at.head(branch)
        if head is None:
            return problem(404, "404 Branch Not Found")
        known = {
            "merged": False,
            "protected": branch in at.protected,
            "default": branch == "main",
            "can_push": True,
        }
        return answer(
            {"name": branch, **known, "commit": {"id": head, "short_id": head[:8], "title": "work"}}
        )

    def _merge_base(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        refs = [each if re.fullmatch("[0-9a-f]{40}", each) else at.head(each) for each in query["refs[]"]]
        if not all(each and at.knows(each) for each in refs):
            return problem(404, "Could not find ref")
        older, newer = refs
        base = older if at.contains(newer or "", older or "") else "0" * 40
        return answer({"id": base, "short_id": base[:8], "title": "work", "parent_ids": []})
