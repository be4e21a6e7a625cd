"""Whether what landed is what the change does, told without merging anything again.

Between a change's own patch and the one that landed git may have merged by content: hunks moved, the lines
around them differ, a file was renamed meanwhile, a part was on the target already. So the comparison has
two steps. The same `patch-id --verbatim` is the very same patch. Otherwise the balances are compared: for
each line of text, how often it was added less how often it was taken away, over all files. A merge of one
side's hunks has the balance of that side, or less of it where the target had a part already; whatever
moves, a balance outside of that adds or takes away lines that the change leaves alone. A squash that was
rebuilt on a wrong merge base, and so takes back what landed before it, is exactly that.

The balance does not see an order of lines that changed; composing the change anew does (`track_audit`).
"""

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Iterable
from typing import IO

from activities.backends.git_process import Git
from activities.backends.track_difference import OPTIONS, patch_of
from leverframe.model.untrusted import Untrusted

_FILES_SHOWN = 20
_MAX_STAT = 3000

_HUNK = re.compile(rb"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_MODE = re.compile(rb"(new file|new|deleted file|old) mode (\d{6})\n")


def same_patch(git: Git, *, base: str, sha: str, head: str) -> bool:
    """Whether `base`..`sha` adds and takes away only what the change at `head` does."""
    bases = git.run("merge-base", "--all", base, head, allow=(0, 1)).text.split()
    if len(bases) != 1:
        # Nothing in common, or a history that crossed: the change has no patch of its own to compare with.
        return len(bases) > 1
    (common,) = bases
    if patch_of(git, base, sha) == patch_of(git, common, head):
        return True
    own = balance(git, common, head)
    return all(
        min(0, own[line]) <= count <= max(0, own[line]) for line, count in balance(git, base, sha).items()
    )


def balance(git: Git, before: str, after: str) -> Counter[bytes]:
    """Digest of each line (and file mode) → how often it was added less how often it was taken away.

    Any diff of the same two trees has the same balance: it is the difference of two counts.
    """
    with tempfile.TemporaryFile() as patch:
        git.run("diff-tree", "--patch", "--text", "--unified=0", *OPTIONS, before, after, into=patch)
        patch.seek(0)
        return _counted(patch)


def stat_of(git: Git, before: str, after: str) -> str:
    """The difference as `git diff --stat` shows it, for people: bounded, and data from outside."""
    wide = f"--stat=100,70,{_FILES_SHOWN}"
    told = git.run("diff-tree", wide, "-r", "--no-renames", "--no-ext-diff", "--no-textconv", before, after)
    return Untrusted(told.text).for_model(_MAX_STAT)


def _counted(patch: IO[bytes]) -> Counter[bytes]:
    counts: Counter[bytes] = Counter()
    lines: Iterable[bytes] = iter(patch)
    expected, last = 0, (b"", 0)
    for line in lines:
        if expected and line[:1] in (b"+", b"-"):
            last = (line[1:], 1 if line[:1] == b"+" else -1)
            counts[_named(last[0])] += last[1]
            expected -= 1
        elif line.startswith(b"\\"):
            # The line before has no newline at its end, which git writes on a line of its own.
            counts[_named(last[0])] -= last[1]
            counts[_named(last[0][:-1])] += last[1]
        elif hunk := _HUNK.match(line):
            expected = sum(1 if number is None else int(number) for number in hunk.groups())
        elif mode := _MODE.fullmatch(line):
            counts[b"mode " + mode[2]] += 1 if mode[1].startswith(b"new") else -1
    return counts


def _named(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=16).digest()
