"""Landing: one push of the tested commit and its receipt, on real bare repositories."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.changes import Car, Receipt
from leverframe.model.errors import (
    Refused,
    TargetMoved,
)
from leverframe.model.topology import Repository
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.tracks import ADA, compose, land


class TestLand:
    def test_the_commit_that_was_tested_is_the_commit_that_lands_with_its_receipt(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        receipt = land(track, shop, car)
        assert world.git("rev-parse", "main") == car.sha
        assert (receipt.sequence, receipt.sha, receipt.base) == (1, car.sha, car.base)
        stored = world.git("cat-file", "blob", "refs/train/main/landed/1")
        assert Receipt.model_validate_json(stored) == receipt
        assert track.receipts(shop) == [receipt]

    def test_landing_twice_answers_with_the_first_receipt_even_after_the_target_went_on(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        first = land(track, shop, car)
        world.commit("main", {"later.py": "y\n"})
        assert land(track, shop, car) == first
        assert len(track.receipts(shop)) == 1

    def test_receipts_are_numbered_without_gaps_newest_first(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        for number in (1, 2, 3):
            head = world.commit(f"work-{number}", {f"{number}.py": "x\n"})
            land(track, shop, compose(track, world, head, number=number))
        assert [receipt.sequence for receipt in track.receipts(shop)] == [3, 2, 1]
        assert [receipt.sequence for receipt in track.receipts(shop, limit=1)] == [3]

    @pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
    def test_a_check_that_is_not_green_on_exactly_this_commit_refuses_the_landing(
        self, world: GitWorld, track: GitTrack, shop: Repository, outcome: str
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        before = world.git("rev-parse", "main")
        red = passed(car.sha).model_copy(update={"outcome": outcome})
        for checks in ([], [red], [passed(car.head)], [passed(car.sha, "other")]):
            with pytest.raises(Refused, match="not proven"):
                track.land(shop, car=car, checks=checks, author=ADA, at=AT)
        assert world.git("rev-parse", "main") == before

    def test_a_check_that_the_paths_skip_is_not_required(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"README.md": "words\n"}))
        assert track.land(shop, car=car, checks=[], author=ADA, at=AT).checks == ()

    def test_a_car_that_lies_about_its_paths_or_tree_is_refused(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        for lie in ({"paths": ("README.md",)}, {"tree": "c" * 40}):
            with pytest.raises(Refused):
                land(track, shop, car.model_copy(update=lie))

    def test_a_commit_that_is_not_built_on_its_base_is_refused_though_git_would_take_it(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        old = world.git("rev-parse", "main")
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        new = world.commit("main", {"other.py": "y\n"})
        backwards = car.model_copy(update={"base": new})
        with pytest.raises(Refused, match="not built on"):
            land(track, shop, backwards)
        assert world.git("rev-parse", "main") == new != old

    def test_a_target_that_moved_on_or_was_rewound_is_told_apart_from_landed(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        start = world.git("rev-parse", "main")
        world.commit("main", {"a.py": "a\n"})
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        for elsewhere in (world.commit("main", {"b.py": "b\n"}), start):
            world.git("update-ref", "refs/heads/main", elsewhere)
            with pytest.raises(TargetMoved):
                land(track, shop, car)
            assert world.git("rev-parse", "main") == elsewhere

    def test_a_car_lands_again_with_a_new_receipt_when_its_landing_was_rewound(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        land(track, shop, car)
        world.git("update-ref", "refs/heads/main", car.base)
        assert land(track, shop, car).sequence == 2
        assert world.git("rev-parse", "main") == car.sha

    def test_a_tested_commit_that_a_person_pushed_gets_its_receipt(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        world.git("update-ref", "refs/heads/main", car.sha)
        assert land(track, shop, car).sequence == 1
        assert world.git("rev-parse", "main") == car.sha

    def test_a_receipt_number_taken_by_garbage_is_passed_over(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        world.git("update-ref", "refs/train/main/landed/7", world.git("rev-parse", "main:app.py"))
        world.git("update-ref", "refs/train/main/landed/x", world.git("rev-parse", "main"))
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        assert land(track, shop, car).sequence == 8
        assert [receipt.sequence for receipt in track.receipts(shop)] == [8]

    def test_two_writers_with_two_cars_have_exactly_one_winner(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        tracks = [make_track("one"), make_track("two")]
        for attempt in range(5):
            heads = [world.commit(f"w{attempt}-{n}", {f"{attempt}{n}.py": "x\n"}) for n in (0, 1)]
            cars = [compose(tracks[n], world, heads[n], number=attempt * 2 + n + 1) for n in (0, 1)]
            gate = threading.Barrier(2)

            def race(n: int, gate: threading.Barrier = gate, cars: list[Car] = cars) -> Receipt | str:
                gate.wait()
                try:
                    return land(tracks[n], shop, cars[n])
                except TargetMoved:
                    return "moved"

            with ThreadPoolExecutor(2) as pool:
                results = list(pool.map(race, (0, 1)))
            assert results.count("moved") == 1
            winner = next(result for result in results if isinstance(result, Receipt))
            assert world.git("rev-parse", "main") == winner.sha
            assert winner.sequence == attempt + 1

    def test_the_same_car_landed_by_two_writers_at_once_has_one_receipt(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        tracks = [make_track("one"), make_track("two")]
        car = compose(tracks[0], world, world.commit("work", {"new.py": "x\n"}))
        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(lambda track: land(track, shop, car), tracks)
        assert one == two
        assert len(tracks[0].receipts(shop)) == 1

    def test_a_push_that_times_out_after_the_server_applied_it_has_landed(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository, tmp_path: Path
    ) -> None:
        car = compose(make_track(), world, world.commit("work", {"new.py": "x\n"}))
        # The hook runs once the refs are written, and blocks until git is killed.
        world.hook("post-receive", f"mkfifo {tmp_path}/never 2>/dev/null && exec cat {tmp_path}/never")
        assert land(make_track(seconds=3), shop, car).sequence == 1
        assert world.git("rev-parse", "main") == car.sha

    def test_a_push_that_times_out_before_the_server_applied_it_is_pushed_again(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository, tmp_path: Path
    ) -> None:
        car = compose(make_track(), world, world.commit("work", {"new.py": "x\n"}))
        world.hook("pre-receive", f"mkfifo {tmp_path}/never 2>/dev/null && exec cat {tmp_path}/never\nexit 0")
        assert land(make_track(seconds=3), shop, car).sequence == 1
        assert world.git("rev-parse", "main") == car.sha

    def test_a_rule_of_the_remote_refuses_for_good_and_nothing_moves(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        world.hook("update", 'test "$1" != refs/heads/main || { echo "main is protected"; exit 1; }')
        with pytest.raises(Refused, match="main is protected"):
            land(track, shop, car)
        assert world.git("rev-parse", "main") == car.base
        assert track.receipts(shop) == []

    def test_another_machine_can_land_what_this_one_composed(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        car = compose(make_track("one"), world, world.commit("work", {"new.py": "x\n"}))
        assert land(make_track("two"), shop, car).sha == car.sha
