"""Changes as merge requests on GitLab, whoever composes and lands them.

GitLab is the place of truth for what is open, closed or merged and for the head. What decides something
here and could be forged there stays in our store: author, priority, ejection and the results of checks.
Each write looks first for what an earlier attempt left: the merge request of the branch, the note with
its hidden marker, the commit status with its name.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from urllib.parse import quote

from sqlalchemy import Engine

from activities.backends.changes_store import ChangesStore
from activities.backends.changes_vouched import VouchedChanges, end_of
from activities.backends.gitlab_account import SCOPE, GitlabAccount, Grants, explain, parsed
from activities.backends.gitlab_answers import (
    Branch,
    CommitRef,
    CommitStatus,
    MergeRequest,
    Note,
    Project,
    as_change,
    disarmed,
    unarmed,
)
from activities.backends.gitlab_places import Place, Places
from activities.backends.hidden_marker import body_of, key_of, marked
from activities.ports import Backend, Health
from leverframe.model.changes import Change, ChangeSpec, CheckResult
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Unavailable
from leverframe.model.topology import Repository

_DEVELOPER = 30
_STATES: Mapping[str, str] = MappingProxyType(
    {"passed": "success", "failed": "failed", "inconclusive": "canceled"}
)
_MAX_DESCRIPTION = 255


class GitlabChanges:
    """The `Changes` port over GitLab's REST API."""

    def __init__(
        self,
        account: GitlabAccount,
        store: Engine,
        *,
        repositories: Sequence[Repository],
        projects: Mapping[str, str],
    ) -> None:
        """Raises BadConfiguration: a declared repository has no project on GitLab."""
        self._account = account
        self._vouched = VouchedChanges(store)
        self._proofs = ChangesStore(store)
        self._places = Places(account.host, repositories, projects)

    def open_change(self, spec: ChangeSpec) -> Change:
        """Open a merge request, or return the one of the same branch, brought up to date.

        A merge request that a person opened for the branch is taken over; its words stay.

        Raises:
            Conflict: the branch's merge request has ended, or somebody pushed another head.
            BadInput: the branch was never pushed.
            NotFound: the repository is not declared.
        """
        at = self._places.at(spec.repository)
        found = self._of_branch(at, spec.branch)
        before = self._vouched.get(at.key, found.iid) if found else None
        if found:
            self._require_open(at, found)
        self._require_head(at, spec)
        seen = found or self._create(at, spec)
        self._vouched.open(at.key, seen.iid, head=spec.head, author=spec.author, priority=spec.priority)
        if before is not None:
            seen = self._reword(at, spec, seen)
        # GitLab moves the head of a merge request a moment after the push; the branch was asked above.
        return self._seen(at, seen.model_copy(update={"sha": spec.head}))

    def change(self, change: str) -> Change:
        """Raises NotFound; Unavailable while GitLab has not looked at the head."""
        at, number = self._places.named(change)
        return self._seen(at, self._merge_request(at, number))

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        """Newest first, those of other people too; not those whose head GitLab has not looked at."""
        at = self._places.at(repository)
        query = {"state": "all", "scope": "all", "order_by": "created_at", "sort": "desc"}
        pages = self._account.pages(
            MergeRequest, f"{at.url}/merge_requests", f"list the merge requests of {at.key}", query,
            size=min(limit, 100),
        )  # fmt: skip
        found = [each for each in islice(pages, limit) if each.sha]
        vouched = self._vouched.among(at.key, [each.iid for each in found])
        return [as_change(at.repository, at.target, each, vouched.get(each.iid)) for each in found]

    def mark_landed(self, change: str, sha: str) -> Change:
        """A landing is for ever.

        GitLab itself marks a merge request as merged once the target contains its head. One whose head
        is not in what landed gets a note and is closed. Raises NotFound.
        """
        at, number = self._places.named(change)
        seen = self._merge_request(at, number)
        before = self._seen(at, seen)
        self._vouched.settle(at.key, number, seen=end_of(before, landed_as=sha))
        if seen.state == "opened" and not self._contains(at, sha, before.head):
            said = (
                f"Landed on {at.target} as {sha}. Its head {before.head} is not part of that commit, so "
                "GitLab does not see it as merged. Open a new merge request for what is left."
            )
            self.comment(change, key="closed", body=said)
            self._update(at, number, f"close {change}", {"state_event": "close"})
        return self._seen(at, seen)

    def mark_ejected(self, change: str, detail: str) -> Change:
        """The change as it is after: one that has landed or was closed stays so.

        The merge request stays open; `detail` is told in the train's note. Raises NotFound.
        """
        at, number = self._places.named(change)
        seen = self._merge_request(at, number)
        before = self._seen(at, seen)
        if before.state == "open":
            self._vouched.settle(at.key, number, seen=end_of(before, ejected=True))
        return self._seen(at, seen)

    def comment(self, change: str, *, key: str, body: str) -> None:
        """Write a Markdown note; the same key again replaces its text. Raises NotFound.

        A line that begins with a slash is told, never obeyed: GitLab would take it for a quick action.
        """
        at, number = self._places.named(change)
        text = disarmed(marked(key, body))
        mine = next((each for known, each in self._mine(at, number) if known == key), None)
        doing, notes = f"comment on {change}", f"{at.merge_request(number)}/notes"
        if mine is None:
            self._account.send("POST", notes, doing, data={"body": text})
        elif mine.body != text:
            self._account.send("PUT", f"{notes}/{mine.id}", doing, data={"body": text})

    def comments(self, change: str) -> list[tuple[str, str]]:
        """`(key, body)` of our notes in the order they were first written. Raises NotFound."""
        at, number = self._places.named(change)
        found: dict[str, str] = {}
        for key, note in self._mine(at, number):
            found.setdefault(key, unarmed(body_of(note.body)))
        return list(found.items())

    def record_check(self, change: str, result: CheckResult) -> None:
        """Keep the result for (sha, check) in our store, and show it on GitLab as a commit status.

        Its name begins with `leverframe/`, so that it is never taken for the job of the same name.
        """
        at, number = self._places.named(change)
        self._proofs.record_check(change, result)
        name, state = f"leverframe/{result.check}", _STATES[result.outcome]
        told = f"{result.outcome} in {result.seconds:.1f} s: {result.summary}".replace("\0", "")
        doing, description = f"show {result.check} of {result.sha[:12]}", told[:_MAX_DESCRIPTION]
        shown = self._status(at, result.sha, name)
        if shown is not None and (shown.status, shown.description) == (state, description):
            return
        # Without a ref GitLab looks for a branch that has the commit, and a car lies in none.
        ref = self._merge_request(at, number).source_branch
        self._account.send(
            "POST", f"{at.url}/statuses/{result.sha}", doing,
            data={"state": state, "name": name, "description": description, "ref": ref},
        )  # fmt: skip

    def checks(self, sha: str) -> list[CheckResult]:
        """What we recorded. Never what GitLab shows: a landing is proven by this, and others write there."""
        return self._proofs.checks(sha)

    def health(self) -> Health:
        """Whether GitLab answers, each project can be seen, and we have what we need and no more."""
        try:
            grants = self._account.grants()
            troubles = [trouble for at in self._places for trouble in self._troubles(at)]
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        return _health(self._account.host, grants, troubles, len(self._places))

    def _seen(self, at: Place, seen: MergeRequest) -> Change:
        return as_change(at.repository, at.target, seen, self._vouched.get(at.key, seen.iid))

    def _merge_request(self, at: Place, number: int) -> MergeRequest:
        return self._account.read(
            MergeRequest, at.merge_request(number), f"read the change {at.repository}/{number}"
        )

    def _of_branch(self, at: Place, branch: str) -> MergeRequest | None:
        """The open merge request from the branch to the target, else the newest that ended."""
        query = {
            "state": "all", "scope": "all", "source_branch": branch, "target_branch": at.target,
            "order_by": "created_at", "sort": "desc",
        }  # fmt: skip
        doing = f"look for the merge request of {branch}"
        pages = self._account.pages(MergeRequest, f"{at.url}/merge_requests", doing, query)
        ours = [each for each in pages if each.source_branch == branch and not each.from_fork]
        return next((each for each in ours if each.state in ("opened", "locked")), ours[0] if ours else None)

    def _create(self, at: Place, spec: ChangeSpec) -> MergeRequest:
        doing = f"open a merge request for {spec.branch}"
        data = {
            "source_branch": spec.branch, "target_branch": at.target, "title": _line(spec.title),
            "description": disarmed(spec.body),
        }  # fmt: skip
        answer = self._account.send("POST", f"{at.url}/merge_requests", doing, data=data, allow=(409,))
        if answer.status != 409:
            return parsed(MergeRequest, answer.body, doing)
        if found := self._of_branch(at, spec.branch):
            return found  # another writer was faster
        raise Unavailable(f"{doing}: GitLab has one ({answer.words}), and does not list it yet")

    def _require_open(self, at: Place, found: MergeRequest) -> None:
        change = f"{at.repository}/{found.iid}"
        vouched = self._vouched.get(at.key, found.iid)
        if found.state == "merged" or (vouched and vouched.landed_as):
            raise Conflict(f"the branch {found.source_branch} belongs to {change}, which has landed")
        if found.state == "closed":
            raise Conflict(f"the branch {found.source_branch} belongs to {change}, which has been closed")

    def _require_head(self, at: Place, spec: ChangeSpec) -> None:
        """Raises Conflict when the branch is not at the head that the caller vouches for."""
        path = f"{at.url}/repository/branches/{quote(spec.branch, safe='')}"
        try:
            branch = self._account.read(Branch, path, f"read the branch {spec.branch}")
        except NotFound as error:
            raise BadInput(f"{error}: push the branch {spec.branch} before its change is opened") from error
        if branch.commit.id != spec.head:
            raise Conflict(
                f"the branch {spec.branch} is at {branch.commit.id[:12]}, not at {spec.head[:12]}: "
                "somebody else pushed to it"
            )

    def _reword(self, at: Place, spec: ChangeSpec, seen: MergeRequest) -> MergeRequest:
        title, body = _line(spec.title), disarmed(spec.body)
        if (seen.title, (seen.description or "").replace("\r\n", "\n")) == (title, body):
            return seen
        doing = f"update {at.repository}/{seen.iid}"
        return self._update(at, seen.iid, doing, {"title": title, "description": body})

    def _update(self, at: Place, number: int, doing: str, data: dict[str, str]) -> MergeRequest:
        answer = self._account.send("PUT", at.merge_request(number), doing, data=data)
        return parsed(MergeRequest, answer.body, doing)

    def _contains(self, at: Place, sha: str, head: str) -> bool:
        doing = f"compare {head[:12]} with {sha[:12]}"
        path = f"{at.url}/repository/merge_base"
        return self._account.read(CommitRef, path, doing, {"refs[]": [head, sha]}).id == head

    def _status(self, at: Place, sha: str, name: str) -> CommitStatus | None:
        path = f"{at.url}/repository/commits/{sha}/statuses"
        found = self._account.pages(CommitStatus, path, f"look for {name} of {sha[:12]}", {"name": name})
        named = [each for each in found if each.name == name]
        return max(named, key=lambda each: each.id, default=None)

    def _mine(self, at: Place, number: int) -> Iterator[tuple[str, Note]]:
        """Key and note, oldest first. A marker in somebody else's note is only text."""
        doing, query = (
            f"read the notes of {at.repository}/{number}",
            {"sort": "asc", "order_by": "created_at"},
        )
        for note in self._account.pages(Note, f"{at.merge_request(number)}/notes", doing, query):
            key = key_of(note.body)
            ours = note.author is not None and note.author.id == self._account.me()
            if key is not None and ours and not note.system:
                yield key, note

    def _troubles(self, at: Place) -> Iterator[str]:
        seen = self._account.read(Project, at.url, f"read {at.key}")
        if seen.archived:
            yield f"{at.key} is archived"
        if 0 < seen.access_level < _DEVELOPER:
            yield f"the token's role in {at.key} is below Developer"


def _line(title: str) -> str:
    """GitLab keeps no NUL, and a title is one line."""
    return title.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _health(host: str, grants: Grants, troubles: list[str], count: int) -> Health:
    if grants.missing:
        troubles = [f"not granted: {', '.join(grants.missing)}", *troubles]
    if troubles:
        remedy = "use a token with the scope api whose role in each project is Developer or above"
        return Health(ok=False, detail=f"{grants.told}; {'; '.join(troubles)}", remedy=remedy)
    detail = f"{grants.told}; {count} projects answer at {host}"
    remedy = f"not needed, take it away: {', '.join(grants.excessive)}" if grants.excessive else ""
    return Health(ok=True, detail=detail, remedy=remedy)


BACKEND = Backend(kind="changes", name="gitlab", scopes=(SCOPE,), build=GitlabChanges)
