"""The story ends the same however often the workers die: one change, one flip, one landing, one release."""

import asyncio
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from leverframe.bootstrap import build_ports
from leverframe.client import connect
from leverframe.demo.person import CommandFailed, Person
from leverframe.demo.shop_changes import first_change, shop_change
from leverframe.demo.stage import Stage
from leverframe.demo.view import View, until
from leverframe.model.outcomes import Outcome, RunReport
from leverframe.model.proposals import FlipFlag

SEEDS = os.environ.get("LEVERFRAME_TEST_KILL_SEEDS", "").split()
"""`make test-kills` tells the whole story once for each."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(not SEEDS, reason="LEVERFRAME_TEST_KILL_SEEDS is not set: make test-kills"),
]

FLAG = "new-pricing"
OTHER_FLAG = "gift-wrap"


class FlagDiary:
    """Watches the flag file from outside and writes down every value that the flag takes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values: list[bool] = []

    async def keep(self) -> None:
        while True:
            value = json.loads(self.file.read_text())["flags"][FLAG]["defaultVariant"] == "on"
            if not self.values or self.values[-1] != value:
                self.values.append(value)
            await asyncio.sleep(0.01)


class Killer:
    """Kills workers at seeded random times, a bounded number of times: work needs some time between."""

    KILLS = 18

    def __init__(self, stage: Stage, seed: str) -> None:
        self.stage = stage
        self.random = random.Random(seed)  # noqa: S311  reproducible, not secret
        self.kills = 0

    async def rampage(self) -> None:
        while self.kills < self.KILLS:
            await asyncio.sleep(self.random.uniform(2, 14))
            part = self.random.choice(["hands", "hands", "sandbox"])
            try:
                self.stage.kill(part)
            except (ProcessLookupError, KeyError):
                continue  # it is still starting after the last time
            self.kills += 1


@pytest.mark.parametrize("seed", SEEDS or ["none"])
async def test_the_story_survives_workers_killed_at_random_points(tmp_path: Path, seed: str) -> None:
    stage = Stage(home=tmp_path, rate=60)
    stage.prepare(quick=True)
    await stage.start()
    view = View(await connect(stage.settings), build_ports(stage.settings), stage.settings.repositories[0])
    person = Person("ada", stage.remote, tmp_path / "ada" / "shop", stage.config)
    diary = FlagDiary(tmp_path / "flags.json")
    killer = Killer(stage, seed)
    tasks = [asyncio.create_task(diary.keep()), asyncio.create_task(killer.rampage())]
    try:
        await _released(view, person, "open-the-shop", first_change())
        stage.start_load()
        await _released(view, person, "bulk-pricing", shop_change("bulk-pricing"))
        await asyncio.to_thread(person.leverframe, "flags", "set", FLAG, "on", "--reason", "launch")
        run = await view.next_run(set(), seconds=180)

        async def question() -> str | None:
            found = await patiently(person, "approvals", "list")
            return found[0]["id"] if found else None

        approval = await until("the escalation", question, seconds=300, every=1)
        await patiently(person, "approve", approval, "--reason", "fixed")
        report = await view.client.get_workflow_handle(run).result()

        assert report["outcome"] == Outcome.LANDED
        assert diary.values == [False, True, False, True], "one kill and one restore, each seen once"
        by_agent = [c for c in view.ports.changes.list_changes("shop") if c.author.kind == "agent"]
        assert [change.state for change in by_agent] == ["landed"]
        receipts = view.ports.track.receipts(view.repository)
        assert [r.change for r in receipts].count(by_agent[0].id) == 1
        assert [r.sequence for r in receipts] == list(range(len(receipts), 0, -1)), "no gap, no double"
        outcome = await view.release(str(by_agent[0].landed_as))
        assert outcome.outcome == "landed"
        assert await view.runs() == [run]

        await _a_bad_release_goes_back(view, person)
        await _the_cap_holds(view, person)
        assert killer.kills >= 10
        assert diary.values == [False, True, False, True], "nothing touched the flag again"
        by_agent = [c for c in view.ports.changes.list_changes("shop") if c.author.kind == "agent"]
        assert len(by_agent) == 1
    finally:
        for task in tasks:
            task.cancel()
        stage.stop()


async def _a_bad_release_goes_back(view: View, person: Person) -> None:
    """Traffic and overlay return to what was good, however often the workers die meanwhile."""
    good = view.ports.track.overlay_sha(view.repository, "production")
    settled = await view.settled_change(
        await _submitted(person, "faster-lookup", shop_change("faster-lookup"))
    )
    outcome = await view.release(str(settled.landed_as), seconds=240)
    assert outcome.outcome == "rolled_back", outcome.detail
    assert view.ports.track.overlay_sha(view.repository, "production") == good
    state = view.ports.delivery.state("shop", "production")
    assert (state.stable, state.canary_percent) == (good, 0)


async def _the_cap_holds(view: View, person: Person) -> None:
    """The third flip within the hour is denied, and stays denied."""
    await patiently(person, "flags", "set", OTHER_FLAG, "on", "--reason", "season")

    async def ended() -> RunReport | None:
        for run in await view.runs():
            report = await view.report(run)
            steps = report.proposal.steps if report and report.proposal and report.outcome else ()
            if any(isinstance(step.effect, FlipFlag) and step.effect.flag == OTHER_FLAG for step in steps):
                return report
        return None

    report = await until("the run about the other flag to end", ended, seconds=180, every=1)
    # No repair is proposed: the suspect is the repository's first commit, which nothing can undo.
    assert [step.result for step in report.steps if step.purpose == "mitigate"] == ["denied"]
    assert "done" not in {step.result for step in report.steps}
    [other] = [state for state in view.ports.flags.list() if state.flag == OTHER_FLAG]
    assert other.on


async def patiently(person: Person, *arguments: str) -> Any:
    """What a person does whose command meets a dead worker: the same again, which must be harmless."""
    for _ in range(9):
        try:
            return await asyncio.to_thread(person.leverframe, *arguments)
        except CommandFailed:
            await asyncio.sleep(1)
    return await asyncio.to_thread(person.leverframe, *arguments)


async def _submitted(person: Person, branch: str, files: dict[str, str]) -> str:
    try:
        return await asyncio.to_thread(person.propose, branch, title=branch, files=files)
    except CommandFailed:
        submitted = ("changes", "submit", branch, "--title", branch, "--author", person.name)
        return str((await patiently(person, *submitted))["id"])


async def _released(view: View, person: Person, branch: str, files: dict[str, str]) -> None:
    settled = await view.settled_change(await _submitted(person, branch, files), seconds=240)
    outcome = await view.release(str(settled.landed_as), seconds=240)
    assert outcome.outcome == "landed", outcome.detail
