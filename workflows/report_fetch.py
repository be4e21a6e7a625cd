"""One run of the forge's CI whose test reports are fetched: started by a webhook, or by housekeeping if
none came, and once only for each run.

It keeps trying while the forge or the store is away. The gateway tells the watches of what is new.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy, VersioningBehavior

with workflow.unsafe.imports_passed_through():
    from activities.forge_reports import FetchReports, ForgeReportActivities
    from activities.missed_reports import REPORT_FETCH
    from activities.pulse import MISSED_AFTER
    from activities.taking_in import TakenIn
    from workflows.queues import HANDS

_LONGEST = timedelta(minutes=20)
_PATIENCE = timedelta(days=2)
"""Artifacts are kept for longer, but what they say is stale."""


@workflow.defn(name=REPORT_FETCH, versioning_behavior=VersioningBehavior.PINNED)
class ReportFetchWorkflow:
    """Fetches the reports of one run."""

    @workflow.run
    async def run(self, request: FetchReports) -> TakenIn:
        """What was kept, and what could not be used."""
        return await workflow.execute_activity_method(
            ForgeReportActivities.fetch_reports,
            request,
            task_queue=HANDS,
            start_to_close_timeout=_LONGEST,
            heartbeat_timeout=MISSED_AFTER,
            schedule_to_close_timeout=_PATIENCE,
            retry_policy=RetryPolicy(
                initial_interval=timedelta(seconds=5), maximum_interval=timedelta(minutes=10)
            ),
            summary=f"Fetch the test reports of {request.run}",
        )
