"""What landed: the artifact of a commit, who did it, and which line is whose."""

import hashlib
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.backends.track_git import GitTrack
from leverframe.model.changes import Author
from leverframe.model.errors import (
    BadInput,
    Conflict,
    NotFound,
)
from leverframe.model.topology import Repository
from tests.fakes.git_world import AT, GitWorld, Link, passed
from tests.fakes.tracks import compose, land


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
        left = {each.name for each in path.parent.iterdir()}
        assert left == {".lock", f"{sha}.tar", f"{sha}.tar.sha256"}

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
        assert [commit.first for commit in (newest, landed, first)] == [False, False, True]
        assert first.subject.for_terminal() == "begin"
        assert [commit.sha for commit in track.commits(shop, limit=1)] == [pushed]

    def test_everybody_who_wrote_a_landed_change_is_named_and_who_opened_it(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        world.commit("work", {"a.py": "x\n"}, author="Bob <Bob@Example.com>")
        head = world.commit("work", {"b.py": "x\n"}, author="Eve <eve@example.com>")
        land(track, shop, compose(track, world, head), Author(kind="person", name="ada-login"))
        pushed = world.commit("main", {"c.py": "x\n"}, author="Joe <joe@example.com>")
        newest, landed = track.commits(shop, limit=2)
        assert (newest.sha, newest.author, newest.authors) == (
            pushed,
            "joe@example.com",
            ("joe@example.com",),
        )
        assert landed.author == "eve@example.com"
        assert landed.authors == ("ada-login", "eve@example.com", "bob@example.com")

    def test_a_run_is_told_only_of_a_change_that_an_agent_landed(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        said = "undo\n\nLeverframe-Run: run/fixer/shop/S-1/1\n"
        agent = Author(kind="agent", name="fixer")
        for number, author in ((1, agent), (2, Author(kind="person", name="ada"))):
            head = world.commit(f"work-{number}", {f"{number}.py": "x\n"}, message=said)
            land(track, shop, compose(track, world, head, number=number), author)
        head = world.commit("work-3", {"3.py": "x\n"})
        land(track, shop, compose(track, world, head, number=3), agent)
        world.commit("main", {"p.py": "x\n"}, message=said)
        assert [commit.run for commit in track.commits(shop, limit=4)] == [
            None,
            None,
            None,
            "run/fixer/shop/S-1/1",
        ]

    def test_a_revert_is_found_by_what_git_makes_it_say_wherever_in_the_change_it_stands(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"bad.py": "x\n"})
        early = datetime.now(UTC) - timedelta(hours=1)
        assert track.reverted_in(shop, commit=bad, since=early) is None
        undone = world.commit("work", {"bad.py": None}, message=f'Revert "x"\n\nThis reverts commit {bad}.')
        assert track.reverted_in(shop, commit=bad, since=early) is None
        world.commit("work", {"more.py": "x\n"})
        land(track, shop, compose(track, world, world.git("rev-parse", "work")))
        assert track.reverted_in(shop, commit=bad, since=AT) == undone
        assert track.reverted_in(shop, commit=track.tip(shop), since=AT) is None

    def test_a_revert_that_landed_before_does_not_count(
        self, world: GitWorld, track: GitTrack, shop: Repository
    ) -> None:
        bad = world.commit("main", {"bad.py": "x\n"})
        world.commit("main", {"bad.py": None}, message=f"This reverts commit {bad}.")
        assert track.reverted_in(shop, commit=bad, since=datetime.now(UTC) - timedelta(minutes=5)) is not None
        assert track.reverted_in(shop, commit=bad, since=datetime.now(UTC) + timedelta(minutes=5)) is None

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
        self, world: GitWorld, track: GitTrack, shop: Repository, path: str
    ) -> None:
        sha = world.commit("main", {"link": Link("/etc/passwd")})
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
            assert path in track.file_paths(shop, sha=sha, most=100)
        with pytest.raises(BadInput, match="files, and 2 are looked through"):
            track.file_paths(shop, sha=sha, most=2)

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


def test_commits_since_then_that_say_which_flaky_test_they_fix(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    test, odd = "tests/test_a.py::test_x[a b]", "--upload-pack=$(evil)`x`"
    world.commit("main", {"0": "0\n"}, message="Old\n\nFixes-flaky: tests/old.py::test_old")
    after = world.git("rev-parse", "main")
    one = world.commit("main", {"1": "1\n"}, message=f"One\n\nFixes-flaky: {test}  \r\n\nSquashed: x")
    world.commit("main", {"2": "2\n"}, message="Two\n\nThis Fixes-flaky: nothing\nfixes-flaky: nor this")
    tip = world.commit("main", {"3": "3\n"}, message=f"Three\n\nFixes-flaky: {odd}\nFixes-flaky:  b")
    claims = track.fix_claims(shop, after=after, upto=tip, limit=9)
    assert sorted(claims) == sorted([(one, test), (tip, odd), (tip, "b")])
    assert claims[0] == (one, test)
    assert {sha for sha, _ in track.fix_claims(shop, after=after, upto=tip, limit=1)} == {tip}
    assert track.fix_claims(shop, after="f" * 40, upto=tip, limit=9) == []
