"""From GitHub's webhooks to `leverframe flaky jobs`: a real engine, a real store, and the fake of GitHub."""

import asyncio
import hmac
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from starlette.applications import Starlette
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker
from typer.testing import CliRunner

from activities.backends.results_store import ResultsStore
from activities.forge_reports import ForgeReportActivities
from leverframe.cli.main import app
from leverframe.gateway.counters import Counters
from leverframe.gateway.github import GithubWebhook
from leverframe.model.ids import report_fetch_id
from tests.fakes.gateway import REPOSITORY, SERVICE, settings_for
from tests.fakes.github import FakeGithub
from tests.fakes.github_setup import declared, reports_on
from tests.fakes.servers import SharedServers
from tests.fakes.stores import store_at
from tests.fakes.workers import unversioned
from workflows.queues import HANDS
from workflows.report_fetch import ReportFetchWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "It's a Secret to Everybody"
SHA = "a" * 40
MINUTE = timedelta(minutes=1)
BEGAN = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=3)


@dataclass
class World:
    """GitHub, the gateway's door, and where results are."""

    github: FakeGithub
    http: httpx.AsyncClient
    env: WorkflowEnvironment

    async def deliver(self, event: str, payload: Mapping[str, Any], run: str) -> None:
        """GitHub tells, twice, and what it tells of is fetched."""
        body = json.dumps(
            {"action": "completed", "repository": {"full_name": "acme/shop"}, **payload}
        ).encode()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, sha256).hexdigest()
        headers = {"X-GitHub-Event": event, "X-Hub-Signature-256": signature}
        for _ in range(2):
            assert (await self.http.post("/webhooks/github", content=body, headers=headers)).is_success
        await self.env.client.get_workflow_handle(report_fetch_id("shop", run)).result()

    async def ran(self, number: int, attempt: int, *, at: datetime) -> None:
        """An attempt of a workflow run has ended."""
        self.github.runs.attempt(number, attempt, SHA, began=at)
        payload = {"workflow_run": {"id": number, "run_attempt": attempt}}
        await self.deliver("workflow_run", payload, f"{number}.{attempt}")

    async def checked(self, suite: dict[str, Any]) -> None:
        """A check suite of another App has ended."""
        told = ("id", "head_branch", "updated_at")
        payload = {name: suite[name] for name in told} | {"app": {"id": 1, "slug": suite["app"]["slug"]}}
        at = int(datetime.fromisoformat(suite["updated_at"]).timestamp())
        await self.deliver("check_suite", {"check_suite": payload}, f"suite-{suite['id']}.{at}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def env(servers: SharedServers) -> WorkflowEnvironment:
    return await servers.real()


@pytest.fixture
def world(env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    declared_shop = json.dumps([REPOSITORY | {"service": SERVICE | {"name": "shop"}}])
    (tmp_path / "leverframe.toml").write_text('home = "home"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
    monkeypatch.setenv("LEVERFRAME_REPOSITORIES", declared_shop)
    tests = {"jobs": {"shop": ["CI / *", "circleci-checks: *"]}}
    made = settings_for(tmp_path / "home", github_webhook_secret=SECRET, tests=tests)
    on_github = made.changes.github.model_copy(update={"owner_repo": {"shop": "acme/shop"}})
    settings = made.model_copy(update={"changes": made.changes.model_copy(update={"github": on_github})})
    webhook = GithubWebhook(settings, env.client, Counters())
    transport = httpx.ASGITransport(Starlette(routes=webhook.routes()))
    github = FakeGithub()
    yield World(github, httpx.AsyncClient(transport=transport, base_url="http://gateway"), env)
    assert github.problems == []


def flaky(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["flaky", *arguments])
    assert result.exit_code == 0, result.output
    return result.stdout


async def test_a_job_that_failed_and_passed_at_one_commit_is_told_and_quarantines_nothing(
    world: World, tmp_path: Path
) -> None:
    github, store = world.github, ResultsStore(store_at(tmp_path / "home" / "store.db"))
    forge = reports_on(github, jobs=("CI / *", "circleci-checks: *"))
    fetching = ForgeReportActivities(forge, store, {"shop": declared("shop")})
    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            world.env.client,
            task_queue=HANDS,
            workflows=[ReportFetchWorkflow],
            activities=[fetching.fetch_reports],
            activity_executor=threads,
            workflow_runner=unversioned(),
        ):
            for name, conclusion in (("unit", "failure"), ("lint", "success"), ("broken", "failure")):
                github.jobs.job(9, 1, name, conclusion, began=BEGAN, took=5 * MINUTE)
            github.jobs.job(9, 1, "unit", "failure", began=BEGAN, workflow="Nightly")
            await world.ran(9, 1, at=BEGAN)
            for name, conclusion in (("unit", "success"), ("broken", "failure")):
                github.jobs.job(9, 2, name, conclusion, began=BEGAN + 20 * MINUTE)
            github.jobs.job(9, 2, "unit", "success", began=BEGAN + 20 * MINUTE, workflow="Nightly")
            await world.ran(9, 2, at=BEGAN + 20 * MINUTE)
            github.jobs.job(10, 1, "unit", "success", began=BEGAN)
            await world.ran(10, 1, at=BEGAN)
            suite = github.jobs.suite(SHA)
            for conclusion, later in (("failure", 0), ("success", 30)):
                github.jobs.check(suite, "build", conclusion, began=BEGAN + later * MINUTE)
                await world.checked(suite)
    found = await asyncio.to_thread(flaky, "jobs", "--json")
    jobs = json.loads(found)["jobs"]
    assert [(job["job"], job["flaky_runs"], job["runs"], job["lost_ms"]) for job in jobs] == [
        ("CI / unit", 1, 2, 300_000),
        ("circleci-checks: build", 1, 1, 60_000),
    ]
    assert jobs[0]["last"]["sha"] == SHA
    assert json.loads(await asyncio.to_thread(flaky, "stats", "--json"))["jobs"]["flaky_runs"] == 2
    assert json.loads(await asyncio.to_thread(flaky, "list", "--json"))["tests"] == []
