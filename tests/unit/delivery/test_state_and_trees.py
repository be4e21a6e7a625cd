"""What the delivery keeps on disk: its state and the unpacked artifacts."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from leverframe.delivery.arms import Arms
from leverframe.delivery.artifacts import TREES_KEPT, Trees
from leverframe.delivery.overlays import named_or_nothing
from leverframe.delivery.state_file import SavedState, StateFile
from leverframe.model.errors import BadConfiguration, BadInput, Conflict, NotFound
from leverframe.model.releases import Artifact

A, B = "a" * 40, "b" * 40


def tarred(
    place: Path, *, name: str = "app.py", content: bytes = b"hello", service: str = "shop"
) -> Artifact:
    """A tar with one file, and its description."""
    place.mkdir(parents=True, exist_ok=True)
    with tarfile.open(place / f"{A}.tar", "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        tar.addfile(entry, io.BytesIO(content))
    found = hashlib.sha256((place / f"{A}.tar").read_bytes()).hexdigest()
    return Artifact(service=service, sha=A, digest=f"sha256:{found}", path=f"{A}.tar")


def test_the_state_is_read_back_as_it_was_saved(tmp_path: Path) -> None:
    file = StateFile(tmp_path / "delivery" / "state.json")
    arms = Arms(stables=(A,), canary=B, percent=25)
    file.save(SavedState(services={"shop": {"production": arms}}))
    assert file.load().arms("shop", "production") == arms
    assert file.load().arms("shop", "dev") == Arms()
    assert [path.name for path in (tmp_path / "delivery").iterdir()] == ["state.json"]


def test_without_a_file_nothing_is_stable(tmp_path: Path) -> None:
    assert StateFile(tmp_path / "state.json").load() == SavedState()


def test_a_damaged_state_file_stops_the_start_instead_of_trusting_a_new_sha(tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text('{"services": {"shop"')
    with pytest.raises(BadConfiguration, match=r"state\.json"):
        StateFile(tmp_path / "state.json").load()


def test_an_artifact_is_unpacked_once_and_whole(tmp_path: Path) -> None:
    trees = Trees(root=tmp_path / "trees", artifacts=tmp_path / "artifacts")
    artifact = tarred(tmp_path / "artifacts")
    assert trees.unpack(artifact) == trees.unpack(artifact) == trees.tree("shop", A)
    assert (trees.tree("shop", A) / "app.py").read_bytes() == b"hello"
    assert sorted(path.name for path in (tmp_path / "trees" / "shop").iterdir()) == [".digests", A]


def test_a_tree_runs_only_as_the_digest_that_it_was_built_as(tmp_path: Path) -> None:
    trees = Trees(root=tmp_path / "trees", artifacts=tmp_path / "artifacts")
    artifact = tarred(tmp_path / "artifacts")
    tree, other = trees.unpack(artifact), f"sha256:{'0' * 64}"
    assert trees.tree("shop", A, artifact.digest) == tree
    with pytest.raises(Conflict, match="pins sha256:000"):
        trees.tree("shop", A, other)
    with pytest.raises(Conflict, match="already, not as sha256:000"):
        trees.unpack(artifact.model_copy(update={"digest": other}))
    (tmp_path / "trees" / "shop" / ".digests" / A).unlink()
    with pytest.raises(Conflict, match="pins"):
        trees.tree("shop", A, artifact.digest)
    assert trees.unpack(artifact) == trees.tree("shop", A, artifact.digest)


def test_an_artifact_that_is_not_what_was_built_is_refused(tmp_path: Path) -> None:
    trees = Trees(root=tmp_path / "trees", artifacts=tmp_path / "artifacts")
    artifact = tarred(tmp_path / "artifacts")
    (tmp_path / "artifacts" / artifact.path).write_bytes(b"something else")
    with pytest.raises(BadInput, match="not what was built"):
        trees.unpack(artifact)


def test_a_file_that_climbs_out_of_the_tree_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    trees = Trees(root=tmp_path / "trees", artifacts=tmp_path / "artifacts")
    artifact = tarred(tmp_path / "artifacts", name="../../evil.py")
    with pytest.raises(BadInput, match="can't be unpacked"):
        trees.unpack(artifact)
    assert list(tmp_path.rglob("evil.py")) == []
    with pytest.raises(NotFound):
        trees.tree("shop", A)


def test_an_artifact_path_outside_the_artifact_directory_is_refused(tmp_path: Path) -> None:
    trees = Trees(root=tmp_path / "trees", artifacts=tmp_path / "artifacts")
    artifact = tarred(tmp_path / "artifacts").model_copy(update={"path": "../secret"})
    (tmp_path / "secret").write_text("secret")
    with pytest.raises(BadInput, match="leaves the artifact directory"):
        trees.unpack(artifact)


def test_old_trees_go_but_never_one_that_is_in_use(tmp_path: Path) -> None:
    trees = Trees(root=tmp_path / "trees", artifacts=tmp_path / "artifacts")
    for number in range(TREES_KEPT + 5):
        (tmp_path / "trees" / "shop" / f"{number:040x}").mkdir(parents=True)
    in_use = frozenset(f"{number:040x}" for number in range(3))
    trees.prune("shop", in_use=in_use)
    left = {path.name for path in (tmp_path / "trees" / "shop").iterdir()}
    assert len(left) == TREES_KEPT + 3
    assert in_use <= left


@pytest.mark.parametrize(
    ("overlay", "named"),
    [
        (f"images:\n  - name: shop\n    newTag: {A}  # live\n", A),
        (f"images:\n  - name: other\n    newTag: {B}\n  - name: shop\n    newTag: {A}\n", A),
        (f"images:\n  - name: shop\n    newTag: {'1' * 38}e4\n", "1" * 38 + "e4"),
        (f"images:\n  - name: shop\n    newTag: {'0' * 39}1\n", "0" * 39 + "1"),
        ("images:\n  - name: shop\n    newTag: latest\n", None),
        ("images:\n  - name: shop\n    newTag: 12\n", None),
        ("images: shop\n", None),
        ("", None),
        ("- just\n- a list\n", None),
        ("images: [\n", None),
    ],
)
def test_an_overlay_names_a_full_sha_or_nothing(overlay: str, named: str | None) -> None:
    assert named_or_nothing(overlay, "shop") == (named, None)
