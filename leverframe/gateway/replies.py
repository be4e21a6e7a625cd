"""What the door answers when it does not accept: always JSON with a `detail`, always counted."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from leverframe.gateway.counters import Counters
from leverframe.model.errors import BadInput, Unavailable

RETRY_AFTER_SECONDS = 5


class Refusal(Exception):
    """The request can't be accepted as it is; the sender gets a 4xx and the reason."""

    def __init__(self, status: int, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.reason = reason
        """A label of the metric: one word from our own code, never from the request."""


class Replies:
    """Starlette exception handlers that count what they answer."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def refusal(self, request: Request, error: Exception) -> Response:
        """4xx for a `Refusal`."""
        assert isinstance(error, Refusal)  # noqa: S101  # registered for this type only
        self._counters.refused(error.reason)
        return JSONResponse({"detail": str(error)}, error.status)

    def bad_input(self, request: Request, error: Exception) -> Response:
        """400 for content that can't be used."""
        assert isinstance(error, BadInput)  # noqa: S101  # registered for this type only
        self._counters.refused("malformed")
        return JSONResponse({"detail": str(error)}, 400)

    def unavailable(self, request: Request, error: Exception) -> Response:
        """503: nothing was promised, send it again."""
        assert isinstance(error, Unavailable)  # noqa: S101  # registered for this type only
        self._counters.unavailable()
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        return JSONResponse({"detail": str(error)}, 503, headers)

    def http(self, request: Request, error: Exception) -> Response:
        """Unknown paths and wrong methods."""
        assert isinstance(error, HTTPException)  # noqa: S101  # registered for this type only
        self._counters.refused("route")
        return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
