"""Folding and forgetting without an agent's run, and claims of fixes."""

from datetime import timedelta
from pathlib import Path

import pytest

from activities.test_results import AT_MOST
from leverframe.model.errors import Unavailable
from leverframe.model.topology import Repository
from leverframe_pytest.quarantine import PLACE
from tests.fakes.flaky_facts_world import FLAKY, HEAD, NOW, OTHER, TIP, World
from tests.fakes.github_setup import declared as a_repository
from tests.fakes.result_reports import report


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


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


def test_a_landed_commit_claims_the_fix_of_a_quarantined_test_that_it_names_exactly(
    world: World,
) -> None:
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
