"""What every backend of the ports Delivery and Gitops does: with real processes, and in a cluster."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol, TypeVar

import pytest
import pytest_asyncio

from activities.backends.store_sql import open_store
from activities.delivery_ports import Delivery, Gitops
from leverframe.model.errors import Conflict, NotFound, Unavailable
from leverframe.model.releases import DeliveryState
from tests.fakes.argo_world import ArgoWorld
from tests.fakes.delivery_world import A, B, C, DeliveryWorld, until
from tests.fakes.flagger_world import FlaggerWorld

T = TypeVar("T")


class Ground(Protocol):
    """One service whose overlays a test points at commits."""

    delivery: Delivery
    hasty: Delivery
    """Does not wait for what will not come."""
    gitops: Gitops

    async def deploy(self, sha: str, *, well: bool = True) -> None: ...
    async def point(self, sha: str) -> None: ...
    async def looked(self) -> None:
        """Wait until who delivers has seen what is applied by now."""
        ...


class LocalGround:
    """The router, with real git and real processes."""

    def __init__(self, world: DeliveryWorld) -> None:
        self._world = world
        self.delivery, self.hasty, self.gitops = world.delivery, world.delivery, world.gitops

    async def deploy(self, sha: str, *, well: bool = True) -> None:
        await asyncio.to_thread(self._world.deploy, sha, "well" if well else "sick")

    async def point(self, sha: str) -> None:
        self._world.point(sha, "production")

    async def looked(self) -> None:
        """Its router tells of nothing that it has not seen."""


class ArgoGround:
    """Argo Rollouts and Argo CD in a cluster."""

    def __init__(self, world: ArgoWorld) -> None:
        self._world = world
        self.delivery, self.hasty, self.gitops = world.delivery, world.hasty, world.gitops

    async def deploy(self, sha: str, *, well: bool = True) -> None:
        if not well:
            self._world.rollouts.unready.add(sha)

    async def point(self, sha: str) -> None:
        self._world.point(sha)

    async def looked(self) -> None:
        """Its controller acts on each change at once."""


class FlaggerGround:
    """Flagger and Flux in a cluster; Flagger's intervals are short."""

    def __init__(self, world: FlaggerWorld) -> None:
        self._world = world
        self.delivery, self.hasty, self.gitops = world.delivery, world.delivery, world.gitops
        self._over = 0

    async def deploy(self, sha: str, *, well: bool = True) -> None:
        if not well:
            self._world.controller.unready.add(sha)

    async def point(self, sha: str) -> None:
        self._world.land(sha)

    async def looked(self) -> None:
        """What comes and goes between two of its looks, Flagger never sees."""
        whole = self._over + 2
        await until(lambda: self._over >= whole)

    async def intervals(self) -> None:
        """One after the other, until cancelled."""
        while True:
            await asyncio.to_thread(self._world.tick)
            self._over += 1
            await asyncio.sleep(0.01)


@asynccontextmanager
async def flagger(folder: Path) -> AsyncIterator[Ground]:
    store = open_store(f"sqlite:///{folder}/store.db")
    ground = FlaggerGround(FlaggerWorld(store, 1, 25, 100, settle_seconds=1))
    intervals = asyncio.create_task(ground.intervals())
    try:
        yield ground
    finally:
        intervals.cancel()
        await asyncio.gather(intervals, return_exceptions=True)
        store.dispose()


@pytest_asyncio.fixture(params=["local", "argo_rollouts", "flagger"])
async def ground(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Ground]:
    """A is stable in production."""
    if request.param == "argo_rollouts":
        yield ArgoGround(ArgoWorld(1, 25, 100))
        return
    if request.param == "flagger":
        async with flagger(tmp_path) as ground:
            yield ground
        return
    world = DeliveryWorld(tmp_path)
    async with world.router():
        ground = LocalGround(world)
        for sha in (A, B):
            await ground.deploy(sha)
        await brought(ground, A)
        yield ground


async def called(method: Callable[..., T], *arguments: object, **named: object) -> T:
    return await asyncio.to_thread(method, "shop", *arguments, **named)


async def seen(ground: Ground) -> DeliveryState:
    return await called(ground.delivery.state, "production")


