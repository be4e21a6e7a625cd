"""Reading policies out of a repository: the target's tip, whole or not at all."""

import pytest

from activities.backends import track_files
from activities.backends.track_git import GitTrack
from leverframe.model.errors import BadConfiguration, NotFound
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
