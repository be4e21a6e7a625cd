"""Issues of the fake GitLab: https://docs.gitlab.com/api/issues/."""

from typing import TYPE_CHECKING, Any

import httpx

from tests.fakes import gitlab_documents as documents
from tests.fakes.gitlab_http import Query, answer, page_of
from tests.fakes.gitlab_state import MALLORY, ME, Json, ProjectState

if TYPE_CHECKING:
    from tests.fakes.gitlab import FakeGitlab


def routes(gitlab: "FakeGitlab", at: str) -> list[tuple[str, str, Any]]:
    here = _Issues(gitlab)
    return [
        ("GET", f"{at}/issues", here.list),
        ("POST", f"{at}/issues", here.create),
        ("PUT", f"{at}/issues/(?P<iid>\\d+)", here.update),
    ]


def person_opens_issue(at: ProjectState, description: str, *labels: str) -> None:
    _made(at, MALLORY, "Mine", description, list(labels))


class _Issues:
    def __init__(self, gitlab: "FakeGitlab") -> None:
        self._gitlab = gitlab

    def list(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        assert (query["scope"], query["state"]) == (["all"], ["all"])
        found = [
            issue
            for issue in reversed(at.issues)
            if query["labels"][0] in issue["labels"]
            and issue["author"]["id"] == int(query.get("author_id", [issue["author"]["id"]])[0])
        ]
        return page_of(found, query, self._gitlab.page_size)

    def create(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        labels = body.get("labels", "").split(",")
        return answer(_made(at, ME, body["title"], body["description"], labels), 201)

    def update(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        issue = at.issues[int(iid) - 1]
        issue["description"] = body.get("description", issue["description"])
        issue["state"] = {"close": "closed", "reopen": "opened"}.get(
            body.get("state_event", ""), issue["state"]
        )
        return answer(issue)


def _made(at: ProjectState, author: Json, title: str, description: str, labels: list[str]) -> Json:
    iid = len(at.issues) + 1
    at.issues.append(
        {
            "id": next(at.ids), "iid": iid, "project_id": at.id, "title": title, "description": description,
            "state": "opened", "labels": labels, "author": documents.user(author),
            "web_url": f"https://gitlab.com/{at.path}/-/issues/{iid}",
        }
    )  # fmt: skip
    return at.issues[-1]
