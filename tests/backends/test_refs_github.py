"""Landing by GitHub's API: a compare-and-swap on real refs, and looking when an answer is lost."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends.track_git import GitTrack
from activities.backends.track_landing import Move
from leverframe.model.changes import Car, Conflicted, Receipt
from leverframe.model.errors import BadInput, Refused, TargetMoved, Unavailable
from leverframe.model.topology import Repository
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.github_setup import declared, refs_on
from tests.fakes.github_shapes import Fault
from tests.fakes.github_world import GithubWorld
from tests.fakes.tracks import ADA, compose, land, track_at

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
    made.git.hook("update", 'case $1 in refs/heads/main|*/landed/*) echo "$1" >> "$GIT_DIR/pushes";; esac')
    yield made
    assert made.problems == []


@pytest.fixture
def track(github: GithubWorld, tmp_path: Path) -> GitTrack:
    """A track that lands by the API."""
    limit = timedelta(seconds=30)
    return GitTrack(mirrors=tmp_path / "m", artifacts=tmp_path / "a", timeout=limit, moves=refs_on(github))


@pytest.fixture
def shop(github: GithubWorld) -> Repository:
    return github.git.repository


def stored(github: GithubWorld, number: int = 1) -> Receipt:
    blob = github.git.git("cat-file", "blob", f"refs/train/main/landed/{number}")
    return Receipt.model_validate_json(blob)


def lost(status: int = 0, *, applied: bool = True) -> Fault:
    return Fault("POST", "/graphql$", status, applied=applied, about="updateRefs")


def test_the_target_and_its_receipt_move_together(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    receipt = land(track, shop, car)
    assert github.git.git("rev-parse", "main") == car.sha
    assert stored(github) == receipt
    assert (receipt.sequence, receipt.sha, receipt.base, receipt.evidence) == (1, car.sha, car.base, "exact")
    assert not (github.git.remote / "pushes").exists(), "git itself has pushed neither"


def test_a_car_that_is_in_returns_the_receipt_it_came_in_with(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    first = land(track, shop, car)
    assert land(track, shop, car, at=AT + timedelta(hours=1)) == first
    assert github.writes().count("POST /graphql") == 1


@pytest.mark.parametrize("status", [0, 502])
def test_an_answer_that_is_lost_after_it_was_done_is_found_and_never_done_again(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car, status: int
) -> None:
    github.faults = [lost(status)]
    receipt = land(track, shop, car)
    assert stored(github) == receipt
    assert github.writes().count("POST /graphql") == 1


def test_a_request_that_never_arrived_is_sent_again_as_it_was(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    github.faults = [lost(applied=False)]
    assert land(track, shop, car).sequence == 1
    assert github.git.git("rev-parse", "main") == car.sha


def test_an_outage_is_told_and_nothing_has_moved(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    github.faults = [lost(502, applied=False) for _ in range(3)]
    with pytest.raises(Unavailable, match="could not be landed yet"):
        land(track, shop, car)
    assert github.git.git("rev-parse", "main") == car.base


def test_a_rate_limit_is_waited_for_and_not_hammered(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    limited = {"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}
    github.faults = [Fault("POST", "/graphql$", 200, limited, about="updateRefs")]
    with pytest.raises(Unavailable) as caught:
        land(track, shop, car)
    assert caught.value.wait == timedelta(seconds=60)
    assert github.writes().count("POST /graphql") == 1


def test_a_target_that_somebody_else_moved_is_never_overwritten(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    theirs = github.git.commit("main", {"theirs.py": "y\n"})
    with pytest.raises(TargetMoved):
        land(track, shop, car)
    assert github.git.git("rev-parse", "main") == theirs
    assert "POST /graphql" not in github.writes()


def test_a_target_that_moves_between_the_look_and_the_request_is_never_overwritten(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    theirs = github.git.commit("elsewhere", {"theirs.py": "y\n"})
    real = github.refs.move

    def moved_before(moves: list[dict[str, object]]) -> str | None:
        github.git.git("update-ref", "refs/heads/main", theirs)
        return real(moves)

    github.refs.move = moved_before  # type: ignore[method-assign]
    with pytest.raises(TargetMoved):
        land(track, shop, car)
    assert github.git.git("rev-parse", "main") == theirs
    assert github.git.git("for-each-ref", "refs/train/main/landed") == ""


def test_a_rule_of_the_repository_is_a_refusal_in_githubs_words(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    github.refs.protected = "Repository rule violations found: Changes must be made through a pull request."
    with pytest.raises(Refused, match="through a pull request"):
        land(track, shop, car)
    assert github.git.git("rev-parse", "main") == car.base


def test_a_car_that_came_in_without_a_receipt_gets_one(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    github.git.git("update-ref", "refs/heads/main", car.sha)
    assert land(track, shop, car) == stored(github)


def test_a_receipt_follows_the_last_one_and_junk_among_them_is_passed_over(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    for name in ("9", "007", "x"):
        github.git.git("update-ref", f"refs/train/main/landed/{name}", "HEAD:app.py")
    assert land(track, shop, car).sequence == 10
    assert land(track, shop, car) == stored(github, 10)


def test_a_batch_lands_in_one_request(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    head = github.git.commit("second", {"second.py": "x\n"})
    change = github.git.change(head, number=2, branch="second")
    above = track.compose(shop, change=change, base=car.sha, at=AT)
    assert isinstance(above, Car)
    receipts = track.land_batch(shop, cars=[(car, ADA), (above, ADA)], checks=[passed(above.sha)], at=AT)
    assert [receipt.evidence for receipt in receipts] == ["covered", "exact"]
    assert [stored(github, 1), stored(github, 2)] == receipts
    assert github.git.git("rev-parse", "main") == above.sha
    assert github.writes().count("POST /graphql") == 1


def test_a_squashed_change_keeps_its_head_on_the_remote(
    github: GithubWorld, track: GitTrack, shop: Repository
) -> None:
    head = github.git.commit("second", {"second.py": "x\n"})
    squashed = compose(track, github.git, head, method="squash", number=2, branch="second")
    land(track, shop, squashed)
    assert head in github.git.git("for-each-ref", "--format=%(objectname)", "refs/train/main").split()


def test_a_car_that_is_not_proven_never_reaches_github(
    github: GithubWorld, track: GitTrack, shop: Repository, car: Car
) -> None:
    with pytest.raises(Refused, match="not proven"):
        track.land(shop, car=car, checks=[], author=ADA, at=AT)
    assert "POST /graphql" not in github.writes()


def test_refs_never_move_backwards_and_all_or_none_move(github: GithubWorld, car: Car) -> None:
    refs, tip = refs_on(github), github.git.git("rev-parse", "main")
    other = Move(name="refs/heads/other", before=None, after=tip)
    stale = Move(name="refs/heads/main", before="1" * 40, after=car.sha)
    with pytest.raises(BadInput):
        refs.move(SHOP, [other, stale])
    assert github.git.git("for-each-ref", "refs/heads/other") == ""
    refs.move(SHOP, [Move(name="refs/heads/main", before=tip, after=car.sha)])
    with pytest.raises(BadInput, match="fast-forward"):
        refs.move(SHOP, [Move(name="refs/heads/main", before=car.sha, after=tip)])
