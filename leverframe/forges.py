"""What a forge has a part in is built here from the settings: changes, checks, queue, and git's remotes."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from activities.ports import Changes
from activities.track_port import Track
from leverframe.backends import build, open_the_store
from leverframe.model.errors import BadConfiguration
from leverframe.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from activities.backends.git_process import HttpsLogin
    from activities.backends.github_account import GithubAccount
    from activities.backends.gitlab_account import GitlabAccount
    from activities.backends.refs_github import GithubRefs
    from activities.forge_reports_port import ForgeReports
    from activities.issues_port import Issues
    from activities.notes_port import ReleasePages
    from activities.train_ports import ForgeChecks, NativeQueue


def build_changes(settings: Settings, store: "Engine | None" = None) -> Changes:
    """The record of changes, with a store that is open already or with one opened for it."""
    chosen = settings.changes
    if chosen.backend == "store":
        return cast(Changes, build("changes", "store", store or open_the_store(settings)))
    if chosen.backend == "gitlab":
        account, opened = _gitlab(settings), store or open_the_store(settings)
        return cast(Changes, build("changes", "gitlab", account, opened, **_on_gitlab(settings)))
    return cast(
        Changes,
        build(
            "changes",
            chosen.backend,
            _github(settings),
            store or open_the_store(settings),
            repositories=settings.repositories,
            owner_repo=chosen.github.owner_repo,
        ),
    )


def build_checks(settings: Settings) -> "ForgeChecks | None":
    """The forge's own CI; None where changes are kept in the store. Raises BadConfiguration."""
    return cast("ForgeChecks | None", _of_the_forge("checks", settings))


def build_forge_reports(settings: Settings) -> "ForgeReports | None":
    """Test reports and jobs at the forge; None where changes are kept in the store.

    Raises BadConfiguration.
    """
    tests = settings.gateway.tests
    for repository in sorted(tests.fetched):
        settings.repository(repository)
    if tests.fetched and settings.changes.backend == "store":
        raise BadConfiguration(
            "gateway.tests.fetch and .jobs need changes.backend github or gitlab: there is no forge"
        )
    reports = _of_the_forge("reports", settings, wanted=tests.fetch, jobs=tests.jobs)
    return cast("ForgeReports | None", reports)


def build_queue(settings: Settings) -> "NativeQueue | None":
    """The forge's own queue; None where changes are kept in the store. Raises BadConfiguration."""
    return cast("NativeQueue | None", _of_the_forge("queue", settings))


def build_issues(settings: Settings) -> "Issues":
    """Where repairs are tracked. Raises BadConfiguration."""
    if settings.changes.issues == "none" or settings.changes.backend == "store":
        return cast("Issues", build("issues", "none"))
    return cast("Issues", _of_the_forge("issues", settings))


def build_pages(settings: Settings) -> "ReleasePages | None":
    """The forge's page of each release; None where none is wanted. Raises BadConfiguration: no such forge."""
    if not settings.release.forge_page:
        return None
    if settings.changes.backend == "store":
        raise BadConfiguration("release.forge_page needs a forge: set changes.backend")
    return cast("ReleasePages", _of_the_forge("pages", settings))


def _of_the_forge(
    kind: Literal["checks", "queue", "issues", "pages", "reports"], settings: Settings, **more: object
) -> Any:
    match settings.changes.backend:
        case "gitlab":
            return build(kind, "gitlab", _gitlab(settings), **_on_gitlab(settings), **more)
        case "github":
            places = settings.changes.github.owner_repo
            on_github = {"repositories": settings.repositories, "owner_repo": places}
            return build(kind, "github", _github(settings), **on_github, **more)
        case _:
            return None


def build_track(settings: Settings) -> Track:
    """Git, with mirrors below the home. The credential of a forge serves the remotes there, too."""
    return cast(
        Track,
        build(
            "track",
            "git",
            mirrors=settings.home / "mirrors",
            artifacts=settings.artifacts,
            repositories=settings.repositories,
            login=_git_login(settings),
            moves=_moved_by_github(settings),
            signing_key=settings.release.signing_key_file,
        ),
    )


def _github(settings: Settings) -> "GithubAccount":
    from activities.backends.github_account import open_account  # noqa: PLC0415 - loads when it is used

    github = settings.changes.github
    return open_account(
        owner_repo=github.owner_repo,
        token=github.token,
        app_id=github.app_id,
        installation_id=github.installation_id,
        private_key_file=github.private_key_file,
        api_url=github.api_url,
    )


def _gitlab(settings: Settings) -> "GitlabAccount":
    from activities.backends.gitlab_account import open_account  # noqa: PLC0415 - loads when it is used

    gitlab = settings.changes.gitlab
    return open_account(token=gitlab.token, api_url=gitlab.api_url)


def _moved_by_github(settings: Settings) -> "GithubRefs | None":
    """What lands cars by GitHub's API, where the settings say so."""
    github = settings.changes.github
    if github.land_by == "push":
        return None
    from activities.backends.refs_github import GithubRefs  # noqa: PLC0415 - loads when it is used

    if settings.changes.backend != "github":
        raise BadConfiguration('changes.github.land_by = "api" needs changes.backend = "github"')
    return GithubRefs(_github(settings), repositories=settings.repositories, owner_repo=github.owner_repo)


def _on_gitlab(settings: Settings) -> dict[str, object]:
    return {"repositories": settings.repositories, "projects": settings.changes.gitlab.projects}


def _git_login(settings: Settings) -> "HttpsLogin | None":
    """The login of the forge that keeps the changes, else of the one that there is a credential for."""
    changes = settings.changes
    if changes.gitlab.configured and (changes.backend == "gitlab" or not changes.github.configured):
        return _gitlab(settings).git_login()
    return _github(settings).git_login() if changes.github.configured else None


def marker_fingerprint(key: Path) -> str:
    """Which key signs markers. Raises BadConfiguration, Unavailable: it can't sign."""
    from activities.backends.track_markers import SshKey  # noqa: PLC0415 - loads when it is used

    return SshKey(key).fingerprint()
