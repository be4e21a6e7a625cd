"""The page of a release on GitHub, from its notes: one for each marker, made by whoever comes first.

https://docs.github.com/en/rest/releases/releases. Needs `contents: write`, as pushing the marker does.
"""

from collections.abc import Mapping, Sequence

from pydantic import BaseModel, TypeAdapter

from activities.backends.github_account import GithubAccount
from activities.backends.github_errors import answering
from activities.backends.github_places import Place, Places
from activities.ports import Backend, Health
from leverframe.model.errors import BadInput, LeverframeError
from leverframe.model.release_notes import Marked
from leverframe.model.topology import Repository

_NEWEST = 100


class _Page(BaseModel):
    id: int
    tag_name: str


class GithubReleasePages:
    """The port `ReleasePages` over GitHub Releases."""

    def __init__(
        self, account: GithubAccount, *, repositories: Sequence[Repository], owner_repo: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._account = account
        self._rest = account.client.rest
        self._places = Places(repositories, owner_repo, host=account.host)

    def publish(self, repository: Repository, marked: Marked) -> None:
        """Make the page of the marker, or bring the one that is there up to date.

        Raises:
            BadInput, NotFound, Refused: GitHub takes no page there; Unavailable: no answer.
        """
        at, doing = self._places.of(repository.name), f"make the release page of {marked.name}"
        name, body = marked.title, marked.notes.markdown()
        try:
            with answering(doing):
                self._rest.repos.create_release(at.owner, at.repo, tag_name=marked.name, name=name, body=body)
        except BadInput:
            if (found := self._page(at, marked.name)) is None:
                raise
            with answering(doing):
                self._rest.repos.update_release(at.owner, at.repo, found.id, name=name, body=body)

    def health(self) -> Health:
        """Whether GitHub answers; what we may do is told by the line of the changes."""
        try:
            told = self._account.grants().told
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check changes.github")
        return Health(ok=True, detail=f"releases get a page on {self._account.host}: {told}")

    def _page(self, at: Place, marker: str) -> _Page | None:
        """The one of the marker among the newest. By its tag none can be asked for that has a slash."""
        with answering(f"look for the release page of {marker}"):
            answer = self._rest.repos.list_releases(at.owner, at.repo, per_page=_NEWEST)
            pages = TypeAdapter(list[_Page]).validate_python(answer.json())
        return next((page for page in pages if page.tag_name == marker), None)


BACKEND = Backend(kind="pages", name="github", scopes=("contents: write",), build=GithubReleasePages)
