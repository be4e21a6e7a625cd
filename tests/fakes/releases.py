"""Releases in a world in memory, with workers that tests may stop and start again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import cast
from uuid import uuid4

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.chat import ChatActivities
from activities.delivery import DeliveryActivities
from activities.delivery_ports import Delivery, Gitops, Metrics
from activities.ports import Chat
from leverframe.model.ids import release_id
from leverframe.model.releases import ReleaseOutcome
from tests.fakes.release_world import NEW, FakeEnvironments, FakeForge, FakeTraffic, World, receipt
from tests.fakes.workers import unversioned
from workflows.queues import HANDS
from workflows.release.helm import Order
from workflows.release.state import ReleaseStart
from workflows.release.story import Progress
from workflows.release.workflow import ReleaseWorkflow

ADA, BOB = Order(person="ada", reason="customers call"), Order(person="bob", reason="we know it")


def at_25_percent(story: Progress) -> bool:
    """The canary has its second share."""
    return story.percent == 25


class Releases:
    """Starts releases in a world, with workers that tests may stop and start again."""

    def __init__(
        self,
        world: World,
        client: Client,
        *,
        delivery: Delivery | None = None,
        gitops: Gitops | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """The environments are in memory, too, unless others are given."""
        self._client, self._world = client, world
        self._forge = FakeForge(world, client)
        self._chat = ChatActivities({"noted": cast(Chat, world.chat)})
        environments = FakeEnvironments(world)
        self._delivery = DeliveryActivities(
            delivery or environments,
            gitops or environments,
            metrics or FakeTraffic(world),
            {"shop": world.repository},
            overlay_sha=lambda _, environment: world.overlays.get(environment),
        )

    @asynccontextmanager
    async def worker(
        self, *, cached: int = 1000, hands: bool = True, mind: bool = True
    ) -> AsyncIterator[None]:
        """A worker that does everything, as on a laptop.

        `cached`: releases whose state it keeps; with 0 each task begins with the history. `hands`: it calls
        the world; `mind`: it decides.
        """
        forge, delivery = self._forge, self._delivery
        with ThreadPoolExecutor(8) as threads:
            async with Worker(
                self._client,
                task_queue=HANDS,
                workflows=[ReleaseWorkflow] if mind else [],
                max_cached_workflows=cached,
                interceptors=[self._world.faults],
                activities=[] if not hands else [
                    forge.describe, forge.build, forge.recorded_build, forge.export, forge.record_build,
                    forge.overlay_sha, forge.overlay_change, forge.get_change, forge.is_ancestor,
                    forge.mark, forge.tell_live, forge.enqueue, forge.record_deployment,
                    delivery.deploy_artifact, delivery.delivery_state, delivery.canary_slot,
                    delivery.wait_reconciled, delivery.wait_back, delivery.set_weight, delivery.promote,
                    delivery.abort, delivery.probe, delivery.release_health, self._chat.page,
                ],
                activity_executor=threads,
                workflow_runner=unversioned(),
            ):  # fmt: skip
                yield

    async def start(
        self, sha: str = NEW, *, notify: tuple[str, ...] = (), plain_id: bool = False
    ) -> WorkflowHandle[ReleaseWorkflow, ReleaseOutcome]:
        """Start the release of a commit. `plain_id`: by the id that commands look for."""
        return await self._client.start_workflow(
            ReleaseWorkflow.run,
            ReleaseStart(receipt=receipt(sha), notify=notify),
            id=release_id("shop", sha) if plain_id else f"release/shop/{sha}/{uuid4().hex[:8]}",
            task_queue=HANDS,
        )

    async def told(
        self,
        handle: WorkflowHandle[ReleaseWorkflow, ReleaseOutcome],
        when: Callable[[Progress], bool],
    ) -> None:
        """Wait until the release's own story has come so far."""
        async with asyncio.timeout(60):
            while not when(await handle.query(ReleaseWorkflow.progress)):  # noqa: ASYNC110 - a query has no event
                await asyncio.sleep(0.02)

    async def outcome(self, sha: str = NEW) -> tuple[ReleaseOutcome, Progress]:
        """Release a commit with a worker of its own; the outcome and the story that is left."""
        async with self.worker():
            handle = await self.start(sha)
            return await handle.result(), await handle.query(ReleaseWorkflow.progress)
