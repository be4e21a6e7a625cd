"""Artifacts: a built tar, checked against its digest and unpacked once per SHA."""

import shutil
import tempfile
from pathlib import Path

from activities.artifacts import located, unpack
from leverframe.delivery.state_file import write_whole
from leverframe.model.errors import BadInput, Conflict, NotFound, Refused
from leverframe.model.releases import Artifact

TREES_KEPT = 20
"""Unpacked trees per service that are kept although nothing runs from them."""


class Trees:
    """The unpacked artifacts: `<root>/<service>/<sha>/`. A tree that exists is complete.

    What it was built as stands beside it, in `<root>/<service>/.digests/<sha>`.
    """

    def __init__(self, *, root: Path, artifacts: Path) -> None:
        self._root = root
        self._artifacts = artifacts

    def tree(self, service: str, sha: str, digest: str | None = None) -> Path:
        """Where the SHA runs from.

        Raises:
            NotFound: its artifact was never deployed.
            Conflict: it was not built as `digest`.
        """
        tree = self._root / service / sha
        if not tree.is_dir():
            raise NotFound(f"no artifact of {service} at {sha[:12]} has been deployed")
        if digest is not None and digest != (built := self._digest(service, sha)):
            raise Conflict(
                f"the overlay pins {digest}, and {sha[:12]} was built as {built or 'something else'}"
            )
        return tree

    def unpack(self, artifact: Artifact) -> Path:
        """Unpack beside the place and move into it, so that a crash leaves no half tree. Idempotent.

        Raises:
            NotFound: there is no such file in the artifact directory.
            Conflict: the SHA is there already, built as something else.
            BadInput: the path leaves the artifact directory, the digest differs, or the tar holds
                something that must not be unpacked (`tarfile`'s data filter).
        """
        tree = self._root / artifact.service / artifact.sha
        built = self._digest(artifact.service, artifact.sha)
        if tree.is_dir() and built is not None:
            if built != artifact.digest:
                raise Conflict(f"{artifact.sha[:12]} runs as {built} already, not as {artifact.digest}")
            return tree
        try:
            source = located(artifact, self._artifacts)
        except (Conflict, Refused) as error:
            raise BadInput(str(error)) from error
        note = self._note(artifact.service, artifact.sha)
        write_whole(note, artifact.digest)  # before the tree: a tree that exists has its digest beside it
        if tree.is_dir():
            return tree
        partial = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=tree.parent))
        try:
            unpack(source, partial)
            partial.chmod(0o755)
            partial.rename(tree)
        except OSError as error:
            if not tree.is_dir():
                raise BadInput(f"the artifact {artifact.path} can't be unpacked: {error}") from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return tree

    def prune(self, service: str, *, in_use: frozenset[str]) -> None:
        """Remove the oldest trees that nothing needs, past the number kept."""
        trees = [path for path in (self._root / service).glob("[0-9a-f]*") if path.name not in in_use]
        trees.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for tree in trees[TREES_KEPT:]:
            shutil.rmtree(tree, ignore_errors=True)
            self._note(service, tree.name).unlink(missing_ok=True)

    def _note(self, service: str, sha: str) -> Path:
        return self._root / service / ".digests" / sha

    def _digest(self, service: str, sha: str) -> str | None:
        try:
            return self._note(service, sha).read_text().strip()
        except FileNotFoundError:
            return None
