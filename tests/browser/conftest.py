"""The machine's Chromium where LEVERFRAME_TEST_BROWSER names one, and pages of a real gateway for it."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from temporalio.client import Client, WorkflowHandle
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from leverframe.gateway.train_views import TrainViews
from tests.fakes.gateway import gateway, served, settings_for
from tests.fakes.servers import running_server
from tests.fakes.staged_train import StagedTrain
from tests.fakes.train_day import view
from tests.fakes.workers import unversioned
from workflows.merge_train.view import TrainView

CHROMIUM = os.environ.get("LEVERFRAME_TEST_BROWSER", "")
PICTURES = os.environ.get("LEVERFRAME_TEST_PICTURES", "")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
QUEUE = "staged"

NewPage = Callable[..., AbstractAsyncContextManager[Any]]


class Stage:
    """The train that the pages show, and where they are."""

    def __init__(self, client: Client, address: str, train: WorkflowHandle[StagedTrain, None]) -> None:
        self.address = address
        self._client = client
        self._train = train

    async def shows(self, shown: TrainView) -> None:
        """The train is like this from now on."""
        await self._train.execute_update(StagedTrain.show, shown)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """What answers for the train."""
        runner = unversioned()
        async with Worker(self._client, task_queue=QUEUE, workflows=[StagedTrain], workflow_runner=runner):
            yield


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine() -> AsyncIterator[WorkflowEnvironment]:
    if not CHROMIUM:
        pytest.skip("LEVERFRAME_TEST_BROWSER is not set")
    async with await running_server() as environment:
        yield environment


@pytest_asyncio.fixture(loop_scope="module")
async def stage(engine: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Stage]:
    """A gateway on a port of its own; the train has no worker yet."""
    client = engine.client
    train = await client.start_workflow(StagedTrain.run, view(), id="train/shop/main", task_queue=QUEUE)
    trains = TrainViews(client, settings_for(tmp_path).repositories, fresh=0, answer=0.5)
    async with gateway(tmp_path, client, trains=trains) as made, served(made.app) as address:
        yield Stage(client, f"{address}/trains/shop/main", train)
    await train.terminate()


@pytest_asyncio.fixture(loop_scope="module")
async def new_page(tmp_path: Path) -> AsyncIterator[NewPage]:
    """Opens a page in a browser of its own, which nobody has used before."""
    from playwright.async_api import async_playwright

    number = iter(range(1000))
    async with async_playwright() as playwright:

        @asynccontextmanager
        async def opened(**options: Any) -> AsyncIterator[Any]:
            context = await playwright.chromium.launch_persistent_context(
                str(tmp_path / f"profile-{next(number)}"),
                executable_path=CHROMIUM,
                args=list(ARGUMENTS),
                **options,
            )
            page = context.pages[0]
            page.set_default_timeout(15_000)
            yield page
            await context.close()

        yield opened


async def picture(page: Any, name: str, *, whole: bool = True) -> None:
    """Keep what is seen, where LEVERFRAME_TEST_PICTURES names a directory."""
    if PICTURES:
        await page.screenshot(path=str(Path(PICTURES, f"{name}.png")), full_page=whole)
