"""What requests and answers of GitHub look like, for the fake: documents, users, problems, faults."""

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import BaseModel

TOKEN = "github_pat_of_the_train"
APP_ID, INSTALLATION = 4711, 99
BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

ME = {"login": "train-user", "id": 7, "type": "User"}
BOT = {"login": "leverframe[bot]", "id": 8, "type": "Bot"}
MALLORY = {"login": "mallory", "id": 66, "type": "User"}

PERMISSIONS = {"metadata": "read", "contents": "write", "pull_requests": "write", "checks": "write"}
MORE_PERMISSIONS = {"merge_queues": "write", "statuses": "read", "actions": "write"}

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
    about: str = ""
    """What the request's body must hold, too."""


def problem(status: int, message: str, *errors: Json) -> httpx.Response:
    body = {"message": message, "errors": list(errors), "documentation_url": "", "status": str(status)}
    return httpx.Response(status, json=body if errors else {**body, "errors": []})


class Desk(typing.Protocol):
    """One part of GitHub that adds routes to the fake."""

    def routes(self) -> "list[Route]": ...

    def before(self) -> None:
        """What GitHub does by itself before it reads the next request."""
        ...


Route = tuple[str, str, Callable[..., httpx.Response]]
"""Method, pattern of the path, and what answers; with a `repo` in the pattern it is given the repository."""

AT = "/repos/acme/(?P<repo>[^/]+)"
NUMBER = r"(?P<number>\d+)"
