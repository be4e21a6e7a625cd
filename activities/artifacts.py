"""Artifacts on disk: proven to be what was built, and unpacked without anything that could reach outside."""

import hashlib
import sys
from pathlib import Path

from activities.disk_space import writing_to
from leverframe.model.errors import BadInput, Conflict, NotFound, Refused
from leverframe.model.releases import Artifact

if sys.version_info >= (3, 12):
    import tarfile
else:
    from backports import tarfile  # the data filter, which Debian 12's Python 3.11 lacks


def located(artifact: Artifact, artifacts: Path) -> Path:
    """The artifact's file in the artifact directory, once it is shown to be unchanged since it was built.

    Raises:
        Refused: it is an image in a registry, or the path leaves the artifact directory.
        NotFound: there is no such file.
        Conflict: the digest differs.
    """
    if artifact.image:
        raise Refused(f"{artifact.reference} is an image in a registry, not a tar")
    path = (artifacts / artifact.path).resolve()
    if not path.is_relative_to(artifacts.resolve()):
        raise Refused(f"the artifact path {artifact.path!r} leaves the artifact directory")
    if not path.is_file():
        raise NotFound(f"there is no artifact {artifact.path!r} in the artifact directory")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if artifact.digest != f"sha256:{found}":
        raise Conflict(f"the artifact {artifact.path!r} is not what was built: its digest differs")
    return path


def unpack(tar: Path, into: Path) -> None:
    """Unpack a tar into a directory of ours.

    Raises:
        BadInput: it is no tar, or holds something that must not be unpacked (`tarfile`'s data filter).
        DiskFull: there is no space left for it.
    """
    try:
        with writing_to(into), tarfile.open(tar) as opened:
            opened.extractall(into, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise BadInput(f"the artifact {tar.name} can't be unpacked: {error}") from error
