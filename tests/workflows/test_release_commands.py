"""`leverframe release` as people and scripts meet it, on a real server."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.backends.notes_store import NotesStore
from activities.backends.store_sql import open_store
from leverframe.cli.exits import Exit
from leverframe.model.deployments import Moments
from leverframe.model.errors import Refused
from leverframe.model.release_notes import LandedChange, Marked, ReleaseNotes
from leverframe.model.releases import ReleaseOutcome
from tests.fakes.desk import Desk
from tests.fakes.release_world import NEW, NEWER, OLD, World, receipt, repository
from tests.fakes.releases import Releases
from workflows.release.story import Progress

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def desk(env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    made = Desk(monkeypatch, tmp_path, repository(), noun="release")
    made.at(env.client)
    return made


def at_25_percent(story: Progress) -> bool:
    return story.percent == 25


async def test_the_notes_of_a_release_are_shown_as_they_were_kept(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = datetime(2026, 3, 1, 14, 0, tzinfo=UTC)
    notes = ReleaseNotes(
        service="shop", repository="shop", sha=NEW, previous=OLD, moments=Moments(live_at=live),
        landed=(LandedChange.of(receipt(NEW), "Take [cards](https://evil.example)"),),
    )  # fmt: skip
    desk.set(STORE__URL=f"sqlite:///{tmp_path}/notes.db")
    code, _, complaint = await desk.asked("notes", "shop")
    assert (code, complaint) == (Exit.NOT_FOUND, "no release of shop has reached 100 %")
    kept = NotesStore(open_store(f"sqlite:///{tmp_path}/notes.db"))
    for sha, at in ((OLD, live - timedelta(days=1)), (NEW, live)):
        made = notes.model_copy(update={"sha": sha, "moments": Moments(live_at=at)})
        kept.keep(Marked(name=str(made.marker), signed=True, notes=made))
    told = await desk.told("notes", "shop")
    assert (told["sha"], told["signed"], told["kept"]) == (NEW, True, True)
    assert told["marker"] == f"live/shop/20260301-140000-{NEW[:12]}"
    assert told["markdown"] == notes.markdown()
    _, said, _ = await desk.asked("notes", "shop", OLD)
    assert said.startswith(f"# shop at {OLD[:12]}\n")
    assert said.endswith(f"Marker: live/shop/20260228-140000-{OLD[:12]} (signed)\n")
    monkeypatch.setattr("leverframe.cli.release_notes.on_a_terminal", lambda: True)
    _, said, _ = await desk.asked("notes", "shop")
    assert "Take [cards](https://evil.example), by ada;" in said.replace("\n", " ")
    _, said, _ = await desk.asked("notes", "shop", "--markdown")
    assert "\\[cards\\]" in said


async def test_a_release_is_seen_held_let_go_explained_left_and_aborted(
    env: WorkflowEnvironment, desk: Desk
) -> None:
    world = World.with_stable(quiet_from=25)
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start(plain_id=True)
        await releases.told(handle, at_25_percent)

        found = await desk.told("status", "shop")
        assert found["service"] == "shop"
        assert [(one["sha"], one["percent"]) for one in found["releases"]] == [(NEW, 25)]
        _, said, _ = await desk.asked("status", "shop")
        assert "bbbbbbbbbbbb" in said

        held = await desk.told("pause", "shop", "--reason", "look \x1b[2J first", "--as", "ada")
        assert held["helm"]["paused"]["person"] == "ada"
        code, _, complaint = await desk.asked("pause", "shop", "--reason", "again", "--as", "bob")
        assert code == Exit.REFUSED
        assert complaint.startswith("ada has paused it already: look")
        _, said, _ = await desk.asked("explain", "shop")
        assert "ada has paused it: look" in said
        assert "\x1b" not in said
        await desk.told("resume", "shop", "--reason", "seen", "--as", "bob")

        code, said, _ = await desk.asked("promote", "shop", "--reason", "tested", "--as", "bob")
        assert (code, said) == (Exit.OK, "bbbbbbbbbbbb: noted; a second person has to want it, too\n")
        shown = await desk.told("explain", "shop", "--sha", NEW[:8])
        assert [order["person"] for order in shown["helm"]["leaving"]] == ["bob"]

        assert (await desk.told("abort", "shop", "--reason", "stop", "--as", "cleo"))["sha"] == NEW
        outcome = await handle.result()
    assert outcome.outcome == "rolled_back"
    assert world.overlays["production"] == OLD
    assert (await desk.told("status", "shop"))["releases"] == []


async def test_a_release_that_failed_before_production_is_begun_again_and_one_that_landed_is_not(
    env: WorkflowEnvironment, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leverframe.cli.release_again._receipt", lambda *_: receipt(NEWER))
    ask_for = ("again", "shop", NEWER, "--reason", "the registry was away", "--as", "ada")
    world = World.with_stable(repository=repository(percents=(25,)))
    world.faults.refuses["build"] = Refused("the build command ended with 1")
    releases = Releases(world, env.client)
    async with releases.worker():
        handle = await releases.start(NEWER, plain_id=True)
        assert (await handle.result()).outcome == "failed"
        world.faults.refuses.clear()
        begun = await desk.told(*ask_for)
        assert (begun["id"], begun["person"]) == (handle.id, "ada")
        landed = env.client.get_workflow_handle(handle.id, result_type=ReleaseOutcome)
        assert (await landed.result()).outcome == "landed"
        code, _, complaint = await desk.asked(*ask_for)
    assert code == Exit.REFUSED
    assert complaint.startswith("cccccccccccc can't be released again: it has landed")


async def test_a_service_that_nobody_declares_and_one_that_rests_are_told_apart(desk: Desk) -> None:
    code, _, complaint = await desk.asked("status", "nowhere")
    assert (code, complaint) == (
        Exit.NOT_FOUND,
        "no declared repository builds 'nowhere'; there are: shop",
    )
    _, said, _ = await desk.asked("status", "shop")
    assert said == "Nothing of shop is on its way.\n"
    for lever in ("pause", "resume", "promote", "abort"):
        code, _, complaint = await desk.asked(lever, "shop", "--reason", "why")
        assert (code, complaint) == (Exit.NOT_FOUND, "nothing of shop is on its way")
    code, _, _ = await desk.asked("pause", "shop", "--reason", "")
    assert code == Exit.BAD_INPUT
