"""Artifacts go when nobody has asked for them in a long time, and come back the same."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine
from temporalio.testing import ActivityEnvironment

from activities import artifacts
from activities.artifact_keeping import KEPT, ArtifactKeeping
from activities.artifacts import forget, located
from activities.backends.builds_store import StoreBuilds
from activities.backends.results_store import ResultsStore
from activities.backends.track_git import GitTrack
from activities.test_results import ResultActivities
from leverframe.model.releases import Artifact
from leverframe.model.topology import Repository
from tests.fakes.git_world import GitWorld

NOW = datetime.now(UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The artifact directory of the track `one`."""
    return tmp_path / "one/artifacts"


def _age(root: Path, artifact: Artifact, days: float) -> None:
    at = (NOW - timedelta(days=days)).timestamp()
    os.utime(root / artifact.path, (at, at))


def test_what_nobody_asks_for_goes_and_is_made_anew_the_same_but_what_was_built_stays(
    world: GitWorld, track: GitTrack, shop: Repository, root: Path, engine: Engine
) -> None:
    shas = [world.commit("main", {"a.txt": f"{number}\n"}) for number in range(4)]
    executed, again, built, imaged = (track.export(shop, sha) for sha in shas)
    builds, keeping = StoreBuilds(engine), ArtifactKeeping(StoreBuilds(engine), {"shop": shop}, root)
    builds.keep(shop.name, built)
    builds.keep(
        shop.name,
        Artifact(service=built.service, sha=imaged.sha, digest=imaged.digest, image="r.example/shop"),
    )
    for artifact in (executed, again, built, imaged):
        _age(root, artifact, KEPT.days + 1)
    elsewhere = root / "other" / f"{executed.sha}.tar"
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"")
    os.utime(elsewhere, (0, 0))
    left_behind = root / executed.service / ".killed.tmp"
    left_behind.write_bytes(b"half")
    os.utime(left_behind, (0, 0))
    assert track.export(shop, again.sha) == again
    assert [keeping.tidy(NOW) for _ in range(2)] == [2, 0]
    left = {path.name for path in (root / executed.service).iterdir()}
    assert left == {".lock"} | {
        f"{sha}.tar{end}" for sha in (again.sha, built.sha) for end in ("", ".sha256")
    }
    assert elsewhere.exists()
    assert track.export(shop, executed.sha) == executed
    assert located(executed, root).exists()
    _age(root, executed, KEPT.days - 1)
    assert keeping.tidy(NOW) == 0


def test_one_that_is_asked_for_while_it_would_be_removed_stays(
    track: GitTrack, shop: Repository, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = track.export(shop, track.tip(shop))
    _age(root, artifact, 99)
    held = artifacts._held

    @contextmanager
    def after_another(folder: Path, mode: int) -> Iterator[None]:
        os.utime(root / artifact.path)
        with held(folder, mode):
            yield

    monkeypatch.setattr(artifacts, "_held", after_another)
    assert forget(root / artifact.service, before=NOW - KEPT, keep=()) == 0
    assert located(artifact, root).exists()


def test_whoever_asks_gets_it_however_often_it_is_removed(
    world: GitWorld, make_track: Callable[..., GitTrack], shop: Repository, root: Path
) -> None:
    track, sha = make_track("one"), world.git("rev-parse", "main")
    first = track.export(shop, sha)

    def ask(_: int) -> Artifact:
        return track.export(shop, sha)

    def remove(_: int) -> int:
        return forget(root / first.service, before=NOW + timedelta(days=1), keep=())

    with ThreadPoolExecutor(6) as pool:
        asked = [pool.submit(ask, number) for number in range(40)]
        removed = [pool.submit(remove, number) for number in range(400)]
        assert {one.result() for one in asked} == {first}
        assert sum(one.result() for one in removed) > 1
    assert track.export(shop, sha) == first


def test_the_chore_that_forgets_old_results_removes_old_artifacts_too(
    track: GitTrack, shop: Repository, root: Path, engine: Engine
) -> None:
    artifact = track.export(shop, track.tip(shop))
    _age(root, artifact, KEPT.days + 1)
    keeping = ArtifactKeeping(StoreBuilds(engine), {"shop": shop}, root)
    acts = ResultActivities(ResultsStore(engine), track, {"shop": shop}, artifacts=keeping)
    assert ActivityEnvironment().run(acts.tend_results).endswith("and 1 artifacts that nobody asks for")
    assert not (root / artifact.path).exists()
    assert "artifacts" not in ActivityEnvironment().run(acts.tend_results)
