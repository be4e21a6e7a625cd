"""Looking whether an effect happened: real git, a real flag file, the store's record of changes."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.backends.changes_store import ChangesStore
from activities.backends.flags_flagd import FlagdFlags
from activities.forge import ForgeActivities, RevertRequest, RollBackRequest
from activities.look import Look, LookActivities, Sighted
from leverframe.model.changes import Author, Change, ChangeSpec
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Effect, FlipFlag, RevertChange, RollBack
from policies.decision import Allowed, Reservation, ReserveRequest
from tests.fakes.git_world import AT, FIRST_SHA, KUSTOMIZATION, OVERLAY, GitWorld
from tests.fakes.servers import SharedServers
from tests.fakes.stores import store_at
from tests.fakes.tracks import NEW_SHA, compose, land, track_at

SINCE = datetime.now(UTC) - timedelta(minutes=1)
A_DAY_AGO = datetime.now(UTC) - timedelta(hours=25)
OURS, THEIRS = "run/fixer/shop/SHOP-1/1/0", "ada/now"
OFF = FlipFlag(flag="checkout", on=False)
BACK = RollBack(service="shop", to=NEW_SHA)


class World:
    """Everything that is looked at."""

    def __init__(self, root: Path) -> None:
        self.git = GitWorld(root)
        self.repository = self.git.repository
        self.track = track_at(root)
        self.engine = store_at(root / "store.db")
        self.changes = ChangesStore(self.engine)
        self.flags = FlagdFlags(root / "flags.json")
        (root / "flags.json").write_text(
            json.dumps(
                {
                    "flags": {
                        "checkout": {
                            "state": "ENABLED",
                            "variants": {"on": True, "off": False},
                            "defaultVariant": "on",
                        }
                    }
                }
            )
        )
        self.forge = ForgeActivities(self.changes, self.track, {"shop": self.repository})

    def look(self, effect: Effect, *, reservation: str | None = OURS, since: datetime = SINCE) -> Sighted:
        acts = looking(self)
        return acts.look(Look(repository="shop", effect=effect, reservation=reservation, since=since))

    def granted(self, effect: Effect) -> Reservation:
        request = ReserveRequest(
            reservation=OURS,
            agent="fixer",
            repository="shop",
            service="shop",
            subject="SHOP-1",
            effect=effect,
            difference=self.forge.preview("shop", effect, AT),
        )
        lapses = AT + timedelta(minutes=5)
        return Allowed.grant(request, policy_digest="p", now=AT, lapses_at=lapses).reservation

    def land(self, change: Change, *, at: datetime = AT) -> str:
        """The commit that it landed as, at that time."""
        car = compose(self.track, self.git, change.head)
        receipt = land(self.track, self.repository, car, change.author, at=at)
        self.changes.mark_landed(change.id, receipt.sha)
        return receipt.sha

    def point_at(self, sha: str) -> None:
        """Production's overlay names it from now on."""
        self.git.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, sha)})


def looking(world: World, client: Client | None = None) -> LookActivities:
    return LookActivities(
        changes=world.changes,
        track=world.track,
        flags=world.flags,
        repositories={"shop": world.repository},
        client=client,  # type: ignore[arg-type]  # only `run_state` asks the engine
    )


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.engine.dispose()


def undo(commit: str) -> RevertChange:
    return RevertChange(repository="shop", commit=commit, title="Undo it", body="why")


def told(sighted: Sighted) -> tuple[str, bool, Outcome | None]:
    return sighted.happened, sighted.by_reservation, sighted.outcome


