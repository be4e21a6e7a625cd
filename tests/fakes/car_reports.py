"""A check that leaves test reports, and what the sandbox does with them."""

import io
import tarfile
from pathlib import Path

from activities.left_reports import LeftReports
from activities.sandbox import CheckRequest
from leverframe.model.checks import Check
from leverframe.model.topology import Repository

JUNIT = b'<testsuite name="s"><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>'


def telling(repository: Repository) -> Repository:
    """The repository, whose check leaves reports."""
    return repository.model_copy(
        update={"checks": (Check(name="unit", command=("true",), results=("*.xml",)),)}
    )


def leave(directory: Path, request: CheckRequest) -> None:
    """What the sandbox does with a report."""
    left = LeftReports(
        repository=request.repository, sha=request.sha, check=request.check, trial=request.trial
    )
    place = left.place(directory)
    place.parent.mkdir(parents=True)
    with tarfile.open(place, "w") as tar:
        member = tarfile.TarInfo("0")
        member.size = len(JUNIT)
        tar.addfile(member, io.BytesIO(JUNIT))
