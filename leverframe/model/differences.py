"""What a commit would change: the difference between two trees, as git sees it, never as somebody claims."""

from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Sha

MAX_FILES = 300
"""A larger difference is kept without its tail: nobody reviews it file by file, and policy refuses it."""

Mode = Literal["000000", "040000", "100644", "100755", "120000", "160000"]
"""Git's file modes: absent, folder, file, executable, symbolic link, submodule."""


class FileDelta(Frozen):
    """One path. A rename is a deletion and an addition."""

    path: str
    """As git stores it, decoded as UTF-8 with `surrogateescape` written as `\\udcXX` escapes. Hostile."""
    change: Literal["added", "modified", "deleted"]
    old_mode: Mode
    new_mode: Mode
    added: int = Field(ge=0)
    """Lines; 0 for a binary file."""
    removed: int = Field(ge=0)
    binary: bool = False


class TreeDifference(Frozen):
    """The difference between `base` and `head`, without rename detection, in the order of paths."""

    base: Sha
    head: Sha
    patch: str = Field(pattern=r"^[0-9a-f]{40}$")
    """`git patch-id --stable` of the difference: the same change on another base has the same one."""
    files: tuple[FileDelta, ...] = Field(max_length=MAX_FILES)
    omitted: int = Field(default=0, ge=0)
    """How many more files there are than `files` keeps."""

    @property
    def total_files(self) -> int:
        """Files that differ."""
        return len(self.files) + self.omitted

    @property
    def total_lines(self) -> int:
        """Lines added and removed in the files that are kept."""
        return sum(file.added + file.removed for file in self.files)
