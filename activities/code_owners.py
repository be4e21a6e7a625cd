"""Whose a file is, by the repository's CODEOWNERS.

The file is found, read and matched as GitHub does
(https://docs.github.com/en/repositories/managing-your-repositorys-settings-and-features/customizing-your-repository/about-code-owners):
the last line that matches decides, and one without owners says that nobody owns the file. Sections are
GitLab's (https://docs.gitlab.com/user/project/codeowners/reference/): a section's own owners are those of its
lines that name none. Where several own a file, the first is named.
"""

import re
from collections.abc import Iterator

from codeowners import CodeOwners as Lines

from activities.track_port import Track
from leverframe.model.errors import BadInput, NotFound
from leverframe.model.quarantine import OWNER
from leverframe.model.topology import Repository

PLACES = (".github/CODEOWNERS", ".gitlab/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS")
"""The first that is there counts."""
LARGEST = 3_000_000
"""Bytes; GitHub does not read a larger one either."""

_SECTION = re.compile(r"\^?\[[^\]]+\](?:\[\d+\])?(?:\s+(?P<owners>.*))?")
_OWNER = re.compile(OWNER)


class CodeOwners:
    """A CODEOWNERS file. Lines that can't be read own nothing, as on the forges."""

    def __init__(self, text: str) -> None:
        self._lines = Lines("")
        for line in _plain(text):
            try:
                self._lines.paths[:0] = Lines(line).paths
            except (ValueError, re.error):
                continue

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
        if not line or line.startswith("#"):
            continue
        if heading := _SECTION.fullmatch(line):
            section = heading["owners"] or ""
        elif section and len(line.replace("\\ ", "").split()) == 1:
            yield f"{line} {section}"
        else:
            yield line
