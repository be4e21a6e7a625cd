"""Artifacts: a built tar, checked against its digest and unpacked once per SHA."""

import hashlib
import shutil
import tarfile
import tempfile
from pathlib import Path

from leverframe.model.errors import BadInput, NotFound
from leverframe.model.releases import Artifact

TREES_KEPT = 20
"""Unpacked trees per service that are kept although nothing runs from them."""


class Trees:
    """The unpacked artifacts: `<root>/<service>/<sha>/`. A tree that exists is complete."""

    def __init__(self, *, root: Path, artifacts: Path) -> None:
        self._root = root
        self._artifacts = artifacts

    def tree(self, service: str, sha: str) -> Path:
        """Where the SHA runs from. Raises NotFound when its artifact was never deployed."""
        tree = self._root / service / sha
        if not tree.is_dir():
            raise NotFound(f"no artifact of {service} at {sha[:12]} has been deployed")
        return tree

    def unpack(self, artifact: Artifact) -> Path:
        """Unpack beside the place and move into it, so that a crash leaves no half tree. Idempotent.

        Raises:
            NotFound: there is no such file in the artifact directory.
            BadInput: the path leaves the artifact directory, the digest differs, or the tar holds
                something that must not be unpacked (`tarfile`'s data filter).
        """
        tree = self._root / artifact.service / artifact.sha
        if tree.is_dir():
            return tree
        source = self._checked(artifact)
        tree.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=tree.parent))
        try:
            with tarfile.open(source) as tar:
                tar.extractall(partial, filter="data")
            partial.chmod(0o755)
            partial.rename(tree)
        except (tarfile.TarError, OSError) as error:
            if tree.is_dir():
                return tree
            raise BadInput(f"the artifact {artifact.path} can't be unpacked: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return tree

    def _checked(self, artifact: Artifact) -> Path:
        source = (self._artifacts / artifact.path).resolve()
        if not source.is_relative_to(self._artifacts.resolve()):
            raise BadInput(f"the artifact path {artifact.path!r} leaves the artifact directory")
        if not source.is_file():
            raise NotFound(f"there is no artifact at {artifact.path!r}")
        with source.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if f"sha256:{found}" != artifact.digest:
            raise BadInput(
                f"the artifact {artifact.path} is not what was built: its digest is sha256:{found}"
            )
        return source

    def prune(self, service: str, *, in_use: frozenset[str]) -> None:
        """Remove the oldest trees that nothing needs, past the number kept."""
        trees = [path for path in (self._root / service).glob("[0-9a-f]*") if path.name not in in_use]
        trees.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for tree in trees[TREES_KEPT:]:
            shutil.rmtree(tree, ignore_errors=True)
