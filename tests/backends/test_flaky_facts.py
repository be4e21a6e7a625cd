"""Facts about flaky tests: the store's evidence, the quarantine file at the tip, and our own changes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

import pytest
from temporalio.exceptions import ApplicationError

from activities.backends.results_store import ResultsStore
from activities.flaky_facts import FlakyFactsGatherer
from activities.issues_port import Issues
from activities.ports import Changes
from activities.results_port import AmendedEntry, ChangeState, QuarantineNote
from activities.test_results import AT_MOST, Keeping, ResultActivities
from activities.track_port import Track
from agents.flaky_tests.quarantine_file import rendered
from agents.flaky_tests.tracking import key_of
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.errors import BadInput, NotFound, Unavailable
from leverframe.model.facts import FlakyFactsRequest
from leverframe.model.ids import QUARANTINE_BRANCHES
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import PLACE
from tests.fakes.github_setup import declared as a_repository
from tests.fakes.result_reports import SIGNATURE, report
from tests.fakes.stores import store_at

FLAKY, OTHER, GONE = (
    "tests/test_a.py::test_flaky",
    "tests/test_b.py::test_other",
    "tests/test_c.py::test_gone",
)
TIP, HEAD = "a" * 40, "b" * 40
NOW = datetime.now(UTC)
TODAY = NOW.date()
REQUEST = FlakyFactsRequest(
    kind="flaky_tests",
    agent="flaky_tests",
    repository="shop",
    service="shop",
    subject="SUITE",
    since=NOW,
)


class Trees:
    """The reading half of a track: files by commit."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, str]] = {TIP: {}, HEAD: {}}
        self.asked: list[tuple[str, str]] = []
        self.at = TIP
        self.looked: list[tuple[str, str]] = []
        self.claims: list[tuple[str, str]] = []

    def tip(self, repository: Repository, branch: str | None = None) -> str:
        return self.at

    def has_file(self, repository: Repository, *, sha: str, path: str) -> bool:
        return path in self.files[sha]

    def file_paths(self, repository: Repository, *, sha: str, most: int) -> list[str]:
        return list(self.files[sha])

    def read_text(self, repository: Repository, *, sha: str, path: str, most: int) -> str:
        if path not in self.files.get(sha, {}):
            raise NotFound(f"{sha} has no {path}")
        return self.files[sha][path]

    def fix_claims(
        self, repository: Repository, *, after: str, upto: str, limit: int
    ) -> list[tuple[str, str]]:
        self.looked.append((after, upto))
        return self.claims

    def is_ancestor(self, repository: Repository, *, ancestor: str, descendant: str) -> bool:
        self.asked.append((ancestor, descendant))
        raise NotFound("no such commit")


class Record:
    """The reading half of a forge."""

    def __init__(self) -> None:
        self.known: dict[str, Change] = {}
        self.listed: list[str] | None = None

    def put(
        self, number: int, state: Literal["open", "landed", "ejected", "closed"], branch: str = ""
    ) -> None:
        change = Change(
            id=f"shop/{number}",
            repository="shop",
            branch=branch or f"{QUARANTINE_BRANCHES}{number}",
            head=HEAD,
            title="Quarantine 1 flaky test",
            body="",
            author=Author(kind="agent", name="flaky_tests"),
            priority=Priority.NORMAL,
            state=state,
            opened_at=NOW,
        )
        self.known[change.id] = change

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        return [one for name, one in self.known.items() if self.listed is None or name in self.listed]

    def change(self, change: str) -> Change:
        if change not in self.known:
            raise NotFound(change)
        return self.known[change]


class Places:
    """The addresses of issues."""

    def address(self, repository: str, *, key: str) -> str:
        return f"https://git.example/{repository}?q={key}"


