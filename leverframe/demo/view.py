"""What the storyteller looks at: the same queries and records that a person has."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from leverframe.bootstrap import Ports
from leverframe.demo.narrator import Waiting
from leverframe.demo.person import CommandFailed
from leverframe.model.changes import Change
from leverframe.model.ids import release_id
from leverframe.model.outcomes import RunReport
from leverframe.model.releases import ReleaseOutcome
from leverframe.model.topology import Repository
from workflows.release.story import Progress

T = TypeVar("T")

NOT_NOW = (
    RPCStatusCode.NOT_FOUND,
    RPCStatusCode.FAILED_PRECONDITION,
    RPCStatusCode.DEADLINE_EXCEEDED,
    RPCStatusCode.UNAVAILABLE,
    RPCStatusCode.CANCELLED,
)
"""Not started yet, or no worker answers at the moment: worth another look."""


async def until(
    what: str, look: Callable[[], Awaitable[T | None]], *, seconds: float, every: float = 0.2
) -> T:
    """Look until there is something to see. Raises CommandFailed with `what` after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = await look()
        if seen is not None:
            return seen
        await asyncio.sleep(every)
    raise CommandFailed(f"waited {seconds:.0f} s for {what} in vain")


@dataclass
class View:
    """Looks at the engine and at the store; changes nothing."""

    client: Client
    ports: Ports
    repository: Repository

    async def settled_change(self, change: str, *, seconds: float = 120) -> Change:
        """The change once the train has landed or ejected it."""

        async def look() -> Change | None:
            seen = await asyncio.to_thread(self.ports.changes.change, change)
            return seen if seen.state in ("landed", "ejected") else None

        return await until(f"the train to settle {change}", look, seconds=seconds)

    async def release(
        self, sha: str, progress: Waiting | None = None, *, seconds: float = 150
    ) -> ReleaseOutcome:
        """How the release of a landed SHA ended, telling its progress on the way."""
        handle = self.client.get_workflow_handle(
            release_id(self.repository.service.name, sha), result_type=ReleaseOutcome
        )

        async def look() -> ReleaseOutcome | None:
            try:
                description = await handle.describe()
                if description.status == WorkflowExecutionStatus.RUNNING:
                    if progress is not None:
                        progress.note(_headline(await handle.query("progress", result_type=Progress)))
                    return None
            except RPCError as error:
                if error.status in NOT_NOW:
                    return None
                raise
            outcome: ReleaseOutcome = await handle.result()
            return outcome

        return await until(f"the release of {sha[:12]}", look, seconds=seconds)

    async def runs(self) -> list[str]:
        """Ids of all agent runs, newest first."""
        query = "WorkflowType = 'RemediationWorkflow'"
        found = [(run.start_time, run.id) async for run in self.client.list_workflows(query)]
        return [run for _, run in sorted(found, reverse=True)]

    async def next_run(self, known: set[str], *, seconds: float = 90) -> str:
        """The first run that is not among the known ones."""

        async def look() -> str | None:
            return next((run for run in await self.runs() if run not in known), None)

        return await until("an agent run to start", look, seconds=seconds)

    async def report(self, run: str) -> RunReport | None:
        """The run's report so far, or None while it has none."""
        try:
            report: RunReport = await self.client.get_workflow_handle(run).query(
                "report", result_type=RunReport
            )
        except RPCError as error:
            if error.status in NOT_NOW:
                return None
            raise
        return report

    async def report_when(
        self, run: str, wanted: Callable[[RunReport], bool], what: str, *, seconds: float
    ) -> RunReport:
        """The run's report once it shows what is wanted."""

        async def look() -> RunReport | None:
            report = await self.report(run)
            return report if report is not None and wanted(report) else None

        return await until(what, look, seconds=seconds)


def _headline(progress: Progress) -> str:
    """Where the release is now, in a line."""
    if not progress.rows:
        return "begins"
    row = progress.rows[-1]
    return f"{row.step}: {row.text}" if progress.percent == 0 else f"{progress.percent} % of production"
