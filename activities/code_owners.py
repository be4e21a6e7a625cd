"""Whose a file is, by the repository's CODEOWNERS.

The file is found, read and matched as GitHub does
(https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners):
the last line that matches decides, and one without owners says that nobody owns the file. Sections are
GitLab's (https://docs.gitlab.com/user/project/codeowners/reference/): a section's own owners are those of its
lines that name none. Where several own a file, the first is named.
"""

import re
from collections.abc import Iterator
from contextlib import suppress

from codeowners import CodeOwners as Lines

from activities.track_port import Track
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.quarantine import OWNER
from leverframe.model.topology import Repository

PLACES = (".github/CODEOWNERS", ".gitlab/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""The first that is there counts."""
LARGEST = 500_000
"""Bytes; of a larger one nothing is read. GitHub's own limit is 3 MB, which would take long for each test."""
MOST_STARS, MOST_DOUBLE = 2, 2
"""Of `*` in one part of a pattern, and of `**` in all: more could be tried against a path for hours."""

_SECTION = re.compile(r"\^?\[[^\]]+\](?:\[\d+\])?(?:\s+(?P<owners>.*))?")
_OWNER = re.compile(OWNER)


class CodeOwners:
    """A CODEOWNERS file. Lines that can't be read own nothing, as on the forges."""

    def __init__(self, text: str) -> None:
        self._lines = Lines("")
        for line in _plain(text):
            with suppress(ValueError, re.error):
                self._lines.paths += Lines(line).paths
        self._lines.paths.reverse()

    def owner_of(self, path: str) -> str | None:
        """`@ada`, `@acme/payments` or an address; None for a file that nobody owns."""
        names = (name for _, name in self._lines.of(path))
        return next((name for name in names if _OWNER.fullmatch(name)), None)


def code_owners(track: Track, repository: Repository, sha: str) -> CodeOwners:
    """What CODEOWNERS says at a commit; without a file that can be read, nothing is anybody's."""
    for place in PLACES:
        try:
            return CodeOwners(track.read_text(repository, sha=sha, path=place, most=LARGEST))
        except NotFound:
            continue
        except BadInput:
            break
    return CodeOwners("")


def _plain(text: str) -> Iterator[str]:
    """The rules, one a line, each with the owners that its section gives it."""
    section = ""
    for raw in text.splitlines():
        line = raw.partition(" #")[0].strip()
        if not line or line.startswith("#") or _slow(line):
            continue
        if heading := _SECTION.fullmatch(line):
            section = heading["owners"] or ""
        elif section and len(line.replace("\\ ", "").split()) == 1:
            yield f"{line} {section}"
        else:
            yield line


def _slow(line: str) -> bool:
    """Whether the line's pattern has so many wildcards that matching it may not end."""
    parts = line.split(maxsplit=1)[0].split("/")
    singles = [part.count("*") for part in parts if part != "**"]
    return parts.count("**") > MOST_DOUBLE or max(singles, default=0) > MOST_STARS
