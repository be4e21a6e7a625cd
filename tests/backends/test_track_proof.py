"""What has to be shown before cars land: in a batch, by override, or restacked past another lane."""

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.changes import Author, Car, Receipt
from leverframe.model.checks import Check
from leverframe.model.errors import BadInput, Refused, TargetMoved
from leverframe.model.topology import Lane, Repository, TrainRules
from leverframe.model.trains import Method, Override
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.tracks import ADA, compose, land

BOB = Author(kind="agent", name="bob")


def stacked(world: GitWorld, track: GitTrack, *names: str, method: Method = "merge") -> list[Car]:
    """A stack of cars, each of which adds one file."""
    changes = [
        (world.change(world.commit(f"add-{name}", {name: "x\n"}), number=number), AT)
        for number, name in enumerate(names, start=1)
    ]
    shop = world.repository
    cars = track.compose_stack(shop, changes=changes, base=track.tip(shop), method=method)
    return [car for car in cars if isinstance(car, Car)]


class TestBatch:
    @pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
    def test_all_of_it_lands_in_one_push_with_a_receipt_for_each_change(
        self, world: GitWorld, track: GitTrack, shop: Repository, method: Method
    ) -> None:
        one, two = stacked(world, track, "1.py", "2.py", method=method)
        world.hook("post-receive", 'while read old new ref; do echo "$ref"; done >> pushed; echo >> pushed')
        receipts = track.land_batch(shop, cars=[(one, ADA), (two, BOB)], checks=[passed(two.sha)], at=AT)
        assert world.git("rev-parse", "main") == two.sha
        told = [(r.sequence, r.change, r.sha, r.base, r.evidence, r.covered_by, r.author) for r in receipts]
        assert told == [
            (1, "shop/1", one.sha, one.base, "covered", two.sha, ADA),
            (2, "shop/2", two.sha, one.sha, "exact", None, BOB),
        ]
        assert {result.sha for receipt in receipts for result in receipt.checks} == {two.sha}
        pushes = (world.remote / "pushed").read_text().strip().split("\n\n")
        assert [
            {line for line in push.splitlines() if "/heads/" in line or "/landed/" in line} for push in pushes
        ] == [
            {"refs/heads/main", "refs/train/main/landed/1", "refs/train/main/landed/2"}
            | ({f"refs/train/main/heads/{car.head}" for car in (one, two)} if method != "merge" else set())
        ]
        again = track.land_batch(shop, cars=[(one, ADA), (two, BOB)], checks=[passed(two.sha)], at=AT)
        assert again == receipts
        assert track.receipts(shop) == receipts[::-1]

    def test_what_any_of_its_changes_requires_must_have_passed_on_the_last_commit(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        code, words = stacked(world, track, "1.py", "words.md")
        for checks in ([], [passed(code.sha)]):
            with pytest.raises(Refused, match=f"not proven on {words.sha[:12]}: unit"):
                track.land_batch(shop, cars=[(code, ADA), (words, ADA)], checks=checks, at=AT)
        assert world.git("rev-parse", "main") == code.base

    def test_cars_that_do_not_stand_on_each_other_do_not_land_together(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        one, two, three = stacked(world, track, "1.py", "2.py", "3.py")
        twice = two.model_copy(update={"change": one.change})
        for cars in ([one, three], [two, one], [one, twice]):
            with pytest.raises(Refused):
                track.land_batch(
                    shop, cars=[(car, ADA) for car in cars], checks=[passed(cars[-1].sha)], at=AT
                )
        with pytest.raises(BadInput):
            track.land_batch(shop, cars=[], checks=[], at=AT)

    def test_nothing_of_it_lands_when_the_target_moved_or_a_receipt_is_refused(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        one, two = stacked(world, track, "1.py", "2.py")
        cars, checks = [(one, ADA), (two, ADA)], [passed(two.sha)]
        world.hook("update", 'test "$1" != refs/train/main/landed/2 || { echo "prohibited"; exit 1; }')
        with pytest.raises(Refused, match="prohibited"):
            track.land_batch(shop, cars=cars, checks=checks, at=AT)
        assert (world.git("rev-parse", "main"), track.receipts(shop)) == (one.base, [])
        world.hook("update", "")
        moved = world.commit("main", {"other.py": "y\n"})
        with pytest.raises(TargetMoved):
            track.land_batch(shop, cars=cars, checks=checks, at=AT)
        assert world.git("rev-parse", "main") == moved


class TestOverride:
    OVERRIDE = Override(people=("ada", "joe"), reason="production is down", checks=("lint",))

    def test_two_people_land_it_with_the_checks_they_name_and_the_receipt_says_so(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        car, shop = compose(track, world, world.commit("work", {"new.py": "x\n"})), with_lint(world)
        with pytest.raises(Refused, match="unit, lint"):
            track.land(shop, car=car, checks=[], author=ADA, at=AT)
        with pytest.raises(Refused, match=f"not proven on {car.sha[:12]}: lint"):
            track.land(shop, car=car, checks=[], author=ADA, at=AT, override=self.OVERRIDE)
        receipt = track.land(
            shop, car=car, checks=[passed(car.sha, "lint")], author=ADA, at=AT, override=self.OVERRIDE
        )
        assert (receipt.evidence, receipt.override) == ("override", self.OVERRIDE)
        assert track.receipts(shop) == [receipt]

    @pytest.mark.parametrize("people", [("ada", "ada"), ("ada", " Ada "), ("ada", "")])
    def test_one_person_is_not_two(self, world: GitWorld, track: GitTrack, people: tuple[str, str]) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        override = Override(people=people, reason="now")
        with pytest.raises(Refused, match="two people"):
            track.land(world.repository, car=car, checks=[], author=ADA, at=AT, override=override)

    def test_a_check_that_nobody_declared_is_no_check(self, world: GitWorld, track: GitTrack) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        override = Override(people=("ada", "joe"), reason="now", checks=("smoke",))
        with pytest.raises(Refused, match="declares no check smoke"):
            track.land(
                world.repository,
                car=car,
                checks=[passed(car.sha, "smoke")],
                author=ADA,
                at=AT,
                override=override,
            )


class TestComposed:
    """Lanes `a` and `b` below folders of those names; everything else is shared."""

    def test_a_car_restacked_past_another_lane_lands_on_what_was_tested_and_says_which(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        receipt, tested = self.restack(world, track, ours={"a/x.py": "x\n"}, theirs={"b/y.py": "y\n"})
        assert (receipt.evidence, receipt.covered_by) == ("composed", tested.sha)
        assert {result.sha for result in receipt.checks} == {tested.sha}
        assert world.git("rev-parse", "main") == receipt.sha != tested.sha
        assert track.audit(with_lanes(world), since=None).findings == ()

    @pytest.mark.parametrize(
        ("ours", "theirs"),
        [
            ({"a/x.py": "x\n"}, {"a/y.py": "y\n"}),
            ({"a/x.py": "x\n"}, {"setup.cfg": "y\n"}),
            ({"a/x.py": "x\n"}, {"b/y.py": "y\n", "setup.cfg": "y\n"}),
            ({"setup.cfg": "x\n"}, {"b/y.py": "y\n"}),
            ({"a/x.py": "x\n", "b/x.py": "x\n"}, {"b/y.py": "y\n"}),
            ({"a/x.py": "x\n"}, {"a/b/y.py": "y\n"}),
        ],
        ids=["its own lane", "a shared file", "both", "it is shared", "it is in both", "a path of two lanes"],
    )
    def test_it_is_refused_when_anything_that_its_lanes_build_from_differs(
        self, world: GitWorld, track: GitTrack, ours: dict[str, str], theirs: dict[str, str]
    ) -> None:
        with pytest.raises(Refused, match="builds from something else"):
            self.restack(world, track, ours=ours, theirs=theirs)

    def test_it_is_refused_where_nobody_declared_composed_lanes_or_another_change_was_tested(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = world.commit("work", {"a/x.py": "x\n"})
        tested = compose(track, world, head)
        world.commit("main", {"b/y.py": "y\n"})
        car, checks = compose(track, world, head), [passed(tested.sha)]
        with pytest.raises(Refused, match="declares no composed lanes"):
            track.land(shop, car=car, checks=checks, author=ADA, at=AT, tested=tested)
        other = tested.model_copy(update={"change": "shop/9"})
        with pytest.raises(Refused, match="not the same change"):
            track.land(with_lanes(world), car=car, checks=checks, author=ADA, at=AT, tested=other)

    def test_without_lanes_two_commits_are_the_same_only_as_a_whole(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        shop, one = with_lanes(world), world.git("rev-parse", "main")
        two = world.commit("main", {"b/y.py": "y\n"})
        assert not track.same_closure(shop, tested=one, landed=two, lanes=())
        assert not track.same_closure(shop, tested=one, landed=two, lanes=("a", "b"))
        assert track.same_closure(shop, tested=one, landed=two, lanes=("a",))
        assert track.same_closure(shop, tested=one, landed=one, lanes=())

    def restack(
        self, world: GitWorld, track: GitTrack, *, ours: dict[str, str], theirs: dict[str, str]
    ) -> tuple[Receipt, Car]:
        head = world.commit("work", ours)
        tested = compose(track, world, head)
        land(track, world.repository, compose(track, world, world.commit("other", theirs), number=2))
        car = compose(track, world, head)
        receipt = track.land(
            with_lanes(world), car=car, checks=[passed(tested.sha)], author=ADA, at=AT, tested=tested
        )
        return receipt, tested


def with_lint(world: GitWorld) -> Repository:
    """A shop that requires a second check."""
    shop = world.repository
    return shop.model_copy(update={"checks": (*shop.checks, Check(name="lint", command=("true",)))})


def with_lanes(world: GitWorld) -> Repository:
    """A shop with two composed lanes; `a/b` is in both."""
    lanes = (Lane(name="a", paths=("a/**",)), Lane(name="b", paths=("b/**", "a/b/**")))
    rules = TrainRules(lane_mode="composed", lanes=lanes)
    return world.repository.model_copy(update={"train": rules})


def test_a_car_that_changes_nothing_does_not_land(world: GitWorld, track: GitTrack) -> None:
    car = compose(track, world, world.git("rev-parse", "main"))
    with pytest.raises(Refused, match="nothing to land"):
        land(track, world.repository, car)


@pytest.mark.parametrize("claimed", ["merge", "squash", "rebase"])
def test_a_car_that_was_not_made_by_its_method_does_not_land(
    world: GitWorld, track: GitTrack, shop: Repository, claimed: Method
) -> None:
    head = world.commit("work", {"new.py": "x\n"})
    car = compose(track, world, head, method="squash" if claimed == "merge" else "merge")
    with pytest.raises(Refused, match=f"is not built on its base .* by {claimed}"):
        land(track, shop, car.model_copy(update={"method": claimed}))
