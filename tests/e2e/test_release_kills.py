"""Hands that are killed at every boundary of a release: git, the delivery and the record agree at the end."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from leverframe.bootstrap import build_ports
from leverframe.client import connect
from leverframe.demo.person import Person
from leverframe.demo.shop_changes import first_change, shop_change
from leverframe.demo.stage import Stage
from leverframe.demo.view import View
from leverframe.model.changes import Change
from leverframe.model.releases import ReleaseOutcome
from tests.fakes.mortal import died_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(
        "LEVERFRAME_TEST_KILL_SEEDS" not in os.environ,
        reason="LEVERFRAME_TEST_KILL_SEEDS is not set: make test-kills",
    ),
]

TO_PRODUCTION = {
    "describe", "build", "deploy_artifact", "delivery_state", "overlay_sha", "overlay_change", "enqueue",
    "wait_reconciled", "probe", "canary_slot", "set_weight", "release_health", "record_deployment",
}  # fmt: skip
TO_STABLE = {"promote", "mark_release", "tell_live"}
BACK = {"abort", "wait_back", "page"}


class MortalStage(Stage):
    """The fleet, with hands that die at each boundary of a release once they are told to."""

    def _spawn(self, name: str, module: list[str]) -> "subprocess.Popen[bytes]":
        return super()._spawn(name, ["tests.fakes.mortal", *module] if name == "up" else module)

    def hands_become_mortal(self) -> None:
        (self.home / "mortal").touch()


class Onlooker:
    """Looks at production from outside, and writes down every commit that is stable."""

    def __init__(self, view: View) -> None:
        self._view = view
        self.stables: list[str | None] = []

    async def look(self) -> None:
        while True:
            state = await asyncio.to_thread(self._view.ports.delivery.state, "shop", "production")
            if self.stables[-1:] != [state.stable]:
                self.stables.append(state.stable)
            await asyncio.sleep(0.1)


@pytest_asyncio.fixture
async def stage(tmp_path: Path) -> AsyncIterator[MortalStage]:
    stage = MortalStage(home=tmp_path, rate=60)
    stage.prepare(quick=True)
    try:
        await stage.start()
        yield stage
    finally:
        stage.stop()


async def test_hands_die_after_each_effect_of_a_release_and_what_runs_is_proven_and_known(
    stage: MortalStage,
) -> None:
    """A good release and a bad one, each killed at every boundary once: both end as if nobody had died."""
    view = View(await connect(stage.settings), build_ports(stage.settings), stage.settings.repositories[0])
    person = Person("ada", stage.remote, stage.home / "ada" / "shop", stage.config)
    first, outcome = await _released(view, person, "open-the-shop", first_change())
    assert outcome.outcome == "landed", outcome.detail
    stage.start_load()
    stage.hands_become_mortal()
    onlooker = Onlooker(view)
    looking = asyncio.create_task(onlooker.look())

    good, outcome = await _released(view, person, "kinder-words", shop_change("kinder-words"))
    assert outcome.outcome == "landed", outcome.detail
    assert died_of(stage.home, good) >= TO_PRODUCTION | TO_STABLE
    _agree(view, stage, good)

    bad, outcome = await _released(view, person, "faster-lookup", shop_change("faster-lookup"))
    assert outcome.outcome == "rolled_back", outcome.detail
    assert died_of(stage.home, bad) >= (TO_PRODUCTION - {"release_health"}) | BACK
    _agree(view, stage, good)

    assert not looking.done(), looking.exception()
    looking.cancel()
    assert onlooker.stables == [first, good], "the bad one was stable at no time"
    record = {each.sha: each.outcome for each in view.ports.deployments.history().deployments}
    assert record == {first: "landed", good: "landed", bad: "rolled_back"}
    receipts = [receipt.sequence for receipt in view.ports.track.receipts(view.repository)]
    assert receipts == list(range(len(receipts), 0, -1)), "no landing is lost, and none is double"
    assert len(receipts) == 3 + 2 * 3 + 1, "each overlay was moved once: dev, production, and one way back"


def _agree(view: View, stage: Stage, good: str) -> None:
    """Git, the environment and the markers name the same commit."""
    state = view.ports.delivery.state("shop", "production")
    assert (state.stable, state.canary, state.canary_percent, state.ready) == (good, None, 0, True)
    assert view.ports.track.overlay_sha(view.repository, "production") == good
    assert _marked(stage.remote)[-1] == good


def _marked(remote: Path) -> list[str]:
    """The commits that markers of releases name, oldest first."""
    told = subprocess.run(
        ["git", "for-each-ref", "--sort=refname", "--format=%(*objectname)", "refs/tags"],
        cwd=remote, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return told.stdout.split()


async def _released(
    view: View, person: Person, branch: str, files: dict[str, str]
) -> tuple[str, ReleaseOutcome]:
    """The commit as which it landed, and how its release ended."""
    change = await asyncio.to_thread(person.propose, branch, title=branch, files=files)
    settled: Change = await view.settled_change(change, seconds=120)
    return str(settled.landed_as), await view.release(str(settled.landed_as), seconds=600)
