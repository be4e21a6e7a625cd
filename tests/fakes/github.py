"""GitHub's REST API as far as `changes_github` uses it, with a memory. Written from the API's reference.

Every request and answer is checked against the API's published description, and every answer of success
against githubkit's own model of it, so the fake can't drift into a shape that GitHub does not send. People
act through the methods with their names.
"""

import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import jwt
from githubkit_schemas.latest import models
from pydantic import BaseModel

from tests.fakes.github_artifacts import BLOBS, ArtifactDesk
from tests.fakes.github_checks import CheckDesk
from tests.fakes.github_description import check_exchange
from tests.fakes.github_issues import IssueDesk
from tests.fakes.github_jobs import JobDesk
from tests.fakes.github_shapes import (
    APP_ID,
    AT,
    BEGAN,
    BOT,
    INSTALLATION,
    MALLORY,
    ME,
    NUMBER,
    PERMISSIONS,
    TOKEN,
    Desk,
    Fault,
    Json,
    Route,
    problem,
    sample,
)


@dataclass
class Pull:
    number: int
    branch: str
    base: str
    head: str
    title: str
    body: str
    user: Json
    fork: bool = False
    state: str = "open"
    merged_as: str | None = None
    draft: bool = False


@dataclass
class Repo:
    """One repository's state."""

    name: str
    id: int
    branches: dict[str, str] = field(default_factory=dict)
    commits: set[str] = field(default_factory=set)
    contained: set[tuple[str, str]] = field(default_factory=set)
    """(older, newer) pairs of commits."""
    pulls: list[Pull] = field(default_factory=list)
    comments: list[Json] = field(default_factory=list)
    runs: list[Json] = field(default_factory=list)

    def tip(self, branch: str) -> str | None:
        return self.branches.get(branch)

    def has(self, sha: str) -> bool:
        return sha in self.commits

    def contains(self, older: str, newer: str) -> bool:
        return (older, newer) in self.contained


