"""`leverframe rollout` as people and scripts meet it, on a real server."""

from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from leverframe.cli.exits import Exit
from leverframe.model.flags import Part
from tests.fakes.desk import Desk
from tests.fakes.release_world import repository
from tests.fakes.rollout_world import FLAG, Rollouts, plan

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def desk(env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    declared = repository()
    service = declared.service.model_copy(update={"flag_rollout": plan(5, 100)})
    desk = Desk(monkeypatch, tmp_path, declared.model_copy(update={"service": service}), noun="rollout")
    desk.at(env.client)
    return desk


async def test_a_rollout_is_started_once_seen_held_explained_left_and_aborted(
    env: WorkflowEnvironment, desk: Desk, tmp_path: Path
) -> None:
    rollouts = Rollouts(env.client, tmp_path)
    rollouts.users.away = True
    because = ("--reason", "large carts \x1b[2J are too dear", "--as", "eve")
    async with rollouts.worker():
        begun = await desk.told("start", FLAG, *because, "--steps", "internal,25,100")
        assert begun["id"] == f"flag/shop/{FLAG}"
        assert [step["percent"] for step in begun["plan"]["steps"]] == [0, 25, 100]
        code, _, complaint = await desk.asked("start", FLAG, *because)
        assert (code, complaint) == (
            Exit.REFUSED,
            f"a rollout of {FLAG} goes on already: leverframe rollout explain {FLAG}",
        )
        while rollouts.flags.read(FLAG).audience != Part(percent=0):
            await desk.told("explain", FLAG)
        _, said, _ = await desk.asked("pause", FLAG, "--reason", "look first", "--as", "bob")
        assert said == f"{FLAG}: paused\n"
        _, said, _ = await desk.asked("explain", FLAG)
        assert "on for internal users" in said
        assert "bob has paused it: look first" in said
        await desk.told("resume", FLAG, "--reason", "seen", "--as", "bob")
        _, said, _ = await desk.asked("promote", FLAG, "--reason", "tested", "--as", "bob")
        assert said == f"{FLAG}: noted; a second person has to want it, too\n"
        told = await desk.told("abort", FLAG, "--reason", "stop", "--as", "cleo")
        assert told["helm"]["aborted"]["person"] == "cleo"
        await env.client.get_workflow_handle(begun["id"]).result()
        ended = await desk.told("explain", FLAG)
        assert (ended["outcome"], set(ended["timings_ms"])) == (
            "rolled_back",
            {"seen_to_off", "written_to_off"},
        )


async def test_what_can_not_be_rolled_out_is_said_before_anything_begins(desk: Desk) -> None:
    for words, code, said in (
        (("--steps", "1,100"), Exit.BAD_INPUT, "internal users first"),
        (("--steps", "internal,50,5,100"), Exit.BAD_INPUT, "percents must grow up to 100"),
        (
            ("--service", "nowhere"),
            Exit.NOT_FOUND,
            "no declared repository builds 'nowhere'; there are: shop",
        ),
    ):
        found, _, complaint = await desk.asked("start", FLAG, "--reason", "why", *words)
        assert found == code
        assert said in complaint
    code, _, complaint = await desk.asked("explain", "never-rolled-out")
    assert code == Exit.NOT_FOUND
