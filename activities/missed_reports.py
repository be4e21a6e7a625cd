"""Runs of the forge's CI of which no webhook told us: it came while the engine was away, or never.

Whoever hears of a run begins the same workflow under the same name, so that it is fetched once.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import structlog
from pydantic import Field
from temporalio import activity
from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.forge_reports import FetchReports
from activities.forge_reports_port import ForgeReports
from activities.pulse import with_async_pulse
from leverframe.model.errors import LeverframeError, Unavailable
from leverframe.model.frozen import Frozen, Instant, Slug
from leverframe.model.ids import report_fetch_id
from leverframe.model.topology import Repository

REPORT_FETCH = "ReportFetchWorkflow"
RPC_SECONDS = 5
MOST_BACK = timedelta(days=2)
"""What ended before is stale."""
OVERLAP = timedelta(minutes=30)
"""The forge's clock, and its list, may be behind."""

_log = structlog.get_logger(__name__)


async def begin_fetch(client: Client, repository: str, run: str, *, task_queue: str) -> bool:
    """Have the reports of a run fetched; False: they were, or are being. One that failed is begun again.

    Raises:
        Unavailable: the engine did not take it.
    """
    try:
        await client.start_workflow(
            REPORT_FETCH,
            FetchReports(repository=repository, run=run),
            id=report_fetch_id(repository, run),
            task_queue=task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
            static_summary=f"Test reports of {repository}, run {run}",
            rpc_timeout=timedelta(seconds=RPC_SECONDS),
        )
    except WorkflowAlreadyStartedError:
        return False
    except RPCError as error:
        raise Unavailable(f"the engine answered {error.status.name}") from error
    except RuntimeError as error:
        # What a lazy client raises that can't connect.
        raise Unavailable("the engine can't be reached") from error
    return True


class LookedForRuns(Frozen):
    """Repository → when the forge last said, of it, what had ended."""

    at: dict[Slug, Instant] = Field(default_factory=dict)


class Begun(Frozen):
    """What was found."""

    fetches: int = 0
    looked: tuple[Slug, ...] = ()
    """Repositories of which the forge said what has ended."""
    trouble: str = ""
    """Of the last one that could not be looked at."""


class MissedReports:
    """Looks what has ended. `forge` is None where changes are kept in the store."""

    def __init__(
        self, forge: ForgeReports | None, repositories: Mapping[str, Repository], client: Client
    ) -> None:
        self._forge = forge
        self._repositories = repositories
        self._client = client

    @activity.defn(name="begin_fetches")
    @with_async_pulse
    async def begin_fetches(self, before: LookedForRuns) -> Begun:
        """Begin to fetch the reports of the runs that ended since and are not fetched yet.

        A repository that can't be looked at keeps no other waiting.
        """
        begun = Begun()
        if self._forge is None:
            return begun
        oldest = datetime.now(UTC) - MOST_BACK
        for repository in self._repositories.values():
            since = max(before.at.get(repository.name, oldest), oldest) - OVERLAP
            fetches = begun.fetches
            try:
                for run in await asyncio.to_thread(self._forge.ended, repository, since):
                    fetches += await begin_fetch(
                        self._client, repository.name, run, task_queue=activity.info().task_queue
                    )
                begun = begun.model_copy(update={"looked": (*begun.looked, repository.name)})
            except LeverframeError as error:
                _log.warning("reports.missed", repository=repository.name, why=str(error))
                begun = begun.model_copy(update={"trouble": f"{repository.name}: {error}"[:500]})
            begun = begun.model_copy(update={"fetches": fetches})
        return begun
