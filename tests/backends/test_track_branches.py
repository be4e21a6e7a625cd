"""Branches with one commit of ours: reverts and overlays."""

import pytest

from activities import overlay_file
from activities.backends.track_git import GitTrack
from leverframe.model.changes import Conflicted
from leverframe.model.differences import TreeDifference
from leverframe.model.errors import (
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
)
from leverframe.model.topology import Repository
from tests.fakes.git_world import AT, FIRST_SHA, KUSTOMIZATION, OVERLAY, GitWorld
from tests.fakes.tracks import NEW_SHA, compose, land


class TestRevert:
    def revert(self, track: GitTrack, shop: Repository, commit: str) -> str | Conflicted:
        return track.revert_branch(shop, commit=commit, branch="undo", message="Undo it\n\nwhy", at=AT)

    def test_a_landed_merge_is_undone_on_the_targets_tip_and_later_work_stays(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        car = compose(track, world, world.commit("work", {"app.py": "ONE\ntwo\nthree\n", "new.py": "x\n"}))
        land(track, shop, car)
        tip = world.commit("main", {"later.py": "y\n"})
        head = self.revert(track, shop, car.sha)
        assert world.git("rev-parse", "undo") == head
        assert world.git("rev-parse", f"{head}^") == tip
        assert world.git("show", f"{head}:app.py") == "one\ntwo\nthree"
        assert world.git("ls-tree", "--name-only", str(head)).split() == ["app.py", "deploy", "later.py"]

    def test_reverting_again_finds_the_branch_that_is_there(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"new.py": "x\n"})
        head = self.revert(track, shop, bad)
        world.commit("main", {"later.py": "y\n"})
        assert self.revert(track, shop, bad) == head

    def test_a_revert_that_later_work_forbids_names_the_paths(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"app.py": "bad\ntwo\nthree\n"})
        world.commit("main", {"app.py": "worse\ntwo\nthree\n"})
        result = self.revert(track, shop, bad)
        assert isinstance(result, Conflicted)
        assert result.paths == ("app.py",)

    def test_what_cannot_be_reverted_is_an_error(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        first = world.git("rev-parse", "main")
        elsewhere = world.commit("work", {"new.py": "x\n"})
        bad = world.commit("main", {"app.py": "bad\ntwo\nthree\n"})
        world.commit("main", {"app.py": "one\ntwo\nthree\n"})
        cases: list[tuple[str, type[LeverframeError]]] = [
            (first, Refused), (elsewhere, NotFound), (bad, Conflict), ("f" * 40, NotFound),
            ("main", BadInput),
        ]  # fmt: skip
        for commit, error in cases:
            with pytest.raises(error):
                self.revert(track, shop, commit)

    def test_a_branch_of_that_name_that_is_somebody_elses_is_left_alone(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"new.py": "x\n"})
        theirs = world.commit("undo", {"theirs.py": "x\n"})
        with pytest.raises(Conflict):
            self.revert(track, shop, bad)
        assert world.git("rev-parse", "undo") == theirs

    def test_a_branch_with_our_message_on_a_commit_that_never_landed_is_somebody_elses(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"new.py": "x\n"})
        preview = track.preview_revert(shop, commit=bad, at=AT)
        assert isinstance(preview, TreeDifference)
        world.commit("undo", {"app.py": "evil\n"})
        theirs = world.commit("undo", {"new.py": None}, message="Undo it\n\nwhy")
        for patch in (None, preview.patch):
            with pytest.raises(Conflict):
                track.revert_branch(
                    shop, commit=bad, branch="undo", message="Undo it\n\nwhy", at=AT, patch=patch
                )
        assert world.git("rev-parse", "undo") == theirs

    def test_a_branch_with_our_message_and_another_tree_is_somebody_elses(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"new.py": "x\n"})
        world.commit("undo", {"new.py": None, "app.py": "evil\n"}, message="Undo it\n\nwhy")
        with pytest.raises(Conflict, match="another tree"):
            self.revert(track, shop, bad)


