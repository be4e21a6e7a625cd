"""Merge requests, notes and merge trains of the fake: https://docs.gitlab.com/api/merge_requests/ and
https://docs.gitlab.com/api/merge_trains/."""

import re
from typing import TYPE_CHECKING, Any

import httpx

from tests.fakes import gitlab_documents as documents
from tests.fakes.gitlab_http import Query, answer, page_of, problem
from tests.fakes.gitlab_state import ME, Json, MergeRequestState, ProjectState
from tests.fakes.gitlab_trains import Trains

if TYPE_CHECKING:
    from tests.fakes.gitlab import FakeGitlab

_QUICK_ACTION = re.compile(r"(?m)^/(close|merge|approve|draft|rebase)\b.*$")


def routes(gitlab: "FakeGitlab", at: str) -> list[tuple[str, str, Any]]:
    here = _MergeRequests(gitlab)
    number, trains = f"{at}/merge_requests/(?P<iid>\\d+)", f"{at}/merge_trains"
    return [
        ("GET", f"{at}/merge_requests", here.list),
        ("POST", f"{at}/merge_requests", here.create),
        ("GET", number, here.get),
        ("PUT", number, here.update),
        ("GET", f"{number}/notes", here.notes),
        ("POST", f"{number}/notes", here.add_note),
        ("PUT", f"{number}/notes/(?P<note>\\d+)", here.edit_note),
        ("GET", f"{number}/pipelines", here.pipelines),
        ("POST", f"{number}/cancel_merge_when_pipeline_succeeds", here.cancel),
        ("GET", f"{trains}/merge_requests/(?P<iid>\\d+)", here.car),
        ("POST", f"{trains}/merge_requests/(?P<iid>\\d+)", here.board),
        ("GET", f"{trains}/(?P<target>[^/]+)", here.train),
    ]


class _MergeRequests:
    def __init__(self, gitlab: "FakeGitlab") -> None:
        self._gitlab = gitlab

    def list(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        assert query.get("scope") == ["all"]
        wanted = {int(each) for each in query.get("iids[]", [])}
        branch, target = query.get("source_branch"), query.get("target_branch")
        found = [
            documents.merge_request(at, seen)
            for seen in reversed(at.merge_requests)
            if (not wanted or seen.iid in wanted)
            and (branch is None or (seen.branch == branch[0] and not self._gitlab.hidden))
            and (target is None or seen.target == target[0])
        ]
        return page_of(found, query, self._gitlab.page_size)

    def create(self, at: ProjectState, query: Query, body: Json) -> httpx.Response:
        head = at.head(body["source_branch"])
        if head is None:
            return problem(400, {"source_branch": [f'"{body["source_branch"]}" does not exist']})
        for seen in at.merge_requests:
            if (seen.branch, seen.state, seen.fork) == (body["source_branch"], "opened", False):
                said = f"Another open merge request already exists for this source branch: !{seen.iid}"
                return problem(409, [said])
        made = MergeRequestState(
            len(at.merge_requests) + 1, body["source_branch"], body["target_branch"], body["title"],
            self._obey(at, body["description"]), ME, head,
        )  # fmt: skip
        at.merge_requests.append(made)
        return answer(documents.merge_request(at, made), 201)

    def get(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        if int(iid) > len(at.merge_requests):
            return problem(404, "404 Not found")
        return answer(documents.merge_request(at, at.merge_request(int(iid))))

    def update(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        seen = at.merge_request(int(iid))
        seen.title = body.get("title", seen.title)
        seen.body = self._obey(at, body["description"]) if "description" in body else seen.body
        if body.get("state_event") == "close":
            seen.state = "closed"
        return answer(documents.merge_request(at, seen))

    def notes(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        if int(iid) > len(at.merge_requests):
            return problem(404, "404 Not found")
        found = [note for note in at.notes if note["noteable_iid"] == int(iid)]
        return page_of(found if query["sort"] == ["asc"] else found[::-1], query, self._gitlab.page_size)

    def add_note(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        if int(iid) > len(at.merge_requests):
            return problem(404, "404 Not found")
        return answer(at.note(int(iid), self._obey(at, body["body"]), ME), 201)

    def edit_note(self, at: ProjectState, query: Query, body: Json, iid: str, note: str) -> httpx.Response:
        found = next(each for each in at.notes if each["id"] == int(note))
        if found["author"] != ME or found["system"]:
            return problem(403, "403 Forbidden")
        found["body"] = body["body"]
        return answer(found)

    def pipelines(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        refs = (f"refs/merge-requests/{iid}/train", f"refs/merge-requests/{iid}/head")
        found = [documents.pipeline(at, each) for each in reversed(at.pipelines) if each.ref in refs]
        return page_of(found, query, self._gitlab.page_size)

    def cancel(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        seen = at.merge_request(int(iid))
        if seen.state != "opened":
            return problem(405, "405 Method Not Allowed")
        if not seen.waits:
            if self._gitlab.version.startswith("16."):
                return problem(406, "406 Not Acceptable")
            return answer({"status": "error", "message": "Can't cancel the automatic merge"}, 201)
        if self._trains(at).car(seen.iid):
            self._trains(at).drop(seen.iid, None)
        else:
            seen.waits = False
            at.note(seen.iid, "canceled the automatic merge", ME, system=True)
        return answer(documents.merge_request(at, seen), 201)

    def car(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        if not at.settings["merge_trains_enabled"]:
            return problem(403, "403 Forbidden")
        found = self._trains(at).car(int(iid))
        return answer(documents.car(at, found)) if found else problem(404, "404 Not found")

    def train(self, at: ProjectState, query: Query, body: Json, target: str) -> httpx.Response:
        if not at.settings["merge_trains_enabled"]:
            return problem(403, "403 Forbidden")
        found = [documents.car(at, car) for car in self._trains(at).riding(target)]
        return page_of(found if query["sort"] == ["asc"] else found[::-1], query, self._gitlab.page_size)

    def board(self, at: ProjectState, query: Query, body: Json, iid: str) -> httpx.Response:
        seen = at.merge_request(int(iid))
        if not at.settings["merge_trains_enabled"]:
            return problem(403, "403 Forbidden")
        if body.get("sha") not in (None, seen.sha):
            return problem(409, "SHA does not match HEAD of source branch")
        if seen.state != "opened" or seen.status not in ("mergeable", "ci_still_running"):
            return problem(405, "405 Method Not Allowed")
        seen.squash = body.get("squash", False)
        parameter = "auto_merge" if self._gitlab.number >= (17, 11) else "when_pipeline_succeeds"
        if seen.status == "ci_still_running" and body.get(parameter):
            seen.waits = True
            at.note(seen.iid, "enabled automatic add to merge train when checks pass", ME, system=True)
            return httpx.Response(202, json=None)
        if seen.status == "ci_still_running":
            return problem(405, "405 Method Not Allowed")
        made = documents.car(at, self._trains(at).add(seen.iid))
        return answer(made if self._gitlab.number >= (19, 1) else [made], 201)

    def _trains(self, at: ProjectState) -> Trains:
        return Trains(at, self._gitlab.number)

    @staticmethod
    def _obey(at: ProjectState, text: str) -> str:
        """GitLab runs quick actions of whoever writes, and keeps the rest."""
        at.obeyed += [found[0] for found in _QUICK_ACTION.finditer(text)]
        return _QUICK_ACTION.sub("", text)
