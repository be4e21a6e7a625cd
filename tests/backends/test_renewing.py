"""Renewals of quarantines over real git: one line of the file, remembered, tracked and undone."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.backends.results_store import ResultsStore
from activities.quarantining import QuarantineActivities
from activities.repair_tracking import catch_up
from agents.flaky_tests import tracking
from agents.flaky_tests.quarantine_file import read, rendered
from leverframe.model.errors import Refused
from leverframe.model.proposals import Amending, ChangeQuarantine
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe_pytest.quarantine import PLACE
from tests.fakes.quarantine_yard import REQUEST, Yard, ended, failure, undoable
from tests.fakes.quarantines import change
from tests.unit.agents.flaky_tests.proposals import entry


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.world.engine.dispose()


TODAY = datetime.now(UTC).date()
UNTIL = TODAY + timedelta(days=30)
OLD = entry("a", since=TODAY - timedelta(days=28), expires=TODAY + timedelta(days=2))


def renewing(was: Quarantined = OLD, *, staying: int = 1) -> ChangeQuarantine:
    one = Amending(was=was, entry=was.model_copy(update={"expires": UNTIL}), on=TODAY, strength=9)
    return change(amend=(one,), staying=staying)


def test_a_renewal_is_one_line_of_the_file_and_the_landed_file_has_the_new_date(yard: Yard) -> None:
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(OLD, entry("stays"))))})
    effect = renewing(staying=2)
    made = yard.acts.change(yard.reserved(effect), REQUEST)
    diff = yard.git.git("diff", "-U0", "main", made.head).splitlines()
    assert [line for line in diff if line.startswith(("+ ", "- "))] == [
        f'-    expires: "{OLD.expires}"',
        f'+    expires: "{UNTIL}"',
    ]
    assert "1 entries change." in yard.git.git("log", "-1", "--format=%B", made.head)
    landed = yard.world.land(made)
    assert yard.acts.holds("shop", landed, effect)
    assert not yard.acts.holds("shop", yard.git.git("rev-parse", f"{landed}^"), effect)


def test_the_issue_of_a_renewed_test_says_until_when_it_is_quarantined_now(yard: Yard) -> None:
    yard.acts.ended(ended(renewing()))
    _, body = yard.issues.open[tracking.key_of(OLD.test)]
    assert f"since {OLD.since}; by shop/7 its failures count again on {UNTIL}" in body
    assert yard.memory.named == {OLD.test.stored()}


def test_that_people_are_asked_is_remembered_and_nothing_is_tracked_by_it(yard: Yard) -> None:
    yard.acts.ended(ended(renewing(), "asked"))
    assert yard.memory.known == {"shop/7": "asked"}
    assert (yard.issues.open, yard.memory.named, yard.memory.untracked) == ({}, set(), set())


def test_an_undone_renewal_puts_the_earlier_day_back_unless_somebody_changed_the_entry(
    yard: Yard,
) -> None:
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(OLD, entry("stays"))))})
    did = renewing(staying=2)
    made = yard.acts.change(yard.reserved(did), REQUEST)
    yard.world.land(made)
    found = undoable(yard, made.id, did)
    assert (found.lifted, found.staying) == ((), 2)
    effect = change(amend=found.restored, staying=found.staying)
    undone = yard.acts.change(yard.reserved(effect, step=1), REQUEST)
    yard.world.land(undone)
    text = yard.git.git("show", f"main:{PLACE}") + "\n"
    assert read(text).entries == (OLD, entry("stays"))
    words = "somebody has changed what .* says of tests/test_a.py::a since shop/1 landed: change them by"
    assert failure(lambda: undoable(yard, made.id, did), words) == "Refused"
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(entry("stays"),)))})
    words = "no test that shop/1 renewed or changed is quarantined any more"
    assert failure(lambda: undoable(yard, made.id, did), words) == "Refused"


def test_what_could_not_be_tracked_of_a_renewal_is_caught_up_with(yard: Yard) -> None:
    results, renewed = ResultsStore(yard.world.engine), renewing().amend[0].entry
    acts = QuarantineActivities(
        yard.world.changes, yard.world.track, {"shop": yard.world.repository}, results, yard.issues
    )
    yard.issues.error = Refused("issues are switched off")
    acts.ended(ended(renewing()))
    yard.issues.error = None
    assert catch_up(yard.issues, results, "shop", QuarantineFile(entries=(renewed,))) == 1
    assert f"count again on {UNTIL}" in yard.issues.open[tracking.key_of(OLD.test)][1]
