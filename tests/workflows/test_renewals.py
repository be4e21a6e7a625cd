"""The expiry of a quarantine is a question to people, on a real server: a yes, a no, silence, an undo."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity
from temporalio.testing import WorkflowEnvironment

from activities.chat import Shown
from leverframe.model.outcomes import Outcome
from leverframe.model.quarantine import EntryStory, QuarantineFile
from leverframe.model.untrusted import Untrusted
from policies.documents import parse
from policies.question import Question
from tests.fakes.desk import Desk
from tests.fakes.quarantine_world import QuarantineWorld
from tests.fakes.quarantines import policy_files, ruled
from tests.fakes.remediation_world import SHOP
from tests.unit.agents.flaky_tests.proposals import CAPS, entry, facts, flaky
from tests.workflows.test_quarantine_run import RULES, ran, working
from workflows.undo import UndoReport

pytestmark = pytest.mark.asyncio(loop_scope="module")

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).date()
UNTIL = TODAY + 30 * DAY
RENEWALS = CAPS.model_copy(update={"renewals": True})
PAYS, SHIPS = Untrusted("tests/test_a.py::pays"), Untrusted("tests/test_a.py::ships")


def world(env: WorkflowEnvironment, *, days: int = 2, **dials: Any) -> QuarantineWorld:
    """Two tests that are as flaky as ever, and whose quarantine ends on the same day."""
    day = TODAY + days * DAY
    entries = [entry(name, since=day - 28 * DAY, expires=day) for name in ("pays", "ships")]
    suite = facts(flaky("pays"), flaky("ships"), file=QuarantineFile(entries=tuple(entries)), caps=RENEWALS)
    return QuarantineWorld(env.client, dials.pop("policy", ruled()), suite=suite, **dials)


def expiries(world: QuarantineWorld) -> dict[str, Any]:
    return {one.test.stored().rpartition("::")[2]: one.expires for one in world.suite.file.entries}


def on_its_day(world: QuarantineWorld) -> None:
    """The days pass. What was asked of the entries was asked of the day that has come."""
    moved = [one.model_copy(update={"expires": TODAY}) for one in world.suite.file.entries]
    stories = world.suite.stories
    file = QuarantineFile(entries=tuple(moved))
    world.suite = world.suite.model_copy(update={"file": file, "stories": stories})


async def test_people_are_asked_once_for_all_and_with_their_yes_the_file_has_the_new_day(
    env: WorkflowEnvironment,
) -> None:
    house = world(env)
    report = await ran(house)
    (question,) = house.questions
    assert (
        question.title == f"Open a merge request in shop that renews the quarantine of 2 tests until {UNTIL}"
    )
    assert "the detector still calls each test flaky" in question.why
    assert [finding.rule.rpartition(".")[2] for finding in question.findings] == ["renewals"]
    assert (report.outcome, report.steps[0].verdict) == (Outcome.LANDED, "escalate"), report.detail
    assert expiries(house) == {"pays": UNTIL, "ships": UNTIL}
    assert [state for _, state in house.ended] == ["asked", "over"]
    assert (await ran(house)).detail.startswith("no action")
    assert len(house.questions) == 1
    assert not house.open_reservations()


async def test_the_command_line_shows_what_the_decision_needs(
    env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = world(env)
    await ran(house)
    desk = Desk(monkeypatch, tmp_path, SHOP, noun="approvals")
    desk.at(env.client)
    async with working(house):
        code, shown, complaint = await desk.asked("show", house.questions[0].approval)
    assert (code, complaint) == (0, "")
    (line,) = [line for line in shown.splitlines() if line.startswith(f"  {PAYS.stored()}; ")]
    for told in (
        f"until {UNTIL}, not {TODAY + 2 * DAY}",
        "@shop/tests",
        f"since {TODAY - 26 * DAY}",
        "4 of 311",
    ):
        assert told in line


@pytest.mark.parametrize("closed", [False, True], ids=["the question", "the merge request"])
async def test_after_a_no_nobody_is_asked_again_and_the_tests_leave_on_their_day(
    env: WorkflowEnvironment, closed: bool
) -> None:
    house = world(env, vote="yes" if closed else "no", closed=closed)
    report = await ran(house)
    assert report.outcome is Outcome.REJECTED
    assert ("nobody is asked again, and the tests leave when they expire" in report.detail) is closed
    assert (await ran(house)).detail.startswith("no action")
    assert len(house.questions) == 1
    on_its_day(house)
    house.closed = False
    left = await ran(house)
    assert left.outcome is Outcome.LANDED, left.detail
    assert (house.opened[-1].leave, house.opened[-1].amend) == ((PAYS, SHIPS), ())
    assert "people were asked, and did not renew it" in house.opened[-1].body
    assert expiries(house) == {}
    assert len(house.questions) == 1


async def test_silence_is_no_and_is_not_asked_again(env: WorkflowEnvironment) -> None:
    files = policy_files()
    files["org.yaml"] = files["org.yaml"].replace("expires_after: 1h", "expires_after: 1s")
    house = world(env, vote="silence", policy=parse(files))
    report = await ran(house)
    assert report.outcome is Outcome.EXPIRED
    assert (await ran(house)).detail.startswith("no action")
    assert (len(house.questions), house.opened) == (1, [])
    on_its_day(house)
    assert (await ran(house)).outcome is Outcome.LANDED
    assert house.opened[0].leave == (PAYS, SHIPS)


async def test_what_expired_before_anybody_could_be_asked_is_asked_first(env: WorkflowEnvironment) -> None:
    house = world(env, days=0)
    assert (await ran(house)).outcome is Outcome.LANDED
    assert expiries(house) == {"pays": UNTIL, "ships": UNTIL}


class Remembering(QuarantineWorld):
    """What is remembered when people see the question: whatever dies from then on, they were asked."""

    remembered: tuple[EntryStory, ...] = ()

    @activity.defn
    async def ask(self, question: Question, group: str) -> Shown:
        self.remembered = self.suite.stories
        return await super().ask(question, group)


async def test_it_is_remembered_that_people_are_asked_before_they_see_the_question(
    env: WorkflowEnvironment,
) -> None:
    house = Remembering(env.client, ruled(), suite=world(env).suite)
    await ran(house)
    assert [(story.test, story.asked) for story in house.remembered] == [(PAYS, True), (SHIPS, True)]


async def test_a_renewal_that_a_person_undoes_has_its_earlier_day_and_is_not_asked_again(
    env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = world(env, policy=parse(RULES))
    report = await ran(house)
    assert report.outcome is Outcome.LANDED
    desk = Desk(monkeypatch, tmp_path, SHOP, noun="runs")
    desk.at(env.client)
    async with working(house):
        begun = await desk.told("undo", report.run, "--reason", "repair it instead", "--as", "eve")
        ended = await env.client.get_workflow_handle(begun["id"], result_type=UndoReport).result()
    assert begun["doing"] == "open a merge request in shop that restores the entries of 2 tests"
    assert ended.outcome is Outcome.LANDED, ended.detail
    assert ended.detail.endswith("as before, not to be proposed again: 2 tests")
    day = TODAY + 2 * DAY
    assert expiries(house) == {"pays": day, "ships": day}
    assert house.opened[-1].title == "Restore the quarantine entries of 2 tests"
    assert (await ran(house)).detail.startswith("no action")
    assert not house.open_reservations()


async def test_a_quarantine_that_ended_unhealed_begins_again_by_a_person_only(
    env: WorkflowEnvironment,
) -> None:
    house = QuarantineWorld(
        env.client, ruled(), suite=facts(flaky("pays", unhealed=True), caps=RENEWALS), vote="no"
    )
    assert (await ran(house)).outcome is Outcome.REJECTED
    (question,) = house.questions
    assert question.findings[0].observed == "1 begun again though not healed"
    assert house.opened == []
    assert (await ran(house)).detail.endswith("a person turned it down")
