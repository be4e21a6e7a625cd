"""Path globs as people write them in a repository's description."""

import functools
import re
from collections.abc import Iterable

_WILDCARD = re.compile(r"(\*\*/|\*\*|\*|\?)")
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


@functools.lru_cache(maxsize=512)
def _pattern(glob: str) -> re.Pattern[str]:
    parts = (_MEANING.get(part, re.escape(part)) for part in _WILDCARD.split(glob))
    return re.compile("".join(parts), re.DOTALL)


def matches(path: str, glob: str) -> bool:
    """Whether the whole path matches: `*` and `?` stay within a directory, `**` crosses them."""
    return _pattern(glob).fullmatch(path) is not None


def all_match(paths: Iterable[str], globs: Iterable[str]) -> bool:
    """Whether there are paths, and each matches one of the globs."""
    known, changed = tuple(globs), tuple(paths)
    return bool(changed) and all(any(matches(path, glob) for glob in known) for path in changed)


def any_match(paths: Iterable[str], globs: Iterable[str]) -> bool:
    """Whether one of the paths matches one of the globs."""
    known = tuple(globs)
    return any(matches(path, glob) for path in paths for glob in known)
