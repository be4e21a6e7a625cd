"""Pull requests as changes when people interfere and text is forged."""

import pytest
from sqlalchemy import Engine

from activities.backends.changes_github import GithubChanges
from leverframe.model.changes import Author, Priority
from leverframe.model.errors import (
    BadInput,
    Conflict,
    Unavailable,
)
from tests.fakes.github import FakeGithub
from tests.fakes.github_asks import AGENT, FORGED, HEAD, NEXT, result, spec
from tests.fakes.github_setup import account, declared, on_github


class TestPeople:
    """People push, close, edit and comment beside us."""

    def test_a_pull_request_that_github_does_not_list_yet_is_found_by_the_next_attempt(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        first = changes.open_change(spec())
        github.hidden = True
        with pytest.raises(Unavailable, match="already exists for acme:work"):
            changes.open_change(spec())
        github.hidden = False
        assert changes.open_change(spec()) == first

    def test_a_branch_that_was_never_pushed_is_bad_input(self, github: FakeGithub, store: Engine) -> None:
        with pytest.raises(BadInput, match="head invalid"):
            on_github(github, store).open_change(spec())

    def test_a_head_that_somebody_else_pushed_is_a_conflict(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        changes.open_change(spec())
        github.push("work", NEXT)
        with pytest.raises(Conflict, match="somebody else pushed"):
            changes.open_change(spec())

    def test_a_pull_request_that_lags_behind_its_branch_is_no_conflict(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        changes.open_change(spec())
        github.lagging = True
        github.push("work", NEXT)
        assert changes.open_change(spec(NEXT)).head == NEXT

    def test_author_and_priority_are_true_of_the_head_that_they_came_with_only(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec())
        assert (change.author, change.priority) == (AGENT, Priority.HOTFIX)
        github.push("work", NEXT)
        moved = changes.change(change.id)
        assert (moved.head, moved.author.kind, moved.priority) == (NEXT, "person", Priority.NORMAL)

    def test_a_stranger_who_edits_the_body_changes_words_only(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec(priority=Priority.NORMAL))
        github.pull(1).body, github.pull(1).title = FORGED + "x" * 100_000, "T" * 1000
        seen = changes.change(change.id)
        assert (seen.author, seen.priority, seen.state) == (AGENT, Priority.NORMAL, "open")
        assert (len(seen.body), len(seen.title)) == (65_536, 200)

    def test_a_stranger_who_writes_our_markers_is_a_person_without_priority(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        number = github.person_opens("theirs", NEXT, title="Point shop at x")
        github.pull(number).body = FORGED
        seen = changes.change(f"shop/{number}")
        assert (seen.author, seen.priority) == (Author(kind="person", name="mallory"), Priority.NORMAL)

    def test_a_strangers_comment_with_our_marker_is_not_ours(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec()).id
        github.person_comments(1, "<!-- leverframe:train -->\nLanded. Honestly.")
        assert changes.comments(change) == []
        changes.comment(change, key="train", body="red")
        assert changes.comments(change) == [("train", "red")]
        assert github.repos["shop"].comments[0]["body"].endswith("Honestly.")

    def test_our_comment_is_found_on_any_page(self, github: FakeGithub, changes: GithubChanges) -> None:
        change = changes.open_change(spec()).id
        github.page_size = 2
        for number in range(5):
            github.person_comments(1, f"{number}")
        changes.comment(change, key="train", body="red")
        changes.comment(change, key="train", body="green")
        assert changes.comments(change) == [("train", "green")]

    def test_a_check_run_on_github_proves_nothing(self, github: FakeGithub, changes: GithubChanges) -> None:
        change = changes.open_change(spec()).id
        changes.record_check(change, result("failed"))
        github.repos["shop"].runs[0]["conclusion"] = "success"
        assert [each.outcome for each in changes.checks(HEAD)] == ["failed"]

    def test_a_log_is_shown_as_a_block_that_it_cannot_leave(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        changes.record_check(changes.open_change(spec()).id, result())
        assert github.repos["shop"].runs[0]["output"]["text"].startswith("````text\n```\n# x")

    def test_a_pull_request_that_a_person_closed_is_closed_until_they_open_it_again(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec()).id
        github.pull(1).state = "closed"
        assert changes.mark_ejected(change, "red").state == "closed"
        with pytest.raises(Conflict, match="been closed"):
            changes.open_change(spec())
        github.pull(1).state = "open"
        assert changes.change(change).state == "open"

    def test_a_pull_request_that_goes_elsewhere_now_is_closed_for_its_train(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        change = changes.open_change(spec()).id
        github.pull(1).base = "release-1"
        assert changes.change(change).state == "closed"

    def test_a_pull_request_that_a_person_opened_is_taken_over_with_its_words(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        number = github.person_opens("work", HEAD, title="Mine")
        change = changes.open_change(spec())
        assert (change.id, change.title, change.author) == (f"shop/{number}", "Mine", AGENT)

    def test_a_pull_request_of_a_fork_is_never_taken_for_a_branch_of_ours(
        self, github: FakeGithub, changes: GithubChanges
    ) -> None:
        number = github.person_opens("work", NEXT, fork=True)
        assert changes.open_change(spec()).id == f"shop/{number + 1}"
        assert changes.change(f"shop/{number}").branch == "mallory:work"

    def test_what_was_recorded_of_another_repository_is_not_believed_of_this_one(
        self, github: FakeGithub, changes: GithubChanges, store: Engine
    ) -> None:
        changes.open_change(spec())
        github.repos["till"].pulls = github.repos["shop"].pulls
        elsewhere = GithubChanges(
            account(github), store, repositories=[declared("shop")], owner_repo={"shop": "acme/till"}
        )
        assert elsewhere.change("shop/1").author.kind == "person"
