"""`leverframe train` and `infrastructure drift` as people and scripts meet them, on a real server."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.testing import WorkflowEnvironment

from activities.infrastructure import DriftReport
from leverframe.cli.exits import Exit
from leverframe.model.topology import Infrastructure
from leverframe.model.trains import AuditReport
from tests.fakes.desk import NOBODY, Desk
from tests.fakes.git_world import GitWorld
from tests.fakes.terraform_dev import MAIN
from tests.fakes.tracks import compose, land, track_at
from tests.fakes.train_world import Yard
from workflows.merge_train.messages import QueuePlace
from workflows.merge_train.view import Explanation, TrainView

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROOT = Path(__file__).resolve().parents[2]


class TrainDesk(Desk):
    """A terminal beside a repository."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, home: Path, world: GitWorld) -> None:
        super().__init__(monkeypatch, home, world.repository, noun="train")
        self.world = world


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TrainDesk:
    """Where no engine is."""
    return TrainDesk(monkeypatch, tmp_path, GitWorld(tmp_path))


@pytest_asyncio.fixture(loop_scope="module")
async def yard(env: WorkflowEnvironment, tmp_path: Path) -> AsyncIterator[Yard]:
    """A train whose cars stay under test: nobody runs its checks."""
    yard = await asyncio.to_thread(Yard, env.client, tmp_path)
    async with yard.hands(cached=50):
        yield yard
    await yard.close()


