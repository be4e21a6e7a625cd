"""How an error of ours crosses into a workflow: typed, and retried only when retrying can help."""

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from temporalio.exceptions import ApplicationError

from leverframe.model.errors import CanaryBusy, LeverframeError, Unavailable

P = ParamSpec("P")
R = TypeVar("R")

RETRYABLE = (Unavailable, CanaryBusy)


def typed_failures(function: Callable[P, R]) -> Callable[P, R]:
    """Wrap a synchronous activity: our errors become `ApplicationError` with the class name as type."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except LeverframeError as error:
            raise as_application_error(error) from error

    return wrapper


def as_application_error(error: LeverframeError) -> ApplicationError:
    """The same error as Temporal carries it."""
    return ApplicationError(
        str(error),
        type=type(error).__name__,
        non_retryable=not isinstance(error, RETRYABLE),
        next_retry_delay=error.wait if isinstance(error, Unavailable) else None,
    )
