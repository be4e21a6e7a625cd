"""What lies between two trees of a mirror, from git's own listing of both.

Attributes, filters and programs that a tree or a machine names have no say: a file that calls itself
binary is still counted by its lines.
"""

import os
import re
import tempfile

from activities.backends.git_process import Git
from leverframe.model.differences import MAX_FILES, FileDelta, TreeDifference
from leverframe.model.errors import BadInput

MAX_PATH = 1000
"""Characters. A file with a longer path is counted as omitted: no reviewer reads it."""

NO_CHANGE = "0" * 40
"""The `patch` of two equal trees: git has no id for it."""

OPTIONS = (
    "-r", "--no-renames", "--no-ext-diff", "--no-textconv", "--full-index", "--ignore-submodules=none",
    "--submodule=short", "--diff-algorithm=myers", "--no-relative", "--no-color",
)  # fmt: skip
"""What makes a difference depend on the two trees alone."""

_CHANGES = {"A": "added", "M": "modified", "T": "modified", "D": "deleted"}
_RAW = re.compile(rb":(\d{6}) (\d{6}) [0-9a-f]+ [0-9a-f]+ ([A-Z])")


def difference(git: Git, base: str, head: str) -> TreeDifference:
    """The difference between two commits, or trees.

    Raises:
        BadInput: so many files differ that even their list can't be held.
    """
    listed = git.run("diff-tree", "--raw", "--numstat", "-z", *OPTIONS, base, head).out
    files = _deltas(listed.split(b"\0")[:-1])
    kept = tuple(file for file in files if len(file.path) <= MAX_PATH)[:MAX_FILES]
    return TreeDifference(
        base=base, head=head, patch=patch_of(git, base, head), files=kept, omitted=len(files) - len(kept)
    )


def patch_of(git: Git, base: str, head: str) -> str:
    """`git patch-id --verbatim`: names what changes, whitespace and modes too, but not on which base.

    The lines around a change are part of it; how far down in the file they stand is not.
    """
    with tempfile.TemporaryFile() as patch:
        git.run("diff-tree", "--patch", "--unified=3", *OPTIONS, base, head, into=patch)
        patch.seek(0, os.SEEK_SET)
        named = git.run("patch-id", "--verbatim", stdin=patch).text
    return named.partition(" ")[0] or NO_CHANGE


def _deltas(fields: list[bytes]) -> list[FileDelta]:
    """git prints raw entries first, two fields each, then the counts in the same order, one field each."""
    raw: list[tuple[re.Match[bytes], bytes]] = []
    while len(raw) * 2 < len(fields) and (entry := _RAW.fullmatch(fields[len(raw) * 2])):
        raw.append((entry, fields[len(raw) * 2 + 1]))
    counts = [field.split(b"\t", 2) for field in fields[len(raw) * 2 :]]
    if [path for _, path in raw] != [path for *_, path in counts]:
        raise BadInput("git lists and counts different files: the difference can't be told")
    return [
        FileDelta.model_validate(
            {
                "path": _text(path),
                "change": _CHANGES[entry[3].decode()],
                "old_mode": entry[1].decode(),
                "new_mode": entry[2].decode(),
                "added": 0 if added == b"-" else int(added),
                "removed": 0 if removed == b"-" else int(removed),
                "binary": added == b"-",
            }
        )
        for (entry, path), (added, removed, _) in zip(raw, counts, strict=True)
    ]


def _text(path: bytes) -> str:
    """UTF-8; each byte that is none becomes a visible escape, `\\udcff`."""
    return path.decode("utf-8", "surrogateescape").encode("utf-8", "backslashreplace").decode()
