"""The releases of the fake of GitLab: one for each tag. https://docs.gitlab.com/api/releases/"""

from typing import Any

import httpx

from tests.fakes.gitlab_http import Query, answer, problem
from tests.fakes.gitlab_state import Json, ProjectState


class GitlabReleases:
    """What one project shows."""

    def __init__(self) -> None:
        self.made: dict[str, Json] = {}

    def routes(self, at: str) -> list[tuple[str, str, Any]]:
        return [
            ("POST", f"{at}/releases", self._make),
            ("PUT", f"{at}/releases/(?P<tag>[^/]+)", self._edit),
        ]

    def _make(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        if body["tag_name"] in self.made:
            return problem(409, "Release already exists")
        self.made[body["tag_name"]] = body
        return answer(body, 201)

    def _edit(self, at: ProjectState, query: Query, body: Json, tag: str) -> httpx.Response:
        self.made[tag] |= body
        return answer(self.made[tag])
