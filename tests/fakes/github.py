"""GitHub's REST API as far as `changes_github` uses it, with a memory. Written from the API's reference.

Every answer of success is checked against githubkit's own model of it, so the fake can't drift into a
shape that GitHub does not send. People act through the methods with their names.
"""

import json
import re
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
from githubkit_schemas.latest import models
from pydantic import BaseModel

TOKEN = "github_pat_of_the_train"
APP_ID, INSTALLATION = 4711, 99
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

ME = {"login": "train-user", "id": 7, "type": "User"}
BOT = {"login": "leverframe[bot]", "id": 8, "type": "Bot"}
MALLORY = {"login": "mallory", "id": 66, "type": "User"}

PERMISSIONS = {"metadata": "read", "contents": "write", "pull_requests": "write", "checks": "write"}

Json = dict[str, Any]


def sample(model: type[BaseModel], given: Json) -> Json:
    """A document that the model accepts: what is given, and something plain for all else it requires."""
    document = dict(given)
    for name, about in model.model_fields.items():
        key = about.alias or name
        if about.is_required() and key not in document:
            document[key] = _plain(about.annotation)
    model.model_validate(document)
    return document


def _plain(annotation: Any) -> Any:
    origin, inside = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _plain(inside[0])
    if origin is typing.Literal:
        return inside[0]
    if origin in (typing.Union, types.UnionType):
        return None if type(None) in inside else _plain(inside[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return sample(annotation, {})
    if annotation is datetime:
        return BEGAN.isoformat()
    return {str: "", int: 0, bool: False, float: 0.0}.get(annotation, [] if origin is list else {})


@dataclass
class Fault:
    """What happens to the next request that matches."""

    method: str
    path: str
    """A regular expression, found anywhere in the path."""
    status: int = 0
    """0: the connection breaks."""
    body: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    applied: bool = False
    """Whether the server does what it was asked to before the answer is lost."""


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
        self._next_id = 1000

    @property
    def transport(self) -> httpx.MockTransport:
        return httpx.MockTransport(self._answer)

    def writes(self) -> list[str]:
        """`POST /repos/…` and the like, but for tokens."""
        return [
            f"{each.method} {each.url.path}"
            for each in self.requests
            if each.method != "GET" and not each.url.path.endswith("access_tokens")
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
        for fault in self.faults:
            if fault.method == request.method and re.search(fault.path, request.url.path):
                self.faults.remove(fault)
                return fault
        return None

    def _routed(self, request: httpx.Request) -> httpx.Response:
        actor = self._actor(request)
        if actor is None:
            return _problem(401, "Bad credentials")
        body = json.loads(request.content) if request.content else {}
        for method, pattern, handle in self._routes():
            found = re.fullmatch(pattern, request.url.path)
            if found and request.method == method:
                named = found.groupdict()
                if "repo" in named:
                    repo = self.repos.get(named.pop("repo"))
                    if repo is None:
                        return _problem(404, "Not Found")
                    return handle(repo, actor, request.url.params, body, **named)
                return handle(actor, body)
        return _problem(404, f"no such route in the fake: {request.method} {request.url.path}")

    def _routes(self) -> list[tuple[str, str, Callable[..., httpx.Response]]]:
        at, number = "/repos/acme/(?P<repo>[^/]+)", r"(?P<number>\d+)"
        return [
            ("GET", "/user", self._user),
            ("GET", f"/app/installations/{INSTALLATION}", self._installation),
            ("POST", f"/app/installations/{INSTALLATION}/access_tokens", self._new_token),
            ("GET", at, self._repository),
            ("GET", f"{at}/pulls", self._list_pulls),
            ("POST", f"{at}/pulls", self._open_pull),
            ("GET", f"{at}/pulls/{number}", self._get_pull),
            ("PATCH", f"{at}/pulls/{number}", self._edit_pull),
            ("GET", f"{at}/issues/{number}/comments", self._list_comments),
            ("POST", f"{at}/issues/{number}/comments", self._add_comment),
            ("PATCH", f"{at}/issues/comments/{number}", self._edit_comment),
            ("GET", f"{at}/git/ref/heads/(?P<branch>.+)", self._get_ref),
            ("GET", f"{at}/compare/(?P<pair>[0-9a-f]+\\.\\.\\.[0-9a-f]+)", self._compare),
            ("GET", f"{at}/commits/(?P<sha>[0-9a-f]+)/check-runs", self._list_runs),
            ("POST", f"{at}/check-runs", self._add_run),
            ("PATCH", f"{at}/check-runs/{number}", self._edit_run),
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
        return self._page(found, query, f"https://api.github.com/repos/acme/{repo.name}/pulls")

    def _open_pull(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        if body["head"] not in repo.branches:
            return _problem(
                422, "Validation Failed", {"resource": "PullRequest", "field": "head", "code": "invalid"}
            )
        if any(each.branch == body["head"] and each.state == "open" and not each.fork for each in repo.pulls):
            said = f"A pull request already exists for acme:{body['head']}."
            return _problem(
                422, "Validation Failed", {"resource": "PullRequest", "code": "custom", "message": said}
            )
        pull = Pull(
            len(repo.pulls) + 1, body["head"], body["base"], repo.branches[body["head"]], body["title"],
            body["body"], actor,
        )  # fmt: skip
        repo.pulls.append(pull)
        return httpx.Response(201, json=self._shown(models.PullRequest, repo, pull))

    def _get_pull(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        if int(number) > len(repo.pulls):
            return _problem(404, "Not Found")
        pull = repo.pulls[int(number) - 1]
        return httpx.Response(200, json=self._shown(models.PullRequest, repo, pull))

    def _edit_pull(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        pull = repo.pulls[int(number) - 1]
        for name, value in body.items():
            setattr(pull, name, value)
        return httpx.Response(200, json=self._shown(models.PullRequest, repo, pull))

    def _list_comments(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        if int(number) > len(repo.pulls):
            return _problem(404, "Not Found")
        found = [comment for comment in repo.comments if comment["issue_url"].endswith(f"/{number}")]
        place = f"https://api.github.com/repos/acme/{repo.name}/issues/{number}/comments"
        return self._page(found, query, place)

    def _add_comment(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        if int(number) > len(repo.pulls):
            return _problem(404, "Not Found")
        via = APP_ID if actor is BOT else None
        return httpx.Response(201, json=self._comment(repo, int(number), body["body"], actor, via))

    def _comment(self, repo: Repo, number: int, body: str, actor: Json, via: int | None) -> Json:
        known = {
            "id": self._id(), "body": body, "user": sample(models.SimpleUser, actor),
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
        if branch not in repo.branches:
            return _problem(404, "Not Found")
        target = {"type": "commit", "sha": repo.branches[branch], "url": ""}
        document = sample(models.GitRef, {"ref": f"refs/heads/{branch}", "object": target})
        return httpx.Response(200, json=document)

    def _compare(self, repo: Repo, actor: Json, query: Any, body: Json, pair: str) -> httpx.Response:
        older, newer = pair.split("...")
        if not {older, newer} <= repo.commits:
            return _problem(404, "Not Found")
        status = "identical" if older == newer else "diverged"
        status = "ahead" if (older, newer) in repo.contained else status
        return httpx.Response(200, json=sample(models.CommitComparison, {"status": status}))

    def _list_runs(self, repo: Repo, actor: Json, query: Any, body: Json, sha: str) -> httpx.Response:
        found = [
            run
            for run in repo.runs
            if run["head_sha"] == sha
            and run["name"] == query["check_name"]
            and run["app"]["id"] == int(query["app_id"])
        ]
        document = {"total_count": len(found), "check_runs": found}
        model = models.ReposOwnerRepoCommitsRefCheckRunsGetResponse200
        return httpx.Response(200, json=sample(model, document))

    def _add_run(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        if actor is not BOT:
            return _problem(403, "You must authenticate via a GitHub App.")
        if body["head_sha"] not in repo.commits:
            return _problem(422, f"No commit found for SHA: {body['head_sha']}")
        known = {"id": self._id(), "app": sample(models.Integration, {"id": APP_ID}), "check_suite": None}
        repo.runs.append(sample(models.CheckRun, {**known, **_run(body)}))
        return httpx.Response(201, json=repo.runs[-1])

    def _edit_run(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        run = next(each for each in repo.runs if each["id"] == int(number))
        run.update(_run(body))
        return httpx.Response(200, json=sample(models.CheckRun, run))

    def _shown(self, model: type[BaseModel], repo: Repo, pull: Pull) -> Json:
        opened = (BEGAN + timedelta(minutes=pull.number)).isoformat()
        here = sample(models.Repository, {"id": repo.id, "name": repo.name, "full_name": f"acme/{repo.name}"})
        owner = sample(models.SimpleUser, {"login": "acme", "id": 1})
        there = sample(models.Repository, {"id": 666, "name": repo.name, "full_name": f"mallory/{repo.name}"})
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

    def _page(self, found: list[Json], query: Any, place: str) -> httpx.Response:
        size, page = min(int(query["per_page"]), self.page_size), int(query.get("page", 1))
        headers = {}
        if page * size < len(found):
            following = httpx.URL(place, params=query.set("page", page + 1))
            headers["link"] = f'<{following}>; rel="next"'
        return httpx.Response(200, json=found[(page - 1) * size : page * size], headers=headers)

    def _id(self) -> int:
        self._next_id += 1
        return self._next_id


def _run(body: Json) -> Json:
    output = sample(
        models.CheckRunPropOutput, {"annotations_count": 0, "annotations_url": "", **body["output"]}
    )
    return {**body, "output": output}


def _problem(status: int, message: str, *errors: Json) -> httpx.Response:
    body = {"message": message, "errors": list(errors), "documentation_url": "", "status": str(status)}
    return httpx.Response(status, json=body if errors else {**body, "errors": []})
