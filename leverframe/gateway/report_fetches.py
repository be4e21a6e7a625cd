"""The way from a forge's webhook to its test reports and jobs: a workflow for each run does the fetching."""

from collections.abc import Collection

from temporalio.client import Client

from activities.missed_reports import begin_fetch
from workflows.queues import HANDS


class ReportFetches:
    """Starts fetches for the repositories whose reports or jobs are wanted."""

    def __init__(self, client: Client, wanted: Collection[str], *, task_queue: str = HANDS) -> None:
        """`wanted`: declared repositories."""
        self._client = client
        self._wanted = wanted
        self._task_queue = task_queue

    def wants(self, repository: str) -> bool:
        """Whether anything of the repository is fetched from the forge."""
        return repository in self._wanted

    async def fetch(self, repository: str, run: str) -> None:
        """Have a run fetched; one that was, or is being, is left alone.

        Raises:
            Unavailable: the engine did not take it.
        """
        await begin_fetch(self._client, repository, run, task_queue=self._task_queue)