class TestOverlay:
    def point(self, track: GitTrack, shop: Repository, sha: str, branch: str = "overlay") -> str | None:
        return track.overlay_branch(
            shop, environment="production", sha=sha, branch=branch, message="Point", at=AT
        )

    def test_an_edit_changes_one_scalar_and_keeps_comments_order_and_layout(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = self.point(track, shop, NEW_SHA)
        assert world.git("show", f"{head}:{OVERLAY}") + "\n" == KUSTOMIZATION.replace(FIRST_SHA, NEW_SHA)
        assert world.git("diff", "--name-only", f"{head}^", str(head)) == OVERLAY

    def test_the_same_branch_again_is_the_same_commit_and_the_same_sha_needs_none(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = self.point(track, shop, NEW_SHA)
        world.commit("main", {"later.py": "y\n"})
        assert self.point(track, shop, NEW_SHA) == head
        assert self.point(track, shop, FIRST_SHA, "other") is None

    def test_history_lists_distinct_shas_newest_first_and_skips_what_named_none(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        for tag in (NEW_SHA, "v2", FIRST_SHA):
            world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, tag)})
        world.commit("main", {OVERLAY: None})
        world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, "c" * 40)})
        assert track.overlay_history(shop, "production") == ["c" * 40, FIRST_SHA, NEW_SHA]
        assert track.overlay_history(shop, "production", limit=1) == ["c" * 40]
        assert track.overlay_sha(shop, "production") == "c" * 40

    def test_what_was_taken_back_never_stood_before_anything(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        first, second, red = (world.commit("main", {f"{name}.py": "x\n"}) for name in ("a", "b", "c"))
        for sha in (first, second, red, second):
            world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, sha)})
        assert track.live_before(shop, sha=second) == first
        assert track.live_before(shop, sha=red) == second
        assert track.live_before(shop, sha=first) is None

    def test_a_tag_that_is_no_sha_is_none(self, world: GitWorld, track: GitTrack, shop: Repository) -> None:
        world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, "latest")})
        assert track.overlay_sha(shop, "production") is None

    def test_an_overlay_that_cannot_be_edited_is_bad_input(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        hostile = ["", "{", "images: 3", "images: [3]", "a: &a [*a]", "images:\n- name: shop\n", "[" * 1000]
        for text in [*hostile, "x" * 300_000]:
            world.commit("main", {OVERLAY: text})
            with pytest.raises(BadInput):
                self.point(track, shop, NEW_SHA)

    @pytest.mark.parametrize(
        ("before", "sha", "after"),
        [
            ("'v1'", NEW_SHA, f"'{NEW_SHA}'"),
            ('"v1"', NEW_SHA, f'"{NEW_SHA}"'),
            ("v1", "1" * 40, f'"{"1" * 40}"'),
            ("v1", "1" * 20 + "e" + "2" * 19, f'"{"1" * 20}e{"2" * 19}"'),
            ("1.2", NEW_SHA, NEW_SHA),
        ],
    )
    def test_a_tag_keeps_its_quotes_and_a_sha_never_becomes_a_number(
        self, before: str, sha: str, after: str
    ) -> None:
        text = "images: [{{name: shop, newTag: {}}}]  # end\n"
        edited = overlay_file.point_at(text.format(before), "shop", sha)
        assert edited == text.format(after)
        assert overlay_file.named_sha(edited, "shop") == sha

    def test_a_tag_over_several_lines_is_left_to_a_person(self) -> None:
        for value in ("|\n    v1\n", "v1\n    v2\n", "&x v1\n"):
            with pytest.raises(BadInput):
                overlay_file.point_at(f"images:\n- name: shop\n  newTag: {value}", "shop", NEW_SHA)


class TestPreview:
    def test_a_revert_is_previewed_as_it_will_be_pushed_and_nothing_is(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"app.py": "bad\ntwo\nthree\n", "new.py": "x\n"})
        tip = world.commit("main", {"later.py": "y\n"})
        preview = track.preview_revert(shop, commit=bad, at=AT)
        assert isinstance(preview, TreeDifference)
        assert [(file.path, file.change) for file in preview.files] == [
            ("app.py", "modified"),
            ("new.py", "deleted"),
        ]
        assert preview.base == tip
        assert world.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
        head = track.revert_branch(
            shop, commit=bad, branch="undo", message="Undo", at=AT, patch=preview.patch
        )
        assert isinstance(head, str)
        assert track.difference(shop, base=tip, head=head).files == preview.files

    def test_what_cannot_be_reverted_cannot_be_previewed(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"app.py": "bad\n"})
        world.commit("main", {"app.py": "worse\n"})
        assert isinstance(track.preview_revert(shop, commit=bad, at=AT), Conflicted)
        world.commit("main", {"app.py": "one\ntwo\nthree\n"})
        with pytest.raises(Conflict, match="undone"):
            track.preview_revert(shop, commit=bad, at=AT)
        with pytest.raises(NotFound):
            track.preview_revert(shop, commit="f" * 40, at=AT)

    def test_an_overlay_is_previewed_as_one_line_or_as_nothing_to_do(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        preview = track.preview_overlay(shop, environment="production", sha=NEW_SHA, at=AT)
        assert preview is not None
        assert [(file.path, file.added, file.removed) for file in preview.files] == [(OVERLAY, 1, 1)]
        assert track.preview_overlay(shop, environment="production", sha=FIRST_SHA, at=AT) is None
        assert world.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]


