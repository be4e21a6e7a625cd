"""What every source of policies promises: the files of one revision, whole, or a refusal in words."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from activities.backends.policy_directory import PolicyDirectory
from activities.backends.policy_git import PolicyGit
from activities.policy_files import MAX_BYTES, MAX_FILES, snapshot_of
from activities.ports import PolicyFiles, PolicySource
from leverframe.bootstrap import build_policy_source, load_policy
from leverframe.model.errors import BadConfiguration
from leverframe.settings import PolicySettings, Settings, load
from tests.fakes.asks import document
from tests.fakes.git_world import GitWorld
from tests.fakes.tracks import track_at

FILES = {"org.yaml": document("org"), "agents/sentry_spike.yaml": document("agent")}


@dataclass
class Place:
    """A source, and how a person changes its files: None removes one."""

    source: PolicySource
    write: Callable[[dict[str, str | None]], None]


def in_a_directory(root: Path) -> Place:
    directory = root / "policies"

    def write(files: dict[str, str | None]) -> None:
        for name, text in files.items():
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True) if text is None else path.write_text(text)

    return Place(PolicyDirectory(directory), write)


def in_git(root: Path) -> Place:
    world = GitWorld(root)

    def write(files: dict[str, str | None]) -> None:
        world.commit("main", {f"policies/{name}": text for name, text in files.items()})

    return Place(PolicyGit(track_at(root), world.repository, folder="policies"), write)


@pytest.fixture(params=[in_a_directory, in_git])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    make: Callable[[Path], Place] = request.param
    return make(tmp_path)


def test_the_files_come_whole_with_the_revision_they_are_of(place: Place) -> None:
    place.write({**FILES, "README.md": "not a policy"})
    read = place.source.read()
    assert read.files == FILES
    assert read.revision
    assert place.source.health().ok
    assert {each.file for each in snapshot_of(read).documents} == set(FILES)


def test_a_changed_file_is_read_the_next_time(place: Place) -> None:
    place.write(dict(FILES))
    before = snapshot_of(place.source.read())
    place.write({"org.yaml": document("org", autonomy="observe")})
    assert snapshot_of(place.source.read()).digest != before.digest


def test_a_place_that_is_not_there_is_refused_and_unhealthy(place: Place) -> None:
    with pytest.raises(BadConfiguration):
        place.source.read()
    health = place.source.health()
    assert not health.ok
    assert health.remedy


def test_an_emptied_place_is_refused_and_is_no_empty_policy(place: Place) -> None:
    place.write(dict(FILES))
    place.write(dict.fromkeys(FILES))
    with pytest.raises(BadConfiguration):
        place.source.read()


def test_without_the_organisations_file_there_is_no_policy(place: Place) -> None:
    place.write(dict(FILES))
    place.write({"org.yaml": None})
    with pytest.raises(BadConfiguration, match=r"has no org\.yaml, only agents/sentry_spike\.yaml"):
        snapshot_of(place.source.read())


def test_a_file_that_nobody_reviews_because_of_its_size_is_refused(place: Place) -> None:
    place.write({**FILES, "org.yaml": FILES["org.yaml"] + "#" * MAX_BYTES})
    with pytest.raises(BadConfiguration, match=r"org\.yaml"):
        place.source.read()


def test_more_files_than_a_policy_has_are_refused(place: Place) -> None:
    place.write({f"repos/r{number}.yaml": "version: 1" for number in range(MAX_FILES + 1)})
    with pytest.raises(BadConfiguration, match=f"at most {MAX_FILES}"):
        place.source.read()


def test_a_mounted_volume_of_links_is_read_once(tmp_path: Path) -> None:
    version = tmp_path / "mount" / "..2026_11_22"
    (version / "agents").mkdir(parents=True)
    for name, text in FILES.items():
        (version / name).write_text(text)
    (tmp_path / "mount" / "..data").symlink_to(version.name)
    for name in ("org.yaml", "agents"):
        (tmp_path / "mount" / name).symlink_to(Path("..data", name))
    assert PolicyDirectory(tmp_path / "mount").read().files == FILES


def test_the_settings_say_which_repository_and_folder(tmp_path: Path) -> None:
    world = GitWorld(tmp_path)
    world.commit("main", {f"rules/policies/{name}": text for name, text in FILES.items()})
    policies = PolicySettings(backend="git", repository="shop", folder="rules/policies")
    settings = Settings(home=tmp_path / "home", repositories=(world.repository,), policies=policies)
    assert build_policy_source(settings).read().revision == world.git("rev-parse", "main")
    assert load_policy(settings).digest == snapshot_of(PolicyFiles(revision="x", files=FILES)).digest


@pytest.mark.parametrize(
    "folder", ["governance", "platform/rules", "policies-new", "", ".", "./policies", "policies/.."]
)
def test_settings_refuse_a_folder_that_agents_could_change(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "leverframe.toml"
    file.write_text(f'[policies]\nbackend = "git"\nrepository = "shop"\nfolder = "{folder}"\n')
    monkeypatch.setenv("LEVERFRAME_CONFIG", str(file))
    with pytest.raises(BadConfiguration, match=r"policies: .*agents could change the policies in the folder"):
        load()


@pytest.mark.parametrize(
    "folder", ["policies", "/policies/", "platform/policies", "policies/leverframe", ".leverframe/rules"]
)
def test_settings_take_a_folder_that_no_agent_can_change(folder: str) -> None:
    assert PolicySettings(backend="git", repository="shop", folder=folder).folder == folder


def test_a_repository_that_is_not_declared_is_named(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, policies=PolicySettings(backend="git", repository="nosuch"))
    with pytest.raises(BadConfiguration, match="'nosuch' is not declared"):
        build_policy_source(settings)
