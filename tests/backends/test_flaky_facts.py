"""Facts about flaky tests: the store's evidence, the quarantine file at the tip, and our own changes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import pytest
from temporalio.exceptions import ApplicationError

from agents.flaky_tests.tracking import key_of
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.quarantine import QuarantineFile
from leverframe_pytest.quarantine import PLACE
from tests.fakes.flaky_facts_world import FLAKY, GONE, HEAD, NOW, OTHER, REQUEST, TIP, World
from tests.fakes.result_reports import SIGNATURE, report


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


def test_what_open_changes_of_ours_do_is_in_flight_and_what_a_person_closed_is_rejected(
    world: World,
) -> None:
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


def test_an_undeclared_repository_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="'till' is not declared"):
        world.gatherer.gather(REQUEST.model_copy(update={"repository": "till"}))
    with pytest.raises(ApplicationError, match="'till' is not declared"):
        world.folding.fold_reports("till")