class TestPatchThatPolicyAllowed:
    """A branch is pushed only if it changes what was looked at."""

    def test_work_elsewhere_on_the_target_does_not_matter(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"app.py": "bad\ntwo\nthree\n"})
        preview = track.preview_revert(shop, commit=bad, at=AT)
        assert isinstance(preview, TreeDifference)
        tip = world.commit("main", {"later.py": "y\n"})
        for _ in range(2):
            head = track.revert_branch(
                shop, commit=bad, branch="undo", message="Undo", at=AT, patch=preview.patch
            )
            assert world.git("rev-parse", f"{head}^") == tip
            world.commit("main", {"even-later.py": "y\n"})

    def test_a_target_that_moved_so_that_something_else_would_be_undone_gets_no_branch(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        lines = [f"{number}\n" for number in range(20)]
        world.commit("main", {"app.py": "".join(lines)})
        bad = world.commit("main", {"app.py": "".join(["bad\n", *lines[1:]]), "secret.py": "x\n"})
        preview = track.preview_revert(shop, commit=bad, at=AT)
        assert isinstance(preview, TreeDifference)
        world.commit("main", {"secret.py": None})
        with pytest.raises(Refused, match="not the one that policy allowed"):
            track.revert_branch(shop, commit=bad, branch="undo", message="Undo", at=AT, patch=preview.patch)
        assert world.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]

    def test_a_branch_of_an_earlier_attempt_is_compared_too(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"new.py": "x\n"})
        track.revert_branch(shop, commit=bad, branch="undo", message="Undo", at=AT)
        with pytest.raises(Refused, match="not the one that policy allowed"):
            track.revert_branch(shop, commit=bad, branch="undo", message="Undo", at=AT, patch="0" * 40)

    def test_an_overlay_whose_line_changed_is_not_pushed(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        preview = track.preview_overlay(shop, environment="production", sha=NEW_SHA, at=AT)
        assert preview is not None
        world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, "c" * 40)})
        with pytest.raises(Refused, match="not the one that policy allowed"):
            track.overlay_branch(
                shop,
                environment="production",
                sha=NEW_SHA,
                branch="overlay",
                message="Point",
                at=AT,
                patch=preview.patch,
            )
        assert world.git("for-each-ref", "--format=%(refname)").split() == ["refs/heads/main"]
