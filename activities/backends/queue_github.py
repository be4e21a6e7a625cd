"""GitHub's own merge queue as the port `NativeQueue`.

Each write looks first and looks again afterwards: GitHub takes a request to enqueue and works it off in the
background, and arming has been seen to succeed without effect. `bypass_rules` is never sent.
https://docs.github.com/en/repositories/configuring-branches-and-merges-in-your-repository/configuring-pull-request-merges/managing-a-merge-queue
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from githubkit.exception import RequestFailed
from pydantic import BaseModel, Field

from activities.backends.github_account import NEEDED_BY_QUEUE, GithubAccount
from activities.backends.github_errors import answering
from activities.backends.github_graphql import Told, ask
from activities.backends.github_places import Place, Places
from activities.backends.github_queue_answers import (
    CONFIGURATION,
    DEQUEUE,
    ENQUEUE,
    ENTRIES,
    RIDE,
    Configuration,
    EntryPage,
    QueuedRepository,
    Ride,
)
from activities.ports import Backend, Health
from leverframe.model.changes import Change
from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from leverframe.model.topology import Repository
from leverframe.model.trains import Capability, NativeEnding, NativeEntry
from leverframe.model.untrusted import Untrusted

_MAX_PAGES = 50
_STATUSES = ("pending", "merged", "enqueued", "failed")
_SOON = timedelta(seconds=3)
"""A request to enqueue is usually worked off within this time."""


class _Details(BaseModel):
    message: str = ""
    uuid: str = ""
    expected_head: str = Field(default="", alias="expected_head_sha")


class _Merging(BaseModel):
    """What became of an asynchronous merge: pending, merged, enqueued or failed."""

    status: str
    details: _Details = _Details()


class _Rule(BaseModel):
    type: str
    source_type: str = Field(default="", alias="ruleset_source_type")
    ruleset: int | None = Field(default=None, alias="ruleset_id")


class GithubQueue:
    """The `NativeQueue` port over GitHub's REST and GraphQL APIs."""

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
        self._asked_for = sorted(each.name for each in repositories if each.train.track == "native")

    def capability(self, repository: Repository) -> Capability:
        """Whether the target has a queue, and what it promises. `facts["exact"]` is `yes` when the commit
        that it tested is the commit that lands and has the change's head in it. Raises Unavailable."""
        at = self._places.of(repository.name)
        try:
            told = ask(
                self._account, f"read the merge queue of {at.key}", CONFIGURATION,
                owner=at.owner, name=at.repo, branch=at.target,
            )  # fmt: skip
            seen = _repository(QueuedRepository, told)
            rules = self._rules(at)
            missing = self._account.grants(NEEDED_BY_QUEUE).missing if self._account.app else ()
        except Unavailable:
            raise
        except LeverframeError as error:
            return Capability(native=False, why=str(error))
        facts = {
            "owner": "organisation" if seen.in_organisation else "person",
            "visibility": Untrusted(seen.visibility.lower()).for_terminal(20),
            **_told_of(rules),
        }
        if seen.queue is None:
            return Capability(native=False, why=_why_not(at, seen), facts=facts)
        if missing:
            why = f"the App may not use the merge queue of {at.key}: grant it {', '.join(missing)}"
            return Capability(native=False, why=why, facts=facts)
        return _capable(at, seen.queue.configuration or Configuration(), facts)

    def enqueue(self, repository: Repository, change: Change, *, hotfix: bool) -> None:
        """Put the change at exactly its head into the queue; a hotfix goes to its front.

        Raises:
            Conflict: the pull request is at another head.
            Refused: GitHub says no for good.
            Unavailable: GitHub did not answer, or has taken the request and not yet worked it off: ask again.
        """
        at, number = self._of(repository, change)
        ride = self._ride(at, number)
        if self._is_in(ride, change):
            return
        _must_be_able(ride, change, at.target)
        try:
            if hotfix:
                self._enqueue_by_graphql(ride, change, jump=True)
            else:
                self._enqueue(at, number, ride, change)
        except Unavailable:
            if self._is_in(self._ride(at, number), change):
                return
            raise
        except BadInput as error:
            if isinstance(error, BadConfiguration):
                raise
            # "Already queued" and "head was modified" are such answers, too.
            if self._is_in(self._ride(at, number), change):
                return
            raise Refused(str(error)) from error
        if not self._is_in(self._ride(at, number), change):
            raise Unavailable(f"GitHub took {change.id}, which is not in the queue yet", wait=_SOON)

    def dequeue(self, repository: Repository, change: Change) -> None:
        """Take the pull request out, at whatever head it is; not in the queue is a success.

        Raises:
            Unavailable: GitHub did not answer, or is just merging it: ask again.
        """
        at, number = self._of(repository, change)
        ride = self._ride(at, number)
        if not ride.queued:
            return
        try:
            ask(self._account, f"take {change.id} out of the merge queue", DEQUEUE, pull=ride.id)
        except (Unavailable, BadInput, NotFound) as error:
            if not self._ride(at, number).queued:
                return
            if isinstance(error, Unavailable):
                raise
            raise Unavailable(f"{error}; it is still in the queue", wait=_SOON) from error

    def entries(self, repository: Repository) -> list[NativeEntry]:
        """What is in the queue now, first to land first; nothing where there is no queue."""
        at = self._places.of(repository.name)
        found: dict[str, NativeEntry] = {}
        cursor: str | None = None
        for _ in range(_MAX_PAGES):
            page = self._page(at, cursor)
            if page is None:
                break
            for entry in page.native(at.repository):
                # An entry may move to the next page between two questions.
                found.setdefault(entry.change, entry)
            cursor = page.page.cursor
            if not page.page.more or not cursor:
                break
        return sorted(found.values(), key=lambda entry: entry.position)

    def ending(self, repository: Repository, change: Change) -> NativeEnding | None:
        """How the change at its head left the queue. An entry that vanished without a word counts as refused
        once GitHub has had the time to say more."""
        at, number = self._of(repository, change)
        told = self._ask_ride(at, number)
        return _pull(told, change.id).ending(change, at=told.at)

    def health(self) -> Health:
        """Red only where a repository asks for the forge's own queue and we may not use it."""
        try:
            grants = self._account.grants(NEEDED_BY_QUEUE)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="check changes.github")
        if not grants.missing:
            return Health(ok=True, detail=f"{grants.told}; merge queues can be used")
        detail = f"{grants.told}; not granted: {', '.join(grants.missing)}"
        if self._asked_for and self._account.app is not None:
            remedy = f'grant it, or set train.track = "built_in" for {", ".join(self._asked_for)}'
            return Health(ok=False, detail=detail, remedy=remedy)
        return Health(
            ok=True,
            detail=f"{detail}: without it changes ride the built-in train, never GitHub's own queue",
            remedy="grant it where a train is to use GitHub's queue; else nothing",
        )

    def _of(self, repository: Repository, change: Change) -> tuple[Place, int]:
        at, number = self._places.named(change.id)
        if at.repository != repository.name:
            raise NotFound(f"{change.id} is not a change of {repository.name}")
        return at, number

    def _ask_ride(self, at: Place, number: int) -> Told:
        doing = f"look where {at.repository}/{number} is"
        return ask(self._account, doing, RIDE, owner=at.owner, name=at.repo, number=number)

    def _ride(self, at: Place, number: int) -> Ride:
        return _pull(self._ask_ride(at, number), f"{at.repository}/{number}")

    @staticmethod
    def _is_in(ride: Ride, change: Change) -> bool:
        """Whether the change at its head is in the queue, or through it. Raises Conflict, Unavailable."""
        if ride.lags(change.head):
            raise Unavailable(
                f"{change.id}: GitHub has yet to notice the push of {change.head[:12]}", wait=_SOON
            )
        if ride.head != change.head:
            raise Conflict(f"{change.id} is at {ride.head[:12]}, not at {change.head[:12]}")
        return ride.queued or ride.merged

    def _enqueue(self, at: Place, number: int, ride: Ride, change: Change) -> None:
        """By REST where GitHub has the route, which older servers do not."""
        try:
            merging = self._merge_async(at, number, change)
        except NotFound:
            # The pull request was seen a moment ago: it is the route that is not there.
            self._enqueue_by_graphql(ride, change, jump=False)
            return
        if merging.status == "pending":
            merging = self._result(at, number, merging) or merging
        said = Untrusted(merging.details.message).for_terminal(300)
        if merging.status == "failed":
            raise BadInput(f"GitHub does not enqueue {change.id}: {said}")
        expected = merging.details.expected_head
        if merging.status == "pending" and expected not in ("", change.head):
            raise Unavailable(f"{change.id}: a request for another head is pending ({said})", wait=_SOON)

    def _merge_async(self, at: Place, number: int, change: Change) -> _Merging:
        """Ask for it. 400 and 409 are answers of this route, too: not mergeable, and asked for already."""
        with answering(f"enqueue {change.id}"):
            try:
                answer: Any = self._rest.pulls.merge_async(
                    at.owner, at.repo, number, sha=change.head, merge_action="merge_queue"
                )
            except RequestFailed as error:
                answer = error.response
                if answer.status_code not in (400, 409) or _status(answer.json()) not in _STATUSES:
                    raise
            return _Merging.model_validate(answer.json())

    def _result(self, at: Place, number: int, merging: _Merging) -> _Merging | None:
        """What became of it; None when GitHub has forgotten, as it does after a day."""
        if not merging.details.uuid:
            return None
        try:
            with answering(f"ask what became of {at.repository}/{number}"):
                answer = self._rest.pulls.get_merge_async_result(
                    at.owner, at.repo, number, _path_part(merging.details.uuid)
                )
                return _Merging.model_validate(answer.json())
        except NotFound:
            return None

    def _enqueue_by_graphql(self, ride: Ride, change: Change, *, jump: bool) -> None:
        doing = f"enqueue {change.id}"
        ask(self._account, doing, ENQUEUE, pull=ride.id, head=change.head, jump=jump)

    def _page(self, at: Place, cursor: str | None) -> EntryPage | None:
        told = ask(
            self._account, f"read the merge queue of {at.key}", ENTRIES,
            owner=at.owner, name=at.repo, branch=at.target, cursor=cursor,
        )  # fmt: skip
        queue = (_part(told.data, "repository") or {}).get("mergeQueue")
        entries = _part(queue, "entries")
        with answering(f"read the merge queue of {at.key}"):
            return None if entries is None else EntryPage.model_validate(entries)

    def _rules(self, at: Place) -> list[_Rule]:
        """What rulesets say of the target."""
        with answering(f"read the rules of {at.target} in {at.key}"):
            answer = self._rest.repos.get_branch_rules(at.owner, at.repo, at.target, per_page=100)
            return [_Rule.model_validate(each) for each in answer.json()]


