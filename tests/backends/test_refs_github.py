"""Landing by GitHub's API: a compare-and-swap on real refs, and looking when an answer is lost."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends.refs_github import GithubRefs, Move
from leverframe.model.changes import Car, Conflicted, Receipt
from leverframe.model.errors import BadInput, NotFound, Refused, TargetMoved, Unavailable
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.github_setup import declared, refs_on
from tests.fakes.github_shapes import Fault
from tests.fakes.github_world import GithubWorld
from tests.fakes.tracks import track_at

SHOP = declared("shop")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> tuple[GitWorld, Car]:
    """A repository with a car that was composed and pushed, for each test to copy."""
    root = tmp_path_factory.mktemp("begun")
    (root / "world").mkdir()
    world = GitWorld(root / "world")
    head = world.commit("work", {"new.py": "x\n"})
    change = world.change(head)
    base = world.git("rev-parse", "main")
    car = track_at(root).compose(world.repository, change=change, base=base, at=AT)
    assert not isinstance(car, Conflicted)
    return world, car


@pytest.fixture
def car(begun: tuple[GitWorld, Car]) -> Car:
    return begun[1]


@pytest.fixture
def github(begun: tuple[GitWorld, Car], tmp_path: Path) -> Iterator[GithubWorld]:
    made = GithubWorld(begun[0].copied(tmp_path))
    yield made
    assert made.problems == []


@pytest.fixture
def refs(github: GithubWorld) -> GithubRefs:
    return refs_on(github)


def wanted(car: Car) -> Receipt:
    return Receipt.model_validate(
        {
            **{"repository": "shop", "target": "main", "sequence": 1, "change": car.change, "sha": car.sha},
            **{"base": car.base, "tree": car.tree, "head": car.head, "checks": (passed(car.sha),)},
            **{"author": {"kind": "person", "name": "ada"}, "paths": car.paths, "landed_at": AT},
        }
    )


def stored(github: GithubWorld, number: int = 1) -> Receipt:
    blob = github.git.git("cat-file", "blob", f"refs/train/main/landed/{number}")
    return Receipt.model_validate_json(blob)


def lost(status: int = 0, *, applied: bool = True) -> Fault:
    return Fault("POST", "/graphql$", status, applied=applied, about="updateRefs")


def test_the_target_and_its_receipt_move_together(github: GithubWorld, refs: GithubRefs, car: Car) -> None:
    receipt = refs.land(SHOP, car=car, wanted=wanted(car))
    assert github.git.git("rev-parse", "main") == car.sha
    assert stored(github) == receipt == wanted(car)


def test_a_car_that_is_in_returns_the_receipt_it_came_in_with(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    first = refs.land(SHOP, car=car, wanted=wanted(car))
    later = wanted(car).model_copy(update={"landed_at": AT + timedelta(hours=1)})
    assert refs.land(SHOP, car=car, wanted=later) == first
    assert github.writes().count("POST /graphql") == 1


@pytest.mark.parametrize("status", [0, 502])
def test_an_answer_that_is_lost_after_it_was_done_is_found_and_never_done_again(
    github: GithubWorld, refs: GithubRefs, car: Car, status: int
) -> None:
    github.faults = [lost(status)]
    receipt = refs.land(SHOP, car=car, wanted=wanted(car))
    assert stored(github) == receipt
    assert github.writes().count("POST /graphql") == 1


def test_a_request_that_never_arrived_is_sent_again_as_it_was(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    github.faults = [lost(applied=False)]
    assert refs.land(SHOP, car=car, wanted=wanted(car)).sequence == 1
    assert github.git.git("rev-parse", "main") == car.sha


def test_an_outage_is_told_and_nothing_has_moved(github: GithubWorld, refs: GithubRefs, car: Car) -> None:
    github.faults = [lost(502, applied=False) for _ in range(3)]
    with pytest.raises(Unavailable, match="could not be landed yet"):
        refs.land(SHOP, car=car, wanted=wanted(car))
    assert github.git.git("rev-parse", "main") == car.base


def test_a_rate_limit_is_waited_for_and_not_hammered(github: GithubWorld, refs: GithubRefs, car: Car) -> None:
    limited = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
    github.faults = [Fault("POST", "/graphql$", 200, limited, about="updateRefs")]
    with pytest.raises(Unavailable) as caught:
        refs.land(SHOP, car=car, wanted=wanted(car))
    assert caught.value.wait == timedelta(seconds=60)
    assert github.writes().count("POST /graphql") == 1


def test_a_target_that_somebody_else_moved_is_never_overwritten(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    theirs = github.git.commit("main", {"theirs.py": "y\n"})
    with pytest.raises(TargetMoved):
        refs.land(SHOP, car=car, wanted=wanted(car))
    assert github.git.git("rev-parse", "main") == theirs
    assert "POST /graphql" not in github.writes()


def test_a_target_that_moves_between_the_look_and_the_request_is_never_overwritten(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    theirs = github.git.commit("elsewhere", {"theirs.py": "y\n"})
    real = github.refs.move

    def moved_before(moves: list[dict[str, object]]) -> str | None:
        github.git.git("update-ref", "refs/heads/main", theirs)
        return real(moves)

    github.refs.move = moved_before  # type: ignore[method-assign]
    with pytest.raises(TargetMoved):
        refs.land(SHOP, car=car, wanted=wanted(car))
    assert github.git.git("rev-parse", "main") == theirs
    assert github.git.git("for-each-ref", "refs/train/main/landed") == ""


def test_a_rule_of_the_repository_is_a_refusal_in_githubs_words(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    github.refs.protected = "Repository rule violations found: Changes must be made through a pull request."
    with pytest.raises(Refused, match="through a pull request"):
        refs.land(SHOP, car=car, wanted=wanted(car))
    assert github.git.git("rev-parse", "main") == car.base


def test_a_car_that_came_in_without_a_receipt_gets_one(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    github.git.git("update-ref", "refs/heads/main", car.sha)
    assert refs.land(SHOP, car=car, wanted=wanted(car)) == stored(github)


def test_a_receipt_follows_the_last_one_and_junk_among_them_is_passed_over(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    for name in ("9", "007", "x"):
        github.git.git("update-ref", f"refs/train/main/landed/{name}", "HEAD:app.py")
    assert refs.land(SHOP, car=car, wanted=wanted(car)).sequence == 10
    assert refs.land(SHOP, car=car, wanted=wanted(car)) == stored(github, 10)


def test_a_car_that_is_not_built_on_its_base_is_refused(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    unrelated = github.git.git("commit-tree", f"{car.base}^{{tree}}", "-m", "from nowhere")
    forged = car.model_copy(update={"sha": unrelated})
    with pytest.raises(Refused, match="not built on its base"):
        refs.land(SHOP, car=forged, wanted=wanted(forged))


def test_a_car_that_github_does_not_have_is_not_found(refs: GithubRefs, car: Car) -> None:
    absent = car.model_copy(update={"sha": "f" * 40})
    with pytest.raises(NotFound, match="push the car's commit first"):
        refs.land(SHOP, car=absent, wanted=wanted(absent))


def test_refs_never_move_backwards_and_all_or_none_move(
    github: GithubWorld, refs: GithubRefs, car: Car
) -> None:
    tip = github.git.git("rev-parse", "main")
    other = Move(name="refs/heads/other", before=None, after=tip)
    stale = Move(name="refs/heads/main", before="1" * 40, after=car.sha)
    with pytest.raises(BadInput):
        refs.move(SHOP, [other, stale])
    assert github.git.git("for-each-ref", "refs/heads/other") == ""
    refs.land(SHOP, car=car, wanted=wanted(car))
    with pytest.raises(BadInput, match="fast-forward"):
        refs.move(SHOP, [Move(name="refs/heads/main", before=car.sha, after=tip)])
