"""The way from a forge's webhook to its test reports: a workflow for each run, which does the fetching."""

from collections.abc import Mapping
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError

from activities.forge_reports import FetchReports
from leverframe.model.errors import Unavailable
from leverframe.model.ids import report_fetch_id
from workflows.queues import HANDS
from workflows.report_fetch import ReportFetchWorkflow

RPC_SECONDS = 5


class ReportFetches:
    """Starts fetches for the repositories whose reports are wanted."""

    def __init__(
        self, client: Client, wanted: Mapping[str, tuple[str, ...]], *, task_queue: str = HANDS
    ) -> None:
        """`wanted`: declared repository → globs, which only the hands read."""
        self._client = client
        self._wanted = wanted
        self._task_queue = task_queue

    def wants(self, repository: str) -> bool:
        """Whether reports of the repository are fetched from the forge."""
        return repository in self._wanted

    async def fetch(self, repository: str, run: str) -> None:
        """Have the reports of a run fetched; a run that was, or is being, is left alone.

        Raises:
            Unavailable: the engine did not take it.
        """
        try:
            await self._client.start_workflow(
                ReportFetchWorkflow.run,
                FetchReports(repository=repository, run=run),
                id=report_fetch_id(repository, run),
                task_queue=self._task_queue,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
                static_summary=f"Test reports of {repository}, run {run}",
                rpc_timeout=timedelta(seconds=RPC_SECONDS),
            )
        except WorkflowAlreadyStartedError:
            return
        except RPCError as error:
            raise Unavailable(f"the engine answered {error.status.name}") from error
        except RuntimeError as error:
            # What a lazy client raises that can't connect.
            raise Unavailable("the engine can't be reached") from error
