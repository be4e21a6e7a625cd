"""Attempts: what each execution of a test came to, one JSON line each.

JUnit files of the usual rerun plugins lose attempts, or show failed ones as passed; these lines don't. They
are what `leverframe tests upload` and `leverframe flaky replay` read.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

MOST_MARKERS, LONGEST_MARKER = 50, 100
"""Marks of one test, and characters of one. Of a test with more none is told: one left out might matter."""

Outcome = Literal["pass", "fail", "error", "skip"]
"""`fail`: the test itself; `error`: its setup or teardown, or a worker that died with it."""

_FROM = {
    "sha": ("LEVERFRAME_SHA", "GITHUB_SHA", "CI_COMMIT_SHA"),
    "branch": ("LEVERFRAME_BRANCH", "GITHUB_HEAD_REF", "GITHUB_REF_NAME", "CI_COMMIT_REF_NAME"),
    "run": ("LEVERFRAME_RUN", "GITHUB_RUN_ID", "CI_PIPELINE_ID"),
    "job": ("LEVERFRAME_JOB", "GITHUB_JOB", "CI_JOB_NAME"),
}
"""What we are told first, then what GitHub Actions and GitLab CI say."""


class NotKnown(ValueError):
    """It is not known which commit or run this is; the text says what to set."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One execution of a suite at one commit."""

    run: str
    sha: str
    branch: str
    job: str


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One execution of one test."""

    test: str
    attempt: int
    """Counts from 1 within the run."""
    at: datetime
    outcome: Outcome
    signature: str | None
    """Of the failure; None when there is none."""
    duration_ms: int
    quarantined: bool
    """Whether the failure is one that a later pass in this run forgives."""
    markers: tuple[str, ...] | None
    """The names of the test's marks, sorted; None where they are not known, or are too many to tell."""


def this_run(environment: Mapping[str, str], directory: Path) -> Run:
    """What the environment, or else git in the directory, says of this run. Raises NotKnown."""
    said = {
        field: next((environment[name] for name in names if environment.get(name)), "")
        for field, names in _FROM.items()
    }
    if rerun := environment.get("GITHUB_RUN_ATTEMPT"):
        said["run"] += f".{rerun}" if not environment.get("LEVERFRAME_RUN") else ""
    said["sha"] = said["sha"] or _git(directory, "rev-parse", "HEAD")
    said["branch"] = said["branch"] or _git(directory, "rev-parse", "--abbrev-ref", "HEAD")
    if not said["sha"]:
        raise NotKnown("no commit is known here: set LEVERFRAME_SHA")
    if not said["run"]:
        raise NotKnown("no run is known here: set LEVERFRAME_RUN to something that no other run has")
    return Run(**said)


def line(run: Run, attempt: Attempt) -> str:
    """One line of the results file, with its end."""
    return json.dumps({**asdict(run), **asdict(attempt), "at": attempt.at.isoformat()}) + "\n"


def append(path: Path, text: str) -> None:
    """Add whole lines at the end; a run that is killed loses no earlier line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as opened:
        opened.write(text)


def _git(directory: Path, *words: str) -> str:
    try:
        done = subprocess.run(
            ["git", *words], cwd=directory, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
