"""Pull requests as changes when answers are lost and GitHub says no."""

from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from activities.backends.changes_github import GithubChanges
from activities.backends.track_git import GitTrack
from activities.failures import as_application_error
from activities.forge import ForgeActivities
from activities.train import TrainActivities
from leverframe.model.changes import CarLanded, Priority
from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from tests.fakes.git_world import AT, GitWorld, passed
from tests.fakes.github import FakeGithub
from tests.fakes.github_asks import AGENT, HEAD, LANDED, NEXT, lost, result, spec
from tests.fakes.github_setup import Key, account, an_app, declared, on_github
from tests.fakes.github_shapes import PERMISSIONS, Fault
from tests.fakes.rides import composed, landed, looked


class TestLostAnswers:
    """A write whose answer is lost is unavailable, and asking again finds what it did."""

    def test_a_pull_request_is_opened_once(self, github: FakeGithub, changes: GithubChanges) -> None:
        github.faults = [lost("POST", "/pulls$")]
        with pytest.raises(Unavailable, match="ReadTimeout"):
            changes.open_change(spec())
        change = changes.open_change(spec())
        assert (change.id, change.author, change.priority) == ("shop/1", AGENT, Priority.HOTFIX)
        assert github.writes() == ["POST /repos/acme/shop/pulls"]

    def test_a_comment_is_written_once(self, github: FakeGithub, changes: GithubChanges) -> None:
        change = changes.open_change(spec()).id
        github.faults = [Fault("POST", "/comments$", status=502, applied=True)]
        with pytest.raises(Unavailable, match="502"):
            changes.comment(change, key="train", body="landed")
        changes.comment(change, key="train", body="landed")
        assert changes.comments(change) == [("train", "landed")]
        assert github.writes().count("POST /repos/acme/shop/issues/1/comments") == 1

    def test_a_check_run_is_written_once_and_a_later_result_replaces_it(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec()).id
        github.faults = [lost("POST", "/check-runs$")]
        with pytest.raises(Unavailable):
            changes.record_check(change, result("inconclusive"))
        assert github.repos["shop"].runs[0]["conclusion"] == "cancelled"
        changes.record_check(change, result())
        assert [run["conclusion"] for run in github.repos["shop"].runs] == ["success"]

    def test_a_closing_is_done_and_told_once(self, github: FakeGithub, changes: GithubChanges) -> None:
        change = changes.open_change(spec()).id
        github.repos["shop"].commits.add(LANDED)
        github.faults = [lost("PATCH", "/pulls/1$")]
        with pytest.raises(Unavailable):
            changes.mark_landed(change, LANDED)
        assert changes.mark_landed(change, LANDED).state == "landed"
        assert [key for key, _ in changes.comments(change)] == ["closed"]

    def test_nothing_is_asked_twice_by_itself(self, github: FakeGithub, changes: GithubChanges) -> None:
        github.faults = [Fault("GET", "/pulls$", status=502)]
        with pytest.raises(Unavailable):
            changes.open_change(spec())
        assert [each.url.path for each in github.requests].count("/repos/acme/shop/pulls") == 1