class TestFlag:
    def test_our_own_key_beside_the_flag_proves_the_flip(self, world: World) -> None:
        world.flags.set("checkout", False, key=OURS, reason="spike")
        assert told(world.look(OFF)) == ("yes", True, Outcome.LANDED)

    def test_a_flip_that_a_hand_undid_was_ours_and_is_rolled_back(self, world: World, tmp_path: Path) -> None:
        world.flags.set("checkout", False, key=OURS, reason="spike")
        document = json.loads((tmp_path / "flags.json").read_text())
        document["flags"]["checkout"]["defaultVariant"] = "on"
        (tmp_path / "flags.json").write_text(json.dumps(document))
        assert told(world.look(OFF)) == ("yes", True, Outcome.ROLLED_BACK)

    def test_a_flag_that_somebody_else_switched_is_theirs(self, world: World) -> None:
        world.flags.set("checkout", False, key=THEIRS, reason="by hand")
        assert told(world.look(OFF)) == ("yes", False, Outcome.SUPERSEDED)
        assert told(world.look(OFF, reservation=None)) == ("yes", False, Outcome.SUPERSEDED)

    def test_a_flag_that_stands_the_other_way_did_not_happen(self, world: World) -> None:
        assert told(world.look(OFF)) == ("no", False, Outcome.FAILED)

    def test_a_later_switch_by_somebody_else_supersedes(self, world: World) -> None:
        world.flags.set("checkout", False, key=OURS, reason="spike")
        world.flags.set("checkout", True, key=THEIRS, reason="needed")
        assert told(world.look(OFF)) == ("no", False, Outcome.SUPERSEDED)

    def test_a_flag_that_is_gone_tells_nothing(self, world: World) -> None:
        assert told(world.look(FlipFlag(flag="gone", on=False))) == ("unknown", False, None)


class TestRollBack:
    def test_a_rollback_that_rides_is_unknown_and_one_that_landed_is_done(self, world: World) -> None:
        change = world.forge.roll_back(world.granted(BACK), RollBackRequest(at=AT))
        assert change is not None
        assert told(world.look(BACK)) == ("unknown", False, None)
        world.land(change)
        assert told(world.look(BACK)) == ("yes", True, Outcome.LANDED)

    def test_an_overlay_that_people_put_back_is_theirs(self, world: World) -> None:
        assert told(world.look(BACK)) == ("no", False, Outcome.FAILED)
        world.git.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, NEW_SHA)})
        assert told(world.look(BACK)) == ("yes", False, Outcome.SUPERSEDED)
        assert told(world.look(BACK, reservation=None)) == ("yes", False, Outcome.SUPERSEDED)


