"""Jobs of CI, attempt by attempt: whether each passed, not why.

A job's conclusion names no test, so it is no evidence on any; that a job failed and passed at one commit
costs people minutes all the same.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.paths import any_match
from leverframe.model.test_reports import MOST_NAME
from leverframe.model.untrusted import Untrusted

JobSource = Literal["github", "gitlab", "car"]
"""Who ran it: the forge's CI, or the sandbox for a car of the train."""
JobConclusion = Literal["pass", "fail"]
"""Of an attempt that came to an end of its own. What was cancelled or skipped is none."""


def _bounded(text: Untrusted) -> Untrusted:
    if len(text.stored()) > MOST_NAME:
        raise ValueError(f"it has more than {MOST_NAME} characters")
    return text


Named = Annotated[Untrusted, AfterValidator(_bounded)]


class JobAttempt(Frozen):
    """One execution of one job, which has ended."""

    repository: Slug
    source: JobSource
    id: str = Field(pattern=r"^[0-9A-Za-z._/-]{1,200}$")
    """Names the execution at its source: however often it is told, it is one."""
    run: str = Field(pattern=r"^[0-9A-Za-z._/-]{1,100}$")
    """What its attempts have in common: a workflow run or a check suite, a pipeline, a car's commit. Whatever
    else runs at the same commit may test something else, such as its merge with another base."""
    job: Named
    sha: Sha
    branch: Named
    attempt: int = Field(ge=1, le=2**31 - 1)
    """Counts from 1 within the run, but for a car, whose trials are numbered by its train; what is executed
    again has a higher number."""
    conclusion: JobConclusion
    began: Instant
    ended: Instant

    @property
    def took(self) -> timedelta:
        """Never less than nothing: the two times may come from two clocks."""
        return max(self.ended - self.began, timedelta(0))

    @property
    def reports_run(self) -> str:
        """The run that test reports of the same attempt are of, as jobs and fetches name it."""
        match self.source:
            case "github":
                return f"{self.run}.{self.attempt}"
            case "gitlab":
                return self.run if self.attempt == 1 else f"{self.run}.{self.attempt}"
            case "car":
                return f"{self.run}/{self.attempt}"


def is_wanted(job: str, globs: Iterable[str]) -> bool:
    """Whether a job's name matches one of the globs. A slash in it is nothing special: `*` crosses it."""
    # As paths of one part: there a `*` matches all of it.
    return any_match((job.replace("/", "\0"),), (glob.replace("/", "\0") for glob in globs))
