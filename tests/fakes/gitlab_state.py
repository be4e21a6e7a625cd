"""What a GitLab remembers of one project, over a real bare repository or over made-up commits."""

import itertools
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha1
from pathlib import Path
from typing import Any

BEGAN = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = 60

Json = dict[str, Any]

ME: Json = {"id": 7, "username": "project_1_bot_3f", "name": "train", "state": "active"}
MALLORY: Json = {"id": 66, "username": "mallory", "name": "Mallory", "state": "active"}


@dataclass
class MergeRequestState:
    iid: int
    branch: str
    target: str
    title: str
    body: str
    author: Json
    sha: str | None
    fork: bool = False
    state: str = "opened"
    waits: bool = False
    """Goes onto the train once its checks pass."""
    squash: bool = False
    merge_commit: str | None = None
    squash_commit: str | None = None
    status: str = "mergeable"
    """`detailed_merge_status`."""


@dataclass
class JobState:
    id: int
    name: str
    status: str = "created"
    reason: str | None = None
    retried: bool = False
    allow_failure: bool = False
    began: datetime | None = None
    """Where a test says it; else by its id."""
    ended: datetime | None = None


@dataclass
class PipelineState:
    id: int
    sha: str
    ref: str
    source: str
    status: str = "created"
    jobs: list[JobState] = field(default_factory=list)


@dataclass
class CarState:
    id: int
    iid: int
    status: str = "idle"
    base: str | None = None
    pipeline: PipelineState | None = None
    sha: str | None = None


@dataclass
class ProjectState:
    """One project. Ids are GitLab's: counted over everything that it has."""

    path: str
    id: int
    ids: Iterator[int]
    remote: Path | None = None
    """A bare repository; None when commits are made up and `branches` has them."""
    branches: dict[str, str] = field(default_factory=dict)
    protected: tuple[str, ...] = ("main",)
    commits: set[str] = field(default_factory=set)
    contained: set[tuple[str, str]] = field(default_factory=set)
    """(older, newer) pairs of made-up commits."""
    settings: Json = field(
        default_factory=lambda: {
            "merge_method": "merge",
            "squash_option": "default_off",
            "merge_pipelines_enabled": True,
            "merge_trains_enabled": True,
            "merge_trains_skip_train_allowed": False,
            "archived": False,
        }
    )
    merge_requests: list[MergeRequestState] = field(default_factory=list)
    notes: list[Json] = field(default_factory=list)
    issues: list[Json] = field(default_factory=list)
    statuses: list[Json] = field(default_factory=list)
    pipelines: list[PipelineState] = field(default_factory=list)
    cars: list[CarState] = field(default_factory=list)
    traces: dict[int, str] = field(default_factory=dict)
    archives: dict[int, bytes] = field(default_factory=dict)
    """Job → what it keeps as artifacts."""
    test_suites: dict[int, dict[str, list[Json]]] = field(default_factory=dict)
    """Pipeline → job → cases of its JUnit files."""
    job_names: tuple[str, ...] = ("unit",)
    obeyed: list[str] = field(default_factory=list)
    """Quick actions that notes and descriptions made GitLab do."""

    def merge_request(self, iid: int) -> MergeRequestState:
        return self.merge_requests[iid - 1]

    def head(self, branch: str) -> str | None:
        if self.remote is None:
            return self.branches.get(branch)
        return self.git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}", ok=(0, 1)) or None

    def knows(self, sha: str) -> bool:
        if self.remote is None:
            return sha in self.commits
        return self.git("cat-file", "-t", sha, ok=(0, 128)) == "commit"

    def contains(self, newer: str, older: str) -> bool:
        if newer == older:
            return True
        if self.remote is None:
            return (older, newer) in self.contained
        return self.git("merge-base", older, newer, ok=(0, 1)) == older

    def make_up(self, *parents: str) -> str:
        """A made-up commit that contains its parents and what they contain."""
        made = sha1(f"{next(self.ids)}".encode(), usedforsecurity=False).hexdigest()
        self.commits.add(made)
        before = {older for older, newer in self.contained if newer in parents}
        self.contained |= {(older, made) for older in before.union(parents)}
        return made

    def move(self, branch: str, sha: str, before: str) -> None:
        """The branch goes from one commit to another."""
        if self.remote is not None:
            self.git("update-ref", f"refs/heads/{branch}", sha, before)
        else:
            assert self.branches[branch] == before
            self.branches[branch] = sha

    def note(self, iid: int, body: str, author: Json, *, system: bool = False) -> Json:
        made = {
            "id": next(self.ids), "body": body, "author": author, "system": system, "noteable_iid": iid,
            "noteable_type": "MergeRequest", "created_at": BEGAN.isoformat(), "resolvable": False,
            "updated_at": BEGAN.isoformat(), "internal": False, "confidential": False, "type": None,
        }  # fmt: skip
        self.notes.append(made)
        return made

    def pipeline(self, sha: str, ref: str, source: str = "push") -> PipelineState:
        """CI starts on a commit."""
        made = PipelineState(next(self.ids), sha, ref, source, "running")
        made.jobs = [JobState(next(self.ids), name, "running") for name in self.job_names]
        self.pipelines.append(made)
        return made

    def git(self, *arguments: str, ok: tuple[int, ...] = (0,), at: int = 0) -> str:
        """Run git on the bare repository; `at` are seconds after the beginning, for commits."""
        assert self.remote is not None
        when = f"{int(BEGAN.timestamp()) + at} +0000"
        people = {"NAME": "GitLab", "EMAIL": "gitlab@example.com", "DATE": when}
        done = subprocess.run(
            ["git", "-c", "core.quotePath=false", *arguments],
            cwd=self.remote,
            capture_output=True,
            text=True,
            env={
                "PATH": "/usr/bin:/bin:/usr/local/bin",
                **{
                    f"GIT_{who}_{what}": text
                    for who in ("AUTHOR", "COMMITTER")
                    for what, text in people.items()
                },
            },
            check=False,
        )
        if done.returncode not in ok:
            raise AssertionError(f"git {arguments}: {done.stderr}")
        return done.stdout.strip()


def counter() -> Iterator[int]:
    return itertools.count(100)
