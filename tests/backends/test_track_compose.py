"""Cars: a change merged onto a base, without a worktree."""

from collections.abc import Callable

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.changes import Conflicted
from leverframe.model.errors import (
    NotFound,
    Refused,
)
from leverframe.model.topology import Repository
from tests.fakes.git_world import AT, GitWorld
from tests.fakes.tracks import compose, land


def kept(world: GitWorld) -> set[str]:
    """The cars that the remote keeps."""
    return set(world.git("for-each-ref", "--format=%(objectname)", "refs/train/main/cars").split())


class TestCompose:
    def test_the_same_inputs_give_the_same_sha_on_every_machine(
        self, world: GitWorld, make_track: Callable[..., GitTrack]
    ) -> None:
        head = world.commit("work", {"app.py": "one\ntwo\nthree\nfour\n"})
        one, two = compose(make_track("one"), world, head), compose(make_track("two"), world, head)
        assert one == two
        assert one.paths == ("app.py",)

    def test_a_car_is_a_merge_of_base_and_head_signed_by_the_changes_author(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        base = world.git("rev-parse", "main")
        head = world.commit("work", {"new.py": "x\n"})
        world.commit("main", {"other.py": "y\n"})
        car = compose(track, world, head)
        parents = world.git("log", "-1", "--format=%P", car.sha).split()
        assert parents == [world.git("rev-parse", "main"), head]
        assert base not in parents
        assert world.git("log", "-1", "--format=%an <%ae> %cn %at %ct", car.sha) == (
            f"ada <person@leverframe.invalid> Leverframe {int(AT.timestamp())} {int(AT.timestamp())}"
        )

    def test_a_change_that_does_not_apply_names_the_paths_in_conflict(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = world.commit("work", {"app.py": "mine\ntwo\nthree\n"})
        base = world.commit("main", {"app.py": "theirs\ntwo\nthree\n"})
        assert track.compose(shop, change=world.change(head), base=base, at=AT) == Conflicted(
            change="shop/1", base=base, paths=("app.py",)
        )

    def test_a_change_that_the_target_contains_gives_a_car_without_paths(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        assert compose(track, world, world.git("rev-parse", "main")).paths == ()

    def test_a_head_that_the_remote_lacks_is_not_found(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        with pytest.raises(NotFound):
            track.compose(shop, change=world.change("f" * 40), base=track.tip(shop), at=AT)

    def test_a_history_of_its_own_is_refused(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        tree = world.git("rev-parse", "main^{tree}")
        orphan = world.git("commit-tree", tree, "-m", "alone")
        world.git("update-ref", "refs/heads/work", orphan)
        with pytest.raises(Refused, match="unrelated"):
            track.compose(shop, change=world.change(orphan), base=track.tip(shop), at=AT)

    def test_a_merge_driver_that_the_tree_names_has_no_say(self, world: GitWorld, track: GitTrack) -> None:
        world.commit("main", {".gitattributes": "app.py merge=union\n"})
        head = world.commit("work", {"app.py": "mine\ntwo\nthree\n"})
        base = world.commit("main", {"app.py": "theirs\ntwo\nthree\n"})
        result = track.compose(world.repository, change=world.change(head), base=base, at=AT)
        assert isinstance(result, Conflicted)

    def test_a_car_is_kept_on_the_remote_until_it_is_in(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = world.commit("work", {"new.py": "x\n"})
        first = compose(track, world, head)
        world.commit("main", {"other.py": "y\n"})
        second = compose(track, world, head)
        assert kept(world) == {first.sha, second.sha}
        land(track, shop, second)
        third = compose(track, world, world.commit("more", {"more.py": "x\n"}), number=2)
        assert kept(world) == {first.sha, third.sha}
