"""Tags, the mirror, and the one way to run git."""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from activities.backends import track_mirror
from activities.backends.git_process import Git
from activities.backends.track_git import GitTrack
from leverframe.model.errors import (
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Unavailable,
)
from leverframe.model.topology import Repository
from tests.fakes.git_world import GitWorld


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
    def test_many_refs_are_packed_and_their_moves_are_seen_all_the_same(
        self,
        world: GitWorld,
        track: GitTrack,
        shop: Repository,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(track_mirror, "MOST_LOOSE_REFS", 2)
        heads = {name: world.commit(name, {f"{name}.py": "x\n"}) for name in ("one", "two", "three")}
        assert track.tips(shop, heads.keys()) == heads
        refs = tmp_path / "one/mirrors/shop.git"
        assert "refs/heads/three" in (refs / "packed-refs").read_text()
        assert not list((refs / "refs/heads").rglob("*"))
        world.git("update-ref", "-d", "refs/heads/two")
        newer = {"one": world.commit("one", {"more.py": "x\n"}), "three": heads["three"]}
        assert track.tips(shop, heads.keys()) == newer

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
        main, more = world.commit("main", {"c.py": "x\n"}), world.commit("ada/more", {"d.py": "x\n"})
        world.git("update-ref", "-d", "refs/heads/work")
        with pytest.raises(NotFound):
            track.tip(shop, "work")
        asked = ["main", "ada/more", "work", "more", "--all", "a\nb", "*"]
        assert track.tips(shop, asked) == {"main": main, "ada/more": more}

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