class FakeGithub:
    """Repositories `acme/shop` and `acme/till`. `requests` are those that were answered or lost."""

    def __init__(self, *, public_key: str = "") -> None:
        self.repos = {name: Repo(name=name, id=number) for number, name in enumerate(("shop", "till"), 1)}
        self.public_key = public_key
        self.permissions = dict(PERMISSIONS)
        self.scopes: str | None = "repo"
        self.page_size = 100
        self.lagging = False
        """Whether pull requests have yet to notice what was pushed."""
        self.hidden = False
        """Whether listings do not show pull requests yet."""
        self.faults: list[Fault] = []
        self.requests: list[httpx.Request] = []
        self.now = BEGAN
        """GitHub's own clock."""
        self.ci = CheckDesk(self)
        self.desk_of_issues = IssueDesk(self)
        self.runs = ArtifactDesk(self)
        self.jobs = JobDesk(self)
        self.blobs: dict[str, bytes] = {}
        """What lies in the store that downloads are sent to."""
        self.desks: list[Desk] = [self.ci, self.desk_of_issues, self.runs, self.jobs]
        self.problems: list[str] = []
        """Where a request or an answer is not as the API's description says: mistakes, of ours or in here."""
        self._next_id = 1000

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def writes(self) -> list[str]:
        """`POST /repos/…` and the like, but for tokens and what GraphQL only reads."""
        return [
            f"{each.method} {each.url.path}"
            for each in self.requests
            if each.method != "GET"
            and not each.url.path.endswith("access_tokens")
            and (each.url.path != "/graphql" or b"mutation" in each.content)
        ]

    def push(self, branch: str, sha: str, repo: str = "shop") -> None:
        at = self.repos[repo]
        at.branches[branch] = sha
        at.commits.add(sha)
        for pull in at.pulls:
            if pull.branch == branch and pull.state == "open" and not pull.fork and not self.lagging:
                pull.head = sha

    def land(self, head: str, sha: str, repo: str = "shop") -> None:
        """The target moves to a commit that contains `head`, and GitHub has not noticed yet."""
        self.repos[repo].commits.add(sha)
        self.repos[repo].contained.add((head, sha))

    def notice_merges(self, repo: str = "shop") -> None:
        """What GitHub does a moment after a push to the target."""
        for pull in self.repos[repo].pulls:
            for older, newer in self.repos[repo].contained:
                if pull.head == older and pull.state == "open":
                    pull.state, pull.merged_as = "closed", newer

    def person_opens(self, branch: str, sha: str, *, fork: bool = False, title: str = "Mine") -> int:
        at = self.repos["shop"]
        if not fork:
            self.push(branch, sha)
        pull = Pull(len(at.pulls) + 1, branch, "main", sha, title, "my words", MALLORY, fork=fork)
        at.pulls.append(pull)
        return pull.number

    def person_comments(self, number: int, body: str) -> None:
        self._comment(self.repos["shop"], number, body, MALLORY, None)

    def pull(self, number: int, repo: str = "shop") -> Pull:
        return self.repos[repo].pulls[number - 1]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == BLOBS:
            assert "authorization" not in request.headers, "the credential goes to GitHub alone"
            return httpx.Response(200, content=self.blobs[request.url.path])
        self.requests.append(request)
        fault = self._fault(request)
        if fault is not None and fault.status and not fault.applied:
            return httpx.Response(fault.status, json=fault.body, headers=fault.headers)
        if fault is not None and not fault.applied:
            raise httpx.ConnectError("refused", request=request)
        answer = self._routed(request)
        answer.headers["date"] = format_datetime(self.now, usegmt=True)
        self.problems += check_exchange(request, answer)
        if fault is not None and fault.status:
            return httpx.Response(fault.status, json=fault.body, headers=fault.headers)
        if fault is not None:
            raise httpx.ReadTimeout("lost", request=request)
        return answer

    def _fault(self, request: httpx.Request) -> Fault | None:
        for fault in self.faults:
            named = fault.method == request.method and re.search(fault.path, request.url.path)
            if named and fault.about.encode() in request.content:
                self.faults.remove(fault)
                return fault
        return None

    def _routed(self, request: httpx.Request) -> httpx.Response:
        actor = self._actor(request)
        if actor is None:
            return problem(401, "Bad credentials")
        body = json.loads(request.content) if request.content else {}
        for desk in self.desks:
            desk.before()
        for method, pattern, handle in [
            *self._routes(),
            *(each for desk in self.desks for each in desk.routes()),
        ]:
            found = re.fullmatch(pattern, request.url.path)
            if found and request.method == method:
                named = found.groupdict()
                if "repo" in named:
                    repo = self.repos.get(named.pop("repo"))
                    if repo is None:
                        return problem(404, "Not Found")
                    return handle(repo, actor, request.url.params, body, **named)
                return handle(actor, body)
        return problem(404, f"no such route in the fake: {request.method} {request.url.path}")

    def _routes(self) -> list[Route]:
        return [
            ("GET", "/user", self._user),
            ("GET", f"/app/installations/{INSTALLATION}", self._installation),
            ("POST", f"/app/installations/{INSTALLATION}/access_tokens", self._new_token),
            ("GET", AT, self._repository),
            ("GET", f"{AT}/pulls", self._list_pulls),
            ("POST", f"{AT}/pulls", self._open_pull),
            ("GET", f"{AT}/pulls/{NUMBER}", self._get_pull),
            ("PATCH", f"{AT}/pulls/{NUMBER}", self._edit_pull),
            ("GET", f"{AT}/issues/{NUMBER}/comments", self._list_comments),
            ("POST", f"{AT}/issues/{NUMBER}/comments", self._add_comment),
            ("PATCH", f"{AT}/issues/comments/{NUMBER}", self._edit_comment),
            ("GET", f"{AT}/git/ref/heads/(?P<branch>.+)", self._get_ref),
            ("GET", f"{AT}/compare/(?P<pair>[0-9a-f]+\\.\\.\\.[0-9a-f]+)", self._compare),
        ]

    def _actor(self, request: httpx.Request) -> Json | None:
        scheme, _, credential = request.headers.get("authorization", "").partition(" ")
        if request.url.path.startswith("/app/"):
            try:
                claims = jwt.decode(credential, self.public_key, algorithms=["RS256"])
            except jwt.PyJWTError:
                return None
            return BOT if scheme == "Bearer" and claims["iss"] == str(APP_ID) else None
        return {TOKEN: ME, "ghs_of_the_installation": BOT}.get(credential)

    def _user(self, actor: Json, body: Json) -> httpx.Response:
        headers = {} if self.scopes is None else {"x-oauth-scopes": self.scopes}
        return httpx.Response(200, json=sample(models.PrivateUser, actor), headers=headers)

    def _installation(self, actor: Json, body: Json) -> httpx.Response:
        known = {"id": INSTALLATION, "app_id": APP_ID, "permissions": self.permissions}
        return httpx.Response(200, json=sample(models.Installation, known))

    def _new_token(self, actor: Json, body: Json) -> httpx.Response:
        assert set(body["repositories"]) <= set(self.repos)
        until = datetime.now(UTC) + timedelta(hours=1)
        known = {"token": "ghs_of_the_installation", "expires_at": until.strftime("%Y-%m-%dT%H:%M:%SZ")}
        return httpx.Response(201, json=sample(models.InstallationToken, known))

    def _repository(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        allowed = {"admin": False, "pull": True, "push": True}
        known = {"id": repo.id, "name": repo.name, "full_name": f"acme/{repo.name}", "permissions": allowed}
        return httpx.Response(200, json=sample(models.FullRepository, known))

    def _list_pulls(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        owner, _, branch = query.get("head", "").partition(":")
        assert owner in ("", "acme")
        found = [
            self._shown(models.PullRequestSimple, repo, pull)
            for pull in reversed(repo.pulls)
            if (not branch or (pull.branch == branch and not self.hidden))
            and pull.base == query.get("base", pull.base)
            and query["state"] in ("all", pull.state)
        ]
        return self.page(found, query, f"https://api.github.com/repos/acme/{repo.name}/pulls")

    def _open_pull(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        tip = repo.tip(body["head"])
        if tip is None:
            return problem(
                422, "Validation Failed", {"resource": "PullRequest", "field": "head", "code": "invalid"}
            )
        if any(each.branch == body["head"] and each.state == "open" and not each.fork for each in repo.pulls):
            said = f"A pull request already exists for acme:{body['head']}."
            return problem(
                422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": said}
            )
        pull = Pull(
            len(repo.pulls) + 1, body["head"], body["base"], tip, body["title"], body["body"], actor
        )  # fmt: skip
        repo.pulls.append(pull)
        return httpx.Response(201, json=self._shown(models.PullRequest, repo, pull))

    def _get_pull(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        if int(number) > len(repo.pulls):
            return problem(404, "Not Found")
        pull = repo.pulls[int(number) - 1]
        return httpx.Response(200, json=self._shown(models.PullRequest, repo, pull))

    def _edit_pull(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        pull = repo.pulls[int(number) - 1]
        for name, value in body.items():
            setattr(pull, name, value)
        return httpx.Response(200, json=self._shown(models.PullRequest, repo, pull))

    def _list_comments(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        if int(number) > len(repo.pulls):
            return problem(404, "Not Found")
        found = [comment for comment in repo.comments if comment["issue_url"].endswith(f"/{number}")]
        place = f"https://api.github.com/repos/acme/{repo.name}/issues/{number}/comments"
        return self.page(found, query, place)

    def _add_comment(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        if int(number) > len(repo.pulls):
            return problem(404, "Not Found")
        via = APP_ID if actor is BOT else None
        return httpx.Response(201, json=self._comment(repo, int(number), body["body"], actor, via))

    def _comment(self, repo: Repo, number: int, body: str, actor: Json, via: int | None) -> Json:
        known = {
            "id": self.new_id(), "body": body, "user": sample(models.SimpleUser, actor),
            "issue_url": f"x/{number}",
            "performed_via_github_app": via and sample(models.Integration, {"id": via}),
        }  # fmt: skip
        repo.comments.append(sample(models.IssueComment, known))
        return repo.comments[-1]

    def _edit_comment(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        comment = next(each for each in repo.comments if each["id"] == int(number))
        comment["body"] = body["body"]
        return httpx.Response(200, json=sample(models.IssueComment, comment))

    def _get_ref(self, repo: Repo, actor: Json, query: Any, body: Json, branch: str) -> httpx.Response:
        tip = repo.tip(branch)
        if tip is None:
            return problem(404, "Not Found")
        target = {"type": "commit", "sha": tip, "url": ""}
        document = sample(models.GitRef, {"ref": f"refs/heads/{branch}", "object": target})
        return httpx.Response(200, json=document)

    def _compare(self, repo: Repo, actor: Json, query: Any, body: Json, pair: str) -> httpx.Response:
        older, newer = pair.split("...")
        if not (repo.has(older) and repo.has(newer)):
            return problem(404, "Not Found")
        status = "identical" if older == newer else "ahead" if repo.contains(older, newer) else "diverged"
        return httpx.Response(200, json=sample(models.CommitComparison, {"status": status}))

    def _shown(self, model: type[BaseModel], repo: Repo, pull: Pull) -> Json:
        opened = (BEGAN + timedelta(minutes=pull.number)).isoformat()
        owner = sample(models.SimpleUser, {"login": "acme", "id": 1})
        here = _repo(repo.id, repo.name, owner)
        there = _repo(666, repo.name, sample(models.SimpleUser, MALLORY))
        head = {
            "label": f"{'mallory' if pull.fork else 'acme'}:{pull.branch}", "ref": pull.branch,
            "sha": pull.head, "repo": there if pull.fork else here, "user": owner,
        }  # fmt: skip
        base = {
            "label": f"acme:{pull.base}", "ref": pull.base, "sha": "0" * 40, "repo": here, "user": owner,
        }  # fmt: skip
        return sample(
            model,
            {
                "number": pull.number, "state": pull.state, "title": pull.title, "body": pull.body,
                "user": sample(models.SimpleUser, pull.user), "created_at": opened, "updated_at": opened,
                "merged_at": opened if pull.merged_as else None, "merge_commit_sha": pull.merged_as,
                "head": head, "base": base,
            },
        )  # fmt: skip

    def page(self, found: list[Json], query: Any, place: str) -> httpx.Response:
        size, page = min(int(query["per_page"]), self.page_size), int(query.get("page", 1))
        headers = {}
        if page * size < len(found):
            following = httpx.URL(place, params=query.set("page", page + 1))
            headers["link"] = f'<{following}>; rel="next"'
        return httpx.Response(200, json=found[(page - 1) * size : page * size], headers=headers)

    def new_id(self) -> int:
        self._next_id += 1
        return self._next_id


def _repo(number: int, name: str, owner: Json) -> Json:
    full_name = f"{owner['login']}/{name}"
    return sample(models.Repository, {"id": number, "name": name, "full_name": full_name, "owner": owner})
