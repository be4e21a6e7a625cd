"""Why the forge did not carry a change on: the ejections that are not for the planner to judge."""

from temporalio.exceptions import ActivityError, ApplicationError

from leverframe.model.changes import CarEjected, Conflicted
from leverframe.model.untrusted import Untrusted
from workflows.merge_train.queue import Queued


def conflict(conflicted: Conflicted) -> CarEjected:
    """The change and the target touch the same lines."""
    shown = ", ".join(Untrusted(path).for_markdown() for path in conflicted.paths[:5])
    more = f" and {len(conflicted.paths) - 5} more" if len(conflicted.paths) > 5 else ""
    detail = (
        f"The change conflicts with {conflicted.base[:12]} in {shown}{more}. "
        "Merge the target into its branch and enqueue the new head."
    )
    return CarEjected(change=conflicted.change, reason="conflict", detail=detail)


def refused(item: Queued, error: ActivityError) -> CarEjected:
    """The forge says no for good."""
    kind, message = cause_of(error)
    said = Untrusted(message).for_markdown(500)
    detail = f"The forge refuses this change ({kind}): {said}. Mend that and enqueue the change again."
    return CarEjected(change=item.change, reason="refused", detail=detail)


def cause_of(error: ActivityError) -> tuple[str, str]:
    """The error class and the words of what failed."""
    cause = error.cause
    if isinstance(cause, ApplicationError):
        return cause.type or "ApplicationError", cause.message
    return type(cause).__name__, str(cause or error)
