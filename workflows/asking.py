"""A run asks people about one effect, and looks meanwhile whether that is still what would be done."""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import TemporalError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from workflows.approval import ApprovalWorkflow
    from workflows.messages import ApprovalRequest, ApprovalResult, Supersede
    from workflows.queues import HANDS

LOOK_FIRST = timedelta(minutes=10)
"""When a run looks first, while people think, whether what they are asked about has moved."""
LOOK_NEXT = timedelta(hours=1)
LOOK_RARELY = timedelta(days=1)


def look_again(before: timedelta, *, long: bool) -> timedelta:
    """How long after a look that came `before` after its last one the next one follows.

    Twice as long, up to an hour; daily once history is `long`: each look costs about eleven events and tells
    of up to 300 files, a question may live for 31 days, and one run asks several.
    """
    return LOOK_RARELY if long else min(before * 2, LOOK_NEXT)


async def ask_people(
    question: ApprovalRequest,
    *,
    approval: str,
    moved: Callable[[], Awaitable[Supersede | None]] | None,
    first: timedelta = LOOK_FIRST,
) -> ApprovalResult:
    """The people's answer. `moved` says what would be done by now, when that is something else.

    Raises ChildWorkflowError when the question itself fails.
    """
    asked = await workflow.start_child_workflow(
        ApprovalWorkflow.run,
        question,
        id=approval,
        task_queue=HANDS,
        # The question closes itself where it was asked when its run ends early.
        parent_close_policy=ParentClosePolicy.REQUEST_CANCEL,
        static_summary=f"{question.title}? asked by {question.agent} on {question.subject}",
    )
    wait = first
    while moved is not None and not await _ended(asked, wait):
        word = await moved()
        if word is not None:
            # When people were faster, the run finds out by itself that they approved of something else.
            with contextlib.suppress(TemporalError):
                await asked.signal(ApprovalWorkflow.supersede, word)
            break
        wait = look_again(wait, long=workflow.info().is_continue_as_new_suggested())
    return await asked


async def _ended(
    asked: "workflow.ChildWorkflowHandle[ApprovalWorkflow, ApprovalResult]", within: timedelta
) -> bool:
    """Whether the question ends before it is time to look again."""
    with contextlib.suppress(TimeoutError):
        await workflow.wait_condition(
            asked.done, timeout=within, timeout_summary="look whether what is asked about has moved"
        )
    return asked.done()
