"""Issues on GitHub, found again by our label and a hidden marker.

https://docs.github.com/en/rest/issues/issues. Listing is used instead of search, whose index lags behind.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from githubkit import Response

from activities.backends.github_account import NEEDED_BY_ISSUES, GithubAccount
from activities.backends.github_answers import Issue, kept
from activities.backends.github_errors import answering
from activities.backends.github_places import Place, Places
from activities.backends.hidden_marker import key_of, marked
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError
from leverframe.model.topology import Repository

LABEL = "leverframe"
_PAGE = 100
_LONGEST_TITLE = 256


class GithubIssues:
    """The `Issues` port over GitHub's REST API."""

    def __init__(
        self,
        account: GithubAccount,
        *,
        repositories: Sequence[Repository],
        owner_repo: Mapping[str, str],
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._account = account
        self._rest = account.client.rest
        self._places = Places(repositories, owner_repo, host=account.host)

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        at, text = self._places.of(repository), kept(marked(key, body))
        known = self._of(at, key)
        if known is not None and known.state == "open" and known.text == text:
            return known.html_url
        with answering(f"track {key} in {at.key}"):
            if known is None:
                answer: Response[Any, Any] = self._rest.issues.create(
                    at.owner, at.repo, title=kept(title, _LONGEST_TITLE), body=text, labels=[LABEL]
                )
            else:
                answer = self._rest.issues.update(at.owner, at.repo, known.number, state="open", body=text)
            return Issue.model_validate(answer.json()).html_url

    def address(self, repository: str, *, key: str) -> str:
        at = self._places.of(repository)
        return f"https://{self._account.host}/{at.owner}/{at.repo}/issues?q={quote(f'is:issue {key}')}"

    def resolve(self, repository: str, *, key: str, body: str) -> None:
        at = self._places.of(repository)
        known = self._of(at, key)
        if known is None or known.state == "closed":
            return
        with answering(f"close the issue {at.key}#{known.number}"):
            self._rest.issues.update(
                at.owner, at.repo, known.number, state="closed", state_reason="completed",
                body=kept(marked(key, body)),
            )  # fmt: skip

    def health(self) -> Health:
        """Whether GitHub answers, and we may write issues."""
        try:
            grants = self._account.grants(NEEDED_BY_ISSUES)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check changes.github")
        if grants.missing:
            detail = f"{grants.told}; not granted: {', '.join(grants.missing)}"
            return Health(ok=False, detail=detail, remedy='grant it, or set changes.issues = "none"')
        return Health(ok=True, detail=f"{grants.told}; issues carry the label {LABEL}")

    def _of(self, at: Place, key: str) -> Issue | None:
        """The newest issue of ours with the key. A marker in somebody else's issue is only text."""
        return next((issue for known, issue in self._mine(at) if known == key), None)

    def _mine(self, at: Place) -> Iterator[tuple[str, Issue]]:
        with answering(f"look for our issues in {at.key}"):
            for issue in self._rest.paginate(
                self._rest.issues.list_for_repo, map_func=_issues, owner=at.owner, repo=at.repo,
                labels=LABEL, state="all", sort="created", direction="desc", per_page=_PAGE,
            ):  # fmt: skip
                key = key_of(issue.text)
                if key is not None and issue.pull_request is None and self._account.wrote(issue):
                    yield key, issue


def _issues(response: "Response[Any, Any]") -> list[Issue]:
    return [Issue.model_validate(each) for each in response.json()]


BACKEND = Backend(
    kind="issues",
    name="github",
    scopes=tuple(f"{name}: {level}" for name, level in NEEDED_BY_ISSUES.items()),
    build=GithubIssues,
)
