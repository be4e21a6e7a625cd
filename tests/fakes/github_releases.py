"""The releases of the fake of GitHub: one for each tag. https://docs.github.com/en/rest/releases/releases"""

from typing import TYPE_CHECKING, Any

import httpx
from githubkit_schemas.latest import models

from tests.fakes.github import Repo
from tests.fakes.github_shapes import AT, NUMBER, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub


class GithubReleases:
    """A desk of the fake."""

    def __init__(self, github: "FakeGithub") -> None:
        self._github = github
        self.made: list[Json] = []

    def before(self) -> None:
        """Nothing happens by itself."""

    def routes(self) -> list[Route]:
        return [
            ("GET", f"{AT}/releases", self._list),
            ("POST", f"{AT}/releases", self._make),
            ("PATCH", f"{AT}/releases/{NUMBER}", self._edit),
        ]

    def _list(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        place = f"https://api.github.com/repos/acme/{repo.name}/releases"
        return self._github.page(self.made[::-1], query, place)

    def _make(self, repo: Repo, actor: Json, query: Any, body: Json) -> httpx.Response:
        if any(each["tag_name"] == body["tag_name"] for each in self.made):
            return problem(
                422,
                "Validation Failed",
                {"resource": "Release", "code": "already_exists", "field": "tag_name"},
            )
        author = sample(models.SimpleUser, actor)
        self.made.append(sample(models.Release, {"id": self._github.new_id(), "author": author, **body}))
        return httpx.Response(201, json=self.made[-1])

    def _edit(self, repo: Repo, actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        [found] = [each for each in self.made if each["id"] == int(number)]
        found |= body
        return httpx.Response(200, json=found)
