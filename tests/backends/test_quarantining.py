"""Changes of a quarantine file over real git and a real store: opened once, looked for, remembered."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.backends.results_store import ResultsStore
from activities.flaky_facts import FlakyFactsGatherer
from activities.look import Look
from activities.quarantining import PATIENCE, Ended, QuarantineActivities
from activities.test_results import Keeping, ResultActivities
from agents.flaky_tests import tracking
from agents.flaky_tests.quarantine_file import read, rendered
from leverframe.model.errors import Refused, Unavailable
from leverframe.model.facts import FlakyFactsRequest
from leverframe.model.outcomes import Outcome
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.signals import SUITE
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE
from tests.backends.test_look import looking
from tests.fakes.git_world import AT, Link
from tests.fakes.quarantine_yard import REQUEST, RUN, Yard, ended, failure, undoable
from tests.fakes.quarantines import change, entering
from tests.fakes.result_reports import report
from tests.unit.agents.flaky_tests.proposals import entry


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.world.engine.dispose()


def test_a_first_quarantine_makes_the_file_in_one_change_by_the_agent(yard: Yard) -> None:
    effect = change(entering("a"))
    preview = yard.forge.preview("shop", effect, AT)
    assert preview is not None
    assert [(file.path, file.change, file.new_mode) for file in preview.files] == [(PLACE, "added", "100644")]
    opened = [yard.acts.change(yard.reserved(effect), REQUEST) for _ in range(2)]
    assert opened[0] == opened[1]
    assert (opened[0].author.kind, opened[0].author.name) == ("agent", "flaky_tests")
    assert yard.on(opened[0].head) == ["a"]
    said = yard.git.git("log", "-1", "--format=%(trailers:key=Leverframe-Run,valueonly)", opened[0].head)
    assert said.strip() == RUN
    assert yard.memory.known == {opened[0].id: "open tests/test_a.py::a"}


def test_the_change_is_made_anew_on_a_target_that_has_moved(yard: Yard) -> None:
    """What others wrote into the file since stays; what policy looked at has to be what is opened."""
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(entry("old"), entry("stays"))))})
    effect = change(entering("a"), leave=("tests/test_a.py::old",), staying=1)
    before = yard.reserved(effect)
    yard.git.commit("main", {"later.py": "x\n"})
    made = yard.acts.change(before, REQUEST)
    assert yard.on(made.head) == ["a", "stays"]
    moved = QuarantineFile(entries=(entry("old"), entry("stays"), entry("theirs")))
    yard.git.commit("main", {PLACE: rendered(moved)})
    assert failure(lambda: yard.reserved(effect, step=1), "policy was asked about 2") == "Conflict"


def test_what_policy_did_not_look_at_is_not_opened(yard: Yard) -> None:
    effect = change(entering("a"), leave=("tests/test_a.py::old",), staying=3)
    reservation = yard.reserved(effect)
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(entry("old"),)))})
    assert (
        failure(lambda: yard.acts.change(reservation, REQUEST), "not the one that policy allowed")
        == "Refused"
    )
    other = reservation.model_copy(update={"effect": change(entering("b"))})
    assert failure(lambda: yard.acts.change(other, REQUEST), "not the one that policy allowed") == "Refused"


@pytest.mark.parametrize(
    ("files", "error", "words"),
    [
        ({PLACE: "version: 1\n"}, "BadInput", "does not begin with"),
        ({PLACE: Link("../../etc/passwd")}, "Refused", "is no regular file"),
    ],
)
def test_a_file_that_is_not_ours_to_edit_is_left_alone(
    yard: Yard, files: dict[str, Any], error: str, words: str
) -> None:
    yard.git.commit("main", files)
    assert failure(lambda: yard.forge.preview("shop", change(entering("a")), AT), words) == error


def test_a_hostile_name_is_a_line_of_the_file_and_nothing_else(yard: Yard) -> None:
    name = "x\n- test: y\n../../.github/workflows/ci.yml::[a](http://evil) \x1b[2J"
    one = entering("a")
    effect = change(one.model_copy(update={"entry": entry("x", test=Untrusted(name))}))
    made = yard.acts.change(yard.reserved(effect), REQUEST)
    assert yard.git.git("diff", "--name-only", "main", made.head).split() == [PLACE]
    assert [
        line.test.stored() for line in read(yard.git.git("show", f"{made.head}:{PLACE}") + "\n").entries
    ] == [name]
    assert "evil" not in yard.git.git("log", "-1", "--format=%B", made.head)


def test_what_landed_is_seen_in_the_file_and_nothing_of_it_is_released(yard: Yard) -> None:
    effect = change(entering("a"))
    made = yard.acts.change(yard.reserved(effect), REQUEST)
    landed = yard.world.land(made)
    assert yard.acts.holds("shop", landed, effect)
    assert not yard.acts.holds("shop", landed, change(entering("b")))
    assert not yard.acts.holds("shop", yard.git.git("rev-parse", f"{landed}^"), effect)
    sighted = looking(yard.world).look(
        Look(repository="shop", effect=None, reservation=f"{RUN}/0", since=datetime.now(UTC))
    )
    assert (sighted.happened, sighted.outcome) == ("yes", Outcome.LANDED)
    assert yard.world.repository.delivers_nothing((PLACE,))


def test_a_change_that_was_never_opened_or_did_not_land_is_found_so(yard: Yard) -> None:
    look = Look(repository="shop", effect=None, reservation=f"{RUN}/0", since=AT)
    assert looking(yard.world).look(look).happened == "no"
    assert looking(yard.world).look(look.model_copy(update={"reservation": None})).happened == "unknown"
    made = yard.acts.change(yard.reserved(change(entering("a"))), REQUEST)
    assert looking(yard.world).look(look).happened == "unknown"
    yard.world.changes.mark_ejected(made.id, "red")
    sighted = looking(yard.world).look(look)
    assert (sighted.happened, sighted.outcome) == ("no", Outcome.FAILED)


def test_how_a_change_ended_is_remembered_and_a_later_word_counts(yard: Yard) -> None:
    effect = change(entering("a"))
    for state in ("over", "rejected"):
        yard.acts.ended(
            Ended.model_validate(
                {"repository": "shop", "change": "shop/1", "state": state, "effect": effect, "at": AT}
            )
        )
    assert yard.memory.known == {"shop/1": "rejected tests/test_a.py::a"}
    elsewhere = Ended(repository="till", change="till/1", state="over", effect=effect, at=AT)
    assert failure(lambda: yard.acts.ended(elsewhere), "the effect is on shop") == "Refused"


def test_what_a_person_turned_down_is_in_the_facts_of_the_next_run(yard: Yard) -> None:
    """Through the real store and the real gatherer, while its merge request is open, too."""
    results = ResultsStore(yard.world.engine)
    declared = {"shop": yard.world.repository}
    acts = QuarantineActivities(yard.world.changes, yard.world.track, declared, results, yard.issues)
    folding = ResultActivities(results, yard.world.track, declared, Keeping())
    gatherer = FlakyFactsGatherer(results, folding, yard.world.track, yard.world.changes, declared)
    asked = FlakyFactsRequest(
        kind="flaky_tests", agent="flaky_tests", repository="shop", service="shop", subject=SUITE, since=AT
    )
    made = acts.change(yard.reserved(change(entering("a"))), REQUEST)
    in_flight = gatherer.gather(asked)
    assert [test.stored() for test in in_flight.in_flight] == ["tests/test_a.py::a"]
    acts.ended(Ended(repository="shop", change=made.id, state="over", effect=change(entering("a")), at=AT))
    yard.world.changes.mark_ejected(made.id, "red")
    turned_down = change(entering("b"))
    acts.ended(Ended(repository="shop", change=f"{RUN}/1", state="rejected", effect=turned_down, at=AT))
    facts = gatherer.gather(asked)
    assert [test.stored() for test in facts.rejected] == ["tests/test_a.py::b"]
    assert not facts.in_flight


def test_the_repair_of_a_test_is_tracked_from_its_quarantine_on_until_it_leaves(yard: Yard) -> None:
    test = Untrusted("tests/test_a.py::a")
    key = tracking.key_of(test)
    yard.acts.ended(ended(change(entering("a"))))
    title, body = yard.issues.open[key]
    assert title == "Flaky test: tests/test_a.py::a"
    assert "by shop/7" in body
    assert key in body
    yard.acts.ended(ended(change(leave=(test.stored(),), staying=1)))
    assert yard.issues.open == {}
    assert "left the quarantine by shop/7" in yard.issues.closed[key]


def test_a_quarantine_that_a_person_rejected_opens_no_issue(yard: Yard) -> None:
    yard.acts.ended(ended(change(entering("a")), "rejected"))
    assert yard.issues.open == {}


def test_a_forge_that_takes_no_issues_does_not_undo_what_has_landed(yard: Yard) -> None:
    yard.issues.error = Refused("issues are switched off")
    yard.acts.ended(ended(change(entering("a"))))
    assert yard.memory.known == {"shop/7": "over tests/test_a.py::a"}
    assert yard.memory.untracked == {"shop/7"}


def test_what_the_forge_did_not_take_is_tracked_later_as_the_file_says_by_then(yard: Yard) -> None:
    results, issues = ResultsStore(yard.world.engine), yard.issues
    declared = {"shop": yard.world.repository}
    acts = QuarantineActivities(yard.world.changes, yard.world.track, declared, results, issues)
    tending = ResultActivities(
        results, yard.world.track, declared, Keeping(settle=timedelta(0)), issues=issues
    )
    results.keep(report({"tests/test_a.py::x": "."}), at=AT)
    issues.error = Refused("issues are switched off")
    acts.ended(ended(change(entering("a"), entering("b"))))
    acts.ended(
        ended(change(leave=("tests/test_a.py::b",), staying=1)).model_copy(update={"change": "shop/8"})
    )
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(entry("a"),)))})
    tend = partial(ActivityEnvironment().run, tending.tend_results)
    tend()
    assert issues.open == {}
    assert len(results.untracked("shop", most_refusals=1_000, limit=9)) == 2
    issues.error = None
    for _ in range(3):
        tend()
    assert list(issues.open) == [tracking.key_of(Untrusted("tests/test_a.py::a"))]
    assert "by shop/7" in next(iter(issues.open.values()))[1]
    assert results.untracked("shop", most_refusals=1_000, limit=9) == []


@pytest.mark.parametrize(("attempt", "raised"), [(1, True), (PATIENCE, False)])
def test_a_forge_that_is_away_is_asked_again_for_a_while(yard: Yard, attempt: int, raised: bool) -> None:
    yard.issues.error = Unavailable("no answer")
    environment = ActivityEnvironment()
    environment.info = replace(environment.info, attempt=attempt)
    with pytest.raises(ApplicationError, match="no answer") if raised else nullcontext():
        environment.run(yard.acts.ended, ended(change(entering("a"))))


def test_an_undone_quarantine_takes_out_what_it_let_in_and_nothing_else(yard: Yard) -> None:
    old = "tests/test_a.py::old"
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(entry("old"), entry("stays"))))})
    did = change(entering("a"), entering("b"), entering("c"), leave=(old,), staying=1)
    made = yard.acts.change(yard.reserved(did), REQUEST)
    words = "shop/1 never landed, it is open: there is nothing to undo"
    assert failure(lambda: undoable(yard, made.id, did), words) == "Refused"
    yard.world.land(made)
    # Others have gone on: one has left since, and one was added.
    since = (*(one.entry for one in did.enter[:2]), entry("stays"), entry("theirs"))
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=since))})
    found = undoable(yard, made.id, did)
    assert [test.stored()[-1] for test in found.lifted] == ["a", "b"]
    effect = change(leave=tuple(test.stored() for test in found.lifted), staying=found.staying)
    undone = yard.acts.change(yard.reserved(effect, step=1), REQUEST)
    assert yard.on(undone.head) == ["stays", "theirs"]
    yard.world.land(undone)
    words = "no test that shop/1 let in is quarantined any more"
    assert failure(lambda: undoable(yard, made.id, did), words) == "Refused"


def test_an_entry_that_somebody_has_changed_since_is_theirs_and_is_named(yard: Yard) -> None:
    did = change(entering("a"), entering("b"))
    made = yard.acts.change(yard.reserved(did), REQUEST)
    yard.world.land(made)
    theirs = did.enter[0].entry.model_copy(update={"owner": "@shop/others"})
    yard.git.commit("main", {PLACE: rendered(QuarantineFile(entries=(theirs, did.enter[1].entry)))})
    words = "somebody has changed what .* says of tests/test_a.py::a since shop/1 landed: take them out"
    assert failure(lambda: undoable(yard, made.id, did), words) == "Refused"


def test_a_hostile_name_is_only_text_in_the_issue() -> None:
    name = "x | y\n# z <img src=x> @everybody [a](http://evil) \x1b[2J"
    one = entering("a").entry.model_copy(update={"test": Untrusted(name)})
    title, body = tracking.title_of(one.test), tracking.body_of(one, "shop/7")
    assert "\n" not in title
    row = next(line for line in body.splitlines() if line.startswith("| test |"))
    assert row == f"| test | {Untrusted(name).for_markdown(300)} |"
    assert "<img" not in body
    assert "\x1b" not in title + body
