"""Small artifacts for the sandbox: a tar made of a few files or of members that are given whole."""

import hashlib
import io
import tarfile
from pathlib import Path

from leverframe.model.releases import Artifact

SHA = "a" * 40


def write_tar(path: Path, files: dict[str, str], members: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    """A tar with these files, then these members; the same content gives the same bytes."""
    with tarfile.open(path, "w") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            member.mode = 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
        for member in members:
            tar.addfile(member)
    return path


def artifact_of(path: Path, *, sha: str = SHA) -> Artifact:
    """The artifact that the tar is, as its build would have described it."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Artifact(service="shop", sha=sha, digest=f"sha256:{digest}", path=path.name)
