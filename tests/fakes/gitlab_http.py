"""How the fake of GitLab answers: documents, refusals, pages."""

from typing import Any

import httpx

from tests.fakes.gitlab_state import Json

Query = dict[str, list[str]]


def answer(document: Any, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json=document)


def problem(status: int, message: Any) -> httpx.Response:
    """A refusal: `message` is a sentence, a list of them, or field → sentences."""
    return httpx.Response(status, json={"message": message})


def page_of(found: list[Json], query: Query, most: int) -> httpx.Response:
    """Offset-based pagination: https://docs.gitlab.com/api/rest/#offset-based-pagination."""
    size = min(int(query.get("per_page", ["20"])[0]), most)
    page = int(query.get("page", ["1"])[0])
    more = page * size < len(found)
    headers = {"x-page": f"{page}", "x-per-page": f"{size}", "x-next-page": f"{page + 1}" if more else ""}
    return httpx.Response(200, json=found[(page - 1) * size : page * size], headers=headers)