class World:
    def __init__(self, home: Path) -> None:
        self.store = ResultsStore(store_at(home / "store.db"))
        self.trees, self.record = Trees(), Record()
        repositories = {"shop": a_repository("shop")}
        track, changes = cast(Track, self.trees), cast(Changes, self.record)
        self.folding = ResultActivities(self.store, track, repositories, Keeping())
        self.gatherer = FlakyFactsGatherer(
            self.store, self.folding, track, changes, repositories, issues=cast(Issues, Places())
        )
        self.runs = 0

    def tell(self, *signs: str, test: str = FLAKY, beside: Sequence[str] = (OTHER,)) -> None:
        """A run of main for each, a day apart until yesterday, that came just when it was made."""
        for one in signs:
            self.runs += 1
            at = NOW - timedelta(days=100 - self.runs)
            told = {test: one, **dict.fromkeys(beside, ".")}
            sha = f"{self.runs:040x}"
            self.store.keep(report(told, run=str(self.runs), sha=sha, at=at, markers=("slow",)), at=at)

    def write(self, *tests: str, sha: str = TIP, since: date = TODAY) -> None:
        entries = tuple(
            Quarantined(
                test=Untrusted(test),
                masks=(SIGNATURE,),
                since=since,
                expires=since + timedelta(days=30),
                evidence="seen",
                owner="@ada",
            )
            for test in sorted(tests)
        )
        self.trees.files[sha][PLACE] = rendered(QuarantineFile(entries=entries))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_flaky_test_is_a_finding_with_its_file_and_its_owner(world: World) -> None:
    world.trees.files[TIP] |= {"tests/test_a.py": "", "CODEOWNERS": "tests/ @acme/tests\n"}
    world.tell(*["F.", "."] * 12)
    facts = world.gatherer.gather(REQUEST)
    (found,) = facts.findings
    assert (found.test.stored(), found.kind, found.masks) == (FLAKY, "flaky", (SIGNATURE,))
    assert (found.path, found.owner, found.runs) == ("tests/test_a.py", "@acme/tests", 24)
    assert found.markers == ("slow",)
    assert found.link == f"https://git.example/shop?q={key_of(found.test)}"
    assert found.strength >= 10_000
    assert (facts.tests, facts.file, facts.added_today) == (2, QuarantineFile(), 0)


def test_a_report_that_names_classes_only_gives_the_one_file_of_the_class_and_its_owner(
    world: World,
) -> None:
    path = "cart/src/test/java/com/acme/CartTest.java"
    world.trees.files[TIP] |= {path: "", "CODEOWNERS": "cart/ @acme/cart\n"}
    told = {"com.acme.CartTest::pays": "F.", "com.acme.PayTest::pays": "F."}
    for number in range(12):
        at = NOW - timedelta(days=50 - number)
        one = report(told if number % 2 else dict.fromkeys(told, "."), run=f"j{number}", sha=f"{number:040x}")
        attempts = tuple(attempt._replace(path="", at=at) for attempt in one.attempts)
        world.store.keep(replace(one, attempts=attempts), at=at)
    found = {one.test.stored(): (one.path, one.owner) for one in world.gatherer.gather(REQUEST).findings}
    assert found == {"com.acme.CartTest::pays": (path, "@acme/cart"), "com.acme.PayTest::pays": ("", None)}
    moved = path.replace("cart/src", "basket/src")
    world.trees.files[TIP] = {moved: "", "CODEOWNERS": "basket/ @acme/basket\n"}
    attempts = tuple(attempt._replace(path=path) for attempt in attempts)
    world.store.keep(replace(one, run="j12", attempts=attempts), at=NOW)
    found = {one.test.stored(): (one.path, one.owner) for one in world.gatherer.gather(REQUEST).findings}
    assert found["com.acme.CartTest::pays"] == (moved, "@acme/basket")


@pytest.mark.parametrize(
    ("told", "file"),
    [("tests/test_b.py", "tests/test_a.py"), ("backend/tests/test_a.py", "backend/tests/test_a.py")],
    ids=["another file", "the same one from further up"],
)
def test_a_report_moves_no_test_to_another_file_than_its_name_says(
    world: World, told: str, file: str
) -> None:
    world.trees.files[TIP] |= {"tests/test_a.py": "", "tests/test_b.py": "", "backend/tests/test_a.py": ""}
    for number in range(24):
        at = NOW - timedelta(days=50 - number)
        one = report({FLAKY: "F." if number % 2 else ".", OTHER: "."}, run=f"j{number}", sha=f"{number:040x}")
        attempts = tuple(attempt._replace(path=told, at=at) for attempt in one.attempts)
        world.store.keep(replace(one, attempts=attempts), at=at)
    (found,) = world.gatherer.gather(REQUEST).findings
    assert found.path == file


def test_a_run_that_has_not_settled_waits_for_the_next_time(world: World) -> None:
    world.store.keep(report({FLAKY: "F."}), at=datetime.now(UTC))
    assert world.gatherer.gather(REQUEST).tests == 1
    assert world.store.suite("shop").runs == 0
    assert world.store.suite("shop").waiting == 1


