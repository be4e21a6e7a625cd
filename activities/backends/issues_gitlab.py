"""Issues on GitLab, found again by our label and a hidden marker: https://docs.gitlab.com/api/issues/."""

from collections.abc import Iterator, Mapping, Sequence
from urllib.parse import quote

from activities.backends.gitlab_account import SCOPE, GitlabAccount, Query, explain, parsed
from activities.backends.gitlab_answers import Issue, disarmed
from activities.backends.gitlab_places import Place, Places
from activities.backends.hidden_marker import key_of, marked
from activities.ports import Backend, Health
from leverframe.model.errors import LeverframeError
from leverframe.model.topology import Repository

LABEL = "leverframe"
_LONGEST_TITLE = 255


class GitlabIssues:
    """The `Issues` port over GitLab's REST API."""

    def __init__(
        self, account: GitlabAccount, *, repositories: Sequence[Repository], projects: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no project on GitLab."""
        self._account = account
        self._places = Places(account.host, repositories, projects)

    def track(self, repository: str, *, key: str, title: str, body: str) -> str:
        at, text = self._places.at(repository), disarmed(marked(key, body))
        known = self._of(at, key)
        if known is not None and known.state == "opened" and known.text == text:
            return known.web_url
        doing = f"track {key} in {at.key}"
        if known is None:
            made = {"title": title[:_LONGEST_TITLE], "description": text, "labels": LABEL}
            answer = self._account.send("POST", f"{at.url}/issues", doing, data=made)
        else:
            again = {"state_event": "reopen"} if known.state == "closed" else {}
            answer = self._account.send(
                "PUT", f"{at.url}/issues/{known.iid}", doing, data={"description": text, **again}
            )
        return parsed(Issue, answer.body, doing).web_url

    def address(self, repository: str, *, key: str) -> str:
        path = self._places.at(repository).path
        return f"{self._account.root.rstrip('/')}/{path}/-/issues?scope=all&state=all&search={quote(key)}"

    def resolve(self, repository: str, *, key: str, body: str) -> None:
        at = self._places.at(repository)
        known = self._of(at, key)
        if known is None or known.state == "closed":
            return
        self._account.send(
            "PUT", f"{at.url}/issues/{known.iid}", f"close the issue {at.key}#{known.iid}",
            data={"description": disarmed(marked(key, body)), "state_event": "close"},
        )  # fmt: skip

    def health(self) -> Health:
        """Whether GitLab answers, and the token may write issues."""
        try:
            grants = self._account.grants()
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        if grants.missing:
            detail = f"{grants.told}; not granted: {', '.join(grants.missing)}"
            return Health(ok=False, detail=detail, remedy='grant it, or set changes.issues = "none"')
        return Health(ok=True, detail=f"{grants.told}; issues carry the label {LABEL}")

    def _of(self, at: Place, key: str) -> Issue | None:
        """The newest issue of ours with the key. A marker in somebody else's issue is only text."""
        return next((issue for known, issue in self._mine(at) if known == key), None)

    def _mine(self, at: Place) -> Iterator[tuple[str, Issue]]:
        query: Query = {
            "labels": LABEL, "scope": "all", "state": "all", "order_by": "created_at", "sort": "desc",
            "author_id": self._account.me(),
        }  # fmt: skip
        doing = f"look for our issues in {at.key}"
        for issue in self._account.pages(Issue, f"{at.url}/issues", doing, query):
            key = key_of(issue.text)
            if key is not None and issue.author.id == self._account.me():
                yield key, issue


BACKEND = Backend(kind="issues", name="gitlab", scopes=(SCOPE,), build=GitlabIssues)
