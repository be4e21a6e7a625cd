"""What a run owes the policy ledger: whatever gets lost or cut short, no reservation keeps its place."""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import WorkflowEnvironment

from activities.engine import ReleaseStanding
from activities.flags import FlipResult
from leverframe.model.changes import Enqueue
from leverframe.model.outcomes import Outcome
from leverframe.model.releases import ReleaseOutcome
from policies.decision import Decision, Reservation, ReserveRequest
from policies.reservations import LEASE, CommitAnswer, PauseRequest, Phase, Settlement, Standing
from tests.fakes.asks import policy
from tests.fakes.memory_ledger import MemoryLedger
from tests.fakes.remediation_world import LANDED, World
from tests.workflows.test_remediation import begin, ended, leaving_nothing, workers

pytestmark = pytest.mark.asyncio(loop_scope="module")

INCIDENT = PauseRequest(by="ada", reason="an incident")


class LosesTheGrant(MemoryLedger):
    """Grants the first reservation, and the answer never arrives."""

    @activity.defn
    async def reserve(self, request: ReserveRequest) -> Decision:
        first = not self.requests
        decision = await super().reserve(request)
        if first:
            raise ApplicationError("no answer in all the time there was", non_retryable=True)
        return decision


class CommitsTooLate(MemoryLedger):
    """Hears of every commit only after the lease has run out."""

    @activity.defn
    async def commit(self, reservation: str) -> CommitAnswer:
        late = activity.info().scheduled_time + LEASE + timedelta(seconds=1)
        return self.book.commit(reservation, late)


@dataclass
class SettlesNothing(MemoryLedger):
    """Does not answer `settle` until it is well again."""

    ill: bool = True
    asked: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn
    async def settle(self, settlement: Settlement) -> Standing:
        self.asked.set()
        if self.ill:
            raise ApplicationError("the ledger does not answer")
        return await super().settle(settlement)


@dataclass
class PausedAtTheCommit(MemoryLedger):
    """Paused right before the first commit, until so many more asked in vain."""

    asks: int = 2

    @activity.defn
    async def reserve(self, request: ReserveRequest) -> Decision:
        if len(self.requests) > self.asks:
            self.book.resume(INCIDENT, activity.info().scheduled_time)
        return await super().reserve(request)

    @activity.defn
    async def commit(self, reservation: str) -> CommitAnswer:
        if reservation.endswith("/0"):
            self.book.pause(INCIDENT, activity.info().scheduled_time)
        return await super().commit(reservation)


@dataclass
class RidesOn(World):
    """The change stays on the train, and nobody says a word."""

    riding: asyncio.Event = field(default_factory=asyncio.Event)

    @activity.defn
    async def enqueue(self, repository: str, target: str, request: Enqueue) -> None:
        self.car = "riding"
        self.riding.set()


class ReleasesWithoutEnd(World):
    """The change lands, and its release goes on and on."""

    @activity.defn
    async def enqueue(self, repository: str, target: str, request: Enqueue) -> None:
        [run] = request.notify
        await self.client.get_workflow_handle(run).signal("car_settled", self._settled(request))


class FlipsWithoutAnswer(World):
    """The flag is switched, and no answer comes back in all the time there is."""

    @activity.defn
    async def flip(self, reservation: Reservation) -> FlipResult:
        await super().flip(reservation)
        raise ApplicationError("no answer in all the time there was", non_retryable=True)


def standings(world: World) -> dict[str, tuple[Phase, Outcome | None]]:
    """How each reservation ended, by its step."""
    assert isinstance(world.ledger, MemoryLedger)
    entries = world.ledger.book.state.entries
    return {entry.id.rpartition("/")[2]: (entry.phase, entry.outcome) for entry in entries}


async def test_a_grant_whose_answer_got_lost_does_not_keep_its_place(skipping: WorkflowEnvironment) -> None:
    world = World(skipping.client, ledger=LosesTheGrant())
    report = await ended(world)
    assert report.steps[0].result == "failed"
    assert world.flags.written == []
    assert world.open_reservations() == ()


async def test_a_reservation_that_lapsed_before_its_commit_does_not_keep_its_place(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, ledger=CommitsTooLate())
    report = await ended(world)
    assert [step.result for step in report.steps] == ["denied", "denied"]
    assert (world.flags.written, world.changes) == ([], {})
    assert standings(world) == {
        "0": (Phase.SETTLED, Outcome.EXPIRED),
        "1": (Phase.SETTLED, Outcome.EXPIRED),
    }, "an outage says nothing about the agent's effects"