def _told_of(rules: Sequence[_Rule]) -> dict[str, str]:
    """Which ruleset gives the target its queue, and whether rulesets refuse that it is moved by force."""
    ruling = next((rule for rule in rules if rule.type == "merge_queue"), None)
    guarded = {"non_fast_forward", "deletion"} <= {rule.type for rule in rules}
    return {
        "rule": f"ruleset {ruling.ruleset}" if ruling else "no ruleset",
        "rewinds": "refused" if guarded else "no ruleset refuses them",
    }


def _must_be_able(ride: Ride, change: Change, target: str) -> None:
    """Raises Refused. A pull request onto another branch would take those below it in its stack along."""
    if ride.state != "OPEN":
        raise Refused(f"{change.id} is closed")
    if ride.base != target:
        raise Refused(f"{change.id} goes to {Untrusted(ride.base).for_terminal(100)}, not to {target}")
    if ride.draft:
        raise Refused(f"{change.id} is a draft: mark it as ready for review")


def _why_not(at: Place, seen: QueuedRepository) -> str:
    if not seen.in_organisation:
        return f"{at.key} belongs to a person, and GitHub has merge queues for organisations only"
    return (
        f"{at.target} of {at.key} has no merge queue: add the rule `Require merge queue` to a ruleset of "
        "exactly that branch (private repositories need Enterprise Cloud)"
    )


