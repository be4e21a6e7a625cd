"""GraphQL in the model of GitHub: executed by the schema that GitHub publishes, on the fake's own state."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from graphql import GraphQLError, build_schema, graphql_sync

from tests.fakes.github_git import GitDesk
from tests.fakes.github_queue import Entry, MergeQueue
from tests.fakes.github_shapes import Json, Route

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub, Pull

_SCHEMA = build_schema((Path(__file__).parent / "schemas" / "github.graphql").read_text())


class Problem(Exception):
    """An error of a resolver, with GitHub's type of it."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class GraphqlDesk:
    """`POST /graphql`."""

    def __init__(self, github: "FakeGithub", queue: MergeQueue, git: GitDesk) -> None:
        self._github = github
        self._queue = queue
        self._git = git
        self.page_size = 100

    def routes(self) -> list[Route]:
        return [("POST", "/graphql", self._answer)]

    def before(self) -> None:
        """The queue's own desk does what there is to do."""

    def _answer(self, actor: Json, body: Json) -> httpx.Response:
        root = {
            "repository": self._repository,
            "enqueuePullRequest": self._enqueue,
            "dequeuePullRequest": self._dequeue,
            "updateRefs": self._update_refs,
        }
        done = graphql_sync(_SCHEMA, body["query"], root, variable_values=body.get("variables"))
        answer: Json = {"data": done.data}
        if done.errors:
            answer["errors"] = [_error(each) for each in done.errors]
        return httpx.Response(200, json=answer)

    def _repository(self, info: Any, owner: str, name: str, **_: object) -> Json:
        if owner != "acme" or name not in self._github.repos:
            raise Problem("NOT_FOUND", f"Could not resolve to a Repository with the name '{owner}/{name}'.")
        repo = self._github.repos[name]
        return {
            "id": f"R_{repo.id}",
            "isInOrganization": self._queue.organisation,
            "visibility": "PRIVATE",
            "mergeQueue": self._merge_queue if name == "shop" else None,
            "pullRequest": lambda info, number: self._pull(number),
        }

    def _merge_queue(self, info: Any, branch: str) -> Json | None:
        queue = self._queue
        if not (queue.enabled and queue.organisation and branch == "main"):
            return None
        configuration = {
            "mergeMethod": queue.method, "mergingStrategy": queue.strategy, "checkResponseTimeout": 60,
            "maximumEntriesToBuild": 5, "maximumEntriesToMerge": 5,
        }  # fmt: skip
        return {"configuration": configuration, "entries": self._entries}

    def _entries(self, info: Any, first: int, after: str | None = None) -> Json:
        begin, size = int(after or 0), min(first, self.page_size)
        chosen = self._queue.entries[begin : begin + size]
        more = begin + size < len(self._queue.entries)
        return {
            "nodes": [self._entry(each) for each in chosen],
            "pageInfo": {"hasNextPage": more, "endCursor": str(begin + size) if more else None},
        }

    def _entry(self, entry: Entry) -> Json:
        return {
            "id": f"MQE_{entry.number}",
            "position": self._queue.entries.index(entry) + 1,
            "state": entry.state,
            "baseCommit": _commit(entry.base),
            "headCommit": _commit(entry.car),
            "pullRequest": self._pull(entry.number),
        }

    def _pull(self, number: int) -> Json:
        pulls = self._github.repos["shop"].pulls
        if number > len(pulls):
            raise Problem("NOT_FOUND", f"Could not resolve to a PullRequest with the number of {number}.")
        pull = pulls[number - 1]
        tip = self._github.repos["shop"].tip(pull.branch)
        updated = self._queue.touched.get(number, self._github.now)
        return {
            "id": f"PR_{number}",
            "number": number,
            "state": "MERGED" if pull.merged_as else pull.state.upper(),
            "isDraft": pull.draft,
            "baseRefName": pull.base,
            "headRefOid": pull.head,
            "updatedAt": updated.isoformat(),
            "isInMergeQueue": self._queue.entry(number) is not None,
            "headRef": {"target": _commit(tip)} if tip else None,
            "mergeCommit": _commit(pull.merged_as),
            "timelineItems": lambda info, last, **_: {"nodes": self._queue.events.get(number, [])[-last:]},
        }

    def _enqueue(self, info: Any, input: Json) -> Json:
        pull = self._named(input["pullRequestId"])
        if not self._queue.enabled:
            raise Problem("UNPROCESSABLE", "Merge queue is not enabled")
        if pull.head != input.get("expectedHeadOid", pull.head):
            raise Problem("UNPROCESSABLE", "Head branch was modified. Review and try again.")
        if self._queue.entry(pull.number):
            raise Problem("UNPROCESSABLE", "Pull request is already in the queue")
        made = self._queue.add(pull.number, jump=input.get("jump", False))
        return {"mergeQueueEntry": self._entry(made) if made in self._queue.entries else None}

    def _dequeue(self, info: Any, input: Json) -> Json:
        pull = self._named(input["id"])
        entry = self._queue.entry(pull.number)
        if entry is None:
            raise Problem("UNPROCESSABLE", "Pull request is not in the queue")
        if entry.state == "LOCKED":
            raise Problem("UNPROCESSABLE", "Pull request is being merged")
        shown = self._entry(entry)
        self._queue.remove(pull.number, "manual")
        return {"mergeQueueEntry": shown}

    def _update_refs(self, info: Any, input: Json) -> Json:
        assert input["repositoryId"] == "R_1"
        if told := self._git.move(input["refUpdates"]):
            raise Problem("UNPROCESSABLE", told)
        return {"clientMutationId": None}

    def _named(self, node: str) -> "Pull":
        kind, _, number = node.partition("_")
        if kind != "PR":
            raise Problem("NOT_FOUND", f"Could not resolve to a node with the global id of '{node}'")
        return self._github.repos["shop"].pulls[int(number) - 1]


def _commit(sha: str | None) -> Json | None:
    return {"__typename": "Commit", "oid": sha} if sha else None


def _error(error: GraphQLError) -> Json:
    told: Json = {"message": error.message, "path": list(error.path or [])}
    if isinstance(error.original_error, Problem):
        told["type"] = error.original_error.kind
    return told
