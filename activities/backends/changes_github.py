"""Changes as pull requests on GitHub, while our own train composes and lands them by git.

GitHub is the place of truth for what is open, closed or merged and for the head. What decides something
here and could be forged there stays in our store: author, priority, ejection and the results of checks.
Each write looks first for what an earlier attempt left: the pull request of the branch, the comment with
its hidden marker, the check run with its external id.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal

from githubkit import Response
from sqlalchemy import Engine

from activities.backends.changes_store import ChangesStore
from activities.backends.changes_vouched import VouchedChanges, end_of
from activities.backends.github_account import NEEDED, GithubAccount, Grants
from activities.backends.github_answers import (
    CheckRun,
    CheckRuns,
    Comment,
    Comparison,
    Pull,
    Ref,
    RepositoryAnswer,
    as_change,
    kept,
)
from activities.backends.github_errors import answering
from activities.backends.github_places import Place, Places
from activities.backends.hidden_marker import body_of, key_of, marked
from activities.ports import Backend, Health
from leverframe.model.changes import Change, ChangeSpec, CheckResult
from leverframe.model.errors import (
    BadInput,
    Conflict,
    LeverframeError,
    Unavailable,
)
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted

_PAGE = 100
_Conclusion = Literal["success", "failure", "cancelled"]
_CONCLUSIONS: Mapping[str, _Conclusion] = MappingProxyType(
    {"passed": "success", "failed": "failure", "inconclusive": "cancelled"}
)
"""Not `neutral` for the last: GitHub lets a neutral run satisfy a required check."""


class GithubChanges:
    """The `Changes` port over GitHub's REST API."""

    def __init__(
        self,
        account: GithubAccount,
        store: Engine,
        *,
        repositories: Sequence[Repository],
        owner_repo: Mapping[str, str],
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._account = account
        self._rest = account.client.rest
        self._vouched = VouchedChanges(store)
        self._proofs = ChangesStore(store)
        self._places = Places(repositories, owner_repo, host=account.host)

    def open_change(self, spec: ChangeSpec) -> Change:
        """Open a pull request, or return the one of the same branch, brought up to date.

        A pull request that a person opened for the branch is taken over; its words stay.

        Raises:
            Conflict: the branch's pull request has ended, or somebody pushed another head.
            NotFound: the repository is not declared.
        """
        at = self._places.of(spec.repository)
        found = self._of_branch(at, spec.branch)
        pull = found or self._create(at, spec)
        before = self._vouched.get(at.key, pull.number)
        change = as_change(at.repository, at.target, pull, before)
        if change.state in ("landed", "closed"):
            ended = "landed" if change.state == "landed" else "been closed"
            raise Conflict(f"the branch {spec.branch} belongs to {change.id}, which has {ended}")
        self._require_head(at, spec, pull)
        self._vouched.open(at.key, pull.number, head=spec.head, author=spec.author, priority=spec.priority)
        if before is not None:
            pull = self._reword(at, spec, pull)
        # GitHub moves the head of a pull request a moment after the push; the ref was asked above.
        head = pull.head.model_copy(update={"sha": spec.head})
        return self._seen(at, pull.model_copy(update={"head": head}))

    def change(self, change: str) -> Change:
        """Raises NotFound."""
        at, number = self._places.named(change)
        return self._seen(at, self._pull(at, number))

    def list_changes(self, repository: str, *, limit: int = 50) -> list[Change]:
        """Newest first, those of other people too."""
        at = self._places.of(repository)
        with answering(f"list the pull requests of {at.key}"):
            pages = self._rest.paginate(
                self._rest.pulls.list, map_func=_pulls, owner=at.owner, repo=at.repo, state="all",
                sort="created", direction="desc", per_page=min(limit, _PAGE),
            )  # fmt: skip
            pulls = list(islice(pages, limit))
        vouched = self._vouched.among(at.key, [pull.number for pull in pulls])
        return [as_change(at.repository, at.target, pull, vouched.get(pull.number)) for pull in pulls]

    def mark_landed(self, change: str, sha: str) -> Change:
        """A landing is for ever.

        GitHub itself marks a pull request as merged once the target contains its head. One whose head is
        not in what landed gets a comment and is closed. Raises NotFound.
        """
        at, number = self._places.named(change)
        pull = self._pull(at, number)
        before = self._seen(at, pull)
        self._vouched.settle(at.key, number, seen=end_of(before, landed_as=sha))
        if pull.state == "open" and not self._contains(at, sha, pull.head.sha):
            said = (
                f"Landed on {at.target} as {sha}. Its head {pull.head.sha} is not part of that commit, so "
                "GitHub does not see it as merged. Open a new pull request for what is left."
            )
            self.comment(change, key="closed", body=said)
            with answering(f"close {change}"):
                self._rest.pulls.update(at.owner, at.repo, number, data={"state": "closed"})
        return self._seen(at, pull)

    def mark_ejected(self, change: str, detail: str) -> Change:
        """The change as it is after: one that has landed or was closed stays so.

        The pull request stays open; `detail` is told in the train's comment. Raises NotFound.
        """
        at, number = self._places.named(change)
        pull = self._pull(at, number)
        before = self._seen(at, pull)
        if before.state == "open":
            self._vouched.settle(at.key, number, seen=end_of(before, ejected=True))
        return self._seen(at, pull)

    def comment(self, change: str, *, key: str, body: str) -> None:
        """Write a Markdown comment; the same key again replaces its text. Raises NotFound."""
        at, number = self._places.named(change)
        text = kept(marked(key, body))
        mine = next((each for known, each in self._mine(at, number) if known == key), None)
        with answering(f"comment on {change}"):
            if mine is None:
                self._rest.issues.create_comment(at.owner, at.repo, number, data={"body": text})
            elif mine.body != text:
                self._rest.issues.update_comment(at.owner, at.repo, mine.id, data={"body": text})

    def comments(self, change: str) -> list[tuple[str, str]]:
        """`(key, body)` of our comments in the order they were first written. Raises NotFound."""
        at, number = self._places.named(change)
        found: dict[str, str] = {}
        for key, comment in self._mine(at, number):
            found.setdefault(key, body_of(comment.body))
        return list(found.items())

    def record_check(self, change: str, result: CheckResult) -> None:
        """Keep the result for (sha, check) in our store, and show it on GitHub when we are an App.

        GitHub takes check runs from Apps only.
        """
        at, _ = self._places.named(change)
        self._proofs.record_check(change, result)
        if self._account.app is None:
            return
        external_id = f"leverframe/{change}/{result.check}"
        known = self._check_run(at, result, external_id)
        conclusion, title = _CONCLUSIONS[result.outcome], f"{result.outcome} in {result.seconds:.1f} s"
        summary, log = kept(result.summary), _log(result)
        with answering(f"show {result.check} of {result.sha[:12]}"):
            if known is None:
                self._rest.checks.create(
                    at.owner, at.repo, name=result.check, head_sha=result.sha, external_id=external_id,
                    status="completed", conclusion=conclusion,
                    output={"title": title, "summary": summary, "text": log},
                )  # fmt: skip
            else:
                self._rest.checks.update(
                    at.owner, at.repo, known.id, status="completed", conclusion=conclusion,
                    output={"title": title, "summary": summary, "text": log},
                )  # fmt: skip

    def checks(self, sha: str) -> list[CheckResult]:
        """What we recorded. Never what GitHub shows: a landing is proven by this, and others write there."""
        return self._proofs.checks(sha)

    def health(self) -> Health:
        """Whether GitHub answers, each repository can be seen, and we have what we need and no more."""
        try:
            grants = self._account.grants()
            troubles = [trouble for at in self._places.all() for trouble in self._troubles(at)]
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check changes.github")
        return _health(self._account, grants, troubles, len(self._places))

    def _seen(self, at: Place, pull: Pull) -> Change:
        return as_change(at.repository, at.target, pull, self._vouched.get(at.key, pull.number))

    def _pull(self, at: Place, number: int) -> Pull:
        with answering(f"read {at.repository}/{number}"):
            return Pull.model_validate(self._rest.pulls.get(at.owner, at.repo, number).json())

    def _of_branch(self, at: Place, branch: str) -> Pull | None:
        """The open pull request from the branch to the target, else the newest that ended."""
        with answering(f"look for the pull request of {branch}"):
            found = _pulls(
                self._rest.pulls.list(
                    at.owner, at.repo, state="all", head=f"{at.owner}:{branch}", base=at.target,
                    sort="created", direction="desc", per_page=_PAGE,
                )
            )  # fmt: skip
        ours = [pull for pull in found if pull.head.ref == branch and not pull.from_fork]
        return next((pull for pull in ours if pull.state == "open"), ours[0] if ours else None)

    def _create(self, at: Place, spec: ChangeSpec) -> Pull:
        try:
            with answering(f"open a pull request for {spec.branch}"):
                created = self._rest.pulls.create(
                    at.owner, at.repo, head=spec.branch, base=at.target, title=kept(spec.title),
                    body=kept(spec.body),
                )  # fmt: skip
                return Pull.model_validate(created.json())
        except BadInput as error:
            if found := self._of_branch(at, spec.branch):
                return found  # another writer was faster
            if "already exists" in str(error):
                raise Unavailable(f"{error}, and does not list it yet") from error
            raise

    def _require_head(self, at: Place, spec: ChangeSpec, pull: Pull) -> None:
        """Raises Conflict when the branch is not at the head that the caller vouches for."""
        if pull.head.sha == spec.head:
            return
        if ".." in spec.branch:
            raise BadInput(f"{spec.branch!r} is not a name that git takes")
        with answering(f"read the branch {spec.branch}"):
            ref = Ref.model_validate(self._rest.git.get_ref(at.owner, at.repo, f"heads/{spec.branch}").json())
        if ref.object.sha != spec.head:
            raise Conflict(
                f"the branch {spec.branch} is at {ref.object.sha[:12]}, not at {spec.head[:12]}: "
                "somebody else pushed to it"
            )

    def _reword(self, at: Place, spec: ChangeSpec, pull: Pull) -> Pull:
        title, body = kept(spec.title), kept(spec.body)
        if (pull.title, pull.text) == (title, body):
            return pull
        with answering(f"update {at.repository}/{pull.number}"):
            updated = self._rest.pulls.update(
                at.owner, at.repo, pull.number, data={"title": title, "body": body}
            )
            return Pull.model_validate(updated.json())

    def _contains(self, at: Place, sha: str, head: str) -> bool:
        with answering(f"compare {head[:12]} with {sha[:12]}"):
            answer = self._rest.repos.compare_commits(at.owner, at.repo, f"{head}...{sha}", per_page=1)
            return Comparison.model_validate(answer.json()).status in ("ahead", "identical")

    def _mine(self, at: Place, number: int) -> Iterator[tuple[str, Comment]]:
        """Key and comment, oldest first. A marker in somebody else's comment is only text."""
        with answering(f"read the comments of {at.repository}/{number}"):
            for comment in self._rest.paginate(
                self._rest.issues.list_comments, map_func=_comments, owner=at.owner, repo=at.repo,
                issue_number=number, per_page=_PAGE,
            ):  # fmt: skip
                key = key_of(comment.body)
                if key is not None and self._account.wrote(comment):
                    yield key, comment

    def _check_run(self, at: Place, result: CheckResult, external_id: str) -> CheckRun | None:
        assert self._account.app is not None  # noqa: S101 - only an App gets here
        with answering(f"look for {result.check} of {result.sha[:12]}"):
            answer = self._rest.checks.list_for_ref(
                at.owner, at.repo, result.sha, check_name=result.check, filter_="all",
                app_id=self._account.app.app_id, per_page=_PAGE,
            )  # fmt: skip
            runs = CheckRuns.model_validate(answer.json()).check_runs
        return next((run for run in runs if run.external_id == external_id), None)

    def _troubles(self, at: Place) -> Iterator[str]:
        with answering(f"read {at.key}"):
            seen = RepositoryAnswer.model_validate(self._rest.repos.get(at.owner, at.repo).json())
        if seen.archived:
            yield f"{at.key} is archived"
        if self._account.app is None and not seen.permissions.get("push", False):
            yield f"the token may not push to {at.key}"


def _pulls(response: "Response[Any, Any]") -> list[Pull]:
    return [Pull.model_validate(each) for each in response.json()]


def _comments(response: "Response[Any, Any]") -> list[Comment]:
    return [Comment.model_validate(each) for each in response.json()]


def _log(result: CheckResult) -> str:
    """The log is data: fenced, so that nothing in it has a meaning."""
    return Untrusted(result.log[-40_000:] or "no output").for_markdown_block(40_000)


def _health(account: GithubAccount, grants: Grants, troubles: list[str], count: int) -> Health:
    if grants.missing:
        troubles = [f"not granted: {', '.join(grants.missing)}", *troubles]
    if troubles:
        wanted = ", ".join(f"{name}: {level}" for name, level in NEEDED.items())
        remedy = f"grant {wanted}" if account.app else "use a token with the scope repo"
        return Health(ok=False, detail=f"{grants.told}; {'; '.join(troubles)}", remedy=remedy)
    shown = "" if account.app else "; a token can't write check runs"
    detail = f"{grants.told}; {count} repositories answer at {account.host}{shown}"
    remedy = f"not needed, take it away: {', '.join(grants.excessive)}" if grants.excessive else ""
    return Health(ok=True, detail=detail, remedy=remedy)


BACKEND = Backend(
    kind="changes",
    name="github",
    scopes=tuple(f"{name}: {level}" for name, level in NEEDED.items()),
    build=GithubChanges,
)
