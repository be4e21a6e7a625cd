"""A pulse for activities that can't tell how far they are: it says that their worker lives.

Without one, the engine notices a killed worker only when the activity's whole time has passed.
"""

import contextvars
import functools
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import ParamSpec, TypeVar

from temporalio import activity

P = ParamSpec("P")
R = TypeVar("R")

BEAT_SECONDS = 5.0
MISSED_AFTER = timedelta(seconds=20)
"""The `heartbeat_timeout` of an activity with a pulse."""

_MARK = "__leverframe_pulse__"


def with_pulse(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a synchronous activity: a thread heartbeats for it from its start to its end."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        if not activity.in_activity():
            return function(*args, **kwargs)
        over = threading.Event()

        def beat() -> None:
            activity.heartbeat()
            while not over.wait(BEAT_SECONDS):
                activity.heartbeat()

        pulse = threading.Thread(
            target=contextvars.copy_context().run, args=(beat,), name="pulse", daemon=True
        )
        pulse.start()
        try:
            return function(*args, **kwargs)
        finally:
            over.set()
            pulse.join()

    setattr(wrapper, _MARK, True)
    return wrapper


def heartbeat_timeout(method: Callable[..., object]) -> timedelta | None:
    """How long an activity may be silent; None for one without a pulse."""
    return MISSED_AFTER if hasattr(method, _MARK) else None