class TestRefusals:
    """GitHub's answers as errors of ours."""

    @pytest.mark.parametrize(
        ("status", "message", "kind"),
        [
            (401, "Bad credentials", BadConfiguration),
            (403, "Resource not accessible by integration", Refused),
            (404, "Not Found", NotFound),
            (409, "Conflict", Conflict),
            (410, "Gone", NotFound),
            (422, "Validation Failed", BadInput),
            (451, "Repository access blocked", Refused),
            (429, "Too many requests", Unavailable),
            (500, "Oops", Unavailable),
            (503, "Unicorn", Unavailable),
        ],
    )
    def test_each_status_has_its_error_with_githubs_words_in_it(
        self,
        github: FakeGithub,
        changes: GithubChanges,
        status: int,
        message: str,
        kind: type[LeverframeError],
    ) -> None:
        github.faults = [Fault("GET", "/pulls/1$", status=status, body={"message": message})]
        with pytest.raises(LeverframeError, match=message) as caught:
            changes.change("shop/1")
        assert type(caught.value) is kind

    def test_a_missing_permission_is_named(self, github: FakeGithub, changes: GithubChanges) -> None:
        change = changes.open_change(spec()).id
        needed = {"x-accepted-github-permissions": "checks=write"}
        github.faults = [Fault("POST", "check-runs$", 403, {"message": "Resource not accessible"}, needed)]
        with pytest.raises(Refused, match="it needs checks=write"):
            changes.record_check(change, result())

    @pytest.mark.parametrize(
        ("headers", "message", "seconds"),
        [
            ({}, "You have exceeded a secondary rate limit. Please wait a few minutes.", 60),
            ({"retry-after": "30"}, "You have exceeded a secondary rate limit", 30),
            ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "0"}, "API rate limit exceeded", 0),
            ({"retry-after": "999999"}, "You have triggered an abuse detection mechanism", 3600),
        ],
    )
    def test_a_rate_limit_is_unavailable_for_as_long_as_github_says(
        self, github: FakeGithub, changes: GithubChanges, headers: dict[str, str], message: str, seconds: int
    ) -> None:
        github.faults = [Fault("POST", "/pulls$", 403, {"message": message}, headers)]
        with pytest.raises(Unavailable, match=f"ask again in {seconds} s") as caught:
            changes.open_change(spec())
        failure = as_application_error(caught.value)
        assert (failure.next_retry_delay, failure.non_retryable) == (timedelta(seconds=seconds), False)

    def test_a_page_that_is_not_githubs_is_unavailable(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        github.faults = [Fault("GET", "/pulls/1$", 200, {"hello": "from a proxy"})]
        with pytest.raises(Unavailable, match="not one of GitHub"):
            changes.change("shop/1")

    def test_words_of_a_refusal_cannot_steer_a_terminal(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        github.faults = [Fault("GET", "/pulls/1$", 403, {"message": "\x1b[2Jno\nleverframe: all is well"})]
        with pytest.raises(Refused) as caught:
            changes.change("shop/1")
        assert "\x1b" not in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_an_outage_of_the_token_endpoint_is_unavailable(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        github.faults = [Fault("POST", "access_tokens$", 503, {"message": "Unicorn"})]
        with pytest.raises(Unavailable, match="Unicorn"):
            changes.change("shop/1")

    def test_a_private_key_that_is_none_is_a_wrong_setting(self, github: FakeGithub, store: Engine) -> None:
        with pytest.raises(BadConfiguration, match="private_key_file") as caught:
            on_github(github, store, an_app("no key")).change("shop/1")
        assert "no key" not in str(caught.value)


class TestLanding:
    """GitHub sees for itself what was merged; what it can't see is told and closed."""

    def test_a_pull_request_whose_head_landed_is_left_for_github_to_merge(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec()).id
        github.land(HEAD, LANDED)
        assert changes.mark_landed(change, LANDED).landed_as == LANDED
        assert github.pull(1).state == "open"
        github.notice_merges()
        assert (changes.change(change).state, changes.comments(change)) == ("landed", [])

    def test_a_pull_request_whose_head_is_not_in_what_landed_is_told_and_closed(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec()).id
        github.repos["shop"].commits.add(LANDED)
        assert changes.mark_landed(change, LANDED).state == "landed"
        assert github.pull(1).state == "closed"
        [(key, said)] = changes.comments(change)
        assert key == "closed"
        assert LANDED in said

    def test_a_merge_by_hand_is_a_landing(self, github: FakeGithub, changes: GithubChanges) -> None:
        change = changes.open_change(spec()).id
        github.land(HEAD, NEXT)
        github.notice_merges()
        assert (changes.change(change).state, changes.change(change).landed_as) == ("landed", NEXT)


class TestARide:
    """The forge's activities with pull requests on GitHub and a real git remote."""

    def test_a_change_is_composed_tested_landed_and_told_and_a_second_time_changes_nothing(
        self, github: FakeGithub, store: Engine, key: Key, tmp_path: Path
    ) -> None:
        world = GitWorld(tmp_path)
        track = GitTrack(mirrors=tmp_path / "mirrors", artifacts=tmp_path / "artifacts")
        changes = on_github(github, store, an_app(key.private))
        acts = ForgeActivities(changes, track, {"shop": world.repository})
        head = world.commit("work", {"new.py": "x\n"})
        github.push("work", head)
        change = acts.open_change(spec(head))
        train = TrainActivities(changes, track, {"shop": world.repository})
        car = composed(train, change, AT)
        github.repos["shop"].commits.add(car.sha)
        acts.record_check(change.id, passed(car.sha))
        receipt = landed(train, change, car, tuple(acts.checks(car.sha)), AT)
        github.land(head, receipt.sha)
        for _ in range(2):
            acts.settle_change(CarLanded(change=change.id, receipt=receipt))
        github.notice_merges()
        [again] = looked(train, change).ended
        assert again == CarLanded(change=change.id, receipt=receipt)
        assert receipt.author == AGENT
        [(_, said)] = changes.comments(change.id)
        assert said.startswith(f"Landed on main as {receipt.sha}")
        assert [run["head_sha"] for run in github.repos["shop"].runs] == [receipt.sha]


class TestHealth:
    """What `doctor` is told."""

    def test_an_app_without_a_permission_is_told_which(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        github.permissions = {"metadata": "read", "contents": "read", "pull_requests": "write"}
        health = changes.health()
        assert not health.ok
        assert "not granted: contents: write, checks: write" in health.detail

    def test_an_app_with_more_than_it_needs_is_told_what_to_take_away(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        github.permissions = {**PERMISSIONS, "administration": "write", "workflows": "write"}
        health = changes.health()
        assert health.ok
        assert health.remedy == "not needed, take it away: administration: write"

    @pytest.mark.parametrize(
        ("scopes", "ok", "said"),
        [
            ("repo, delete_repo", True, "take it away: delete_repo"),
            ("read:user", False, "not granted: repo"),
            (None, True, "whose permissions GitHub does not tell"),
        ],
    )
    def test_a_tokens_scopes_are_judged_as_far_as_github_tells_them(
        self, github: FakeGithub, store: Engine, scopes: str | None, ok: bool, said: str
    ) -> None:
        github.scopes = scopes
        health = on_github(github, store).health()
        assert health.ok is ok
        assert said in f"{health.detail} {health.remedy}"

    def test_a_token_that_is_not_accepted_is_red_and_not_shown(
        self, github: FakeGithub, store: Engine
    ) -> None:
        health = on_github(github, store, SecretStr("ghp_wrong")).health()
        assert not health.ok
        assert "401" in health.detail
        assert "ghp_wrong" not in f"{health}"

    def test_a_declared_repository_without_a_place_on_github_is_a_wrong_setting(
        self, github: FakeGithub, store: Engine
    ) -> None:
        with pytest.raises(BadConfiguration, match="owner_repo has no entry for the repository 'till'"):
            GithubChanges(account(github), store, repositories=[declared("till")], owner_repo={})
