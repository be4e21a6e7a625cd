"""GitLab's merge trains as the forge's own queue.

https://docs.gitlab.com/api/merge_trains/ and https://docs.gitlab.com/ci/pipelines/merge_trains/. A merge
request goes onto the train through the trains' own endpoint alone: `PUT …/merge` passes the train by in
every version before 19.1, and `skip_merge_train` is never sent.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote

from activities.backends.checks_gitlab import failure, reasons_of
from activities.backends.gitlab_account import SCOPE, Answer, GitlabAccount, Query, explain
from activities.backends.gitlab_answers import (
    Branch,
    CommitRef,
    MergeRequest,
    Note,
    Pipeline,
    Project,
    TrainCar,
)
from activities.backends.gitlab_departures import Departure, story
from activities.backends.gitlab_places import Place, Places
from activities.backends.gitlab_trains import capability_of
from activities.ports import Backend, Health
from leverframe.model.changes import Change
from leverframe.model.errors import Conflict, LeverframeError, NotFound, Refused, Unavailable
from leverframe.model.topology import Repository
from leverframe.model.trains import Capability, NativeEnding, NativeEntry, NativeLanded, NativeRemoved
from leverframe.model.untrusted import Untrusted

Removal = Literal["conflict", "check_failed", "check_inconclusive", "withdrawn", "head_moved", "refused"]

_AUTO_MERGE = (17, 11)
"""From here on the parameter is `auto_merge`; before it was `when_pipeline_succeeds`."""

_AT_WORK = frozenset({"unchecked", "checking", "preparing", "approvals_syncing"})
"""What `detailed_merge_status` says while GitLab has yet to find out."""

_STATES: Mapping[str, Literal["queued", "testing", "mergeable", "blocked"]] = MappingProxyType(
    {"idle": "queued", "stale": "queued", "fresh": "testing", "merging": "mergeable"}
)
"""`stale`: somebody pushed to the target beside the train, and it is tested again."""

_BY_CAUSE: Mapping[str, Removal] = MappingProxyType(
    {
        "asked": "withdrawn",
        "conflict": "conflict",
        "closed": "withdrawn",
        "retargeted": "withdrawn",
        "pushed": "head_moved",
        "lost": "check_inconclusive",
        "other": "refused",
    }
)


class GitlabQueue:
    """The `NativeQueue` port over merge trains."""

    def __init__(
        self, account: GitlabAccount, *, repositories: Sequence[Repository], projects: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no project on GitLab."""
        self._account = account
        self._places = Places(account.host, repositories, projects)

    def capability(self, repository: Repository) -> Capability:
        """Whether the project has merge trains that can't be passed by. Raises Unavailable."""
        at = self._places.at(repository.name)
        project = self._account.read(Project, at.url, f"read {at.key}")
        guarded = self._is_protected(at)
        return capability_of(repository, project, self._account.version(), guarded=guarded)

    def enqueue(self, repository: Repository, change: Change, *, hotfix: bool) -> None:
        """Put the change onto the train of its target, or have GitLab do so once its checks pass.

        A hotfix waits like all others: a train is first come, first served, and to pass it by would
        land what was never tested as it lands.

        Raises:
            Conflict: the change is at another head.
            Refused: GitLab does not take it, in its words.
            Unavailable: GitLab did not answer, or has yet to find out whether it can be merged.
        """
        at, number = self._places.named(change.id)
        car, seen = self._car(at, number), self._merge_request(at, number)
        if seen.sha is not None and seen.sha != change.head:
            raise Conflict(f"{change.id} is at {seen.sha[:12]}, not at {change.head[:12]}")
        if seen.state in ("merged", "locked") or (car and car.active) or seen.merge_when_pipeline_succeeds:
            return
        self._require_open(at, seen)
        soon = "auto_merge" if self._account.version().number >= _AUTO_MERGE else "when_pipeline_succeeds"
        data = {"sha": change.head, soon: True, "squash": repository.train.method == "squash"}
        path, doing = f"{at.url}/merge_trains/merge_requests/{number}", f"put {change.id} on the merge train"
        try:
            # 201: it is on the train. 202: it will be, once its checks pass. The body differs by version.
            answer = self._account.send("POST", path, doing, data=data, allow=(400, 403, 405, 409, 422))
        except Unavailable:
            if not self._rides(at, number):
                raise
            return
        if answer.status >= 300 and not self._rides(at, number):
            raise self._not_taken(at, number, change, answer)

    def dequeue(self, repository: Repository, change: Change) -> None:
        """Take it off, or cancel that it goes on. Raises Unavailable, Refused."""
        at, number = self._places.named(change.id)
        path, doing = at.merge_request(number), f"take {change.id} off the merge train"
        # Whether there was anything to cancel is told in several ways: 405, 406, or 201 with an error in it.
        answer = self._account.send(
            "POST", f"{path}/cancel_merge_when_pipeline_succeeds", doing, allow=(404, 405, 406)
        )
        if self._rides(at, number):
            said = f" ({answer.words})" if answer.words else ""
            raise Unavailable(f"{doing}: it is still on it{said}")

    def entries(self, repository: Repository) -> list[NativeEntry]:
        """The train of the target, first to land first."""
        at = self._places.at(repository.name)
        path = f"{at.url}/merge_trains/{quote(at.target, safe='')}"
        query = {"scope": "active", "sort": "asc"}
        cars = list(self._account.pages(TrainCar, path, f"read the merge train of {at.target}", query))
        cars = sorted((car for car in cars if car.active), key=lambda car: car.id)
        heads = self._heads(at, [car.merge_request.iid for car in cars])
        known = [car for car in cars if car.merge_request.iid in heads]
        return [_entry(at, car, heads[car.merge_request.iid], position) for position, car in enumerate(known)]

    def ending(self, repository: Repository, change: Change) -> NativeEnding | None:
        """How the change left the train: by the merge request's state, then by what GitLab noted.

        Raises Unavailable while GitLab says that it merged it and the target does not show it yet.
        """
        at, number = self._places.named(change.id)
        car, seen = self._car(at, number), self._merge_request(at, number)
        moved = seen.sha is not None and seen.sha != change.head
        if seen.state == "merged" and not moved:
            return NativeLanded(change=change.id, head=change.head, sha=self._landed(at, seen, car))
        if seen.state != "merged" and (seen.state == "locked" or (car and car.active)):
            return None
        last = story(self._notes(at, number))
        if moved and (last != "unknown" or seen.state == "merged"):
            return self._removed(change, "head_moved", f"it is at {(seen.sha or '')[:12]} now")
        if seen.state == "closed" and last != "unknown":
            return self._removed(change, "withdrawn", "the merge request was closed")
        if isinstance(last, Departure):
            return self._departed(at, seen, change, last)
        return self._vanished(at, number, change) if last == "rides" else None

    def health(self) -> Health:
        """Whether GitLab answers and says what each project's trains can do."""
        try:
            version = self._account.version()
            projects = [(at, self._account.read(Project, at.url, f"read {at.key}")) for at in self._places]
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy=explain(error))
        trains = [at.key for at, project in projects if project.merge_trains_enabled]
        told = Untrusted(version.version).for_terminal(40)
        return Health(ok=True, detail=f"GitLab {told}; merge trains in {', '.join(trains) or 'no project'}")

    def _is_protected(self, at: Place) -> bool:
        path = f"{at.url}/repository/branches/{quote(at.target, safe='')}"
        try:
            return self._account.read(Branch, path, f"read the branch {at.target}").protected
        except NotFound:
            return False

    def _car(self, at: Place, number: int) -> TrainCar | None:
        path, doing = (
            f"{at.url}/merge_trains/merge_requests/{number}",
            f"look for {number} on the merge train",
        )
        try:
            return self._account.read(TrainCar, path, doing)
        except NotFound:
            return None

    def _merge_request(self, at: Place, number: int) -> MergeRequest:
        return self._account.read(
            MergeRequest, at.merge_request(number), f"read the change {at.repository}/{number}"
        )

    def _rides(self, at: Place, number: int) -> bool:
        """Whether it is on the train, or goes there once its checks pass."""
        car = self._car(at, number)
        return bool(car and car.active) or self._merge_request(at, number).merge_when_pipeline_succeeds

    def _require_open(self, at: Place, seen: MergeRequest) -> None:
        named = f"{at.repository}/{seen.iid}"
        if seen.state != "opened":
            raise Refused(f"{named} has been closed: open it again to have it land")
        if seen.target_branch != at.target:
            target = Untrusted(seen.target_branch).for_terminal(100)
            raise Refused(f"{named} goes to {target}, and the train carries to {at.target}")

    def _not_taken(self, at: Place, number: int, change: Change, answer: Answer) -> LeverframeError:
        """GitLab answered that it does not put it on the train, and it is not on it."""
        seen = self._merge_request(at, number)
        status = Untrusted(seen.detailed_merge_status or "unknown").for_terminal(60)
        said = f"put {change.id} on the merge train: GitLab answered {answer.status} ({answer.words})"
        if answer.status == 409 or (seen.sha is not None and seen.sha != change.head):
            return Conflict(f"{said}: its head is not {change.head[:12]}")
        if answer.status != 403 and seen.detailed_merge_status in _AT_WORK:
            return Unavailable(f"{said}: its merge status is {status}")
        return Refused(f"{said}: its merge status is {status}")

    def _heads(self, at: Place, numbers: list[int]) -> dict[int, str]:
        """A train does not tell the heads of its merge requests."""
        heads: dict[int, str] = {}
        for begin in range(0, len(numbers), 50):
            query: Query = {"iids[]": numbers[begin : begin + 50], "state": "all", "scope": "all"}
            doing = f"read the merge requests on the train of {at.target}"
            for each in self._account.pages(MergeRequest, f"{at.url}/merge_requests", doing, query):
                if each.sha:
                    heads[each.iid] = each.sha
        return heads

    def _notes(self, at: Place, number: int) -> list[Note]:
        doing, query = (
            f"read the notes of {at.repository}/{number}",
            {"sort": "desc", "order_by": "created_at"},
        )
        return list(self._account.pages(Note, f"{at.merge_request(number)}/notes", doing, query))

    def _landed(self, at: Place, seen: MergeRequest, car: TrainCar | None) -> str:
        """The commit that the target has of it: which field names it depends on method and version.

        Under fast-forward and semi-linear the train's own commit lands; GitLab rebased it, so it is
        neither the head nor a merge commit that REST names.
        """
        tested = car.pipeline.sha if car and car.pipeline and not car.active else None
        for sha in dict.fromkeys((seen.merge_commit_sha, tested, seen.squash_commit_sha, seen.sha)):
            if sha is not None and self._on_target(at, sha):
                return sha
        raise Unavailable(
            f"GitLab says that {at.repository}/{seen.iid} is merged, and {at.target} does not show it yet"
        )

    def _on_target(self, at: Place, sha: str) -> bool:
        path, doing = f"{at.url}/repository/merge_base", f"look for {sha[:12]} on {at.target}"
        try:
            return self._account.read(CommitRef, path, doing, {"refs[]": [sha, at.target]}).id == sha
        except NotFound:
            return False  # a commit of another history, or one that is gone

    def _departed(
        self, at: Place, seen: MergeRequest, change: Change, last: Departure
    ) -> NativeRemoved | None:
        said = Untrusted(last.words).for_terminal(200) or "somebody took it off"
        if last.cause == "pushed":
            return None  # its head is the change's: an older one was taken off, this one never rode
        if last.cause == "pipeline":
            reason, how = self._of_pipeline(at, seen.iid)
            return self._removed(change, reason, f"{said}; {how}")
        if last.cause == "unmergeable":
            status = seen.detailed_merge_status
            reason = "conflict" if status in ("conflict", "need_rebase") else "refused"
            return self._removed(change, reason, f"{said}; {Untrusted(status).for_terminal(60)}")
        return self._removed(change, _BY_CAUSE[last.cause], said)

    def _of_pipeline(self, at: Place, number: int) -> tuple[Removal, str]:
        """What the last pipeline of the train says: a verdict, or nothing that anybody is to blame for."""
        path, train = f"{at.merge_request(number)}/pipelines", f"refs/merge-requests/{number}/train"
        found = self._account.pages(Pipeline, path, f"read the pipelines of {at.repository}/{number}")
        last = max((each for each in found if each.ref == train), key=lambda each: each.id, default=None)
        if last is None:
            return "check_inconclusive", "its pipeline is gone"
        how = f"pipeline {last.id} ended as {Untrusted(last.status).for_terminal(30)}"
        if last.status != "failed":
            return "check_inconclusive", how
        reasons = reasons_of(self._account, at, last.id)
        why = f" ({Untrusted(', '.join(sorted(set(reasons)))).for_terminal(100)})" if reasons else ""
        return ("check_failed" if failure(reasons) == "failed" else "check_inconclusive"), how + why

    def _vanished(self, at: Place, number: int, change: Change) -> NativeRemoved | None:
        """The notes say that it rides and no train has it: look once more, it may have landed meanwhile."""
        seen = self._merge_request(at, number)
        if seen.state != "opened" or self._rides(at, number):
            return None
        return self._removed(
            change, "check_inconclusive", "it is not on the train any more and GitLab noted no reason"
        )

    @staticmethod
    def _removed(change: Change, reason: Removal, detail: str) -> NativeRemoved:
        return NativeRemoved(change=change.id, reason=reason, detail=f"GitLab's merge train: {detail}")


def _entry(at: Place, car: TrainCar, head: str, position: int) -> NativeEntry:
    state = _STATES.get(car.status, "blocked")
    pipeline = car.pipeline if car.pipeline and car.pipeline.ref.endswith("/train") else None
    if state == "testing" and pipeline:
        ended = {"success": "mergeable", "failed": "blocked", "canceled": "blocked", "skipped": "blocked"}
        state = ended.get(pipeline.status, state)  # type: ignore[assignment]
    return NativeEntry(
        change=f"{at.repository}/{car.merge_request.iid}",
        head=head,
        state=state,
        position=position,
        car=pipeline.sha if pipeline else None,
    )


BACKEND = Backend(kind="queue", name="gitlab", scopes=(SCOPE,), build=GitlabQueue)
