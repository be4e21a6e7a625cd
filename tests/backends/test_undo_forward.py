"""A roll-back and its undo over real git, a real router and real processes: production forward again."""

import asyncio
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.backends.changes_store import ChangesStore
from activities.backends.track_git import GitTrack
from activities.delivery import DeliveryActivities, WaitRequest
from activities.forge import ForgeActivities, RollBackRequest
from activities.train import TrainActivities
from activities.undo import UndoActivities, UndoLook
from leverframe.model.changes import CarLanded, Change
from leverframe.model.proposals import RollBack
from leverframe.model.releases import DeliveryState
from policies.decision import Allowed, ReserveRequest
from tests.fakes.delivery_world import A, B, DeliveryWorld
from tests.fakes.git_world import AT, passed
from tests.fakes.rides import composed, landed
from tests.fakes.stores import store_at


class Production:
    """The activities of an undo on one delivery and its repository."""

    def __init__(self, root: Path) -> None:
        self.delivery = DeliveryWorld(root)
        declared = {"shop": self.delivery.repository}
        track = GitTrack(mirrors=root / "mirrors", artifacts=root / "artifacts")
        changes = ChangesStore(store_at(root / "store.db"))
        self._forge = ForgeActivities(changes, track, declared)
        self._train = TrainActivities(changes, track, declared)
        self._undo = UndoActivities(changes, track, declared)
        delivery, gitops, metrics = self.delivery.delivery, self.delivery.gitops, self.delivery.metrics
        self._acts = DeliveryActivities(delivery, gitops, metrics, declared, track.overlay_sha)

    def pulled(self, effect: RollBack, reservation: str) -> Change:
        """What points production's overlay there, carried in as the train does."""
        request = ReserveRequest(
            reservation=reservation,
            agent="undo",
            repository="shop",
            service="shop",
            subject="SHOP-1",
            effect=effect,
            difference=self._forge.preview("shop", effect, AT),
        )
        granted = Allowed.grant(request, policy_digest="p", now=AT, lapses_at=AT).reservation
        change = self._forge.roll_back(granted, RollBackRequest(at=AT))
        assert change is not None
        car = composed(self._train, change, AT)
        receipt = landed(self._train, change, car, (passed(car.sha),), AT)
        self._forge.settle_change(CarLanded(change=change.id, receipt=receipt))
        return change

    def forward(self, change: Change) -> RollBack:
        """What undoing the roll-back from B to A comes to."""
        found = self._undo.undoable(UndoLook(repository="shop", change=change.id, back_to=A))
        assert found.forward is not None
        return found.forward

    def stable(self, sha: str) -> DeliveryState:
        """Have production run it alone, as the workflow does after the landing."""
        wait = WaitRequest(repository="shop", environment="production", sha=sha)
        run = ActivityEnvironment().run
        run(self._acts.wait_reconciled, wait)
        self._acts.promote("shop", sha)
        return run(self._acts.wait_back, wait)


async def test_production_goes_back_and_forward_again_and_answers_from_what_its_overlay_names(
    tmp_path: Path,
) -> None:
    production = Production(tmp_path)
    world = production.delivery
    async with world.router():
        await world.canary_at(50)
        await asyncio.to_thread(production.stable, B)
        back = await asyncio.to_thread(production.pulled, RollBack(service="shop", to=A), "run/fixer/1/0")
        state = await asyncio.to_thread(production.stable, A)
        assert (state.wanted, state.stable, state.canary) == (A, A, None)
        assert (await world.get("/sha")).text == A

        forward = await asyncio.to_thread(production.forward, back)
        assert forward == RollBack(service="shop", to=B)
        await asyncio.to_thread(production.pulled, forward, "undo/run/fixer/1/0")
        state = await asyncio.to_thread(production.stable, B)
        assert (state.wanted, state.stable, state.canary, state.ready) == (B, B, None, True)
        assert {(await world.get("/sha")).text for _ in range(20)} == {B}
        with pytest.raises(ApplicationError, match="it was undone already"):
            await asyncio.to_thread(production.forward, back)
