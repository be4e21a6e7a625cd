"""The track on real git and real bare repositories."""

import hashlib
import subprocess
import tarfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from activities import overlay_file
from activities.backends.git_process import Git
from activities.backends.track_git import GitTrack
from leverframe.model.changes import Author, Car, Conflicted, Receipt
from leverframe.model.errors import (
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    TargetMoved,
    Unavailable,
)
from leverframe.model.topology import Repository
from tests.fakes.git_world import AT, FIRST_SHA, KUSTOMIZATION, OVERLAY, GitWorld, passed

ADA = Author(kind="person", name="ada")
NEW_SHA = "b" * 40


@pytest.fixture
def world(tmp_path: Path) -> GitWorld:
    return GitWorld(tmp_path)


@pytest.fixture
def shop(world: GitWorld) -> Repository:
    return world.repository


@pytest.fixture
def make_track(tmp_path: Path) -> Callable[..., GitTrack]:
    def make(home: str = "one", seconds: float = 30) -> GitTrack:
        return GitTrack(
            mirrors=tmp_path / home / "mirrors",
            artifacts=tmp_path / home / "artifacts",
            timeout=timedelta(seconds=seconds),
        )

    return make


@pytest.fixture
def track(make_track: Callable[..., GitTrack]) -> GitTrack:
    return make_track()


def compose(track: GitTrack, world: GitWorld, head: str, **about: str | int) -> Car:
    shop = world.repository
    change = world.change(head, **about)  # type: ignore[arg-type]  # names match `change`'s
    car = track.compose(shop, change=change, base=track.tip(shop), at=AT)
    assert isinstance(car, Car)
    return car


def land(track: GitTrack, shop: Repository, car: Car) -> Receipt:
    return track.land(shop, car=car, checks=[passed(car.sha)], author=ADA, at=AT)


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

    def test_a_car_is_kept_on_the_remote_until_the_next_attempt(
        self, world: GitWorld, track: GitTrack
    ) -> None:
        head = world.commit("work", {"new.py": "x\n"})
        first = compose(track, world, head)
        world.commit("main", {"other.py": "y\n"})
        second = compose(track, world, head)
        refs = world.git("for-each-ref", "--format=%(objectname)", "refs/train/main/cars").split()
        assert refs == [second.sha]
        assert first.sha != second.sha


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

    def test_a_tag_that_is_no_sha_is_none(self, world: GitWorld, track: GitTrack, shop: Repository) -> None:
        world.commit("main", {OVERLAY: KUSTOMIZATION.replace(FIRST_SHA, "latest")})
        assert track.overlay_sha(shop, "production") is None

    def test_an_overlay_that_cannot_be_edited_is_bad_input(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        hostile = ["", "{", "images: 3", "images: [3]", "a: &a [*a]", "images:\n- name: shop\n", "[" * 5000]
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


class TestExport:
    def test_a_tar_depends_on_the_commit_only_and_is_built_once(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository, tmp_path: Path
    ) -> None:
        sha = world.git("rev-parse", "main")
        one, two = make_track("one").export(shop, sha), make_track("two").export(shop, sha)
        assert one == two
        path = tmp_path / "one/artifacts" / one.path
        assert one.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        before = path.stat()
        assert make_track("one").export(shop, sha) == one
        assert path.stat().st_ino == before.st_ino
        assert sorted(left.name for left in path.parent.iterdir()) == [f"{sha}.tar", f"{sha}.tar.sha256"]

    def test_a_tar_that_was_changed_is_not_handed_out(
        self, world: GitWorld, track: GitTrack, shop: Repository, tmp_path: Path
    ) -> None:
        artifact = track.export(shop, world.git("rev-parse", "main"))
        with (tmp_path / "one/artifacts" / artifact.path).open("ab") as tar:
            tar.write(b"!")
        with pytest.raises(Conflict, match="not what was built"):
            track.export(shop, artifact.sha)

    def test_attributes_in_the_tree_do_not_change_what_is_exported(
        self, world: GitWorld, track: GitTrack, shop: Repository, tmp_path: Path
    ) -> None:
        attributes = "tests export-ignore\n*.txt eol=crlf export-subst\n"
        sha = world.commit(
            "main", {".gitattributes": attributes, "tests/t.py": "x\n", "v.txt": "$Format:%H$\n"}
        )
        with tarfile.open(tmp_path / "one/artifacts" / track.export(shop, sha).path) as tar:
            assert "tests/t.py" in tar.getnames()
            content = tar.extractfile("v.txt")
            assert content is not None
            assert content.read() == b"$Format:%H$\n"

    def test_builders_at_the_same_time_give_one_artifact(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        sha = track.tip(shop)
        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(lambda _: track.export(shop, sha).digest, range(4)))) == 1


