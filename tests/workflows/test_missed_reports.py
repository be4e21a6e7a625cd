"""Runs of the forge's CI that no webhook told of, on a real server: fetched once, whoever tells of them."""

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from activities.forge_reports import ForgeReportActivities
from activities.forge_reports_port import Fetched, FoundJobs, FoundRun
from activities.missed_reports import MOST_BACK, OVERLAP, LookedForRuns, MissedReports
from activities.ports import Health
from leverframe.gateway.report_fetches import ReportFetches
from leverframe.model.errors import Unavailable
from leverframe.model.ids import report_fetch_id
from leverframe.model.topology import Repository
from leverframe.reports.reading import read
from tests.fakes.github_setup import declared
from tests.fakes.report_shelf import ReportShelf
from tests.fakes.workers import unversioned
from workflows.queues import HANDS
from workflows.report_fetch import ReportFetchWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

NOW = datetime.now(UTC)


class Forge:
    """Two repositories; that of one can't be looked at."""

    def __init__(self, runs: dict[str, list[str]]) -> None:
        self.runs, self.asked = runs, list[datetime]()

    def ended(self, repository: Repository, since: datetime) -> list[str]:
        self.asked.append(since)
        if repository.name not in self.runs:
            raise Unavailable("the forge is away")
        return self.runs[repository.name]

    def run(self, repository: Repository, run: str) -> FoundRun:
        return FoundRun(id=run, sha="a" * 40, branch="main", began=NOW, ended=NOW)

    def fetch(self, repository: Repository, run: FoundRun) -> Iterator[Fetched]:
        facts = run.facts(repository.name, github=True)
        yield Fetched(reports=(read(b'<testsuite><testcase name="a"/></testsuite>', facts, now=NOW),))

    def jobs(self, repository: Repository, run: FoundRun) -> FoundJobs:
        return FoundJobs()

    def health(self) -> Health:
        return Health(ok=True, detail="")


async def test_what_no_webhook_told_of_is_fetched_once_and_a_repository_that_is_away_stops_no_other(
    env: WorkflowEnvironment,
) -> None:
    name = f"shop-{uuid4().hex[:8]}"
    forge, shelf = Forge({name: ["7.1", "8.1"]}), ReportShelf()
    repositories = {"other": declared("other"), name: declared(name)}
    missed = MissedReports(forge, repositories, env.client)
    here = ActivityEnvironment()
    here.info = replace(here.info, task_queue=HANDS)
    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            env.client,
            task_queue=HANDS,
            workflows=[ReportFetchWorkflow],
            activities=[ForgeReportActivities(forge, shelf, repositories).fetch_reports],
            activity_executor=threads,
            workflow_runner=unversioned(),
        ):
            await ReportFetches(env.client, {name}, task_queue=HANDS).fetch(name, "7.1")
            before = LookedForRuns(at={name: NOW - timedelta(days=30)})
            begun = await here.run(missed.begin_fetches, before)
            assert (begun.looked, begun.fetches) == ((name,), 1), "a webhook told of the other"
            assert begun.trouble == "other: the forge is away"
            fetches = [env.client.get_workflow_handle(report_fetch_id(name, run)) for run in ("7.1", "8.1")]
            await asyncio.gather(*(fetch.result() for fetch in fetches))
            forge.runs["other"] = []
            assert (await here.run(missed.begin_fetches, before)).fetches == 0, "both are fetched"
            forge.runs[name].append("9.1")
            last = await here.run(missed.begin_fetches, LookedForRuns(at={name: NOW}))
            assert (last.fetches, last.trouble) == (1, "")
            await env.client.get_workflow_handle(report_fetch_id(name, "9.1")).result()
    assert sorted(report.run for report in shelf.reports.values()) == ["7.1", "8.1", "9.1"]
    assert min(forge.asked) >= NOW - MOST_BACK - OVERLAP, "not all that ever ran"
    assert forge.asked[-1] == NOW - OVERLAP
