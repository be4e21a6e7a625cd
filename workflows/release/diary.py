"""What a release tells the record of deployments: that it has begun, and how it ended.

The engine forgets a release after its retention. Nothing here can stop a release: while the store is away
it goes on without.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.deployments import DeploymentActivities
    from activities.pulse import heartbeat_timeout
    from leverframe.model.changes import Receipt
    from leverframe.model.deployments import ReleaseEntry
    from leverframe.model.releases import ReleaseOutcome
    from workflows.queues import HANDS
    from workflows.release.book import Book

AT_FIRST = timedelta(minutes=10)
"""How long its beginning is offered to a store that is away: its end is kept all the same."""
AT_LAST = timedelta(days=1)

RETRY = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=1))


class Diary:
    """The entries of one release. A workflow's cancellation stops none of them."""

    def __init__(self, receipt: Receipt) -> None:
        self._receipt = receipt
        self._begun: asyncio.Task[None] | None = None

    def begin(self, book: Book) -> None:
        """Have the beginning kept, while the release goes on. Once, however many histories it has."""
        if book.state.moments.began_at is not None:
            return
        book.note(moments=book.state.moments.model_copy(update={"began_at": workflow.now()}))
        entry = ReleaseEntry(receipt=self._receipt, moments=book.state.moments)
        self._begun = asyncio.create_task(self._keep(entry, AT_FIRST, "Keep that the release has begun"))

    async def close(self, book: Book, outcome: ReleaseOutcome) -> None:
        """Have the end kept, after the beginning."""
        entry = ReleaseEntry(
            receipt=self._receipt,
            moments=book.state.moments,
            replaced=book.state.last_good,
            ended_at=workflow.now(),
            outcome=outcome.outcome,
            reached_percent=outcome.reached_percent,
            detail=outcome.detail,
        )
        if self._begun is not None and not self._begun.done():
            self._begun.cancel()  # the end says all of it
        kept = asyncio.create_task(
            self._keep(entry, AT_LAST, f"Keep that the release has ended: {outcome.outcome}")
        )
        while not kept.done():
            try:
                await workflow.wait([kept])
            except asyncio.CancelledError:
                workflow.logger.info("it is over already: its end is kept all the same")

    @staticmethod
    async def _keep(entry: ReleaseEntry, patience: timedelta, summary: str) -> None:
        try:
            await workflow.execute_activity_method(
                DeploymentActivities.record,
                entry,
                task_queue=HANDS,
                start_to_close_timeout=timedelta(minutes=1),
                schedule_to_close_timeout=patience,
                heartbeat_timeout=heartbeat_timeout(DeploymentActivities.record),
                retry_policy=RETRY,
                summary=summary,
            )
        except ActivityError as error:
            workflow.logger.warning("the record of deployments lacks an entry: %s", error)
