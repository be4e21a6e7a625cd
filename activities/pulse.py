"""A pulse for activities that can't tell how far they are: it says that their worker lives.

Without one, the engine notices a killed worker only when the activity's whole time has passed.

One thread beats for all of a process. With a thread for each, an activity once waited for ever for one that
was ended before it had begun: the engine's SDK raises errors in threads, by ids that machines use again.
"""

import asyncio
import contextvars
import functools
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import ParamSpec, TypeVar

from temporalio import activity

P = ParamSpec("P")
R = TypeVar("R")

BEAT_SECONDS = 5.0
MISSED_AFTER = timedelta(seconds=20)
"""The `heartbeat_timeout` of an activity with a pulse."""

_LOG = logging.getLogger(__name__)
_MARK = "__leverframe_pulse__"


class Heart:
    """Heartbeats for every activity that is under way."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._busy = dict[object, contextvars.Context]()
        self._thread: threading.Thread | None = None

    @contextmanager
    def beating(self) -> Iterator[None]:
        """The activity of this thread has a pulse for as long as the block lasts."""
        one = object()
        with self._lock:
            self._busy[one] = contextvars.copy_context()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._beat, name="pulse", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            self._forget(one)

    def _beat(self) -> None:
        pause = threading.Event()
        while True:
            pause.wait(self._seconds)
            with self._lock:
                busy = dict(self._busy)
            for one, context in busy.items():
                try:
                    context.run(activity.heartbeat)
                except Exception as error:
                    _LOG.debug("no pulse for an activity that is over: %r", error)
                    self._forget(one)

    def _forget(self, one: object) -> None:
        with self._lock:
            self._busy.pop(one, None)


_HEART = Heart(BEAT_SECONDS)


def with_pulse(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a synchronous activity: it heartbeats from its start to its end."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if not activity.in_activity():
            return function(*args, **kwargs)
        with _HEART.beating():
            return function(*args, **kwargs)

    setattr(wrapper, _MARK, True)
    return wrapper


def with_async_pulse(function: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """Wrap an activity that is a coroutine: it heartbeats while its event loop turns."""

    @functools.wraps(function)
    async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        beating = asyncio.create_task(_beat())
        try:
            return await function(*args, **kwargs)
        finally:
            beating.cancel()

    setattr(wrapper, _MARK, True)
    return wrapper


async def _beat() -> None:
    while activity.in_activity():
        activity.heartbeat()
        await asyncio.sleep(BEAT_SECONDS)


def heartbeat_timeout(method: Callable[..., object]) -> timedelta | None:
    """How long an activity may be silent; None for one without a pulse."""
    return MISSED_AFTER if hasattr(method, _MARK) else None
