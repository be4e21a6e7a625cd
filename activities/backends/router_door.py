"""The admin door of `leverframe router`, which delivers and reconciles on a laptop: one client for both."""

from typing import TypeVar

import httpx
from pydantic import ValidationError

from activities.ports import Health
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.frozen import Frozen

TIMEOUT_SECONDS = 10

_ERRORS: dict[int, type[LeverframeError]] = {400: BadInput, 403: Refused, 404: NotFound, 409: Conflict}

M = TypeVar("M", bound=Frozen)


class RouterDoor:
    """JSON over HTTP on loopback. Safe to share between threads."""

    def __init__(self, admin_url: str) -> None:
        self._admin = httpx.Client(base_url=admin_url, timeout=TIMEOUT_SECONDS, trust_env=False)

    def answer(self, model: type[M], method: str, path: str, body: dict[str, object] | None = None) -> M:
        """What the router answers. Raises what `call` does."""
        response = self.call(method, path, body)
        try:
            return model.model_validate_json(response.content)
        except ValidationError as error:
            raise Unavailable(f"the router answered {path} with something else than a state") from error

    def call(self, method: str, path: str, body: dict[str, object] | None = None) -> httpx.Response:
        """A call that succeeded. Raises Unavailable, and whatever error of ours the router names."""
        try:
            response = self._admin.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise Unavailable(
                f"the router at {self._admin.base_url} does not answer: {type(error).__name__}"
            ) from error
        if response.is_success:
            return response
        raise _ERRORS.get(response.status_code, Unavailable)(_detail(response))

    def health(self) -> Health:
        """Whether it answers."""
        try:
            self.call("GET", "/health/live")
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="start it: leverframe router")
        return Health(ok=True, detail=f"the router answers at {self._admin.base_url}")


def _detail(response: httpx.Response) -> str:
    """The router's own sentence, or the status when something else answered."""
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return f"the router answered {response.status_code}"
    return str(detail)
