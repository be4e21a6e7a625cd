"""A flag of the real shop, rolled out to real requests: the shop tells its variants, the router counts them.

The flag `gift-wrap` breaks on gift cards, which have no weight. Internal users buy mugs.
"""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.backends.flags_flagd import FlagdFlags
from activities.flag_rollout import FlagRolloutActivities
from leverframe.demo.shop_repository import SHOP
from leverframe.model.flags import InternalUsers, Whole
from leverframe.model.ids import rollout_id
from tests.fakes.delivery_world import A, DeliveryWorld
from tests.fakes.remediation_world import World as People
from tests.fakes.rollout_world import plan, rollout_policy
from tests.fakes.servers import running_server
from tests.fakes.workers import unversioned
from workflows.flag_rollout.story import RolloutStart
from workflows.flag_rollout.workflow import FlagRolloutWorkflow
from workflows.queues import HANDS
from workflows.release.helm import Order

STAFF = InternalUsers(keys=("ada",))
PROGRAM = f"""
import sys
sys.path.insert(0, {str(SHOP)!r})
sys.argv = ["shop", "--port", sys.argv[1]]
from shop.__main__ import main
main()
"""


@contextlib.asynccontextmanager
async def customers(url: str) -> AsyncIterator[None]:
    """Ada buys mugs; everybody else buys gift cards. Until the block ends."""

    async def shop(client: httpx.AsyncClient, name: str, sku: str) -> None:
        number = 0
        while True:
            number += 1
            who = {"X-Customer": name.format(number)}
            with contextlib.suppress(httpx.HTTPError):
                await client.post("/checkout", json={"lines": [{"sku": sku}]}, headers=who)

    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        buying = [
            asyncio.create_task(shop(client, name, sku))
            for name, sku in (("ada", "mug"), ("customer-{}", "gift-card"), ("visitor-{}", "gift-card"))
        ]
        yield
        for task in buying:
            task.cancel()
        await asyncio.gather(*buying, return_exceptions=True)


@pytest.fixture
def world(tmp_path: Path) -> DeliveryWorld:
    world = DeliveryWorld(tmp_path)
    world.settings.home.mkdir()
    shutil.copy(SHOP / "flags.json", world.settings.home / "flags.json")
    world.settings.delivery.environment["SHOP_FLAGS"] = "{home}/flags.json"
    return world


async def run(env: WorkflowEnvironment, world: DeliveryWorld) -> tuple[str, str]:
    """Outcome and detail of the rollout."""
    flags = FlagdFlags(world.settings.home / "flags.json", STAFF)
    mine = FlagRolloutActivities(flags, world.flag_metrics, STAFF, users=100)
    people = People(env.client, rollout_policy())
    declared = plan(25, 100, poll=0.1)
    steps = tuple(step.model_copy(update={"min_seconds": 0.5}) for step in declared.steps)
    with ThreadPoolExecutor(4) as threads:
        async with Worker(
            env.client,
            task_queue=HANDS,
            workflows=[FlagRolloutWorkflow],
            activities=[
                *(mine.read_flag, mine.expose_flag, mine.verify_audience, mine.look_at_flag),
                *people.hands,
            ],
            activity_executor=threads,
            workflow_runner=unversioned(),
        ):
            ended = await env.client.execute_workflow(
                FlagRolloutWorkflow.run,
                RolloutStart(
                    repository="shop",
                    service="shop",
                    flag="gift-wrap",
                    plan=declared.model_copy(update={"steps": steps}),
                    by=Order(person="eve", reason="parcels look plain"),
                ),
                id=rollout_id("shop", "gift-wrap"),
                task_queue=HANDS,
            )
    assert flags.read("gift-wrap").audience == Whole(on=False)
    flags.close()
    return ended.outcome or "", ended.detail


async def test_a_flag_that_breaks_gift_cards_is_off_again_before_everybody_has_it(
    world: DeliveryWorld,
) -> None:
    async with world.router():
        await asyncio.to_thread(world.deploy, A, program=PROGRAM.encode())
        world.point(A, "production")
        await world.runs(A, "production")
        async with customers(f"http://127.0.0.1:{world.ports['production']}"), await running_server() as env:
            outcome, detail = await run(env, world)
    assert outcome == "rolled_back", detail
    assert detail.startswith("errors with the flag: ")
    assert "without it: 0 of " in detail
