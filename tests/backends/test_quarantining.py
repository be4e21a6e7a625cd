"""Changes of a quarantine file over real git and a real store: opened once, looked for, remembered."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.backends.results_store import ResultsStore
from activities.flaky_facts import FlakyFactsGatherer
from activities.forge import ForgeActivities
from activities.look import Look
from activities.ports import Health
from activities.quarantining import PATIENCE, Ended, QuarantineActivities, QuarantineRequest
from activities.repair_tracking import catch_up
from activities.results_port import QuarantineNote
from activities.test_results import Keeping, ResultActivities
from activities.undo import Undoable, UndoActivities, UndoLook
from agents.flaky_tests import tracking
from agents.flaky_tests.quarantine_file import read, rendered
from leverframe.model.errors import LeverframeError, Refused, Unavailable
from leverframe.model.facts import FlakyFactsRequest
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Amending, ChangeQuarantine
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.signals import SUITE
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE
from policies.decision import Allowed, Reservation
from tests.backends.test_look import World, looking
from tests.fakes.asks import ask
from tests.fakes.git_world import AT, GitWorld, Link
from tests.fakes.quarantines import change, entering
from tests.fakes.result_reports import report
from tests.unit.agents.flaky_tests.proposals import entry

RUN = "run/flaky_tests/shop/SUITE/1"
REQUEST = QuarantineRequest(at=AT)


@dataclass
class Memory:
    """Remembers the last word on each change."""

    known: dict[str, str] = field(default_factory=dict)
    untracked: set[str] = field(default_factory=set)
    named: set[str] = field(default_factory=set)

    def note(self, repository: str, notes: Sequence[QuarantineNote]) -> None:
        for one in notes:
            self.known[one.change] = f"{one.state} {','.join(one.enter)} {','.join(one.leave)}".strip()

    def note_named(self, repository: str, named: Collection[str], at: datetime) -> None:
        self.named |= set(named)

    def note_tracking(self, repository: str, change: str, *, tracked: bool) -> None:
        (self.untracked.discard if tracked else self.untracked.add)(change)


@dataclass
class Issues:
    """Issues as people see them, by their keys."""

    open: dict[str, tuple[str, str]] = field(default_factory=dict)
    closed: dict[str, str] = field(default_factory=dict)
    error: LeverframeError | None = None

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        if self.error is not None:
            raise self.error
        self.open[key] = (title, body)
        return f"https://git.example/{key}"

    def address(self, repository: str, *, key: str) -> str:
        return f"https://git.example/?q={key}"

    def resolve(self, repository: str, *, key: str, body: str) -> None:
        if self.error is not None:
            raise self.error
        self.open.pop(key, None)
        self.closed[key] = body

    def health(self) -> Health:
        return Health(ok=True, detail="")


class Yard:
    """The activities, and what they act on."""

    def __init__(self, root: Path) -> None:
        self.world = World(root)
        self.git: GitWorld = self.world.git
        declared = {"shop": self.world.repository}
        self.memory = Memory()
        self.issues = Issues()
        self.acts = QuarantineActivities(
            self.world.changes, self.world.track, declared, self.memory, self.issues
        )
        self.forge = ForgeActivities(self.world.changes, self.world.track, declared)

    def reserved(self, effect: ChangeQuarantine, *, step: int = 0) -> Reservation:
        """What the ledger grants for the difference that it would make now."""
        request = ask(
            f"{RUN}/{step}",
            effect,
            agent="flaky_tests",
            subject="SUITE",
            difference=self.forge.preview("shop", effect, AT),
        )
        lapses = AT + timedelta(minutes=5)
        return Allowed.grant(request, policy_digest="p", now=AT, lapses_at=lapses).reservation

    def on(self, commit: str) -> list[str]:
        """The tests that the commit's file names."""
        entries = read(self.git.git("show", f"{commit}:{PLACE}") + "\n").entries
        return [one.test.stored().rpartition("::")[2] for one in entries]


@pytest.fixture
def yard(tmp_path: Path) -> Iterator[Yard]:
    made = Yard(tmp_path)
    yield made
    made.world.engine.dispose()


def failure(act: Callable[[], object], match: str) -> str:
    with pytest.raises(ApplicationError, match=match) as caught:
        act()
    assert caught.value.non_retryable
    return str(caught.value.type)


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


def ended(effect: ChangeQuarantine, state: str = "over") -> Ended:
    return Ended.model_validate(
        {"repository": "shop", "change": "shop/7", "state": state, "effect": effect, "at": AT}
    )


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


def undoable(yard: Yard, made: str, did: ChangeQuarantine) -> Undoable:
    acts = UndoActivities(yard.world.changes, yard.world.track, {"shop": yard.world.repository})
    return acts.undoable(UndoLook(repository="shop", change=made, quarantine=did))


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


def test_an_undone_renewal_puts_the_earlier_day_back_unless_somebody_changed_the_entry(yard: Yard) -> None:
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
