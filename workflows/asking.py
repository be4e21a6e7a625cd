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

LOOK_AGAIN = timedelta(minutes=10)
"""How often a run looks, while people think, whether what they are asked about has moved."""


async def ask_people(
    question: ApprovalRequest,
    *,
    approval: str,
    moved: Callable[[], Awaitable[Supersede | None]] | None,
    every: timedelta = LOOK_AGAIN,
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
    while moved is not None and not await _ended(asked, every):
        word = await moved()
        if word is not None:
            # When people were faster, the run finds out by itself that they approved of something else.
            with contextlib.suppress(TemporalError):
                await asked.signal(ApprovalWorkflow.supersede, word)
            break
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