class TestRevert:
    @pytest.fixture
    def bad(self, world: World) -> str:
        return world.git.commit("main", {"bad.py": "x\n"})

    def test_how_our_change_fared_is_how_the_reservation_ended(self, world: World, bad: str) -> None:
        change = world.forge.revert(world.granted(undo(bad)), RevertRequest(at=AT))
        assert told(world.look(undo(bad))) == ("unknown", False, None)
        world.changes.mark_ejected(change.id, "red")
        assert told(world.look(undo(bad))) == ("no", False, Outcome.FAILED)

    def test_our_change_that_landed_is_ours_and_as_good_as_its_release(self, world: World, bad: str) -> None:
        landed = self._landed(world, bad, at=datetime.now(UTC))
        assert told(world.look(undo(bad))) == ("unknown", False, None), "it may still reach production"
        world.point_at(landed)
        assert told(world.look(undo(bad))) == ("unknown", False, None), "it may still be in canary"
        world.point_at(world.git.commit("main", {"later.py": "x\n"}))
        assert told(world.look(undo(bad))) == ("yes", True, Outcome.LANDED), "the next release came after it"

    def test_our_change_that_the_canary_took_back_is_rolled_back(self, world: World, bad: str) -> None:
        landed = self._landed(world, bad, at=datetime.now(UTC))
        world.point_at(landed)
        world.point_at(bad)
        assert told(world.look(undo(bad))) == ("yes", True, Outcome.ROLLED_BACK)
        world.point_at(world.git.commit("main", {"later.py": "x\n"}))
        assert told(world.look(undo(bad))) == ("yes", True, Outcome.ROLLED_BACK), "whatever came later"

    def test_what_production_names_a_day_after_the_landing_stays(self, world: World, bad: str) -> None:
        world.point_at(self._landed(world, bad, at=A_DAY_AGO))
        assert told(world.look(undo(bad))) == ("yes", True, Outcome.LANDED)

    def test_a_release_that_never_came_has_failed_unless_a_later_one_took_it_along(
        self, world: World, bad: str
    ) -> None:
        self._landed(world, bad, at=A_DAY_AGO)
        assert told(world.look(undo(bad))) == ("yes", True, Outcome.FAILED)
        world.point_at(world.git.commit("main", {"later.py": "x\n"}))
        assert told(world.look(undo(bad))) == ("yes", True, Outcome.SUPERSEDED)

    def _landed(self, world: World, bad: str, *, at: datetime) -> str:
        """The commit that our revert landed as."""
        return world.land(world.forge.revert(world.granted(undo(bad)), RevertRequest(at=AT)), at=at)

    def test_another_reservations_change_is_not_ours(self, world: World, bad: str) -> None:
        world.land(world.forge.revert(world.granted(undo(bad)), RevertRequest(at=AT)))
        assert told(world.look(undo(bad), reservation="run/x/1", since=AT)) == (
            "yes",
            False,
            Outcome.SUPERSEDED,
        )

    def test_a_person_who_reverted_it_counts_and_one_who_did_so_before_does_not(
        self, world: World, bad: str
    ) -> None:
        assert told(world.look(undo(bad), reservation=None)) == ("no", False, Outcome.FAILED)
        world.git.commit("main", {"bad.py": None}, message=f'Revert "x"\n\nThis reverts commit {bad}.')
        assert told(world.look(undo(bad), reservation=None)) == ("yes", False, Outcome.SUPERSEDED)
        later = datetime.now(UTC) + timedelta(minutes=5)
        assert told(world.look(undo(bad), reservation=None, since=later)) == ("no", False, Outcome.FAILED)

    def test_a_change_of_the_same_repository_on_another_branch_says_nothing(
        self, world: World, bad: str
    ) -> None:
        head = world.git.commit("leverframe/revert-else", {"x.py": "x\n"})
        spec = ChangeSpec(
            repository="shop",
            branch="leverframe/revert-else",
            head=head,
            title="x",
            author=Author(kind="agent", name="fixer"),
        )
        world.changes.open_change(spec)
        assert told(world.look(undo(bad))) == ("no", False, Outcome.FAILED)

    def test_an_undeclared_repository_is_not_found(self, world: World, bad: str) -> None:
        with pytest.raises(ApplicationError) as caught:
            looking(world).look(Look(repository="till", effect=undo(bad), since=AT))
        assert caught.value.type == "NotFound"


@workflow.defn(sandboxed=False)
class Waiting:
    """Never begins: nobody works on its queue."""

    @workflow.run
    async def run(self) -> None:
        return None


@pytest.mark.asyncio
async def test_a_run_is_running_until_it_has_ended_and_one_that_is_forgotten_is_closed(
    world: World, servers: SharedServers
) -> None:
    async with await servers.real() as env:
        acts, run, queue = looking(world, env.client), f"run/{uuid4()}", str(uuid4())
        assert await acts.run_state(run) == "closed"
        handle = await env.client.start_workflow(Waiting.run, id=run, task_queue=queue)
        assert await acts.run_state(run) == "running"
        await handle.terminate()
        assert await acts.run_state(run) == "closed"


class SilentEngine:
    """A client whose engine does not answer."""

    def get_workflow_handle(self, run: str) -> "SilentEngine":
        return self

    async def describe(self, *, rpc_timeout: timedelta) -> None:
        raise RPCError("no answer", RPCStatusCode.UNAVAILABLE, b"")


@pytest.mark.asyncio
async def test_an_engine_that_does_not_answer_says_nothing_of_a_run(world: World) -> None:
    acts = looking(world, SilentEngine())  # type: ignore[arg-type]  # only what `run_state` asks
    assert await acts.run_state("run/1") == "unknown"
