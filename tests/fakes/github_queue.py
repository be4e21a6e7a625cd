"""GitHub's merge queue over a real bare repository: makes merge groups, merges them, takes entries out.

Written from the documentation and the GraphQL schema. People and CI act through the methods with their names;
`deliveries` are the webhooks that GitHub would send.
"""

import subprocess
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

import httpx
from githubkit_schemas.latest import models

from tests.fakes.git_world import GitWorld
from tests.fakes.github_shapes import AT, NUMBER, Json, Route, problem, sample

if TYPE_CHECKING:
    from tests.fakes.github import FakeGithub, Pull, Repo

KEPT = timedelta(hours=24)
"""How long the result of an asynchronous merge can be asked for."""


@dataclass
class Entry:
    """One pull request in the queue."""

    number: int
    head: str
    jump: bool
    state: str = "QUEUED"
    base: str | None = None
    car: str | None = None


@dataclass
class Asked:
    """A request to `merge-async`."""

    uuid: str
    number: int
    sha: str
    at: datetime
    status: str = "pending"
    message: str = "Merge request enqueued."


@dataclass
class MergeQueue:
    """The queue of `main`, its settings, and what happened to pull requests in it."""

    github: "FakeGithub"
    world: GitWorld
    enabled: bool = True
    organisation: bool = True
    rule: Literal["ruleset", "protection"] = "ruleset"
    guards: tuple[str, ...] = ("deletion", "non_fast_forward")
    """Rules of the target beside its queue."""
    method: str = "MERGE"
    strategy: str = "ALLGREEN"
    has_route: bool = True
    """Whether this GitHub knows `merge-async`."""
    idle: bool = False
    """Whether requests wait to be worked off."""
    arms_in_vain: bool = False
    """Whether requests end as `enqueued` without any entry."""
    quiet: bool = False
    """Whether webhooks are lost."""
    entries: list[Entry] = field(default_factory=list)
    events: dict[int, list[Json]] = field(default_factory=dict)
    touched: dict[int, datetime] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    deliveries: list[tuple[str, Json]] = field(default_factory=list)

    def routes(self) -> list[Route]:
        merging = f"{AT}/pulls/{NUMBER}/merge-async"
        return [
            ("PUT", merging, self._merge_async),
            ("GET", f"{AT}/pulls/[0-9]+/merge-async/(?P<uuid>[^/]+)", self._result),
            ("GET", f"{AT}/rules/branches/(?P<branch>.+)", self._rules),
        ]

    def before(self) -> None:
        """What was pushed is noticed, requests are worked off, and groups follow the target's tip."""
        for pull in self._shop.pulls:
            tip = self._shop.tip(pull.branch)
            if pull.state == "open" and tip and tip != pull.head and not self.github.lagging:
                pull.head = tip
                self.remove(pull.number, None)
        for request in self.asked:
            if request.status == "pending" and not self.idle:
                self._work_off(request)
        if self.entries and self.entries[0].base != self._shop.tip("main"):
            self.build()

    def entry(self, number: int) -> Entry | None:
        return next((each for each in self.entries if each.number == number), None)

    def add(self, number: int, *, jump: bool = False) -> Entry:
        """Somebody, or we, put a pull request in."""
        pull = self._pull(number)
        made = Entry(number, pull.head, jump)
        self.entries.insert(0 if jump else len(self.entries), made)
        self._happened(number, "AddedToMergeQueueEvent", None)
        self._deliver("pull_request", {"action": "enqueued", "number": number})
        self.build()
        return made

    def build(self) -> None:
        """Make the merge groups anew, each on the one before it; what does not apply is taken out."""
        base = self._shop.tip("main")
        assert base
        for entry in list(self.entries):
            if entry.base != base:
                car = self._merged(base, entry)
                if car is None:
                    self.remove(entry.number, "merge_conflict")
                    continue
                entry.base, entry.car, entry.state = base, car, "AWAITING_CHECKS"
                ref = f"refs/heads/gh-readonly-queue/main/pr-{entry.number}-{base}"
                self.world.git("update-ref", ref, car)
                group = {"head_sha": car, "head_ref": ref, "base_sha": base, "base_ref": "refs/heads/main"}
                self._deliver("merge_group", {"action": "checks_requested", "merge_group": group})
            base = str(entry.car)

    def reports(self, number: int, *, green: bool) -> None:
        """CI is done with the entry's merge group."""
        entry = self.entry(number)
        assert entry
        if green:
            entry.state = "MERGEABLE"
        else:
            self.remove(number, "failed_checks")

    def merge(self) -> None:
        """What is green at the front lands."""
        while self.entries and self.entries[0].state == "MERGEABLE":
            entry = self.entries[0]
            assert entry.car
            self.world.git("update-ref", "refs/heads/main", entry.car, str(entry.base))
            pull = self._pull(entry.number)
            pull.state, pull.merged_as = "closed", entry.car
            self.remove(entry.number, "merged")

    def remove(self, number: int, reason: str | None) -> None:
        """An entry leaves the queue and its pull request is told why."""
        if self.vanish(number):
            self._happened(number, "RemovedFromMergeQueueEvent", reason)
            self._deliver("pull_request", {"action": "dequeued", "number": number, "reason": reason})
            if reason != "merged":
                self.build()

    def vanish(self, number: int) -> bool:
        """An entry is gone, without a word."""
        entry = self.entry(number)
        if entry is not None:
            self.entries.remove(entry)
        return entry is not None

    def disable(self) -> None:
        """An administrator takes the rule away: the queue is gone with all that was in it."""
        self.enabled = False
        self.entries.clear()

    def _merge_async(self, repo: "Repo", actor: Json, query: Any, body: Json, number: str) -> httpx.Response:
        assert "bypass_rules" not in body
        assert body["merge_action"] == "merge_queue"
        if not self.has_route:
            return problem(404, "Not Found")
        pull = self._pull(int(number))
        pending = next((each for each in self._asked_of(pull.number) if each.status == "pending"), None)
        if pull.merged_as:
            details = {"message": "Pull request is already merged.", "sha": pull.merged_as}
            return _merging(200, "merged", details)
        if self.entry(pull.number):
            return _merging(200, "enqueued", {"message": "Pull request is already in the merge queue."})
        if pull.state != "open" or pull.draft:
            return _merging(400, "failed", {"message": "Pull request is closed."})
        if pending:
            return _merging(409, "pending", _details(pending, "A merge request already exists."))
        made = Asked(f"630b9d5e-0000-{self.github.new_id()}", pull.number, body["sha"], self.github.now)
        self.asked.append(made)
        return _merging(202, "pending", _details(made, made.message))

    def _result(self, repo: "Repo", actor: Json, query: Any, body: Json, uuid: str) -> httpx.Response:
        found = next((each for each in self.asked if each.uuid == uuid), None)
        if found is None or self.github.now - found.at > KEPT:
            return problem(404, "Not Found")
        details = _details(found, found.message) if found.status == "pending" else {"message": found.message}
        return _merging(200, found.status, details)

    def _work_off(self, request: Asked) -> None:
        pull = self._pull(request.number)
        if pull.head != request.sha:
            request.status, request.message = "failed", "Head branch was modified. Review and try again."
        elif not self.enabled:
            request.status, request.message = "failed", "The merge queue is not enabled for the base branch."
        else:
            request.status, request.message = "enqueued", "Pull request is in the merge queue."
            if not self.arms_in_vain:
                self.add(request.number)

    def _rules(self, repo: "Repo", actor: Json, query: Any, body: Json, branch: str) -> httpx.Response:
        parameters = {
            "check_response_timeout_minutes": 60, "grouping_strategy": self.strategy,
            "max_entries_to_build": 5, "max_entries_to_merge": 5, "merge_method": self.method,
            "min_entries_to_merge": 1, "min_entries_to_merge_wait_minutes": 5,
        }  # fmt: skip
        rule = {
            "type": "merge_queue", "parameters": parameters, "ruleset_id": 42,
            "ruleset_source_type": "Repository", "ruleset_source": "acme/shop",
        }  # fmt: skip
        sample(models.RepositoryRuleDetailedOneof4, rule)
        told = {name: rule[name] for name in ("ruleset_id", "ruleset_source_type", "ruleset_source")}
        rules = [{"type": each, **told} for each in self.guards]
        if self.enabled and self.rule == "ruleset":
            rules.append(rule)
        return httpx.Response(200, json=rules)

    def _merged(self, base: str, entry: Entry) -> str | None:
        """The commit of a merge group; None for a conflict."""
        merged = subprocess.run(
            ["git", "merge-tree", "--write-tree", base, entry.head], cwd=self.world.remote, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        if merged.returncode:
            return None
        parents = ["-p", base, *(["-p", entry.head] if self.method == "MERGE" else [])]
        message = f"Merge pull request #{entry.number}"
        return self.world.git("commit-tree", merged.stdout.strip(), *parents, "-m", message)

    def _asked_of(self, number: int) -> list[Asked]:
        return [each for each in self.asked if each.number == number]

    def _happened(self, number: int, kind: str, reason: str | None) -> None:
        event = {"__typename": kind, "createdAt": self.github.now.isoformat(), "reason": reason}
        self.events.setdefault(number, []).append(event)
        self.touched[number] = self.github.now

    def _deliver(self, event: str, payload: Json) -> None:
        if self.quiet:
            return
        if event == "pull_request":
            payload = {**payload, "pull_request": {"base": {"ref": "main"}}}
        self.deliveries.append((event, {**payload, "repository": {"full_name": "acme/shop"}}))

    def _pull(self, number: int) -> "Pull":
        return self._shop.pulls[number - 1]

    @property
    def _shop(self) -> "Repo":
        return self.github.repos["shop"]


def _merging(status: int, name: str, details: Json) -> httpx.Response:
    document = {"status": name, "details": details}
    models.PullRequestMergeAsyncResult.model_validate(document)
    return httpx.Response(status, json=document)


def _details(request: Asked, message: str) -> Json:
    return {
        "message": message, "uuid": request.uuid, "merge_method": "merge", "merge_action": "merge_queue",
        "expected_head_sha": request.sha,
    }  # fmt: skip
