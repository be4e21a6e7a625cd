"""What lies between two commits, as git's own trees say it."""

from pathlib import Path

import pytest

from activities.backends.track_difference import MAX_PATH, NO_CHANGE
from activities.backends.track_git import GitTrack
from leverframe.model.differences import MAX_FILES, TreeDifference
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.topology import Repository
from tests.fakes.git_world import GitWorld, Link, Program


def since(track: GitTrack, shop: Repository, base: str) -> TreeDifference:
    return track.difference(shop, base=base, head=track.tip(shop))


def test_each_path_has_its_change_its_modes_and_its_lines_and_a_rename_is_two(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    base = world.commit("main", {"old.py": "same\n", "gone.py": "x\ny\n", "run.sh": "#!\n"})
    renamed = {"old.py": None, "renamed.py": "same\n"}
    changed = {"gone.py": None, "app.py": "one\nTWO\nthree\nfour\n", "run.sh": Program("#!\n")}
    world.commit("main", renamed | changed)
    found = since(track, shop, base)
    assert [tuple(file.model_dump().values()) for file in found.files] == [
        ("app.py", "modified", "100644", "100644", 2, 1, False),
        ("gone.py", "deleted", "100644", "000000", 0, 2, False),
        ("old.py", "deleted", "100644", "000000", 0, 1, False),
        ("renamed.py", "added", "000000", "100644", 1, 0, False),
        ("run.sh", "modified", "100644", "100755", 0, 0, False),
    ]
    assert (found.base, found.head, found.total_lines, found.omitted) == (base, track.tip(shop), 7, 0)


def test_a_file_that_becomes_a_link_keeps_its_path_and_shows_both_modes(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    base = track.tip(shop)
    world.commit("main", {"app.py": Link("/etc/passwd")})
    (file,) = since(track, shop, base).files
    assert (file.path, file.change, file.old_mode, file.new_mode) == (
        "app.py",
        "modified",
        "100644",
        "120000",
    )


def test_a_binary_file_is_named_so_and_has_no_lines(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    base = track.tip(shop)
    world.commit("main", {"logo.png": b"\x89PNG\0\1\2\xff"})
    (file,) = since(track, shop, base).files
    assert (file.path, file.binary, file.added) == ("logo.png", True, 0)


def test_attributes_that_call_a_text_binary_hide_no_line(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    base = world.commit("main", {".gitattributes": "*.py binary -diff\n*.txt diff=evil\n"})
    world.commit("main", {"a.py": "x\ny\n", "b.txt": "z\n"})
    assert [(file.added, file.binary) for file in since(track, shop, base).files] == [(2, False), (1, False)]


def test_programs_and_settings_of_the_machine_have_no_say(
    world: GitWorld,
    track: GitTrack,
    shop: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base = track.tip(shop)
    world.commit("main", {"a.py": "x\n", "app.py": None, "copy.py": "one\ntwo\nthree\n"})
    plain = since(track, shop, base)
    home, ran = tmp_path / "home", tmp_path / "ran"
    home.mkdir()
    (home / ".gitconfig").write_text(
        f"[diff]\n renames = copies\n noprefix = true\n context = 0\n external = touch {ran}\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", f"touch {ran}")
    assert since(track, shop, base) == plain
    assert not ran.exists()


class TestPatch:
    """The name of a change: equal exactly when the same would be done to the files."""

    def test_the_same_change_on_another_base_has_the_same_name(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        base = track.tip(shop)
        head = world.commit("work", {"app.py": "ONE\ntwo\nthree\n"})
        first = track.difference(shop, base=base, head=head)
        other = world.commit("main", {"other.py": "y\n"})
        world.commit("main", {"app.py": "ONE\ntwo\nthree\n"})
        assert since(track, shop, other).patch == first.patch

    def test_a_change_of_nothing_but_spaces_or_a_mode_has_a_name_of_its_own(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        base = track.tip(shop)
        heads = [
            world.commit("main", {"job.py": "if x:\n  go()\nstop()\n"}),
            world.commit("main", {"job.py": "if x:\n  go()\n  stop()\n"}),
            world.commit("main", {"job.py": "if x:\n  go()\nstop()"}),
        ]
        heads.append(world.commit("main", {"job.py": Program("if x:\n  go()\nstop()\n")}))
        patches = {track.difference(shop, base=base, head=head).patch for head in heads}
        assert len(patches) == len(heads)
        assert NO_CHANGE not in patches

    def test_a_mode_alone_has_a_name(self, world: GitWorld, track: GitTrack, shop: Repository) -> None:
        base = track.tip(shop)
        world.commit("main", {"app.py": Program("one\ntwo\nthree\n")})
        assert since(track, shop, base).patch != NO_CHANGE

    def test_binary_files_that_differ_have_other_names(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        base, patches = track.tip(shop), set()
        for content in (b"\0one", b"\0two"):
            world.commit("main", {"logo.png": content})
            patches.add(since(track, shop, base).patch)
        assert len(patches) == 2

    def test_equal_trees_differ_in_nothing(self, world: GitWorld, track: GitTrack, shop: Repository) -> None:
        base = track.tip(shop)
        head = world.commit("main", {})
        assert track.difference(shop, base=base, head=head) == TreeDifference(
            base=base, head=head, patch=NO_CHANGE, files=()
        )


def test_files_past_the_limit_and_endless_paths_are_counted_not_kept(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    base = track.tip(shop)
    long = "/".join(["d" * 200] * 6)
    assert len(long) > MAX_PATH
    world.commit("main", {f"many/{number:04}.py": "x\n" for number in range(MAX_FILES + 7)} | {long: "x\n"})
    found = since(track, shop, base)
    assert (len(found.files), found.omitted, found.total_files) == (MAX_FILES, 8, MAX_FILES + 8)
    assert not any(file.path == long for file in found.files)


def test_a_commit_that_is_not_there_or_no_commit_is_an_error(track: GitTrack, shop: Repository) -> None:
    tip = track.tip(shop)
    with pytest.raises(NotFound):
        track.difference(shop, base=tip, head="f" * 40)
    for hostile in ("main", "--output=/tmp/x", f"{tip}^"):
        with pytest.raises(BadInput):
            track.difference(shop, base=hostile, head=tip)
