"""What GitHub's own merge queue is seen to do, also when GitHub lags, errs and sets limits."""

from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from activities.backends.github_account import GithubAccount
from activities.backends.github_pace import SpacedWrites
from activities.backends.queue_github import GithubQueue
from leverframe.model.changes import Change
from leverframe.model.errors import NotFound, Refused, Unavailable
from leverframe.model.trains import NativeEntry, NativeLanded, NativeRemoved
from tests.fakes.git_world import GitWorld
from tests.fakes.github_setup import Key, an_app, another, declared, queue_on
from tests.fakes.github_shapes import Fault
from tests.fakes.github_world import GithubWorld

SHOP = declared("shop")


class TestEntries:
    """What is in the queue, as GitHub orders it."""

    def test_every_entry_is_read_on_however_many_pages(self, github: GithubWorld, queue: GithubQueue) -> None:
        github.graphql.page_size = 2
        wanted = [another(github, f"b{number}", {f"{number}.py": "x\n"}) for number in range(3)]
        for each in wanted:
            queue.enqueue(SHOP, each, hotfix=False)
        found = queue.entries(SHOP)
        assert [each.change for each in found] == [each.id for each in wanted]
        assert [each.base for each in found[1:]] == [each.car for each in found[:-1]]

    def test_a_branch_without_a_queue_has_no_entries(self, github: GithubWorld, queue: GithubQueue) -> None:
        github.queue.disable()
        assert queue.entries(SHOP) == []

    @pytest.mark.parametrize(
        ("told", "state"),
        [
            ("LOCKED", "mergeable"),
            ("UNMERGEABLE", "blocked"),
            ("QUEUED", "queued"),
            ("MERGEABLE", "mergeable"),
        ],
    )
    def test_each_state_has_a_word_of_ours(
        self, github: GithubWorld, queue: GithubQueue, change: Change, told: str, state: str
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.entries[0].state = told
        assert [each.state for each in queue.entries(SHOP)] == [state]

    def test_a_state_that_github_adds_and_an_entry_that_is_hidden_break_nothing(
        self, github: GithubWorld, queue: GithubQueue
    ) -> None:
        pull = {"number": 7, "headRefOid": "a" * 40}
        new = {"position": 1, "state": "PONDERING", "headCommit": {"oid": "a" * 40}, "pullRequest": pull}
        page = {"nodes": [new, None, {"position": 2}], "pageInfo": {"hasNextPage": False, "endCursor": None}}
        body = {"data": {"repository": {"mergeQueue": {"entries": page}}}}
        github.faults = [Fault("POST", "/graphql$", 200, body)]
        assert queue.entries(SHOP) == [
            NativeEntry(change="shop/7", head="a" * 40, state="queued", position=1, car=None, base=None)
        ]


class TestEnding:
    """How a change left the queue: a landing, a reason, or nothing yet."""

    def test_what_is_in_the_queue_or_was_never_in_it_has_not_ended(
        self, queue: GithubQueue, change: Change
    ) -> None:
        assert queue.ending(SHOP, change) is None
        queue.enqueue(SHOP, change, hotfix=False)
        assert queue.ending(SHOP, change) is None

    def test_a_merged_change_landed_as_the_commit_that_the_queue_tested(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        [entry] = queue.entries(SHOP)
        github.queue.reports(1, green=True)
        github.queue.merge()
        assert queue.ending(SHOP, change) == NativeLanded(
            change=change.id, head=change.head, sha=github.git.git("rev-parse", "main")
        )
        assert entry.car == github.git.git("rev-parse", "main")

    @pytest.mark.parametrize(
        ("told", "reason"),
        [
            ("merge_conflict", "conflict"),
            ("failed_checks", "check_failed"),
            ("failed checks", "check_failed"),
            ("CI_FAILURE", "check_failed"),
            ("checks_timed_out", "check_inconclusive"),
            ("CI_TIMEOUT", "check_inconclusive"),
            ("manual", "withdrawn"),
            ("QUEUE_CLEARED", "withdrawn"),
            ("branch_protections", "refused"),
            ("git_tree_invalid", "refused"),
            ("INVALID_MERGE_COMMIT", "refused"),
            ("ROLL_BACK", "refused"),
            ("UNKNOWN_REMOVAL_REASON", "refused"),
            ("struck by \x1b[31mlightning", "refused"),
        ],
    )
    def test_each_reason_has_one_of_ours_and_keeps_githubs_word(
        self, github: GithubWorld, queue: GithubQueue, change: Change, told: str, reason: str
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.remove(1, told)
        ended = queue.ending(SHOP, change)
        assert isinstance(ended, NativeRemoved)
        assert ended.reason == reason
        assert told.replace("\x1b[31m", "") in ended.detail

    def test_an_entry_that_does_not_apply_any_more_is_a_conflict(
        self, github: GithubWorld, queue: GithubQueue
    ) -> None:
        first = another(github, "one", {"app.py": "one\n2\nthree\n"})
        second = another(github, "two", {"app.py": "one\nII\nthree\n"})
        queue.enqueue(SHOP, first, hotfix=False)
        github.queue.add(2)
        ended = queue.ending(SHOP, second)
        assert isinstance(ended, NativeRemoved)
        assert ended.reason == "conflict"

    def test_an_entry_that_vanished_is_given_time_and_then_counts_as_refused(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.vanish(1)
        assert queue.ending(SHOP, change) is None
        github.now += timedelta(minutes=3)
        ended = queue.ending(SHOP, change)
        assert isinstance(ended, NativeRemoved)
        assert (ended.reason, "does not say why" in ended.detail) == ("refused", True)

    def test_an_entry_that_is_gone_a_moment_before_github_says_merged_has_not_ended(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.remove(1, "merged")
        assert queue.ending(SHOP, change) is None

    def test_a_queue_that_was_disabled_lets_go_of_what_was_in_it(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.disable()
        github.now += timedelta(minutes=3)
        ended = queue.ending(SHOP, change)
        assert isinstance(ended, NativeRemoved)
        assert ended.reason == "refused"

    def test_a_push_while_it_was_in_the_queue_is_a_moved_head(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.git.commit("work", {"more.py": "y\n"})
        ended = queue.ending(SHOP, change)
        assert isinstance(ended, NativeRemoved)
        assert ended.reason == "head_moved"

    def test_a_merge_of_another_head_is_no_landing_of_this_one(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.git.commit("work", {"more.py": "y\n"})
        queue.entries(SHOP)
        github.queue.add(1)
        github.queue.reports(1, green=True)
        github.queue.merge()
        ended = queue.ending(SHOP, change)
        assert isinstance(ended, NativeRemoved)
        assert ended.reason == "head_moved"

    def test_a_change_that_was_put_in_again_is_judged_by_its_last_ride(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.remove(1, "checks_timed_out")
        queue.enqueue(SHOP, change, hotfix=False)
        assert queue.ending(SHOP, change) is None

    def test_a_landing_whose_webhooks_were_all_lost_is_found_by_looking(
        self, github: GithubWorld, queue: GithubQueue, change: Change
    ) -> None:
        github.queue.quiet = True
        queue.enqueue(SHOP, change, hotfix=False)
        github.queue.reports(1, green=True)
        github.queue.merge()
        assert isinstance(queue.ending(SHOP, change), NativeLanded)
        assert github.queue.deliveries == []


class TestLimitsAndErrors:
    """GraphQL answers 200 for everything."""

    @pytest.mark.parametrize(
        ("body", "headers", "seconds"),
        [
            ({"errors": [{"type": "RATE_LIMITED", "message": "API rate limit exceeded"}]}, {}, 60),
            ({"errors": [{"type": "RATE_LIMIT", "message": "x"}]}, {"retry-after": "30"}, 30),
            ({"errors": [{"message": "You have exceeded a secondary rate limit."}]}, {}, 60),
            ({"data": None, "errors": [{"message": "was submitted too quickly"}]}, {}, 60),
            ({"errors": [{"type": "RATE_LIMITED", "message": "x"}]}, {"retry-after": "9" * 30}, 3600),
        ],
    )
    def test_a_rate_limit_inside_a_200_is_unavailable_with_the_wait(
        self,
        github: GithubWorld,
        queue: GithubQueue,
        body: dict[str, object],
        headers: dict[str, str],
        seconds: int,
    ) -> None:
        github.faults = [Fault("POST", "/graphql$", 200, body, headers)]
        with pytest.raises(Unavailable, match="ask again") as caught:
            queue.entries(SHOP)
        assert caught.value.wait == timedelta(seconds=seconds)

    def test_the_wait_for_a_new_quota_is_counted_on_githubs_clock(
        self, github: GithubWorld, queue: GithubQueue
    ) -> None:
        headers = {
            "date": "Sun, 01 Mar 2026 12:00:00 GMT",
            "x-ratelimit-remaining": "0",
            "x-ratelimit-reset": "1772366700",  # 12:05:00
        }
        limited = {"errors": [{"type": "RATE_LIMITED", "message": "x"}]}
        github.faults = [Fault("POST", "/graphql$", 200, limited, headers)]
        with pytest.raises(Unavailable) as caught:
            queue.entries(SHOP)
        assert caught.value.wait == timedelta(minutes=5)

    @pytest.mark.parametrize("message", ["You have exceeded a secondary rate limit", "abuse detection"])
    def test_a_secondary_limit_without_any_header_is_known_by_its_words(
        self, github: GithubWorld, queue: GithubQueue, change: Change, message: str
    ) -> None:
        github.faults = [Fault("PUT", "merge-async$", 403, {"message": message})]
        with pytest.raises(Unavailable, match="ask again in 60 s"):
            queue.enqueue(SHOP, change, hotfix=False)

    @pytest.mark.parametrize(
        ("error", "kind"),
        [
            ({"type": "NOT_FOUND", "message": "no"}, NotFound),
            ({"type": "FORBIDDEN", "message": "no"}, Refused),
            ({"message": "Something went wrong while executing your query."}, Unavailable),
            ({"extensions": {"code": "undefinedField"}, "message": "Field 'mergeQueue'"}, Refused),
        ],
    )
    def test_an_error_beside_data_is_an_error(
        self, github: GithubWorld, queue: GithubQueue, error: dict[str, object], kind: type[Exception]
    ) -> None:
        github.faults = [Fault("POST", "/graphql$", 200, {"data": {"repository": None}, "errors": [error]})]
        with pytest.raises(kind):
            queue.entries(SHOP)

    def test_words_of_an_error_cannot_steer_a_terminal(self, github: GithubWorld, queue: GithubQueue) -> None:
        error = {"type": "FORBIDDEN", "message": "\x1b[2Jno\nleverframe: all is well"}
        github.faults = [Fault("POST", "/graphql$", 200, {"errors": [error]})]
        with pytest.raises(Refused) as caught:
            queue.entries(SHOP)
        assert not {"\x1b", "\n"} & set(str(caught.value))

    @pytest.mark.parametrize("body", [{}, {"data": None}, {"data": []}, {"hello": "from a proxy"}])
    def test_an_answer_of_another_shape_is_unavailable(
        self, github: GithubWorld, queue: GithubQueue, body: dict[str, object]
    ) -> None:
        github.faults = [Fault("POST", "/graphql$", 200, body)]
        with pytest.raises(Unavailable, match="not one of GitHub"):
            queue.entries(SHOP)


class TestCapability:
    """Whether the queue can carry changes, what it promises, and why not."""

    def test_a_queue_of_merge_commits_that_are_all_green_is_exact(
        self, github: GithubWorld, queue: GithubQueue
    ) -> None:
        capability = queue.capability(SHOP)
        assert capability.native
        assert capability.facts | {"exact": "yes", "rule": "ruleset 42"} == capability.facts
        assert (capability.facts["method"], capability.facts["strategy"]) == ("merge", "ALLGREEN")

    @pytest.mark.parametrize(
        ("method", "strategy", "said"),
        [
            ("MERGE", "HEADGREEN", "may land red below a green one"),
            ("SQUASH", "ALLGREEN", "its head is not part of what lands"),
            ("REBASE", "ALLGREEN", "its head is not part of what lands"),
        ],
    )
    def test_a_queue_that_promises_less_says_so_and_one_that_lands_red_is_not_taken(
        self, github: GithubWorld, queue: GithubQueue, method: str, strategy: str, said: str
    ) -> None:
        github.queue.method, github.queue.strategy = method, strategy
        capability = queue.capability(SHOP)
        assert (capability.native, capability.facts["exact"]) == (strategy == "ALLGREEN", "no")
        assert said in capability.why

    def test_whether_rulesets_refuse_that_the_target_is_moved_by_force_is_told(
        self, github: GithubWorld, queue: GithubQueue
    ) -> None:
        assert queue.capability(SHOP).facts["rewinds"] == "refused"
        github.queue.guards = ("deletion",)
        assert queue.capability(SHOP).facts["rewinds"] == "no ruleset refuses them"

    def test_a_queue_of_a_branch_protection_counts_too(self, github: GithubWorld, queue: GithubQueue) -> None:
        github.queue.rule = "protection"
        assert queue.capability(SHOP).facts["rule"] == "no ruleset"
        assert queue.capability(SHOP).native

    def test_without_a_queue_it_says_what_to_do(self, github: GithubWorld, queue: GithubQueue) -> None:
        github.queue.enabled = False
        capability = queue.capability(SHOP)
        assert not capability.native
        assert "add the rule `Require merge queue`" in capability.why

    def test_a_persons_repository_has_no_queue(self, github: GithubWorld, queue: GithubQueue) -> None:
        github.queue.organisation = False
        assert "for organisations only" in queue.capability(SHOP).why

    def test_a_server_that_does_not_know_the_question_has_no_queue(
        self, github: GithubWorld, queue: GithubQueue
    ) -> None:
        error = {"extensions": {"code": "undefinedField"}, "message": "Field 'mergeQueue' doesn't exist"}
        github.faults = [Fault("POST", "/graphql$", 200, {"errors": [error]})]
        assert not queue.capability(SHOP).native

    def test_an_outage_is_no_answer(self, github: GithubWorld, queue: GithubQueue) -> None:
        github.faults = [Fault("POST", "/graphql$", status=503)]
        with pytest.raises(Unavailable):
            queue.capability(SHOP)


class TestHealth:
    """Red only where a repository asks for the forge's own queue and we may not use it."""

    @pytest.mark.parametrize(("track", "ok"), [("native", False), ("auto", True), ("built_in", True)])
    def test_a_missing_permission_is_red_where_the_queue_is_asked_for(
        self, begun: GitWorld, key: Key, tmp_path: Path, track: str, ok: bool
    ) -> None:
        github = GithubWorld(begun, public_key=key.public)
        del github.permissions["merge_queues"]
        health = queue_on(github, an_app(key.private), track=track).health()
        assert (health.ok, "not granted: merge_queues: write" in health.detail) == (ok, True)
        assert "grant it" in health.remedy
        assert ("changes ride the built-in train" in health.detail) == ok

    def test_a_queue_that_the_app_may_not_use_carries_nothing_until_it_may(
        self, begun: GitWorld, key: Key
    ) -> None:
        github = GithubWorld(begun, public_key=key.public)
        del github.permissions["merge_queues"]
        queue = queue_on(github, an_app(key.private))
        told = queue.capability(SHOP)
        assert (told.native, told.facts["rule"]) == (False, "ruleset 42")
        assert "grant it merge_queues: write" in told.why
        github.permissions["merge_queues"] = "write"
        assert queue.capability(SHOP).native

    def test_with_the_permission_it_is_green(self, begun: GitWorld, key: Key) -> None:
        github = GithubWorld(begun, public_key=key.public)
        assert queue_on(github, an_app(key.private), track="native").health().ok


def test_writes_begin_a_second_apart_and_reads_do_not_wait() -> None:
    slept: list[float] = []
    pace = SpacedWrites(1, clock=lambda: 10 + sum(slept), sleep=slept.append)
    at = "https://api.github.com"
    for request in (
        httpx.Request("PUT", f"{at}/repos/acme/shop/pulls/1/merge-async"),
        httpx.Request("GET", f"{at}/repos/acme/shop"),
        httpx.Request("POST", f"{at}/graphql", json={"query": "query Q { x }"}),
        httpx.Request("POST", f"{at}/app/installations/1/access_tokens"),
        httpx.Request("POST", f"{at}/graphql", json={"query": "mutation M { x }"}),
    ):
        with pace.acquire(request):
            pass
    assert slept == [0, 1]


def test_graphql_of_an_enterprise_server_lies_beside_its_rest_api() -> None:
    token = SecretStr("ghp_x")
    here = GithubAccount(token, names=("acme/shop",))
    there = GithubAccount(token, names=("acme/shop",), api_url="https://git.acme.com/api/v3")
    assert here.graphql_url == "https://api.github.com/graphql"
    assert there.graphql_url == "https://git.acme.com/api/graphql"