def test_a_quarantined_test_is_deleted_when_its_file_is_gone_and_main_lacks_it_or_long_not_run(
    world: World,
) -> None:
    world.trees.files[TIP] |= {"tests/test_b.py": ""}
    world.write(OTHER, GONE, "tests/test_b.py::test_long_gone", since=date(2026, 1, 1))
    world.tell(".", test=GONE, beside=(OTHER, "tests/test_b.py::test_long_gone"))
    assert world.gatherer.gather(REQUEST).findings == ()
    world.tell(*["."] * 20, test="tests/test_b.py::test_new")
    found = {one.test.stored(): one for one in world.gatherer.gather(REQUEST).findings}
    assert found.keys() == {GONE, "tests/test_b.py::test_long_gone"}
    assert {one.kind for one in found.values()} == {"deleted"}
    assert "its file is not in the repository" in found[GONE].evidence
    assert "the last 20 whole runs" in found["tests/test_b.py::test_long_gone"].evidence


def test_what_open_changes_of_ours_do_is_in_flight_and_what_a_person_closed_is_rejected(world: World) -> None:
    world.write(OTHER)
    world.write(FLAKY, sha=HEAD)
    world.record.put(1, "open")
    world.record.put(2, "open", branch="somebody/else")
    facts = world.gatherer.gather(REQUEST)
    assert facts.added_today == 1
    assert [test.stored() for test in facts.in_flight] == [FLAKY, OTHER]
    assert facts.rejected == ()
    world.record.put(1, "closed")
    del world.trees.files[HEAD]
    closed = world.gatherer.gather(REQUEST)
    assert [test.stored() for test in closed.rejected] == [FLAKY]
    assert closed.in_flight == ()
    world.record.known.clear()
    assert world.gatherer.gather(REQUEST).rejected == closed.rejected


@pytest.mark.parametrize("state", ["landed", "ejected"])
def test_a_change_that_landed_or_was_given_up_is_over_also_when_it_is_listed_no_more(
    world: World, state: Literal["landed", "ejected"]
) -> None:
    world.write(FLAKY, sha=HEAD)
    world.record.put(1, "open")
    assert world.gatherer.gather(REQUEST).in_flight
    world.record.put(1, state)
    world.record.listed = []
    facts = world.gatherer.gather(REQUEST)
    assert (facts.in_flight, facts.rejected) == ((), ())


def test_a_quarantine_file_that_cant_be_read_fails_with_what_is_wrong(world: World) -> None:
    world.trees.files[TIP][PLACE] = "tests: [broken\n"
    with pytest.raises(BadInput, match=PLACE):
        world.gatherer.gather(REQUEST)
    world.write(FLAKY)
    world.trees.files[HEAD][PLACE] = "tests: [broken\n"
    world.record.put(1, "open")
    assert world.gatherer.gather(REQUEST).in_flight == ()


def entered_unhealed(world: World) -> list[bool]:
    return [one.unhealed for one in world.gatherer.gather(REQUEST).findings if one.test.stored() == FLAKY]


def test_a_test_whose_entry_is_gone_while_the_detector_holds_on_is_known_as_unhealed(world: World) -> None:
    """Whether it expired, was undone, or a person took it out: no change of ours need have done it."""
    world.tell(*["F.", "."] * 12)
    assert entered_unhealed(world) == [False]
    world.write(FLAKY)
    assert entered_unhealed(world) == [False]
    del world.trees.files[TIP][PLACE]
    assert entered_unhealed(world) == [True]
    assert entered_unhealed(world) == [True]


def test_housekeeping_sees_what_the_file_named_between_two_runs_of_the_agent(world: World) -> None:
    world.tell(*["F.", "."] * 12)
    world.write(FLAKY, OTHER)
    world.folding.tend_results()
    del world.trees.files[TIP][PLACE]
    world.folding.tend_results()
    assert entered_unhealed(world) == [True]


def test_what_the_detector_released_meanwhile_begins_anew(world: World) -> None:
    """Named before the detector's present quarantine began: it has healed in between."""
    world.store.note_named("shop", [FLAKY], NOW - timedelta(days=200))
    world.tell(*["F.", "."] * 12)
    assert entered_unhealed(world) == [False]


def renewing_note(change: str, state: ChangeState, *, expired: date, expires: date) -> QuarantineNote:
    one = AmendedEntry(test=FLAKY, expired=expired, expires=expires)
    return QuarantineNote(change=change, state=state, enter=(), leave=(), opened_at=NOW, amend=(one,))


