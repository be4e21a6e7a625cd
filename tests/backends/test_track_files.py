"""Reading policies out of a repository: the target's tip, whole or not at all."""

import pytest

from activities.backends import track_files
from activities.backends.track_git import GitTrack
from activities.code_owners import code_owners
from leverframe.model.errors import BadConfiguration, BadInput, NotFound
from leverframe.model.topology import Repository
from tests.fakes.git_world import GitWorld, Link


def test_every_yaml_file_below_the_folder_is_read_from_the_target_and_nothing_else(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    tip = world.commit(
        "main",
        {
            "policies/org.yaml": "org\n",
            "policies/agents/fixer.yml": "ä\n",
            "policies/README.md": "x",
            "policies2/org.yaml": "no\n",
        },
    )
    world.commit("loose", {"policies/org.yaml": "looser\n"})
    read = track.read_files(shop, folder="policies")
    assert (read.revision, read.files) == (tip, {"org.yaml": "org\n", "agents/fixer.yml": "ä\n"})


def test_a_folder_that_is_missing_or_emptied_is_not_found(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    with pytest.raises(NotFound):
        track.read_files(shop, folder="policies")
    world.commit("main", {"policies/README.md": "moved\n"})
    with pytest.raises(NotFound):
        track.read_files(shop, folder="policies")


@pytest.mark.parametrize("folder", ["", ".", "..", "../policies", "/etc", ".git", "a\nb", "-h/../x"])
def test_no_hostile_name_is_a_folder(track: GitTrack, shop: Repository, folder: str) -> None:
    with pytest.raises((BadConfiguration, NotFound)):
        track.read_files(shop, folder=folder)


def test_a_link_in_a_policys_place_is_refused_not_skipped(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    world.commit("main", {"policies/org.yaml": "org\n", "policies/agent.yaml": Link("/etc/passwd")})
    with pytest.raises(BadConfiguration, match="not a plain file"):
        track.read_files(shop, folder="policies")


def test_what_is_too_large_too_many_or_not_text_is_refused(
    world: GitWorld, track: GitTrack, shop: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(track_files, "MAX_BYTES", 100)
    monkeypatch.setattr(track_files, "MAX_FILES", 3)
    world.commit("main", {"policies/org.yaml": "x" * 101})
    with pytest.raises(BadConfiguration, match="too much"):
        track.read_files(shop, folder="policies")
    world.commit("main", {"policies/org.yaml": "x"} | {f"policies/{n}.yaml": "x" for n in range(3)})
    with pytest.raises(BadConfiguration, match="too much"):
        track.read_files(shop, folder="policies")
    world.commit("main", {"policies/0.yaml": b"\xff\xfe", "policies/1.yaml": None})
    with pytest.raises(BadConfiguration, match="not UTF-8"):
        track.read_files(shop, folder="policies")


def test_one_file_is_read_as_it_is_at_the_commit(world: GitWorld, track: GitTrack, shop: Repository) -> None:
    old = world.commit("main", {"notes.txt": "old ä\n"})
    world.commit("main", {"notes.txt": "new\n"})
    assert track.read_text(shop, sha=old, path="notes.txt", most=100) == "old ä\n"


@pytest.mark.parametrize("path", ["gone.txt", "link", "../notes.txt", ".git/config", "deploy"])
def test_what_is_no_regular_file_of_the_commit_is_not_found(
    world: GitWorld, track: GitTrack, shop: Repository, path: str
) -> None:
    sha = world.commit("main", {"link": Link("/etc/passwd")})
    with pytest.raises(NotFound):
        track.read_text(shop, sha=sha, path=path, most=100)


@pytest.mark.parametrize(("content", "why"), [("x" * 101, "101 bytes"), (b"\xff", "not UTF-8")])
def test_a_file_that_is_too_large_or_no_text_is_refused_by_name(
    world: GitWorld, track: GitTrack, shop: Repository, content: str | bytes, why: str
) -> None:
    sha = world.commit("main", {"notes.txt": content})
    with pytest.raises(BadInput, match=f"notes.txt .*{why}"):
        track.read_text(shop, sha=sha, path="notes.txt", most=100)


def test_the_first_codeowners_file_that_is_there_counts(
    world: GitWorld, track: GitTrack, shop: Repository
) -> None:
    assert code_owners(track, shop, track.tip(shop)).owner_of("app.py") is None
    sha = world.commit("main", {"CODEOWNERS": "* @second\n", ".github/CODEOWNERS": "*.py @first\n"})
    owners = code_owners(track, shop, sha)
    assert (owners.owner_of("app.py"), owners.owner_of("app.js")) == ("@first", None)
