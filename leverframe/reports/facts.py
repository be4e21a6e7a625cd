"""What a sender says of a report besides its bytes."""

import re
from dataclasses import dataclass, replace

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_NAME, MOST_SHA, Source

_SHA = re.compile(rf"[0-9A-Za-z._-]{{1,{MOST_SHA}}}")

_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Which run a report is of. What is empty is taken from the report, where it says it."""

    repository: str
    source: Source
    run: str = ""
    sha: str = ""
    branch: str = ""
    job: str = ""
    variant: str = ""
    """What tells this run of the tests from others of the same tests in the same run: system, version."""

    def filled(self, *, run: str, sha: str, branch: str, job: str) -> "Facts":
        """The same, with what the report says where nothing was said."""
        return replace(
            self,
            run=self.run or run,
            sha=self.sha or sha,
            branch=self.branch or branch,
            job=self.job or job,
        )

    def check(self) -> None:
        """Raises BadInput with what is missing or can't be used."""
        if not self.run:
            raise BadInput(
                "no run is named: say which run of the suite this is, by a name that no other run has"
            )
        if not self.sha:
            raise BadInput("no commit is named: say which commit the tests ran on")
        if not _SHA.fullmatch(self.sha):
            raise BadInput(f"the commit must be 1 to {MOST_SHA} letters, digits, dots and dashes")
        for field in ("run", "branch", "job", "variant"):
            said = getattr(self, field)
            if len(said) > MOST_NAME or unstorable(said):
                raise BadInput(f"the {field} must be at most {MOST_NAME} characters that can be stored")


def unstorable(text: str) -> bool:
    """Whether a text holds what no database takes: a NUL, or half of a character."""
    return _UNSTORABLE.search(text) is not None
