"""Releases whose pages are looked at before the first request."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.eyes import EyesActivities
from leverframe.model.eyes import EyesPlan, Viewport
from leverframe.model.topology import Repository
from tests.fakes.pages import Arms, Browser
from tests.fakes.release_world import World, repository
from tests.fakes.releases import BOB, Releases
from workflows.queues import SANDBOX
from workflows.release.helm import Order
from workflows.release.story import Progress
from workflows.release.workflow import ReleaseWorkflow

pytestmark = pytest.mark.asyncio(loop_scope="module")

CLEO = Order(person="cleo", reason="the new colour is meant")


def with_pages(on_difference: Literal["hold", "red"] = "hold") -> Repository:
    window = Viewport(width=200, height=200)
    shop = repository()
    eyes = EyesPlan(pages=("/",), viewports=(window,), on_difference=on_difference)
    return shop.model_copy(update={"service": shop.service.model_copy(update={"eyes": eyes})})


def canary_is_dark(address: str, look: int) -> int:
    """Half of the page is black on the canary."""
    return 100 if "canary" in address else 0


@asynccontextmanager
async def looking(client: Client, browser: Browser, shop: Repository, root: Path) -> AsyncIterator[None]:
    """A sandbox worker with a browser."""
    acts = EyesActivities(browser, Arms(), {"shop": shop}, root)
    with ThreadPoolExecutor(2) as threads:
        async with Worker(client, task_queue=SANDBOX, activities=[acts.look], activity_executor=threads):
            yield


def held_for_eyes(story: Progress) -> bool:
    """The gate is green, and the release still stays on its first step."""
    return any(row.step == "1 %" and "people have to look" in row.text for row in story.rows)


def row(story: Progress, step: str) -> tuple[str, str]:
    return next((row.state, row.text) for row in story.rows if row.step == step)


async def test_pages_that_differ_hold_the_first_step_until_two_people_have_looked(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    shop = with_pages()
    world = World.with_stable(repository=shop)
    releases = Releases(world, env.client)
    async with releases.worker(), looking(env.client, Browser(canary_is_dark), shop, tmp_path):
        handle = await releases.start()
        await releases.told(handle, held_for_eyes)
        assert world.weights == [1], "one in a hundred, no more"
        for order in (BOB, CLEO):
            await handle.execute_update(ReleaseWorkflow.promote, order)
        outcome, story = await handle.result(), await handle.query(ReleaseWorkflow.progress)
    assert outcome.outcome == "landed"
    assert world.weights == [1, 25, 100]
    state, told = row(story, "eyes")
    assert (state, "/ at 200×200 differs in 50.00 % of its pixels" in told) == ("failed", True)
    [paged] = [text for key, text in world.chat.told.items() if key.endswith("/eyes")]
    pictures = [line for line in paged.splitlines() if line.endswith(".png")]
    assert {path.rpartition("-")[2] for path in pictures} == {"stable.png", "canary.png", "difference.png"}
    assert "goes back by itself after 24 hours" in paged


async def test_pages_that_differ_end_a_release_before_its_first_request_where_that_is_red(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    shop = with_pages("red")
    world = World.with_stable(repository=shop)
    async with looking(env.client, Browser(canary_is_dark), shop, tmp_path):
        outcome, _ = await Releases(world, env.client).outcome()
    assert (outcome.outcome, outcome.reached_percent) == ("rolled_back", 0)
    assert "it looks different" in outcome.detail
    assert world.weights == [0]


async def test_what_can_not_be_looked_at_is_told_and_stops_nothing(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    shop = with_pages()
    world = World.with_stable(repository=shop)
    browser = Browser(broken={"http://canary/": "it was answered 500"})
    async with looking(env.client, browser, shop, tmp_path):
        outcome, story = await Releases(world, env.client).outcome()
    assert outcome.outcome == "landed"
    assert "was not seen: it was answered 500" in row(story, "eyes")[1]
    assert not [key for key in world.chat.told if key.endswith("/eyes")]