@pytest.fixture
def at_work(
    env: WorkflowEnvironment, yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> TrainDesk:
    desk = TrainDesk(monkeypatch, tmp_path, yard.world)
    desk.at(env.client)
    return desk


async def test_a_train_before_its_first_change_is_empty(at_work: TrainDesk) -> None:
    view = TrainView.model_validate(await at_work.told("status"))
    assert (view.repository, view.mode, view.cars) == (at_work.world.repository.name, "open", ())
    _, said, _ = await at_work.asked("status")
    assert "Nothing rides and nothing waits." in said
    assert "No ride has ended yet." in said


async def test_a_change_is_enqueued_seen_explained_and_taken_off(at_work: TrainDesk, yard: Yard) -> None:
    change = yard.propose("work", {"new.py": "x\n"})
    assert QueuePlace.model_validate(await at_work.told("enqueue", change.id)).ahead == 0
    code, said, _ = await at_work.asked("enqueue", change.id, "--priority", "hotfix")
    assert (code, f"{change.id} is on the train at {change.head[:12]}, 0 ahead of it" in said) == (
        Exit.OK,
        True,
    )
    view = TrainView.model_validate(await at_work.told("status"))
    assert [(car.change, car.title, car.priority) for car in view.cars] == [(change.id, "Do work", "hotfix")]
    _, said, _ = await at_work.asked("status")
    assert all(part in said for part in (change.id, "Do work", "hotfix", "ada"))

    found = Explanation.model_validate(await at_work.told("explain", change.id))
    assert found.car is not None
    assert found.words.startswith(f"{change.id} is number 1 in line.")
    _, said, _ = await at_work.asked("explain", change.id)
    assert "is number 1 in line" in said

    assert await at_work.told("dequeue", change.id) == {"change": change.id, "dequeued": True}
    code, _, complaint = await at_work.asked("dequeue", f"{yard.name}/99")
    assert (code, complaint) == (Exit.NOT_FOUND, f"{yard.name}/99 is not on the train")


async def test_a_change_that_the_train_does_not_know_is_explained_and_exit_3(
    at_work: TrainDesk, yard: Yard
) -> None:
    await at_work.told("freeze", "--reason", "so that there is a train")
    code, out, _ = await at_work.asked("explain", f"{yard.name}/99", "--json")
    assert (code, Explanation.model_validate_json(out).state) == (Exit.NOT_FOUND, "unknown")
    code, said, _ = await at_work.asked("explain", f"{yard.name}/99")
    assert (code, "does not know this change" in said) == (Exit.NOT_FOUND, True)


async def test_a_person_freezes_the_train_for_a_while_and_thaws_it(at_work: TrainDesk) -> None:
    asked = (
        "freeze",
        "--reason",
        "incident \x1b[2J 42",
        "--mode",
        "hotfix_only",
        "--for",
        "2h",
        "--as",
        "ada",
    )
    view = TrainView.model_validate(await at_work.told(*asked))
    assert view.freeze is not None
    assert (view.mode, view.freeze.owner) == ("hotfix_only", "ada")
    assert view.freeze.until is not None
    assert (view.freeze.until - view.freeze.since).total_seconds() == pytest.approx(7200, abs=60)
    _, said, _ = await at_work.asked("status")
    assert "ada: incident  42" in said
    code, said, _ = await at_work.asked("thaw", "--reason", "it is over", "--as", "ada")
    assert (code, "frozen" in said) == (Exit.OK, False)
    code, _, complaint = await at_work.asked("freeze", "--reason", "x", "--until", "2020-01-01T00:00:00Z")
    assert (code, "give a later time" in complaint) == (Exit.REFUSED, True)


async def test_two_people_vouch_and_neither_twice_nor_for_their_own_change(
    at_work: TrainDesk, yard: Yard
) -> None:
    await at_work.told("freeze", "--reason", "it waits for us")
    change = yard.propose("work", {"new.py": "x\n"})
    await at_work.told("enqueue", change.id)

    def vouch(person: str, *more: str) -> tuple[str, ...]:
        return ("vouch", change.id, "--reason", "the check is broken", "--as", person, *more)

    code, _, complaint = await at_work.asked(*vouch("ada"))
    assert (code, "two others have to vouch" in complaint) == (Exit.REFUSED, True)
    assert await at_work.told(*vouch("grace")) == {"change": change.id, "state": "first"}
    code, _, complaint = await at_work.asked(*vouch("grace"))
    assert (code, "a second person has to" in complaint) == (Exit.REFUSED, True)
    code, said, _ = await at_work.asked(*vouch("edsger"))
    assert (code, said) == (Exit.OK, "both have vouched: it overrides\n")
    view = TrainView.model_validate(await at_work.told("status"))
    assert view.cars[0].override == ("grace", "edsger")


async def test_an_audit_is_whole_until_somebody_pushes_past_the_train(
    tmp_path: Path, desk: TrainDesk
) -> None:
    world, track = desk.world, track_at(tmp_path)
    land(track, world.repository, compose(track, world, world.commit("work", {"new.py": "x\n"})))
    code, out, _ = await desk.asked("audit", "--json")
    assert (code, AuditReport.model_validate_json(out).receipts) == (Exit.OK, 1)
    _, said, _ = await desk.asked("audit")
    assert "1 commits, 1 receipts" in said
    assert "whole" in said
    foreign = world.commit("main", {"foreign.py": "x\n"})
    code, out, _ = await desk.asked("audit", "--json")
    found = AuditReport.model_validate_json(out).findings
    assert (code, [(each.kind, each.sha) for each in found]) == (Exit.FAILED, [("foreign_commit", foreign)])
    code, said, _ = await desk.asked("audit")
    assert (code, f"foreign_commit at {foreign[:12]}" in said) == (Exit.FAILED, True)


async def test_the_doctor_looks_at_each_train_and_one_that_is_gone_is_exit_1(
    desk: TrainDesk, tmp_path: Path
) -> None:
    shop = desk.world.repository
    desk.declare(shop, shop.model_copy(update={"name": "gone", "url": str(tmp_path / "nowhere.git")}))
    code, out, _ = await desk.asked("doctor", "--json")
    there, missing = json.loads(out)
    assert code == Exit.FAILED
    assert (there["repository"], there["target"], there["track"]) == ("shop", "main", "built_in")
    assert [each["colour"] for each in there["findings"]] == ["green", "green", "yellow", "green"]
    assert [each["part"] for each in missing["findings"] if each["colour"] == "red"] == ["landing"]
    [pushed] = await desk.told("doctor", "--repository", "shop", "--push")
    assert "took an atomic push below refs/train" in pushed["findings"][1]["detail"]
    _, said, _ = await desk.asked("doctor", "--repository", "shop")
    assert "built_in: There is no forge with a queue of its own." in said
    assert (await desk.asked("doctor", "--repository", "nosuch"))[0] == Exit.BAD_INPUT


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("watch",),
        ("explain", "shop/1"),
        ("dequeue", "shop/1"),
        ("freeze", "--reason", "x"),
        ("thaw", "--reason", "x"),
        ("vouch-dev", "--reason", "x"),
    ],
)
async def test_without_an_engine_every_command_says_so(desk: TrainDesk, words: tuple[str, ...]) -> None:
    code, out, complaint = await desk.asked(*words)
    assert (code, out) == (Exit.UNAVAILABLE, "")
    assert NOBODY in complaint


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("status", "--repository", "nosuch"), Exit.BAD_INPUT, "repository 'nosuch' is not declared"),
        (("explain", "nosuch/1"), Exit.BAD_INPUT, "repository 'nosuch' is not declared"),
        (("enqueue", "shop/99"), Exit.NOT_FOUND, "shop/99"),
        (("enqueue", "shop/1", "--priority", "promotion"), Exit.BAD_INPUT, "promotion"),
        (("vouch", "shop/99", "--reason", "x"), Exit.NOT_FOUND, "shop/99"),
        (("freeze",), Exit.BAD_INPUT, "--reason"),
        (("freeze", "--reason", ""), Exit.BAD_INPUT, "reason: "),
        (("freeze", "--reason", "x", "--mode", "solid"), Exit.BAD_INPUT, "solid"),
        (("freeze", "--reason", "x", "--for", "soon"), Exit.BAD_INPUT, "'soon' is not a length of time"),
        (("freeze", "--reason", "x", "--until", "2026-11-22"), Exit.BAD_INPUT, "has no time zone"),
        (("thaw",), Exit.BAD_INPUT, "--reason"),
        (("watch", "--every", "0"), Exit.BAD_INPUT, "--every"),
    ],
)
async def test_what_can_not_be_meant_is_told_in_words_before_anybody_is_asked(
    desk: TrainDesk, words: tuple[str, ...], code: Exit, said: str
) -> None:
    done, out, complaint = await desk.asked(*words)
    assert (done, out) == (code, "")
    assert said in complaint


