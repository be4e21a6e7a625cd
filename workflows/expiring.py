"""Quarantines that expire: people are told on the day, and the watches of their tests are woken before it.

No report need come for days, and then nobody would ask whether to renew them. A watch that has ended, because
its subject was quiet for long, begins anew.
"""

import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import TemporalError, WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

with workflow.unsafe.imports_passed_through():
    from activities.flaky_expiry import Expiring, FlakyExpiry
    from leverframe.model.ids import watch_id
    from leverframe.model.signals import SUITE, ReportArrived
    from leverframe.model.untrusted import Untrusted
    from workflows import attributes
    from workflows.messages import WatchStart
    from workflows.watch import WatchWorkflow

_TIMEOUT = timedelta(minutes=5)
_TRIES = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=3)
"""It comes again the next day."""


async def told_of_expired(tell: Callable[[str, str], Awaitable[None]]) -> str:
    """Tell what has expired, by its key; a half sentence of it. Raises ActivityError."""
    notices = await workflow.execute_activity_method(
        FlakyExpiry.expired, start_to_close_timeout=_TIMEOUT, retry_policy=_TRIES
    )
    for notice in notices:
        await tell(notice.key, notice.text)
    return f"; {len(notices)} notices of expired quarantines" if notices else ""


async def woken_before_expiry() -> str:
    """Wake the watches where something expires; a half sentence of it. Raises ActivityError."""
    found: list[Expiring] = await workflow.execute_activity_method(
        FlakyExpiry.expiring, start_to_close_timeout=_TIMEOUT, retry_policy=_TRIES
    )
    for one in found:
        for name in one.agents:
            try:
                await _wake(name, one)
            except TemporalError as error:
                workflow.logger.warning("the watch of %s was not told: %s", name, error)
    return f"; quarantines expire in {len(found)} repositories" if found else ""


async def _wake(name: str, expiring: Expiring) -> None:
    """The same on the same day is one signal for the watch."""
    id_, today = watch_id(name, expiring.service, SUITE), workflow.now().date()
    title = f"quarantines of {expiring.tests} tests of {expiring.repository} expire, from {expiring.day} on"
    arrived = ReportArrived(
        id=f"expiring/{expiring.repository}/{today}",
        repository=expiring.repository,
        service=expiring.service,
        title=Untrusted(title),
        received_at=workflow.now(),
    )
    with contextlib.suppress(WorkflowAlreadyStartedError):
        await workflow.start_child_workflow(
            WatchWorkflow.run,
            WatchStart(
                agent=name,
                repository=expiring.repository,
                service=expiring.service,
                subject=SUITE,
                ui_url=expiring.ui_url,
            ),
            id=id_,
            parent_close_policy=ParentClosePolicy.ABANDON,
            search_attributes=attributes.about(agent=name, repository=expiring.repository, subject=SUITE),
            static_summary=f"{name} watches {SUITE}: {title}",
        )
    await workflow.get_external_workflow_handle(id_).signal("observe", arrived)