def test_what_people_were_asked_of_an_entry_is_its_story(world: World) -> None:
    until, later = TODAY + timedelta(days=30), TODAY + timedelta(days=60)
    world.write(FLAKY, OTHER)
    assert world.gatherer.gather(REQUEST).stories == ()
    before = [TODAY - timedelta(days=30), TODAY, until]
    landed = [
        renewing_note(f"shop/{number}", "over", expired=first, expires=last)
        for number, (first, last) in enumerate(pairwise(before))
    ]
    elsewhen = renewing_note("shop/9", "rejected", expired=TODAY - timedelta(days=90), expires=TODAY)
    world.store.note("shop", [*landed, elsewhen])
    (story,) = world.gatherer.gather(REQUEST).stories
    assert (story.test.stored(), story.renewed, story.asked) == (FLAKY, 2, False)
    world.store.note("shop", [renewing_note("run/1/0", "asked", expired=until, expires=later)])
    assert world.gatherer.gather(REQUEST).stories == (story.model_copy(update={"asked": True}),)


def test_failures_that_a_person_did_not_want_hidden_are_in_the_story(world: World) -> None:
    world.write(FLAKY)
    until = TODAY + timedelta(days=30)
    one = AmendedEntry(test=FLAKY, expired=until, expires=until, masks=("1" * 16,))
    note = QuarantineNote(change="run/1/0", state="rejected", enter=(), leave=(), opened_at=NOW, amend=(one,))
    world.store.note("shop", [note])
    facts = world.gatherer.gather(REQUEST)
    assert [(story.refused, story.asked) for story in facts.stories] == [(("1" * 16,), False)]
    assert facts.rejected == ()


@pytest.mark.parametrize(("state", "asks"), [("rejected", False), ("over", True), ("asked", True)])
def test_who_did_not_let_a_quarantine_go_on_is_not_asked_to_let_it_begin_again(
    world: World, state: ChangeState, asks: bool
) -> None:
    world.tell(*["F.", "."] * 12)
    world.write(FLAKY)
    until = TODAY + timedelta(days=30)
    world.store.note("shop", [renewing_note("run/1/0", state, expired=TODAY, expires=until)])
    assert world.gatherer.gather(REQUEST).rejected == (), "it is in the file still"
    del world.trees.files[TIP][PLACE]
    facts = world.gatherer.gather(REQUEST)
    assert [one.unhealed for one in facts.findings] == [True]
    assert (facts.rejected == ()) == asks
    # What the detector released in between is another quarantine.
    world.store.note_named("shop", [FLAKY], NOW - timedelta(days=200))
    assert world.gatherer.gather(REQUEST).rejected == ()


def test_a_landed_renewal_has_its_issues_brought_up_to_date_once(world: World) -> None:
    def behind() -> list[str]:
        return [one.change for one in world.store.untracked("shop", most_refusals=9, limit=9)]

    world.write(FLAKY)
    until = TODAY + timedelta(days=30)
    world.store.note("shop", [renewing_note("shop/1", "open", expired=TODAY, expires=until)])
    world.record.put(1, "landed")
    world.gatherer.gather(REQUEST)
    assert behind() == ["shop/1"], "its run may be gone"
    world.store.note_tracking("shop", "shop/1", tracked=True)
    world.gatherer.gather(REQUEST)
    assert behind() == []


def test_who_dies_while_noting_that_a_change_landed_has_its_issues_opened_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise Unavailable("killed")

    note = QuarantineNote(change="shop/1", state="open", enter=(FLAKY,), leave=(), opened_at=NOW)
    world.store.note("shop", [note])
    world.record.put(1, "landed")
    for step in ("note", "note_tracking"):
        with monkeypatch.context() as patched:
            patched.setattr(world.store, step, killed)
            with pytest.raises(Unavailable):
                world.gatherer.gather(REQUEST)
    world.gatherer.gather(REQUEST)
    assert [one.change for one in world.store.untracked("shop", most_refusals=9, limit=9)] == ["shop/1"]


def test_an_open_renewal_is_in_flight_and_a_closed_one_was_asked(world: World) -> None:
    """Its worker may have died before it could note what it opened: the branch says what it does."""
    world.write(FLAKY, since=TODAY - timedelta(days=29))
    world.write(FLAKY, sha=HEAD, since=TODAY - timedelta(days=29))
    here = world.trees.files[TIP][PLACE]
    expired, expires = TODAY + timedelta(days=1), TODAY + timedelta(days=30)
    world.trees.files[HEAD][PLACE] = here.replace(f'expires: "{expired}"', f'expires: "{expires}"')
    world.record.put(1, "open")
    facts = world.gatherer.gather(REQUEST)
    assert ([test.stored() for test in facts.in_flight], facts.stories) == ([FLAKY], ())
    world.record.put(1, "closed")
    closed = world.gatherer.gather(REQUEST)
    assert (closed.in_flight, [story.asked for story in closed.stories]) == ((), [True])
    assert closed.rejected == (), "the test itself was not turned down"