def _capable(at: Place, queue: Configuration, facts: Mapping[str, str]) -> Capability:
    """HEADGREEN can't keep the promise. Commits that are made anew can: what is tested is what lands, but
    GitHub has been seen to make them anew once more when it merged, so the audit goes by trees."""
    anew, red = queue.merge_method != "MERGE", queue.strategy != "ALLGREEN"
    shown = {
        "method": queue.merge_method.lower(),
        "strategy": queue.strategy,
        "check_minutes": queue.check_minutes,
        "builds_at_once": queue.builds,
        "merges_at_once": queue.merges,
        "exact": "no" if anew or red else "yes",
    }
    known = {
        name: Untrusted(str(value)).for_terminal(40) for name, value in shown.items() if value is not None
    }
    why = [f"{at.target} of {at.key} has a merge queue ({known['method']}, {known['strategy']})"]
    if anew:
        why.append("it makes a change's commits anew, so that its head is not part of what lands")
    if red:
        why.append("its commits may land red below a green one: choose the strategy ALLGREEN")
    return Capability(native=not red, why="; ".join(why), facts={**facts, **known})


def _repository(kind: type[QueuedRepository], told: Told) -> QueuedRepository:
    with answering("read a repository"):
        found = _part(told.data, "repository")
        if found is None:
            raise NotFound("GitHub does not show the repository")
        return kind.model_validate(found)


def _pull(told: Told, change: str) -> Ride:
    found = _part(_part(told.data, "repository"), "pullRequest")
    if found is None:
        raise NotFound(f"GitHub does not show {change}")
    with answering(f"look where {change} is"):
        return Ride.model_validate(found)


def _part(value: object, name: str) -> dict[str, Any] | None:
    found = value.get(name) if isinstance(value, dict) else None
    return found if isinstance(found, dict) else None


def _status(document: object) -> object:
    """GitHub's plain errors have a status, too: the number of the answer."""
    return document.get("status") if isinstance(document, dict) else None


def _path_part(uuid: str) -> str:
    """It becomes a part of a path: nothing else than letters, digits and hyphens gets there."""
    if not uuid.replace("-", "").isalnum() or not uuid.isascii():
        raise Unavailable("GitHub answered with an id that is none")
    return uuid


BACKEND = Backend(
    kind="queue",
    name="github",
    scopes=tuple(f"{name}: {level}" for name, level in NEEDED_BY_QUEUE.items()),
    build=GithubQueue,
)
