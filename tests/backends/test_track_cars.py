"""Cars by each method, on any base: squashed, rebased, stacked, and kept until nobody needs them."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.changes import Car, Conflicted
from leverframe.model.errors import NotFound, Refused
from leverframe.model.topology import Repository
from leverframe.model.trains import Method
from tests.fakes.git_world import AT, GitWorld
from tests.fakes.tracks import compose, land

BOTH: tuple[Method, ...] = ("squash", "rebase")


def log(world: GitWorld, revisions: str, form: str = "%an <%ae> %s") -> list[str]:
    """One line for each commit, newest first."""
    return world.git("log", f"--format={form}", revisions).splitlines()


def three_commits(world: GitWorld) -> str:
    """A branch on which two people wrote three commits; the head."""
    world.commit("work", {"a.py": "a\n"}, message="first\n\nwith words", author="Bob <bob@example.com>")
    world.commit("work", {"b.py": "b\n"}, message="second", author="Eve <Eve@Example.com>")
    return world.commit("work", {"a.py": "A\n"}, message="third", author="Bob <bob@example.com>")


class TestSquash:
    def test_one_commit_on_the_base_holds_everything_and_names_who_wrote_it(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head, base = three_commits(world), world.commit("main", {"other.py": "y\n"})
        change = world.change(head).model_copy(update={"body": "Why.\n\nLeverframe-Change: shop/9\n"})
        car = track.compose(shop, change=change, base=base, at=AT, method="squash")
        assert isinstance(car, Car)
        assert (car.method, car.paths) == ("squash", ("a.py", "b.py"))
        assert world.git("log", "-1", "--format=%P %an", car.sha) == f"{base} ada"
        assert world.git("log", "-1", "--format=%B", car.sha) == (
            "Do a thing\n\nWhy.\n\nLeverframe-Change: shop/9\n\n"
            "Co-authored-by: Bob <bob@example.com>\nCo-authored-by: Eve <Eve@Example.com>\n"
            "Leverframe-Change: shop/1"
        )
        trailer = "%(trailers:key=Leverframe-Change,valueonly)"
        assert world.git("log", "-1", f"--format={trailer}", car.sha) == "shop/1"

    def test_what_it_reverts_is_found_after_it_landed(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"bad.py": "x\n"})
        head = world.commit("work", {"bad.py": None}, message=f'Revert "x"\n\nThis reverts commit {bad}.')
        car = compose(track, world, head, method="squash")
        land(track, shop, car)
        assert track.reverted_in(shop, commit=bad, since=AT) == car.sha

    def test_everybody_who_wrote_it_and_the_run_are_known_from_what_landed(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        three_commits(world)
        head = world.commit("work", {"c.py": "c\n"}, message="fix\n\nLeverframe-Run: run/fixer/shop/S-1/1")
        car = compose(track, world, head, method="squash", kind="agent")
        land(track, shop, car, world.change(head, kind="agent").author)
        landed = track.commits(shop, limit=1)[0]
        assert (landed.run, landed.change, landed.by_agent) == ("run/fixer/shop/S-1/1", "shop/1", True)
        assert landed.authors == ("ada@example.com", "bob@example.com", "eve@example.com")


class TestRebase:
    def test_each_commit_is_made_again_with_its_own_author_and_message(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        head = three_commits(world)
        world.commit("main", {"other.py": "y\n"})
        car = compose(track, world, head, method="rebase")
        assert log(world, f"{car.base}..{car.sha}") == [
            "Bob <bob@example.com> third", "Eve <Eve@Example.com> second", "Bob <bob@example.com> first",
        ]  # fmt: skip
        wrote = "%an %ae %at %B"
        assert log(world, f"{car.base}..{car.sha}", wrote) == log(world, f"main..{head}", wrote)
        assert set(log(world, f"{car.base}..{car.sha}", "%cn %ct")) == {f"Leverframe {AT.timestamp():.0f}"}

    def test_a_commit_that_is_on_the_base_already_is_left_out(self, world: GitWorld, track: GitTrack) -> None:
        head = three_commits(world)
        world.commit("main", {"b.py": "b\n"})
        car = compose(track, world, head, method="rebase")
        assert log(world, f"{car.base}..{car.sha}", "%s") == ["third", "first"]

    def test_a_merge_within_the_change_is_refused_in_words(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = three_commits(world)
        base = world.commit("main", {"other.py": "y\n"})
        tree = world.git("merge-tree", "--write-tree", head, base)
        merged = world.git("commit-tree", tree, "-p", head, "-p", base, "-m", "update")
        world.git("update-ref", "refs/heads/work", merged)
        with pytest.raises(Refused, match="is a merge, and a merge can't be rebased"):
            track.compose(shop, change=world.change(merged), base=base, at=AT, method="rebase")
        assert compose(track, world, merged, method="squash").paths == ("a.py", "b.py")

    def test_a_commit_in_the_middle_that_does_not_apply_names_its_paths(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        world.commit("work", {"app.py": "mine\ntwo\nthree\n"})
        head = world.commit("work", {"app.py": "one\ntwo\nthree\n", "z.py": "z\n"})
        base = world.commit("main", {"app.py": "theirs\ntwo\nthree\n"})
        made = track.compose(shop, change=world.change(head), base=base, at=AT, method="rebase")
        assert made == Conflicted(change="shop/1", base=base, paths=("app.py",))
        assert compose(track, world, head, method="squash").paths == ("z.py",)

    def test_each_commit_that_landed_has_its_author_and_the_receipt_of_the_change(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, three_commits(world), method="rebase")
        land(track, shop, car)
        third, second, first, begin = track.commits(shop, limit=4)
        assert [commit.change for commit in (third, second, first, begin)] == ["shop/1"] * 3 + [None]
        assert second.authors == ("ada", "eve@example.com")

    def test_undoing_one_of_its_commits_undoes_the_whole_change(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, three_commits(world), method="rebase")
        land(track, shop, car)
        middle = log(world, f"{car.base}..{car.sha}", "%H")[1]
        head = track.revert_branch(shop, commit=middle, branch="leverframe/undo", message="undo", at=AT)
        assert isinstance(head, str)
        assert world.git("rev-parse", f"{head}^{{tree}}") == world.git("rev-parse", f"{car.base}^{{tree}}")


class TestEveryMethod:
    @pytest.mark.parametrize("method", BOTH)
    def test_the_same_inputs_give_the_same_sha_on_every_machine(
        self, world: GitWorld, make_track: Callable[..., GitTrack], method: Method
    ) -> None:
        head = three_commits(world)
        world.commit("main", {"other.py": "y\n"})
        one, two = (compose(make_track(name), world, head, method=method) for name in ("one", "two"))
        assert one == two

    @pytest.mark.parametrize("method", BOTH)
    def test_a_change_that_the_target_contains_gives_a_car_without_paths(
        self, world: GitWorld, track: GitTrack, method: Method
    ) -> None:
        head = three_commits(world)
        land(track, world.repository, compose(track, world, head, method=method))
        assert compose(track, world, head, number=2, method=method).paths == ()

    @pytest.mark.parametrize("method", BOTH)
    def test_a_history_of_its_own_is_refused(
        self, world: GitWorld, track: GitTrack, shop: Repository, method: Method
    ) -> None:
        alone = world.git("commit-tree", world.git("rev-parse", "main^{tree}"), "-m", "alone")
        world.git("update-ref", "refs/heads/work", alone)
        with pytest.raises(Refused, match="unrelated histories"):
            track.compose(shop, change=world.change(alone), base=track.tip(shop), at=AT, method=method)


class TestOddTrees:
    """What changes can bring: each merges as git says, or is a conflict; nothing of it is ever run."""

    def test_two_renames_of_one_file_are_a_conflict(self, world: GitWorld, track: GitTrack) -> None:
        lines = "one\ntwo\nthree\n"
        head = world.commit("work", {"app.py": None, "mine.py": lines})
        base = world.commit("main", {"app.py": None, "theirs.py": lines})
        made = track.compose(world.repository, change=world.change(head), base=base, at=AT)
        assert isinstance(made, Conflicted)
        assert set(made.paths) == {"app.py", "mine.py", "theirs.py"}

    def test_an_edit_follows_a_file_whose_name_changed_in_case_only(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        text = "".join(f"line {number}\n" for number in range(20))
        world.commit("main", {"Readme.py": text})
        head = world.commit("work", {"Readme.py": None, "README.py": text})
        world.commit("main", {"Readme.py": text + "more\n"})
        car = compose(track, world, head, method="rebase")
        assert car.paths == ("README.py", "Readme.py")
        assert world.git("show", f"{car.sha}:README.py") == (text + "more\n").strip()

    def test_line_ends_stay_as_they_are_whatever_the_attributes_say(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        world.commit("main", {"w.txt": "one\r\ntwo\r\nthree\r\nfour\r\nfive\r\n"})
        head = world.commit("work", {"w.txt": "ONE\r\ntwo\r\nthree\r\nfour\r\nfive\r\n"})
        world.commit("main", {".gitattributes": "* text=auto eol=lf\n"})
        world.git("config", "core.autocrlf", "true")
        car = compose(track, world, head, method="squash")
        content = world.git("cat-file", "blob", f"{car.sha}:w.txt")
        assert content == "ONE\r\ntwo\r\nthree\r\nfour\r\nfive"

    def test_a_filter_or_driver_that_the_tree_names_is_never_run(
        self, world: GitWorld, track: GitTrack, tmp_path: Path
    ) -> None:
        world.git("config", "merge.evil.driver", f"touch {tmp_path}/ran; exit 0")
        world.commit("main", {".gitattributes": "*.py merge=evil filter=evil diff=evil\n"})
        head = world.commit("work", {"app.py": "ONE\ntwo\nthree\n"})
        world.commit("main", {"app.py": "one\ntwo\nTHREE\n"})
        for method in ("merge", *BOTH):
            car = compose(track, world, head, method=method)
            assert world.git("show", f"{car.sha}:app.py") == "ONE\ntwo\nTHREE"
        assert not (tmp_path / "ran").exists()

    def test_a_submodule_moves_with_its_change_and_two_moves_are_a_conflict(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        def pointing(branch: str, at: str) -> str:
            tree = world.git("ls-tree", branch).splitlines()
            entries = [line for line in tree if not line.endswith("\tlib")] + [f"160000 commit {at}\tlib"]
            made = world.plumb("mktree", "--missing", stdin="\n".join(entries) + "\n")
            commit = world.git("commit-tree", made, "-p", branch, "-m", "move lib")
            world.git("update-ref", f"refs/heads/{branch}", commit)
            return commit

        pointing("main", "1" * 40)
        world.git("branch", "work", "main")
        head, shop = pointing("work", "2" * 40), world.repository
        world.commit("main", {"other.py": "y\n"})
        for method in ("merge", *BOTH):
            car = compose(track, world, head, method=method)
            assert car.paths == ("lib",)
            assert world.git("ls-tree", car.sha, "lib") == f"160000 commit {'2' * 40}\tlib"
        base = pointing("main", "3" * 40)
        for method in ("merge", *BOTH):
            made = track.compose(shop, change=world.change(head), base=base, at=AT, method=method)
            assert made == Conflicted(change="shop/1", base=base, paths=("lib",))

    def test_a_branch_with_slashes_and_a_target_with_one_ride_like_any_other(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        world.git("branch", "release/1.x", "main")
        shop = world.repository.model_copy(update={"target": "release/1.x"})
        head = world.commit("ada/fix/it", {"new.py": "x\n"})
        change = world.change(head, branch="ada/fix/it")
        car = track.compose(shop, change=change, base=track.tip(shop), at=AT, method="squash")
        assert isinstance(car, Car)
        land(track, shop, car)
        assert world.git("rev-parse", "release/1.x") == car.sha
        assert [receipt.change for receipt in track.receipts(shop)] == ["shop/1"]
        assert track.receipts(world.repository) == []


class TestStack:
    @pytest.mark.parametrize("method", ["merge", "squash", "rebase"])
    def test_each_car_stands_on_the_one_before_it_and_is_the_one_composed_alone(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository, method: Method
    ) -> None:
        changes = [
            (world.change(world.commit(f"w{n}", {f"{n}.py": "x\n"}), number=n), AT + timedelta(minutes=n))
            for n in (1, 2, 3)
        ]
        track, alone = make_track("one"), make_track("two")
        base = track.tip(shop)
        cars = track.compose_stack(shop, changes=changes, base=base, method=method)
        for (change, at), car in zip(changes, cars, strict=True):
            assert isinstance(car, Car)
            assert car == alone.compose(shop, change=change, base=base, at=at, method=method)
            base = car.sha

    def test_it_ends_at_the_first_change_that_does_not_apply(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        heads = [world.commit(f"w{n}", {"app.py": f"{n}\ntwo\nthree\n"}) for n in (1, 2, 3)]
        changes = [(world.change(head, number=n), AT) for n, head in enumerate(heads, start=1)]
        first, second = track.compose_stack(shop, changes=changes, base=track.tip(shop))
        assert isinstance(first, Car)
        assert second == Conflicted(change="shop/2", base=first.sha, paths=("app.py",))

    def test_a_car_that_changes_nothing_carries_no_other(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        base = track.tip(shop)
        head = world.commit("work", {"new.py": "x\n"})
        changes = [(world.change(base, number=1), AT), (world.change(head, number=2), AT)]
        empty, full = track.compose_stack(shop, changes=changes, base=base)
        assert isinstance(empty, Car)
        assert isinstance(full, Car)
        assert (empty.paths, full.base) == ((), base)

    def test_one_that_is_refused_ends_it_and_is_refused_when_it_is_the_first(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        alone = world.git("commit-tree", world.git("rev-parse", "main^{tree}"), "-m", "alone")
        world.git("update-ref", "refs/heads/alone", alone)
        good = (world.change(world.commit("work", {"new.py": "x\n"}), number=1), AT)
        bad = (world.change(alone, number=2), AT)
        (car,) = track.compose_stack(shop, changes=[good, bad, good], base=track.tip(shop))
        assert isinstance(car, Car)
        with pytest.raises(Refused):
            track.compose_stack(shop, changes=[bad, good], base=car.sha)

    def test_a_car_is_a_base_on_a_machine_that_never_saw_it_or_lost_its_mirror(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository, tmp_path: Path
    ) -> None:
        one, two = make_track("one"), make_track("two")
        below = compose(one, world, world.commit("w1", {"1.py": "x\n"}), method="squash")
        change = world.change(world.commit("w2", {"2.py": "x\n"}), number=2)
        car = one.compose(shop, change=change, base=below.sha, at=AT, method="squash")
        shutil.rmtree(tmp_path / "one" / "mirrors")
        assert one.compose(shop, change=change, base=below.sha, at=AT, method="squash") == car
        assert two.compose(shop, change=change, base=below.sha, at=AT, method="squash") == car


class TestDrop:
    def test_old_cars_that_nobody_keeps_are_taken_away_and_what_a_kept_one_stands_on_can_be_had(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        track, later = make_track("one"), AT + timedelta(hours=1)
        changes = [(world.change(world.commit(f"w{n}", {f"{n}.py": ""}), number=n), AT) for n in (1, 2, 3)]
        changes[2] = (changes[2][0], later)
        base = track.tip(shop)
        below, kept, young = (
            car.sha for car in track.compose_stack(shop, changes=changes, base=base) if isinstance(car, Car)
        )
        other = track.compose(shop, change=changes[1][0], base=base, at=AT)
        assert isinstance(other, Car)
        assert track.drop_cars(shop, keep=[kept], before=later) == sorted([below, other.sha])
        refs = world.git("for-each-ref", "--format=%(objectname)", "refs/train/main/cars").split()
        assert sorted(refs) == sorted([kept, young])
        assert track.drop_cars(shop, keep=[kept], before=later) == []
        two = make_track("two")
        assert two.is_ancestor(shop, ancestor=below, descendant=kept)
        with pytest.raises(NotFound):
            two.is_ancestor(shop, ancestor=base, descendant=other.sha)

    def test_a_remote_that_lets_nobody_delete_keeps_them(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"new.py": "x\n"}))
        world.hook("update", 'case "$3" in *[!0]*) ;; *) echo "nothing is deleted here"; exit 1 ;; esac')
        assert track.drop_cars(shop, keep=[], before=AT + timedelta(1)) == []
        assert land(track, shop, car).sha == car.sha
