"""Issues of the fake GitHub: https://docs.github.com/en/rest/issues/issues."""

from typing import TYPE_CHECKING, Any

import httpx
from githubkit_schemas.latest import models

from tests.fakes.github_shapes import APP_ID, AT, BOT, MALLORY, NUMBER, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub, Repo


class IssueDesk:
    """Issues are numbered apart from pull requests here; nothing of ours relies on either."""

    def __init__(self, github: "FakeGithub") -> None:
        self._github = github
        self.issues: list[Json] = []

    def before(self) -> None:
        """Nothing happens by itself."""

    def routes(self) -> list[Route]:
        return [
            ("GET", f"{AT}/issues", self._list),
            ("POST", f"{AT}/issues", self._open),
            ("PATCH", f"{AT}/issues/{NUMBER}", self._edit),
        ]

    def person_opens(self, body: str, *labels: str) -> None:
        self._made(self._github.repos["shop"], MALLORY, "Mine", body, labels)

    def _list(self, repo: "Repo", actor: Json, query: Any, body: Json) -> httpx.Response:
        found = [
            issue
            for issue in reversed(self.issues)
            if issue["repository_url"].endswith(f"/{repo.name}")
            and query["labels"] in [label["name"] for label in issue["labels"]]
            and query["state"] in ("all", issue["state"])
        ]
        return self._github.page(found, query, f"https://api.github.com/repos/acme/{repo.name}/issues")

    def _open(self, repo: "Repo", actor: Json, query: Any, body: Json) -> httpx.Response:
        if self._github.permissions.get("issues") != "write" and actor is BOT:
            return problem(403, "Resource not accessible by integration")
        made = self._made(repo, actor, body["title"], body["body"], body["labels"])
        return httpx.Response(201, json=made)

    def _edit(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        issue = self.issues[int(number) - 1]
        issue.update(body)
        return httpx.Response(200, json=issue)

    def _made(self, repo: "Repo", actor: Json, title: str, body: str, labels: Any) -> Json:
        number = len(self.issues) + 1
        known = {
            "id": self._github.new_id(), "number": number, "title": title, "body": body, "state": "open",
            "html_url": f"https://github.com/acme/{repo.name}/issues/{number}",
            "repository_url": f"https://api.github.com/repos/acme/{repo.name}",
            "user": sample(models.SimpleUser, actor),
            "labels": [{"id": 1, "name": label, "default": False} for label in labels],
            "performed_via_github_app": sample(models.Integration, {"id": APP_ID}) if actor is BOT else None,
        }  # fmt: skip
        self.issues.append(sample(models.Issue, known))
        return self.issues[-1]