def test_an_undeclared_repository_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="'till' is not declared"):
        world.gatherer.gather(REQUEST.model_copy(update={"repository": "till"}))
    with pytest.raises(ApplicationError, match="'till' is not declared"):
        world.folding.fold_reports("till")


def test_a_fold_ends_when_its_time_is_over_and_goes_on_with_the_next_call(world: World) -> None:
    world.tell("F.", ".", "F.")
    repository = a_repository("shop")
    first = world.folding.fold(repository, timedelta(0))
    assert (first.runs, first.left) == (1, True)
    rest = world.folding.fold(repository, AT_MOST)
    assert (rest.runs, rest.left) == (2, False)
    assert world.folding.fold_reports("shop").runs == 0


def test_tending_folds_what_waits_and_forgets_what_is_old(world: World) -> None:
    world.tell("F.", ".")
    assert world.folding.tend_results() == (
        "2 runs folded; 2 reports, 2 attempts and 0 runs were too old to keep"
    )
    assert world.folding.tend_results().startswith("0 runs folded; 0 reports")


def test_tending_keeps_the_quarantine_file_for_those_who_can_not_read_git(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.write(FLAKY)
    world.folding.tend_results()
    assert world.store.quarantine_seen("shop") is None
    world.tell("F.")
    world.folding.tend_results()
    seen = world.store.quarantine_seen("shop")
    assert seen is not None
    assert (seen.sha, seen.content) == (TIP, world.trees.files[TIP][PLACE])

    def away(repository: Repository, branch: str | None = None) -> str:
        raise Unavailable("git is away")

    with monkeypatch.context() as patched:
        patched.setattr(world.trees, "tip", away)
        world.folding.tend_results()
    assert world.store.quarantine_seen("shop") == seen
    world.trees.files[TIP][PLACE] = "version: 1\0"
    world.folding.tend_results()
    odd = world.store.quarantine_seen("shop")
    assert odd is not None
    assert odd.content == "version: 1\ufffd"
    del world.trees.files[TIP][PLACE]
    world.folding.tend_results()
    emptied = world.store.quarantine_seen("shop")
    assert emptied is not None
    assert emptied.content == ""


def test_a_landed_commit_claims_the_fix_of_a_quarantined_test_that_it_names_exactly(world: World) -> None:
    def claimed() -> bool:
        (known,) = world.store.known("shop", [])
        assert known.history is not None
        assert known.history.quarantine is not None
        return known.history.quarantine.fix_claimed

    world.tell(*["F.", "."] * 12)
    world.trees.claims = [(HEAD, FLAKY)]
    world.folding.tend_results()
    # What landed before the first look says nothing of what was found since.
    assert world.trees.looked == []
    assert not claimed()
    world.trees.at, world.trees.claims = HEAD, [(HEAD, f"{FLAKY} "), (HEAD, "test_flaky"), (HEAD, OTHER)]
    world.folding.tend_results()
    world.folding.tend_results()
    assert world.trees.looked == [(TIP, HEAD)]
    assert not claimed()
    world.trees.at, world.trees.claims = TIP, [(HEAD, FLAKY)]
    world.folding.tend_results()
    assert claimed()


def test_a_commit_that_git_does_not_know_lacks_every_fix_and_odd_names_are_not_asked_for(
    world: World,
) -> None:
    world.tell(*["F.", "."] * 12)
    world.folding.fold_reports("shop")
    assert world.store.claim_fix("shop", FLAKY, HEAD)
    at = NOW - timedelta(days=1)
    for run, sha in (("x", "--upload-pack=evil"), ("y", "c" * 40)):
        world.store.keep(report({FLAKY: "F.", OTHER: "."}, run=run, sha=sha, at=at), at=at)
    assert world.folding.fold_reports("shop").runs == 2
    assert world.trees.asked == [(HEAD, "c" * 40)]
    (known,) = world.store.known("shop", [])
    assert known.history is not None
    assert known.history.quarantine is not None
    assert known.history.quarantine.fix_claimed