async def test_a_run_cancelled_while_it_settles_a_step_takes_no_further_step(
    skipping: WorkflowEnvironment,
) -> None:
    book = SettlesNothing()
    world = World(skipping.client, ledger=book, errors_since=7)
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            await book.asked.wait()
            await handle.cancel()
            book.ill = False
            report = await handle.result()
    assert (report.outcome, report.detail) == (Outcome.FAILED, "somebody cancelled the run")
    assert world.changes == {}
    assert standings(world) == {"0": (Phase.SETTLED, Outcome.LANDED)}, "the step's own end, not the run's"


async def test_a_run_cancelled_while_its_change_rides_leaves_that_open_and_its_mitigation_stands(
    env: WorkflowEnvironment,
) -> None:
    world = RidesOn(env.client)
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            await world.riding.wait()
            await handle.cancel()
            report = await handle.result()
    assert (report.outcome, report.detail) == (Outcome.FAILED, "somebody cancelled the run")
    assert standings(world) == {"0": (Phase.SETTLED, Outcome.LANDED), "1": (Phase.COMMITTED, None)}


@pytest.mark.parametrize("kind", [RidesOn, ReleasesWithoutEnd])
async def test_an_effect_that_nobody_says_the_end_of_keeps_its_place(
    skipping: WorkflowEnvironment, kind: type[World]
) -> None:
    world = kind(skipping.client)
    report = await ended(world)
    assert [step.result for step in report.steps] == ["done", "failed"]
    assert report.outcome is Outcome.FAILED
    assert standings(world) == {"0": (Phase.SETTLED, Outcome.LANDED), "1": (Phase.COMMITTED, None)}


async def test_a_run_waits_as_long_as_its_release_is_held_and_hears_its_end_without_a_word(
    skipping: WorkflowEnvironment,
) -> None:
    held = [ReleaseStanding(state="under_way")] * 8
    end = ReleaseOutcome(service="shop", sha=LANDED, outcome="landed", reached_percent=100, detail="")
    world = ReleasesWithoutEnd(
        skipping.client, standings=[*held, ReleaseStanding(state="ended", outcome=end)]
    )
    report = await ended(world)
    assert report.outcome is Outcome.LANDED, report.detail
    waited = report.steps[1].ended_at - report.steps[1].started_at
    assert waited > timedelta(days=3), "longer than any hold that was declared a day long"


async def test_an_effect_whose_activity_failed_may_have_happened_and_keeps_its_place(
    skipping: WorkflowEnvironment,
) -> None:
    world = FlipsWithoutAnswer(skipping.client)
    report = await ended(world)
    assert [step.result for step in report.steps] == ["failed", "done"]
    assert standings(world) == {"0": (Phase.COMMITTED, None), "1": (Phase.SETTLED, Outcome.LANDED)}


async def test_a_run_that_meets_a_pause_at_the_commit_parks_and_goes_on_with_a_new_reservation(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, ledger=PausedAtTheCommit())
    async with workers(world):
        handle = await begin(world)
        async with leaving_nothing(handle):
            report = await handle.result()
            page = str(await handle.query("__temporal_workflow_metadata"))
    assert [step.result for step in report.steps] == ["done", "done", "done"]
    assert report.steps[0].reservation == f"{handle.id}/0.2"
    assert page.count("✓ done") == 3
    assert world.flags.keys == {f"{handle.id}/0.2", f"{handle.id}/2"}
    assert standings(world) == {
        "0": (Phase.RELEASED, None),
        "0.2": (Phase.SETTLED, Outcome.LANDED),
        "1": (Phase.SETTLED, Outcome.LANDED),
        "2": (Phase.SETTLED, Outcome.LANDED),
    }


async def test_a_yes_that_a_pause_at_the_commit_used_up_is_asked_for_again(
    skipping: WorkflowEnvironment,
) -> None:
    world = World(skipping.client, policy(autonomy="act_with_approval"), ledger=PausedAtTheCommit())
    report = await ended(world)
    assert [step.result for step in report.steps] == ["done", "done", "done"]
    asked = [question.approval.removeprefix(f"approval/{report.run}/") for question in world.questions]
    assert asked == ["0", "0/2", "1", "2"]
