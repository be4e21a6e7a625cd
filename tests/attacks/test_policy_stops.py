"""Families 13 and 14: a crowd gets no more than the limit, and a stop in the last moment is a stop."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.ledger import LedgerActivities, LedgerDoor
from policies.decision import Allowed, Denied
from policies.documents import PolicySnapshot
from policies.reservations import CommitAnswer, Committed, PauseRequest, Withdrawn
from tests.fakes.asks import ask, policy
from tests.fakes.audit import MemoryAudit, ledger_worker
from tests.fakes.remediation_world import World
from tests.workflows.test_remediation import begin, leaving_nothing, workers
from workflows.queues import HANDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

PER_SUBJECT = "{id: subject, scope: [subject], max: 1, hold: until_settled}"
THREE = "{id: flips, max: 3, window: 1h}"
TWO_AN_AGENT = "{id: agent, scope: [agent], max: 2, window: 1h}"


@pytest_asyncio.fixture(loop_scope="module")
async def door(env: WorkflowEnvironment) -> AsyncIterator[LedgerDoor]:
    async with ledger_worker(env.client, MemoryAudit()) as found:
        yield found


def freeze() -> str:
    """A freeze around now."""
    now = datetime.now(UTC)
    since, until = (now + step for step in (-timedelta(hours=1), timedelta(hours=1)))
    return f"freeze:\n  - {{id: now, reason: sale, since: {since.isoformat()}, until: {until.isoformat()}}}\n"


STOPS = {
    "the organisation's kill switch": (policy(kill_switch=True), "org.kill_switch"),
    "a lower level": (policy(autonomy="propose"), "org.autonomy"),
    "no level at all": (policy(autonomy="off"), "org.autonomy"),
    "a freeze": (policy(org=freeze()), "org.freeze.now"),
    "a lever taken away": (policy(levers="levers: {roll_back: {}}"), "org.levers.flip_flag"),
    "a limit of zero": (policy(["{id: none, max: 0, window: 1h}"]), "org.limits.none"),
    "a new file for the repository": (
        policy(repos={"shop": "freeze:\n  - {id: own, reason: sale, cron: '* * * * *', duration: 2m}\n"}),
        "repos.shop.freeze.own",
    ),
}


@pytest.mark.parametrize(("stop", "rule"), STOPS.values(), ids=STOPS.keys())
async def test_a_policy_that_stops_the_agent_between_reserve_and_commit_leaves_no_effect_and_no_place(
    door: LedgerDoor, stop: PolicySnapshot, rule: str
) -> None:
    await door.install(policy())
    assert isinstance(await door.reserve(ask()), Allowed)
    await door.install(stop)
    answer = await door.commit("run/1")
    assert isinstance(answer, Withdrawn)
    assert rule in {finding.rule for finding in answer.findings}
    assert await door.open_entries() == ()
    await door.install(policy())
    assert isinstance(await door.commit("run/1"), Withdrawn), "what was withdrawn stays so"


@pytest.mark.parametrize("scope", [{}, {"agent": "sentry_spike"}, {"repository": "shop"}])
async def test_a_pause_of_any_scope_between_reserve_and_commit_leaves_no_effect(
    door: LedgerDoor, scope: dict[str, str]
) -> None:
    await door.install(policy())
    assert isinstance(await door.reserve(ask()), Allowed)
    await door.pause(PauseRequest(by="ada", reason="incident", **scope))
    assert isinstance(await door.commit("run/1"), Withdrawn)
    parked = await door.reserve(ask("run/2"))
    assert isinstance(parked, Denied)
    assert parked.paused, "the run waits and is visible"
    assert [run.run for run in (await door.overview()).parked] == ["run"]


async def test_a_pause_of_another_agent_or_repository_stops_nobody_else(door: LedgerDoor) -> None:
    await door.install(policy())
    assert isinstance(await door.reserve(ask()), Allowed)
    await door.pause(PauseRequest(by="ada", reason="incident", agent="another"))
    await door.pause(PauseRequest(by="ada", reason="incident", repository="another"))
    assert await door.commit("run/1") == Committed(reservation="run/1")


async def test_a_stop_after_the_commit_lets_the_effect_in_flight_finish(door: LedgerDoor) -> None:
    await door.install(policy())
    await door.reserve(ask())
    await door.commit("run/1")
    await door.install(policy(kill_switch=True))
    await door.pause(PauseRequest(by="ada", reason="incident"))
    assert await door.commit("run/1") == Committed(reservation="run/1")
    assert [entry.id for entry in await door.open_entries()] == ["run/1"]


async def test_a_crowd_of_two_hundred_with_as_many_subjects_gets_what_every_limit_leaves(
    door: LedgerDoor,
) -> None:
    await door.install(policy([THREE, TWO_AN_AGENT, PER_SUBJECT]))
    requests = [ask(f"run-{number}/1", subject=f"SHOP-{number % 150}") for number in range(200)]
    decisions = await asyncio.gather(*(door.reserve(request) for request in requests))
    assert [decision.kind for decision in decisions].count("allow") == 2, "the narrowest limit holds for all"
    assert len(await door.open_entries()) == 2


class KillSwitchBeforeCommit(LedgerActivities):
    """The kill switch comes into force after every reserve was granted, right before its commit."""

    def __init__(self, door: LedgerDoor) -> None:
        super().__init__(door)
        self.granted: list[str] = []
        self.door = door

    @activity.defn
    async def commit(self, reservation: str) -> CommitAnswer:
        self.granted.append(reservation)
        await self.door.install(policy(kill_switch=True))
        return await super().commit(reservation)


async def test_a_whole_run_whose_kill_switch_is_thrown_in_the_last_moment_touches_nothing(
    env: WorkflowEnvironment,
) -> None:
    door = LedgerDoor(env.client, "stopped", task_queue=HANDS)
    ledger = KillSwitchBeforeCommit(door)
    world = World(env.client, ledger=ledger)
    async with workers(world):
        await door.install(policy())
        handle = await begin(world)
        async with leaving_nothing(handle):
            report = await handle.result()
        assert len(ledger.granted) == 1, "the first step had its reservation"
        assert (world.flags.written, world.changes) == ([], {})
        assert {step.result for step in report.steps} == {"denied"}
        assert await door.open_entries() == ()
