"""What an overlay pins by digest runs only if it was built as that."""

import hashlib
import io
import tarfile
from pathlib import Path
from typing import Any

from leverframe.delivery.arms import Arms
from leverframe.delivery.artifacts import Trees
from leverframe.delivery.deployment import Deployment
from leverframe.model.releases import Artifact
from tests.fakes.release_world import NEW, OLD, repository

OTHER = f"sha256:{'0' * 64}"


def deployment(root: Path) -> tuple[Deployment, str]:
    """OLD is stable, the artifact of NEW is there; and its digest. No instance of it can start."""
    (root / "artifacts").mkdir()
    with tarfile.open(root / "artifacts" / "new.tar", "w") as tar:
        entry = tarfile.TarInfo("app.py")
        entry.size = 5
        tar.addfile(entry, io.BytesIO(b"hello"))
    digest = "sha256:" + hashlib.sha256((root / "artifacts" / "new.tar").read_bytes()).hexdigest()
    trees = Trees(root=root / "trees", artifacts=root / "artifacts")
    trees.unpack(Artifact(service="shop", sha=NEW, digest=digest, path="new.tar"))
    nothing: Any = None
    made = Deployment(
        service=repository().service,
        environment="production",
        arms=Arms(stables=(OLD,)),
        trees=trees,
        variables={},
        home=root,
        http=nothing,
        changed=lambda: None,
    )
    return made, digest


def test_a_sha_with_the_digest_of_something_else_is_never_started(tmp_path: Path) -> None:
    made, digest = deployment(tmp_path)
    for _ in range(2):
        made.follow(NEW, OTHER)
        state = made.state()
        assert (state.wanted, state.stable, state.ready) == (NEW, OLD, False)
        assert f"can't run: the overlay pins {OTHER}, and {NEW[:12]} was built as {digest}" in state.detail
    assert NEW not in made._instances
