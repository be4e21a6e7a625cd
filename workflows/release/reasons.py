"""Why a call failed: the words and the kind of the error that an activity raised."""

from temporalio.exceptions import ActivityError, ApplicationError


def reason(error: BaseException) -> str:
    """Why a call failed, in the words of who refused it."""
    cause = error.cause if isinstance(error, ActivityError) else error
    return cause.message if isinstance(cause, ApplicationError) else str(cause or error)


def is_a(error: BaseException, kind: str) -> bool:
    """Whether a call failed with this error of ours, by its class name."""
    cause = error.cause if isinstance(error, ActivityError) else None
    return isinstance(cause, ApplicationError) and cause.type == kind
