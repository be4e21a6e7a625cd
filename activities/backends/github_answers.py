"""The few fields that we read of GitHub's answers, and the change that they make.

githubkit's own models are strict about values that GitHub adds to now and then, so only what matters is
parsed here. Text is cut to what our models take; whoever shows it opens it for its sink.
"""

from datetime import datetime

from pydantic import BaseModel, Field

from activities.backends.changes_vouched import Vouched
from leverframe.model.changes import Author, Change, Priority
from leverframe.model.frozen import Sha

MAX_BODY = 65_536
"""Characters that GitHub takes in a body or comment."""

_MAX_TITLE = 200
_MAX_NAME = 100


class User(BaseModel):
    """An account; `type` tells a bot from a person."""

    id: int
    login: str
    type: str = "User"


class _Repo(BaseModel):
    id: int


class _Side(BaseModel):
    ref: str
    sha: Sha
    label: str | None = None
    repo: _Repo | None = None


class Pull(BaseModel):
    """A pull request."""

    number: int
    title: str
    body: str | None
    state: str
    user: User | None
    created_at: datetime
    merged_at: datetime | None
    merge_commit_sha: Sha | None = None
    head: _Side
    base: _Side

    @property
    def from_fork(self) -> bool:
        """Whether the branch lies in another repository; one that is gone counts as another."""
        return self.head.repo is None or self.base.repo is None or self.head.repo.id != self.base.repo.id

    @property
    def text(self) -> str:
        """The body with lines that end in LF, whatever a browser sent."""
        return (self.body or "").replace("\r\n", "\n")[:MAX_BODY]


class _ViaApp(BaseModel):
    id: int


class Comment(BaseModel):
    """A comment in the conversation of a pull request."""

    id: int
    body: str = ""
    user: User | None
    performed_via_github_app: _ViaApp | None = None


class Issue(BaseModel):
    """An issue; to GitHub a pull request is one, too."""

    number: int
    state: str
    html_url: str
    body: str | None = None
    user: User | None
    performed_via_github_app: _ViaApp | None = None
    pull_request: dict[str, object] | None = None

    @property
    def text(self) -> str:
        """The body with lines that end in LF, whatever a browser sent."""
        return (self.body or "").replace("\r\n", "\n")


class CheckRun(BaseModel):
    """A check run."""

    id: int
    name: str
    external_id: str | None


class CheckRuns(BaseModel):
    """A page of check runs."""

    check_runs: list[CheckRun]


class Comparison(BaseModel):
    """How one commit lies to another: `ahead` and `identical` contain the base."""

    status: str


class RefTarget(BaseModel):
    """What a ref points at."""

    sha: Sha


class Ref(BaseModel):
    """A git ref."""

    object: RefTarget


class RepositoryAnswer(BaseModel):
    """A repository; `permissions` are those of a token's user."""

    archived: bool = False
    permissions: dict[str, bool] = Field(default_factory=dict)


def as_change(repository: str, target: str, pull: Pull, vouched: Vouched | None) -> Change:
    """The change that a pull request is.

    State and head are GitHub's. Author and priority are what we recorded for exactly this head; at any
    other head, and for a pull request of somebody else, it is a person's change without priority. One
    that goes to another branch than the target is closed as far as its train is concerned.
    """
    landed_as = _landed_as(pull, vouched)
    known = vouched if vouched and (vouched.head == pull.head.sha or vouched.landed_as) else None
    return Change(
        id=f"{repository}/{pull.number}",
        repository=repository,
        branch=pull.head.label or "fork:gone" if pull.from_fork else pull.head.ref,
        head=pull.head.sha,
        title=pull.title[:_MAX_TITLE],
        body=pull.text,
        author=known.author if known else _person(pull.user),
        priority=known.priority if known else Priority.NORMAL,
        state="landed" if landed_as else _unlanded(target, pull, vouched),
        landed_as=landed_as,
        opened_at=pull.created_at,
    )


def _person(user: User | None) -> Author:
    return Author(kind="person", name=(user.login if user else "ghost")[:_MAX_NAME])


def _landed_as(pull: Pull, vouched: Vouched | None) -> str | None:
    if vouched and vouched.landed_as:
        return vouched.landed_as
    return (pull.merge_commit_sha or pull.head.sha) if pull.merged_at else None


def _unlanded(target: str, pull: Pull, vouched: Vouched | None) -> str:
    if pull.state != "open" or pull.base.ref != target:
        return "closed"
    return "ejected" if vouched and vouched.ejected else "open"


def kept(text: str, longest: int = MAX_BODY) -> str:
    """Text as GitHub keeps it: without NUL, and not too long."""
    clean = text.replace("\0", "\N{REPLACEMENT CHARACTER}")
    return clean if len(clean) <= longest else clean[: longest - 1] + "…"