@pytest.mark.usefixtures("interruptible")
async def test_watching_ends_with_ctrl_c_as_if_nothing_was(at_work: TrainDesk, tmp_path: Path) -> None:
    watcher = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "leverframe", "train", "watch", "--every", "60"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert watcher.stdout is not None
    seen = b""
    while b"No ride has ended yet." not in seen:
        line = await watcher.stdout.readline()
        assert line, seen
        seen += line
    watcher.send_signal(signal.SIGINT)
    _, complaint = await watcher.communicate()
    assert (watcher.returncode, complaint) == (Exit.OK, b"")
    assert b"UTC, Ctrl-C ends this" in seen


INFRASTRUCTURE = Infrastructure(paths=("infra/**",), directory="infra")
BUCKET = {"address": "terraform_data.bucket", "mode": "managed", "change": {"actions": ["create"]}}


def stands_in(desk: TrainDesk, home: Path, *changes: object) -> None:
    """Infrastructure with a stand-in for Terraform, which plans these changes."""
    desk.world.commit("main", {"infra/main.tf": MAIN})
    desk.declare(desk.world.repository.model_copy(update={"infrastructure": INFRASTRUCTURE}))
    state = json.dumps({"version": 3, "backend": {"type": "s3", "config": {}}})
    plan = json.dumps({"format_version": "1.2", "resource_changes": changes})
    program = home / "stand-in"
    program.write_text(
        f"#!/bin/sh\ncase $1 in\ninit) echo '{state}' > $TF_DATA_DIR/terraform.tfstate ;;\n"
        f"plan) exit {2 if changes else 0} ;;\nshow) echo '{plan}' ;;\nesac\n"
    )
    program.chmod(0o755)
    desk.set(TERRAFORM__BACKEND="command", TERRAFORM__BINARY=str(program))


async def test_what_differs_in_dev_is_named_and_exit_1(desk: TrainDesk, tmp_path: Path) -> None:
    stands_in(desk, tmp_path, BUCKET)
    code, out, _ = desk.run("infrastructure", "drift", "--json")
    report = DriftReport.model_validate_json(out)
    assert (code, report.workspace, report.addresses) == (Exit.FAILED, "dev", ("terraform_data.bucket",))
    code, said, _ = desk.run("infrastructure", "drift")
    assert (code, f"DIFFERS FROM {report.sha[:12]}" in said) == (Exit.FAILED, True)
    assert "terraform_data.bucket" in said


async def test_dev_that_is_what_the_target_says_is_exit_0(desk: TrainDesk, tmp_path: Path) -> None:
    stands_in(desk, tmp_path)
    code, said, complaint = desk.run("infrastructure", "drift")
    assert (code, complaint) == (Exit.OK, "")
    assert said == f"dev is what {desk.world.git('rev-parse', 'main')[:12]} says\n"


@pytest.mark.parametrize("declared", [True, False])
async def test_a_drift_that_nobody_can_look_at_is_bad_input(desk: TrainDesk, declared: bool) -> None:
    infrastructure = INFRASTRUCTURE if declared else None
    desk.declare(desk.world.repository.model_copy(update={"infrastructure": infrastructure}))
    code, out, complaint = desk.run("infrastructure", "drift")
    assert (code, out) == (Exit.BAD_INPUT, "")
    assert ("set terraform.backend" if declared else "declares no infrastructure") in complaint
