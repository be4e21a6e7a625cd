"""Artifacts on disk: proven to be what was built, and unpacked without anything that could reach outside.

They lie in `<artifacts>/<service>/<sha>.tar`, each with its digest beside it. The time of a tar is when it
was last asked for. What nobody asked for in a long time is removed, and made anew, the same, when it is asked
for again.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
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


@contextmanager
def asked_for(tar: Path) -> Iterator[None]:
    """A block that looks for the tar or makes it; nobody removes it meanwhile, or soon after."""
    with _held(tar.parent, fcntl.LOCK_SH):
        if tar.exists():
            os.utime(tar)
        yield


def forget(folder: Path, *, before: datetime, keep: Collection[str]) -> int:
    """Remove tars of a service that nobody has asked for since then, but none of the commits in `keep`.

    What a builder that was killed has left behind goes, too. Idempotent; how many tars there were. Whoever
    reads one of them has it open, or has been given it long ago.
    """
    if not folder.is_dir():
        return 0
    for left in folder.glob(".*.tmp"):
        _removed(left, before)
    return sum(_removed(tar, before) for tar in folder.glob("*.tar") if tar.stem not in keep)


def _removed(path: Path, before: datetime) -> bool:
    """Whether it goes, with its digest. A tar first: one that is there has its digest beside it."""
    if not _older(path, before):
        return False
    with _held(path.parent, fcntl.LOCK_EX):
        # Who has held the lock may have asked for it, or ended it.
        if not _older(path, before):
            return False
        path.unlink()
        path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)
        return True


def _older(path: Path, moment: datetime) -> bool:
    try:
        return path.stat().st_mtime < moment.timestamp()
    except FileNotFoundError:
        return False


@contextmanager
def _held(folder: Path, mode: int) -> Iterator[None]:
    with (folder / ".lock").open("ab") as lock:
        fcntl.flock(lock, mode)
        yield


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
