"""A disk without space: how it is noticed, and how it is said."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from leverframe.model.errors import DiskFull

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)

_NEXT_TO_NOTHING = 1 << 20
"""Bytes. A command that fails with less than this left has most likely failed for want of space."""


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """A block that writes below `place`. Want of space in it is DiskFull; other errors stay as they are."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise disk_full(place, error.strerror or "") from error


def disk_full(place: Path, told: str) -> DiskFull:
    """The error for people: which disk, and what they can do."""
    return DiskFull(f"the disk of {place} is full; make room there, and this goes on by itself: {told}")


def is_full(place: Path) -> bool:
    """Whether next to nothing can be written below `place`, which need not exist yet."""
    while not place.exists():
        place = place.parent
    left = os.statvfs(place)
    # A file system that counts no inodes says that it has none of none.
    return left.f_bavail * left.f_frsize < _NEXT_TO_NOTHING or (left.f_files > 0 and left.f_favail == 0)