class TestHistory:
    def test_commits_say_who_from_the_receipt_and_from_the_trailer(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        head = world.commit("work", {"new.py": "x\n"})
        car = compose(track, world, head, number=5)
        track.land(shop, car=car, checks=[passed(car.sha)], author=Author(kind="agent", name="fixer"), at=AT)
        pushed = world.commit("main", {"p.py": "x\n"}, message="pushed\n\nLeverframe-Run: run/a/b/c/1\n")
        newest, landed, first = track.commits(shop, limit=10)
        assert (newest.sha, newest.change, newest.by_agent) == (pushed, None, True)
        assert (landed.sha, landed.change, landed.by_agent) == (car.sha, "shop/5", True)
        assert (landed.landed_at, landed.paths) == (AT, ("new.py",))
        assert (first.change, first.by_agent, "app.py" in first.paths) == (None, False, True)
        assert first.subject.for_terminal() == "begin"
        assert [commit.sha for commit in track.commits(shop, limit=1)] == [pushed]

    def test_hostile_subjects_and_file_names_stay_in_their_fields(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        sha = world.commit("main", {"a\nb\x02.py": "x\n"}, message="\x1b[31m\x1f red | %H\x1e")
        commit = track.commits(shop, limit=1)[0]
        assert commit.sha == sha
        assert commit.paths == ("a\nb\x02.py",)
        assert "red" in commit.subject.for_terminal()

    def test_blame_names_the_landed_commit_not_the_one_on_the_branch(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        first = track.tip(shop)
        car = compose(track, world, world.commit("work", {"app.py": "one\nTWO\nthree\n"}))
        land(track, shop, car)
        assert track.blame(shop, sha=car.sha, path="app.py", line=2) == car.sha
        assert track.blame(shop, sha=car.sha, path="app.py", line=1) == first
        assert track.blame(shop, sha=car.sha, path="app.py", line=99) is None
        assert track.blame(shop, sha=car.sha, path="gone.py", line=1) is None

    @pytest.mark.parametrize(
        "path",
        [
            "", "/", "/etc/passwd", "..", "../app.py", "deploy/../app.py", "./app.py", "deploy", "deploy/",
            "deploy//production", "app.py\n", "app.py\x00", "a\x1b[31m", "-h", "--help", ":app.py",
            ":/app.py", "\ud800",
            ":(glob)*.py", "*.py", "app.p?", "link", ".git/config", "HEAD", "app.py:app.py", "x" * 5000,
        ],
    )  # fmt: skip
    def test_no_hostile_path_names_a_file(
        self, world: GitWorld, track: GitTrack, shop: Repository, path: str, tmp_path: Path
    ) -> None:
        (tmp_path / "person" / "link").symlink_to("/etc/passwd")
        sha = world.commit("main", {})
        assert track.has_file(shop, sha=sha, path="app.py")
        assert not track.has_file(shop, sha=sha, path=path)
        assert track.blame(shop, sha=sha, path=path, line=1) is None

    def test_a_file_may_be_named_like_an_option_or_a_pattern(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        sha = world.commit("main", {"-h": "x\n", ":(glob)x": "x\n", "ü ñ.py": "x\n"})
        for path in ("-h", ":(glob)x", "ü ñ.py"):
            assert track.has_file(shop, sha=sha, path=path)
            assert track.blame(shop, sha=sha, path=path, line=1) == sha

    def test_a_revision_that_is_no_full_sha_never_reaches_git(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        for sha in ("main", "--all", "HEAD~1", "abc", "", f"{'a' * 40}\n"):
            with pytest.raises(BadInput):
                track.has_file(shop, sha=sha, path="app.py")

    def test_ancestry_follows_the_history(self, world: GitWorld, track: GitTrack, shop: Repository) -> None:
        old, new = track.tip(shop), world.commit("main", {"b.py": "x\n"})
        assert track.is_ancestor(shop, ancestor=old, descendant=new)
        assert not track.is_ancestor(shop, ancestor=new, descendant=old)
        with pytest.raises(NotFound):
            track.is_ancestor(shop, ancestor="f" * 40, descendant=new)

    def test_a_branch_that_is_not_there_or_not_a_name_is_an_error(
        self, track: GitTrack, shop: Repository
    ) -> None:
        with pytest.raises(NotFound):
            track.tip(shop, "gone")
        for name in ("a..b", "-", "a b", "x\ny", "../../x", "a~1", "@{u}"):
            with pytest.raises((BadInput, NotFound)):
                track.tip(shop, name)


class TestTag:
    def test_the_same_tag_on_the_same_commit_is_a_success_and_elsewhere_a_conflict(
        self, world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository
    ) -> None:
        old, new = world.git("rev-parse", "main"), world.commit("main", {"b.py": "x\n"})
        for home in ("one", "one", "two"):
            make_track(home).tag(shop, name="release/1", sha=old, message="at 100 %")
        assert world.git("cat-file", "-t", "release/1") == "tag"
        assert world.git("rev-parse", "release/1^{commit}") == old
        with pytest.raises(Conflict):
            make_track().tag(shop, name="release/1", sha=new, message="at 100 %")

    def test_a_tag_that_a_person_set_on_the_commit_counts(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        world.git("tag", "release/1", "main")
        track.tag(shop, name="release/1", sha=track.tip(shop), message="at 100 %")
        assert world.git("cat-file", "-t", "release/1") == "commit"

    def test_a_name_that_git_does_not_take_is_bad_input(self, track: GitTrack, shop: Repository) -> None:
        for name in ("a..b", "x\ny", "", "a b", "a:b"):
            with pytest.raises(BadInput):
                track.tag(shop, name=name, sha=track.tip(shop), message="m")


class TestMirror:
    @pytest.mark.parametrize("damage", ["HEAD", "objects", "stale lock", "half made"])
    def test_a_damaged_mirror_is_made_again(
        self, world: GitWorld, track: GitTrack, shop: Repository, tmp_path: Path, damage: str
    ) -> None:
        sha = track.tip(shop)
        mirror = tmp_path / "one/mirrors/shop.git"
        if damage == "HEAD":
            (mirror / "HEAD").unlink()
        elif damage == "objects":
            for path in mirror.glob("objects/*/*"):
                path.chmod(0o644)
                path.write_bytes(b"")
        elif damage == "stale lock":
            world.commit("main", {"b.py": "x\n"})
            (mirror / "refs/heads/main.lock").write_text("")
        else:
            subprocess.run(["rm", "-r", str(mirror)], check=True)
            mirror.mkdir()
        assert track.tip(shop) == world.git("rev-parse", "main")
        assert track.has_file(shop, sha=sha, path="app.py")

    def test_objects_lost_after_the_fetch_are_found_missing_and_fetched_again(
        self, track: GitTrack, shop: Repository, tmp_path: Path
    ) -> None:
        sha = track.tip(shop)
        for path in (tmp_path / "one/mirrors/shop.git").glob("objects/*/*"):
            path.chmod(0o644)
            path.write_bytes(b"")
        assert track.has_file(shop, sha=sha, path="app.py")

    def test_threads_share_one_mirror(self, track: GitTrack, shop: Repository) -> None:
        with ThreadPoolExecutor(4) as pool:
            assert len(set(pool.map(lambda _: track.tip(shop), range(8)))) == 1

    def test_branches_that_are_gone_on_the_remote_are_gone_here(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        world.commit("work", {"b.py": "x\n"})
        track.tip(shop, "work")
        world.git("update-ref", "-d", "refs/heads/work")
        with pytest.raises(NotFound):
            track.tip(shop, "work")

    def test_a_remote_that_is_not_there_is_refused_and_a_hostile_address_never_runs(
        self, track: GitTrack, shop: Repository, tmp_path: Path
    ) -> None:
        ran = tmp_path / "ran"
        for url in (str(tmp_path / "nowhere"), f"ext::touch {ran}", f"--upload-pack=touch {ran}"):
            with pytest.raises(LeverframeError):
                track.tip(shop.model_copy(update={"url": url}))
        assert not ran.exists()

    def test_health_says_what_answers(self, world: GitWorld, shop: Repository, tmp_path: Path) -> None:
        def health(repository: Repository) -> bool:
            return GitTrack(mirrors=tmp_path / "m", artifacts=tmp_path, repositories=[repository]).health().ok

        assert health(shop)
        assert not health(shop.model_copy(update={"name": "other", "url": str(tmp_path / "nowhere")}))


class TestGitProcess:
    def test_output_past_the_limit_is_bad_input(self, world: GitWorld) -> None:
        with pytest.raises(BadInput, match="more than"):
            Git(world.remote, max_output=10).run("cat-file", "commit", "main")

    def test_a_child_that_overstays_is_killed_and_unavailable(self, world: GitWorld, tmp_path: Path) -> None:
        world.hook("pre-receive", f"mkfifo {tmp_path}/never; exec cat {tmp_path}/never")
        git = Git(world.remote, timeout=timedelta(seconds=1))
        with pytest.raises(Unavailable, match="longer than"):
            git.run("push", str(world.remote), "main:refs/heads/copy")

    def test_the_users_configuration_and_locale_have_no_say(
        self, world: GitWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / ".gitconfig").write_text("[alias]\n  hello = !echo hello\n[user]\n  name = Mallory\n")
        for name, value in (("HOME", str(tmp_path)), ("LANG", "de_DE.UTF-8"), ("GIT_DIR", "/nowhere")):
            monkeypatch.setenv(name, value)
        git = Git(world.remote)
        assert git.run("config", "user.name", allow=(0, 1)).text == ""
        with pytest.raises(LeverframeError):
            git.run("hello")

    def test_credentials_in_an_address_are_not_told(self, tmp_path: Path, world: GitWorld) -> None:
        with pytest.raises(LeverframeError) as caught:
            Git(world.remote).run("fetch", "https://bot:secret@127.0.0.1:1/x.git")
        assert "secret" not in str(caught.value)
