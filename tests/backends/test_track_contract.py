"""What a train may expect of its track and its remote: the same of git as of the one in memory."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from leverframe.model.changes import Author, Car, Change, Conflicted, Receipt
from leverframe.model.checks import Check
from leverframe.model.errors import Conflict, NotFound, Refused, TargetMoved, Unavailable
from leverframe.model.topology import Lane, Repository, TrainRules
from leverframe.model.trains import Method, Override
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.tracks import ADA
from tests.fakes.train_grounds import MAIN, GitGround, Ground, MemoryGround, declared, quick_root

LANES = (Lane(name="a", paths=("a/**",)), Lane(name="b", paths=("b/**",)))
UNIT = Check(name="unit", command=("true",), skip_when_only=("docs/**",))


@pytest.fixture(scope="module")
def template() -> Iterator[GitWorld]:
    root = quick_root()
    yield GitWorld(root)
    shutil.rmtree(root)


@pytest.fixture(params=["git", "memory"])
def ground(request: pytest.FixtureRequest, template: GitWorld, tmp_path: Path) -> Ground:
    return GitGround(template, tmp_path) if request.param == "git" else MemoryGround()


@pytest.fixture
def shop(ground: Ground) -> Repository:
    return declared(ground.url, (UNIT,), train=TrainRules(lanes=LANES, lane_mode="composed"))


def change(head: str, number: int = 1) -> Change:
    return GitWorld.change(None, head, number=number)  # type: ignore[arg-type]  # it asks nothing of its world


def car_of(ground: Ground, shop: Repository, files: dict[str, str], number: int = 1, base: str = "") -> Car:
    """A change that begins at the target, composed on its tip or on `base`."""
    head = ground.write(f"work/{number}", files)
    base = base or ground.track.tip(shop)
    car = ground.track.compose(shop, change=change(head, number), base=base, at=AT)
    assert isinstance(car, Car)
    return car


def land(ground: Ground, shop: Repository, car: Car) -> Receipt:
    return ground.track.land(shop, car=car, checks=[passed(car.sha)], author=ADA, at=AT)


def test_a_car_has_the_paths_and_the_tree_of_both_and_the_same_inputs_give_the_same_car(
    ground: Ground, shop: Repository
) -> None:
    head = ground.write("work/1", {"a/one": "1\n"})
    ground.write("main", {"b/two": "2\n"})
    base = ground.track.tip(shop)
    assert ground.track.tips(shop, ["gone", "main"]) == {"main": base}
    one, two = (ground.track.compose(shop, change=change(head), base=base, at=AT) for _ in (1, 2))
    assert isinstance(one, Car)
    assert one == two
    assert (one.base, one.head, one.paths) == (base, head, ("a/one",))
    assert one.tree == ground.merged(base, head)
    assert {"a/one", "b/two"} <= ground.paths(one.sha)
    assert ground.line(one.sha)[1] == base
    assert ground.contains(one.sha, head)
    assert ground.there(one.sha)
    branches = {"work/1", "main", "nobody"}
    assert ground.track.tips(shop, branches) == {"work/1": head, "main": base}


@pytest.mark.parametrize("method", ["merge", "squash"])
def test_two_edits_of_one_file_conflict_by_every_method(
    ground: Ground, shop: Repository, method: Method
) -> None:
    heads = [ground.write(f"work/{number}", {"a/text": f"by {number}\n"}) for number in (1, 2)]
    base = ground.track.tip(shop)
    stack = [(change(head, number), AT) for number, head in enumerate(heads, start=1)]
    first, second = ground.track.compose_stack(shop, changes=stack, base=base, method=method)
    assert isinstance(first, Car)
    assert second == Conflicted(change="shop/2", base=first.sha, paths=("a/text",))
    assert ground.merged(first.sha, heads[1]) is None
    assert ground.contains(first.sha, heads[0]) == (method == "merge")


def test_a_change_that_the_base_contains_gives_a_car_without_paths_and_carries_nobody(
    ground: Ground, shop: Repository
) -> None:
    head = ground.write("work/1", {"a/one": "1\n"})
    other = ground.write("work/2", {"a/two": "2\n"})
    ground.point("main", head)
    stack = [(change(head), AT), (change(other, 2), AT)]
    empty, car = ground.track.compose_stack(shop, changes=stack, base=head)
    assert isinstance(empty, Car)
    assert empty.paths == ()
    assert car.base == head


def test_a_head_that_nobody_has_is_not_found(ground: Ground, shop: Repository) -> None:
    with pytest.raises(NotFound):
        ground.track.compose(shop, change=change("d" * 40), base=ground.track.tip(shop), at=AT)


def test_a_landing_moves_the_target_with_its_receipt_and_again_answers_with_the_same_one(
    ground: Ground, shop: Repository
) -> None:
    car = car_of(ground, shop, {"a/one": "1\n"})
    receipt = land(ground, shop, car)
    assert ground.refs()[MAIN] == car.sha
    assert (receipt.sequence, receipt.sha, receipt.base, receipt.evidence) == (1, car.sha, car.base, "exact")
    ground.write("main", {"b/later": "1\n"})
    assert land(ground, shop, car) == receipt
    assert ground.track.receipts(shop) == [receipt]
    assert "refs/train/main/landed/1" in ground.refs()


@pytest.mark.parametrize("at_once", [False, True])
def test_a_source_that_moves_holds_its_landing_back_and_one_that_has_landed_does_not_ask(
    ground: Ground, shop: Repository, at_once: bool
) -> None:
    car = car_of(ground, shop, {"a/one": "1\n"})

    def landed() -> Receipt:
        proof, sources = [passed(car.sha)], {"work/1": car.head}
        return ground.track.land(shop, car=car, checks=proof, author=ADA, at=AT, sources=sources)

    def moves() -> None:
        ground.write("work/1", {"a/more": "1\n"})

    if at_once:
        ground.pushes.faults[:] = [moves]
    else:
        moves()
    with pytest.raises(Conflict, match="work/1"):
        landed()
    assert (ground.refs()[MAIN], ground.track.receipts(shop)) == (car.base, [])
    ground.point("work/1", car.head)
    receipt = landed()
    ground.point("work/1", None)
    assert landed() == receipt


def test_what_is_not_proven_on_exactly_this_commit_does_not_land(ground: Ground, shop: Repository) -> None:
    car = car_of(ground, shop, {"a/one": "1\n"})
    with pytest.raises(Refused, match="not proven"):
        ground.track.land(shop, car=car, checks=[passed(car.base)], author=ADA, at=AT)
    docs = car_of(ground, shop, {"docs/one": "1\n"}, 2)
    assert ground.track.land(shop, car=docs, checks=[], author=ADA, at=AT).sequence == 1


def test_a_target_that_moved_on_or_back_is_not_landed_on(ground: Ground, shop: Repository) -> None:
    begin = ground.track.tip(shop)
    car = car_of(ground, shop, {"a/one": "1\n"}, base=ground.write("main", {"a/p": "1\n"}))
    ground.point("main", begin)
    with pytest.raises(TargetMoved):
        land(ground, shop, car)
    ground.point("main", car.base)
    ground.write("main", {"b/strange": "1\n"})
    with pytest.raises(TargetMoved):
        land(ground, shop, car)


def test_a_car_whose_landing_was_taken_back_lands_again_with_another_receipt(
    ground: Ground, shop: Repository
) -> None:
    car = car_of(ground, shop, {"a/one": "1\n"})
    land(ground, shop, car)
    ground.point("main", car.base)
    assert land(ground, shop, car).sequence == 2
    assert ground.refs()[MAIN] == car.sha


def test_a_batch_lands_as_one_with_a_receipt_for_each(ground: Ground, shop: Repository) -> None:
    low = car_of(ground, shop, {"a/one": "1\n"})
    top = car_of(ground, shop, {"a/two": "1\n"}, 2, base=low.sha)
    receipts = ground.track.land_batch(
        shop, cars=[(low, ADA), (top, Author(kind="agent", name="fixer"))], checks=[passed(top.sha)], at=AT
    )
    assert [(one.sequence, one.evidence, one.covered_by) for one in receipts] == [
        (1, "covered", top.sha),
        (2, "exact", None),
    ]
    assert ground.refs()[MAIN] == top.sha


def test_an_override_lands_with_the_checks_it_names(ground: Ground, shop: Repository) -> None:
    car = car_of(ground, shop, {"a/one": "1\n"})
    override = Override(people=("grace", "edsger"), reason="it burns")
    receipt = ground.track.land(shop, car=car, checks=[], author=ADA, at=AT, override=override)
    assert (receipt.evidence, receipt.override) == ("override", override)


def test_a_car_is_restacked_past_another_lane_only(ground: Ground, shop: Repository) -> None:
    begin = ground.track.tip(shop)
    heads = [ground.write(f"work/{n}", {f"{lane}/{n}": "1\n"}) for n, lane in ((1, "a"), (2, "b"), (3, "a"))]
    tested = [
        ground.track.compose(shop, change=change(h, n), base=begin, at=AT) for n, h in enumerate(heads, 1)
    ]
    assert isinstance(tested[0], Car)
    land(ground, shop, tested[0])
    for number, fits in ((2, True), (3, False)):
        now = ground.track.compose(
            shop, change=change(heads[number - 1], number), base=ground.track.tip(shop), at=AT
        )
        before = tested[number - 1]
        assert isinstance(now, Car)
        assert isinstance(before, Car)
        if not fits:
            with pytest.raises(Refused, match="builds from something else"):
                ground.track.land(
                    shop, car=now, checks=[passed(before.sha)], author=ADA, at=AT, tested=before
                )
            return
        receipt = ground.track.land(
            shop, car=now, checks=[passed(before.sha)], author=ADA, at=AT, tested=before
        )
        assert (receipt.evidence, receipt.covered_by) == ("composed", before.sha)


def test_what_people_did_to_the_target_is_found(ground: Ground, shop: Repository) -> None:
    begin = ground.track.tip(shop)
    land(ground, shop, car_of(ground, shop, {"a/one": "1\n"}))
    whole = ground.track.audit(shop, since=begin)
    assert (whole.whole, whole.commits, whole.receipts) == (True, 1, 1)
    strange = ground.write("main", {"b/strange": "1\n"})
    report = ground.track.audit(shop, since=whole.tip)
    assert [(one.kind, one.sha) for one in report.findings] == [("foreign_commit", strange)]
    ground.point("main", begin)
    assert "rewound" in {one.kind for one in ground.track.audit(shop, since=report.tip).findings}


def test_old_cars_that_nobody_keeps_are_taken_away(ground: Ground, shop: Repository) -> None:
    cars = [car_of(ground, shop, {f"a/{number}": "1\n"}, number) for number in (1, 2)]
    kept = [cars[0].sha]
    assert ground.track.drop_cars(shop, keep=kept, before=AT) == []
    assert ground.track.drop_cars(shop, keep=kept, before=AT + timedelta(seconds=1)) == [cars[1].sha]
    assert [ground.there(car.sha) for car in cars] == [True, False]


def test_lost_answers_are_settled_by_looking_and_an_outage_is_unavailable(
    ground: Ground, shop: Repository
) -> None:
    first = car_of(ground, shop, {"a/one": "1\n"})
    ground.pushes.faults[:] = ["lost before", "lost after"]
    assert land(ground, shop, first).sequence == 1
    second = car_of(ground, shop, {"a/two": "1\n"}, 2)
    ground.pushes.faults[:] = ["lost before"] * 3
    with pytest.raises(Unavailable):
        land(ground, shop, second)
    ground.pushes.faults[:] = [lambda: ground.point("main", ground.write("other", {"b/x": "1\n"}))]
    with pytest.raises(TargetMoved):
        land(ground, shop, second)
