"""Where the sandbox leaves the test reports of a car, for the hands to take in."""

import tarfile
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.reports.reading import MAX_BYTES

MOST_FILES = 200


class LeftReports(Frozen):
    """The reports of one check in one trial of a car."""

    repository: Slug
    sha: Sha
    check: Slug
    trial: int = Field(ge=1)

    @property
    def run(self) -> str:
        """Each trial is a run of its own: its tests ran once, with their own retries."""
        return f"{self.sha}/{self.trial}"

    def place(self, directory: Path) -> Path:
        """The tar in which they lie."""
        return directory / self.repository / f"{self.sha}-{self.check}-{self.trial}.tar"

    def environment(self, target: str) -> Mapping[str, str]:
        """What the command is told: our pytest plugin writes it into its lines."""
        return {
            "LEVERFRAME_RUN": self.run,
            "LEVERFRAME_SHA": self.sha,
            "LEVERFRAME_BRANCH": branch_of(target),
            "LEVERFRAME_JOB": self.check,
        }


def branch_of(target: str) -> str:
    """What the runs of cars are said to be of: not the target, which a car isn't before it has landed."""
    return f"train/{target}"


def contents(place: Path) -> tuple[list[bytes], str]:
    """The files in the tar as far as it is sound, and what is wrong: repository code may have written it."""
    found, left = list[bytes](), MAX_BYTES
    try:
        with place.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            for member in tar:
                if len(found) >= MOST_FILES or member.size > left:
                    return found, "what came out of the jail holds too much"
                left -= member.size
                opened = tar.extractfile(member) if member.isreg() else None
                if opened is not None:
                    found.append(opened.read(member.size))
    except Exception as error:  # tarfile raises more kinds than it says for what is made to break it
        return found, f"what came out of the jail is no sound tar: {type(error).__name__}"
    return found, ""
