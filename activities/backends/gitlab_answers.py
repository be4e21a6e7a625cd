"""The few fields that we read of GitLab's answers, and the change that a merge request makes.

Text is cut to what our models take; whoever shows it opens it for its sink. Statuses are plain texts:
GitLab adds some now and then, and one that we don't know must not break the reading of the others.
"""

import re
from datetime import datetime

from pydantic import BaseModel, Field

from activities.backends.changes_vouched import Vouched
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.errors import Unavailable
from leverframe.model.frozen import Sha

MAX_BODY = 65_536
"""Characters of a description or note that we write and read; GitLab takes more."""

_MAX_TITLE = 200
_MAX_NAME = 100
_JOINER = "\N{WORD JOINER}"
_COMMAND = re.compile(r"(?m)^([^\S\n]*)/")
_OUR_ESCAPE = re.compile(rf"(?m)^([^\S\n]*){_JOINER}/")


class User(BaseModel):
    """An account."""

    id: int
    username: str


class Pipeline(BaseModel):
    """A pipeline, as lists, trains and merge requests show it."""

    id: int
    sha: Sha
    ref: str = ""
    status: str
    source: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None


class MergeRequest(BaseModel):
    """A merge request."""

    iid: int
    title: str
    description: str | None = None
    state: str
    """opened, closed, merged; `locked` while it is being merged."""
    source_branch: str
    target_branch: str
    source_project_id: int | None = None
    target_project_id: int
    sha: Sha | None = None
    """The head; None until GitLab has looked at what was pushed."""
    author: User | None = None
    created_at: datetime
    merge_commit_sha: Sha | None = None
    squash_commit_sha: Sha | None = None
    detailed_merge_status: str = ""
    merge_when_pipeline_succeeds: bool = False
    """Whether it waits for its checks, to merge or to go onto a train."""

    @property
    def from_fork(self) -> bool:
        """Whether the branch lies in another project; one that is gone counts as another."""
        return self.source_project_id != self.target_project_id

    @property
    def text(self) -> str:
        """The description with lines that end in LF, whatever a browser sent."""
        return unarmed((self.description or "").replace("\r\n", "\n"))[:MAX_BODY]


class Note(BaseModel):
    """A comment, or a `system` note that GitLab wrote about what somebody did."""

    id: int
    body: str = ""
    author: User | None = None
    system: bool = False


class Issue(BaseModel):
    """An issue."""

    iid: int
    state: str
    web_url: str
    description: str | None = None
    author: User

    @property
    def text(self) -> str:
        """The description with lines that end in LF, whatever a browser sent."""
        return (self.description or "").replace("\r\n", "\n")


class CommitRef(BaseModel):
    """A commit in another answer."""

    id: Sha


class Branch(BaseModel):
    """A branch and the commit that it points at."""

    commit: CommitRef
    protected: bool = False


class Job(BaseModel):
    """A job of a pipeline."""

    id: int
    name: str
    status: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    duration: float | None = None
    failure_reason: str | None = None
    allow_failure: bool = False


class CommitStatus(BaseModel):
    """What somebody reported of a commit; GitLab lists its own jobs among them."""

    id: int
    name: str
    status: str
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    description: str | None = None


class _Numbered(BaseModel):
    iid: int


class TrainCar(BaseModel):
    """A merge request's place on a merge train."""

    id: int
    merge_request: _Numbered
    pipeline: Pipeline | None = None
    target_branch: str = ""
    status: str
    """idle, fresh, stale, merging; merged and skip_merged once it has ended."""

    @property
    def active(self) -> bool:
        """Whether it still rides."""
        return self.status not in ("merged", "skip_merged")


class _Level(BaseModel):
    access_level: int = 0


class _Permissions(BaseModel):
    project_access: _Level | None = None
    group_access: _Level | None = None


class Project(BaseModel):
    """A project and its settings for merge requests. Without Premium those of trains are not there."""

    id: int
    path_with_namespace: str
    archived: bool = False
    merge_method: str = ""
    squash_option: str = ""
    merge_pipelines_enabled: bool | None = None
    merge_trains_enabled: bool | None = None
    merge_trains_skip_train_allowed: bool | None = None
    permissions: _Permissions = Field(default_factory=_Permissions)

    @property
    def access_level(self) -> int:
        """The token's role: 30 is Developer, 40 Maintainer; 0 when GitLab does not tell."""
        told = (self.permissions.project_access, self.permissions.group_access)
        return max((each.access_level for each in told if each), default=0)


def disarmed(text: str) -> str:
    """Text that GitLab runs no quick action of: a line that begins with `/merge` would merge, as us.

    NUL is replaced, since GitLab keeps none, and the length is bounded.
    """
    clean = _COMMAND.sub(rf"\1{_JOINER}/", text.replace("\0", "\N{REPLACEMENT CHARACTER}"))
    return clean if len(clean) <= MAX_BODY else clean[: MAX_BODY - 1] + "…"


def unarmed(text: str) -> str:
    """What was given to `disarmed`."""
    return _OUR_ESCAPE.sub(r"\1/", text)


def as_change(repository: str, target: str, seen: MergeRequest, vouched: Vouched | None) -> Change:
    """The change that a merge request is.

    State and head are GitLab's. Author and priority are what we recorded for exactly this head; at any
    other head, and for a merge request of somebody else, it is a person's change without priority. One
    that goes to another branch than the target is closed as far as its train is concerned.

    Raises:
        Unavailable: GitLab has not looked at its head yet.
    """
    if seen.sha is None:
        raise Unavailable(f"GitLab has not looked at the head of {repository}/{seen.iid} yet")
    landed_as = _landed_as(seen, vouched)
    known = vouched if vouched and (vouched.head == seen.sha or vouched.landed_as) else None
    return Change(
        id=f"{repository}/{seen.iid}",
        repository=repository,
        branch=f"fork:{seen.source_branch}" if seen.from_fork else seen.source_branch,
        head=seen.sha,
        title=seen.title[:_MAX_TITLE],
        body=seen.text,
        author=known.author if known else _person(seen.author),
        priority=known.priority if known else Priority.NORMAL,
        state="landed" if landed_as else _unlanded(target, seen, vouched),
        landed_as=landed_as,
        opened_at=seen.created_at,
    )


def _person(user: User | None) -> Author:
    return Author(kind="person", name=(user.username if user else "ghost")[:_MAX_NAME])


def _landed_as(seen: MergeRequest, vouched: Vouched | None) -> str | None:
    if vouched and vouched.landed_as:
        return vouched.landed_as
    if seen.state != "merged":
        return None
    return seen.merge_commit_sha or seen.squash_commit_sha or seen.sha


def _unlanded(target: str, seen: MergeRequest, vouched: Vouched | None) -> str:
    if seen.state not in ("opened", "locked") or seen.target_branch != target:
        return "closed"
    return "ejected" if vouched and vouched.ejected else "open"
