"""The page of a release on GitLab, from its notes: one for each marker, made by whoever comes first.

https://docs.gitlab.com/api/releases/
"""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from activities.backends.gitlab_account import GitlabAccount, explain
from activities.backends.gitlab_places import Places
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError
from leverframe.model.release_notes import Marked
from leverframe.model.topology import Repository

_THERE_ALREADY = 409


class GitlabReleasePages:
    """The port `ReleasePages` over GitLab's releases."""

    def __init__(
        self, account: GitlabAccount, *, repositories: Sequence[Repository], projects: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no project."""
        self._account = account
        self._places = Places(account.host, repositories, projects)

    def publish(self, repository: Repository, marked: Marked) -> None:
        """Make the page of the marker, or bring the one that is there up to date.

        Raises:
            BadInput, NotFound, Refused: GitLab takes no page there; Unavailable: no answer.
        """
        doing = f"make the release page of {marked.name}"
        pages = f"{self._places.at(repository.name).url}/releases"
        told = {"name": marked.title, "description": marked.notes.markdown()}
        made = self._account.send(
            "POST", pages, doing, data={"tag_name": marked.name, **told}, allow=(_THERE_ALREADY,)
        )
        if made.status == _THERE_ALREADY:
            self._account.send("PUT", f"{pages}/{quote(marked.name, safe='')}", doing, data=told)

    def health(self) -> Health:
        """Whether GitLab answers; what we may do is told by the line of the changes."""
        try:
            version = self._account.version().version
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        return Health(ok=True, detail=f"releases get a page on {self._account.host}, GitLab {version}")


BACKEND = Backend(kind="pages", name="gitlab", scopes=("api",), build=GitlabReleasePages)