async def brought(ground: Ground, sha: str) -> DeliveryState:
    """Point the overlay, have the reconciler look, and wait until the commit is there."""
    await ground.point(sha)
    await called(ground.gitops.request, "production")
    await until(lambda: ground.gitops.reconciliation("shop", "production").settled)

    def there() -> bool:
        state = ground.delivery.state("shop", "production")
        return state.ready and sha in (state.stable, state.canary)

    await until(there)
    await ground.looked()
    return await seen(ground)


async def test_a_canary_climbs_is_promoted_and_stays_so(ground: Ground) -> None:
    state = await brought(ground, B)
    assert (state.wanted, state.stable, state.canary, state.canary_percent) == (B, A, B, 0)
    for percent in (1, 1, 25, 100):
        state = await called(ground.delivery.set_weight, sha=B, percent=percent)
        assert (state.canary, state.canary_percent, state.ready) == (B, percent, True)
        assert await seen(ground) == state
    promoted = await called(ground.delivery.promote, sha=B)
    assert (promoted.stable, promoted.canary, promoted.canary_percent) == (B, None, 0)
    assert (await called(ground.delivery.promote, sha=B)).stable == B
    with pytest.raises(Conflict, match="is stable"):
        await called(ground.delivery.abort, sha=B)
    assert (await brought(ground, A)).canary is None, "what was stable lately needs no canary"


async def test_an_abort_takes_everything_back_and_is_over_with_another_overlay(ground: Ground) -> None:
    await brought(ground, B)
    await called(ground.delivery.set_weight, sha=B, percent=25)
    for _ in range(2):
        state = await called(ground.delivery.abort, sha=B)
        assert (state.wanted, state.stable, state.canary, state.canary_percent) == (B, A, None, 0)
    with pytest.raises(Conflict):
        await called(ground.delivery.set_weight, sha=B, percent=25)
    with pytest.raises(Conflict):
        await called(ground.delivery.promote, sha=B)
    await called(ground.gitops.request, "production")
    assert (await seen(ground)).canary is None
    await called(ground.gitops.resume, "production")
    state = await brought(ground, A)
    assert (state.wanted, state.stable, state.canary) == (A, A, None)
    assert (await brought(ground, B)).canary == B, "it may be tried again"


async def test_only_the_commit_of_the_overlay_is_moved(ground: Ground) -> None:
    with pytest.raises(Conflict, match="there is no canary"):
        await called(ground.delivery.set_weight, sha=B, percent=1)
    await brought(ground, B)
    with pytest.raises(Conflict, match=f"the canary is {B[:12]}"):
        await called(ground.delivery.set_weight, sha=C, percent=1)
    with pytest.raises(Conflict, match=f"the canary is {B[:12]}"):
        await called(ground.delivery.promote, sha=C)
    await called(ground.delivery.set_weight, sha=B, percent=1)
    state = await called(ground.delivery.abort, sha=C)
    assert (state.canary, state.canary_percent) == (B, 1), "another commit's canary is left alone"


async def test_a_canary_that_is_not_ready_gets_nothing(ground: Ground) -> None:
    await ground.deploy(C, well=False)
    await ground.point(C)
    await called(ground.gitops.request, "production")
    await until(lambda: ground.delivery.state("shop", "production").canary == C)
    state = await seen(ground)
    assert (state.ready, state.canary_percent) == (False, 0)
    assert state.detail
    with pytest.raises(Unavailable, match=C[:12]):
        await called(ground.hasty.set_weight, sha=C, percent=1)


async def test_what_is_suspended_keeps_what_runs(ground: Ground) -> None:
    await called(ground.gitops.suspend, "production", reason="B is bad")
    await called(ground.gitops.suspend, "production", reason="B is bad")
    await ground.point(B)
    await called(ground.gitops.request, "production")
    told = await called(ground.gitops.reconciliation, "production")
    assert (told.automatic, told.settled) == (False, False)
    assert "suspended" in told.detail
    assert ((await seen(ground)).stable, (await seen(ground)).canary) == (A, None)
    await called(ground.gitops.resume, "production")
    await called(ground.gitops.resume, "production")
    assert (await brought(ground, B)).canary == B


async def test_what_is_not_declared_is_not_found(ground: Ground) -> None:
    for method in (ground.delivery.state, ground.gitops.reconciliation, ground.gitops.request):
        with pytest.raises(NotFound):
            await asyncio.to_thread(method, "other", "production")
    assert (await asyncio.to_thread(ground.delivery.health)).ok
    assert (await asyncio.to_thread(ground.gitops.health)).ok
