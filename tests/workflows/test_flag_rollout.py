"""Rollouts of flags on a real server, with flagd's file, real evaluations and the ledger's real rules."""

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowUpdateFailedError
from temporalio.testing import WorkflowEnvironment

from leverframe.model.errors import Unavailable
from leverframe.model.flags import INTERNAL, Audience, FlagReading, Part, Whole
from leverframe.model.outcomes import Outcome
from policies.reservations import Phase
from tests.fakes.rollout_world import FLAG, SWITCH, Rollouts, rollout_policy
from workflows.release.helm import Order

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def rollouts(env: WorkflowEnvironment, tmp_path: Path) -> Rollouts:
    return Rollouts(env.client, tmp_path)


def settled(rollouts: Rollouts) -> list[Outcome | None]:
    entries = rollouts.people.ledger.book.state.entries  # type: ignore[union-attr]
    assert all(entry.phase is Phase.SETTLED for entry in entries)
    return [entry.outcome for entry in entries]


async def test_a_harmless_flag_goes_from_internal_users_to_everybody(
    rollouts: Rollouts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when the worker dies right after it has written a step: the step is found done."""
    lost, expose = [], rollouts.flags.expose

    def dying(flag: str, audience: Audience, **given: str) -> FlagReading:
        reading = expose(flag, audience, **given)
        if audience == Part(percent=5) and not lost:
            lost.append(reading)
            raise Unavailable("the worker was killed")
        return reading

    monkeypatch.setattr(rollouts.flags, "expose", dying)
    found = await rollouts.outcome(5, 100)
    assert lost
    assert (found.outcome, found.audience) == ("landed", Whole(on=True))
    steps = {row.step: row.text for row in found.rows}
    assert list(steps) == ["internal users", "leave", "5 %", "100 %", "outcome"]
    assert steps["5 %"].startswith("errors with the flag: ")
    assert "without it in the earlier steps" in steps["100 %"]
    written = json.loads(rollouts.path.read_text())["flags"]
    assert written[FLAG].pop("metadata")["leverframe.key"].endswith("/done")
    assert written == {FLAG: SWITCH | {"defaultVariant": "on"}, "other": SWITCH}
    assert settled(rollouts) == [Outcome.LANDED]
    assert not rollouts.people.notices


async def test_a_flag_that_harms_is_off_for_everybody_at_once(rollouts: Rollouts) -> None:
    rollouts.users.error_ppm = lambda variant: 300_000 if variant == "on" else 1000
    found = await rollouts.outcome(25, 100)
    assert (found.outcome, found.audience) == ("rolled_back", Whole(on=False))
    assert "a harmless flag looks like this at most 1 time in " in found.detail
    assert rollouts.flags.read(FLAG).audience == Whole(on=False)
    assert set(found.timings_ms) == {"seen_to_off", "written_to_off"}
    assert settled(rollouts) == [Outcome.ROLLED_BACK]
    [told] = rollouts.people.notices.values()
    assert told.startswith(f"Rollout of the flag {FLAG} in shop, started by eve: rolled back: errors with")


async def test_internal_users_who_are_harmed_are_the_only_ones(rollouts: Rollouts) -> None:
    rollouts.users.error_ppm = lambda variant: 500_000 if variant == INTERNAL else 1000
    found = await rollouts.outcome(5, 100)
    assert found.outcome == "rolled_back"
    assert [row.step for row in found.rows] == ["internal users", "outcome"]
    assert rollouts.users.counts["on"] == (0, 0)
    assert settled(rollouts) == []


async def test_what_a_person_makes_of_the_flag_meanwhile_stays(rollouts: Rollouts) -> None:
    def by_hand(look: int) -> None:
        if look == 4:
            rollouts.flags.set(FLAG, True, key="cleo/now", reason="everybody, now")

    rollouts.users.on_look = by_hand
    found = await rollouts.outcome(5, 100)
    assert found.outcome == "superseded"
    assert "somebody changed it by cleo/now: it is on for everybody" in found.detail
    assert rollouts.flags.read(FLAG).audience == Whole(on=True)


async def test_an_agents_kill_wins(rollouts: Rollouts) -> None:
    def kill(look: int) -> None:
        if rollouts.flags.read(FLAG).audience == Part(percent=5):
            rollouts.flags.set(FLAG, False, key="run/sentry_spike/shop/SHOP-1/1/0", reason="spike")

    rollouts.users.on_look = kill
    found = await rollouts.outcome(5, 100)
    assert found.outcome == "rolled_back"
    assert "run/sentry_spike/shop/SHOP-1/1/0 switched it off" in found.detail
    assert rollouts.flags.read(FLAG).audience == Whole(on=False)
    assert settled(rollouts) == [Outcome.ROLLED_BACK]


async def test_people_who_say_no_keep_it_from_users_who_are_not_internal(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    rollouts = Rollouts(env.client, tmp_path, rollout_policy("act_with_approval"))
    rollouts.people.vote = "no"
    found = await rollouts.outcome(5, 100)
    assert (found.outcome, found.audience) == ("rejected", Whole(on=False))
    assert "said no: looked at it" in found.detail
    [question] = rollouts.people.questions
    assert question.requesters == ("eve",)
    assert rollouts.users.counts["on"] == (0, 0)


async def test_an_undecided_step_holds_and_people_are_told_steer_it_and_abort_it(rollouts: Rollouts) -> None:
    """Blind first, then without traffic; held, let go, left by two people who did not start it, aborted."""
    rollouts.users.blind_looks, rollouts.users.away = 2, True
    async with rollouts.worker():
        handle = await rollouts.start(5, 100, page_after=0.05)
        while not rollouts.people.notices:
            found = await handle.query("progress")
        assert found["audience"] == {"kind": "part", "percent": 0}
        [told] = rollouts.people.notices.values()
        assert "at internal users it is not decided" in told
        await handle.execute_update("pause", Order(person="bob", reason="look"))
        await handle.execute_update("resume", Order(person="bob", reason="seen"))
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await handle.execute_update("promote", Order(person="eve", reason="mine"))
        assert "eve started the rollout: two others have to want this" in str(refused.value.cause)
        for person in ("bob", "cleo"):
            await handle.execute_update("promote", Order(person=person, reason="tested by hand"))
        while rollouts.flags.read(FLAG).audience != Part(percent=5):
            await handle.query("progress")
        await handle.execute_update("abort", Order(person="dan", reason="customers call"))
        ended = await handle.result()
    assert ended.outcome == "rolled_back"
    assert ended.detail.startswith(
        "dan aborted the rollout: customers call. new-pricing is off for everybody"
    )


async def test_a_flag_that_somebody_has_already_is_not_rolled_out(rollouts: Rollouts) -> None:
    rollouts.flags.set(FLAG, True, key="cleo/now", reason="everybody")
    found = await rollouts.outcome(100)
    assert (found.outcome, rollouts.flags.read(FLAG).audience) == ("failed", Whole(on=True))
    assert "a rollout begins with a flag that is off for everybody" in found.detail
