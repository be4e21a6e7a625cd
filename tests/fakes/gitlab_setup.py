"""The GitLab backends on the fake: two declared repositories and one token."""

from pydantic import SecretStr
from sqlalchemy import Engine

from activities.backends.changes_gitlab import GitlabChanges
from activities.backends.checks_gitlab import GitlabChecks
from activities.backends.gitlab_account import GitlabAccount
from activities.backends.queue_gitlab import GitlabQueue
from activities.backends.reports_gitlab import GitlabReports
from leverframe.model.topology import Repository
from tests.fakes.github_setup import declared as declared_on
from tests.fakes.gitlab import TOKEN, FakeGitlab

PROJECTS = {"shop": "acme/shop", "till": "acme/till"}


def account(gitlab: FakeGitlab, token: str = TOKEN) -> GitlabAccount:
    return GitlabAccount(SecretStr(token), transport=gitlab.transport)


def on_gitlab(gitlab: FakeGitlab, store: Engine, token: str = TOKEN) -> GitlabChanges:
    return GitlabChanges(account(gitlab, token), store, repositories=_both(), projects=PROJECTS)


def checks_on(gitlab: FakeGitlab) -> GitlabChecks:
    return GitlabChecks(account(gitlab), repositories=_both(), projects=PROJECTS)


def reports_on(
    gitlab: FakeGitlab, *wanted: str, jobs: tuple[str, ...] = (), reports: bool = True
) -> GitlabReports:
    """`reports`: whether any are wanted; without globs they are the pipeline's own."""
    return GitlabReports(
        account(gitlab),
        repositories=_both(),
        projects=PROJECTS,
        wanted={"shop": wanted} if reports else {},
        jobs={"shop": jobs} if jobs else {},
    )


def queue_on(gitlab: FakeGitlab) -> GitlabQueue:
    return GitlabQueue(account(gitlab), repositories=_both(), projects=PROJECTS)


def declared(name: str) -> Repository:
    return declared_on(name).model_copy(update={"url": f"https://gitlab.com/acme/{name}.git"})


def _both() -> list[Repository]:
    return [declared(name) for name in PROJECTS]
