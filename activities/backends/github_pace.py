"""The pause between two writes that GitHub asks for; without it, secondary rate limits come sooner.

https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
"""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import httpx
from githubkit.throttling import LocalThrottler

_AT_ONCE = 100
"""More than 100 requests at the same time are a secondary rate limit by themselves."""

_MUTATION = b"mutation"


class SpacedWrites(LocalThrottler):
    """Lets a write begin `pause` seconds after the one before it at the earliest; reads never wait for it."""

    def __init__(
        self,
        pause: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(_AT_ONCE)
        self._pause = pause
        self._clock = clock
        self._sleep = sleep
        self._turn = threading.Lock()
        self._last = float("-inf")

    @contextmanager
    def acquire(self, request: httpx.Request) -> Generator[None, Any, Any]:
        """Wait for a free place, and for the write's turn."""
        if self._pause and _is_write(request):
            with self._turn:
                self._sleep(max(0.0, self._last + self._pause - self._clock()))
                self._last = self._clock()
        with super().acquire(request):
            yield


def _is_write(request: httpx.Request) -> bool:
    """Of GraphQL's requests, which are all POST, only mutations write."""
    if request.url.path.endswith("/graphql"):
        return _MUTATION in request.content
    return request.method not in ("GET", "HEAD") and not request.url.path.endswith("/access_tokens")
