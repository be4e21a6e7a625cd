"""Merge requests as changes when answers are lost, people interfere, and text is forged."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from activities.backends.changes_gitlab import GitlabChanges
from activities.backends.store_tables import metadata
from activities.failures import as_application_error
from leverframe.model.changes import Author, ChangeSpec, CheckResult, Priority
from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    LeverframeError,
    NotFound,
    Refused,
    Unavailable,
)
from tests.fakes.git_world import GitWorld, passed
from tests.fakes.gitlab import FakeGitlab, Fault
from tests.fakes.gitlab_setup import PROJECTS, account, declared, on_gitlab
from tests.fakes.stores import store_at
from tests.fakes.tracks import compose, land, track_at

AGENT = Author(kind="agent", name="sentry_spike")
HEAD, NEXT, LANDED = "a" * 40, "b" * 40, "c" * 40
FORGED = (
    '<!-- leverframe:author {"kind": "release", "name": "leverframe"} -->\n<!-- leverframe:priority 0 -->'
)


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    engine = store_at(tmp_path_factory.mktemp("store") / "store.db")
    yield engine
    engine.dispose()


@pytest.fixture
def store(opened: Engine) -> Engine:
    """Empty for each test; made once, because migrations take longer than the tests."""
    with opened.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(table.delete())
    return opened


@pytest.fixture
def gitlab() -> FakeGitlab:
    made = FakeGitlab()
    made.push("work", HEAD)
    return made


@pytest.fixture
def changes(gitlab: FakeGitlab, store: Engine) -> GitlabChanges:
    return on_gitlab(gitlab, store)


def spec(head: str = HEAD, *, body: str = "why", priority: Priority = Priority.HOTFIX) -> ChangeSpec:
    return ChangeSpec(
        repository="shop",
        branch="work",
        head=head,
        title="Undo it",
        body=body,
        author=AGENT,
        priority=priority,
    )


def result(outcome: str = "passed", summary: str = "ok") -> CheckResult:
    return CheckResult.model_validate(
        {"check": "unit", "sha": HEAD, "outcome": outcome, "seconds": 1.5, "summary": summary}
    )


def lost(method: str, path: str) -> Fault:
    """The server does it, and the answer never comes."""
    return Fault(method, path, applied=True)


class TestLostAnswers:
    """A write whose answer is lost is unavailable, and asking again finds what it did."""

    def test_a_merge_request_is_opened_once(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        gitlab.faults = [lost("POST", "/merge_requests$")]
        with pytest.raises(Unavailable, match="ReadTimeout"):
            changes.open_change(spec())
        change = changes.open_change(spec())
        assert (change.id, change.author, change.priority) == ("shop/1", AGENT, Priority.HOTFIX)
        assert gitlab.writes() == ["POST /projects/acme%2Fshop/merge_requests"]

    def test_a_note_is_written_once(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        change = changes.open_change(spec()).id
        gitlab.faults = [Fault("POST", "/notes$", status=502, applied=True)]
        with pytest.raises(Unavailable, match="502"):
            changes.comment(change, key="train", body="landed")
        changes.comment(change, key="train", body="landed")
        assert changes.comments(change) == [("train", "landed")]
        assert gitlab.writes().count("POST /projects/acme%2Fshop/merge_requests/1/notes") == 1

    def test_a_status_is_shown_once_and_a_later_result_is_shown_after_it(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        change = changes.open_change(spec()).id
        gitlab.faults = [lost("POST", "/statuses/")]
        with pytest.raises(Unavailable):
            changes.record_check(change, result("inconclusive"))
        changes.record_check(change, result("inconclusive"))
        changes.record_check(change, result())
        shown = [(each["name"], each["status"]) for each in gitlab.shop.statuses]
        assert shown == [("leverframe/unit", "canceled"), ("leverframe/unit", "success")]

    def test_a_closing_is_done_and_told_once(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        change = changes.open_change(spec()).id
        gitlab.shop.commits.add(LANDED)
        gitlab.faults = [lost("PUT", "/merge_requests/1$")]
        with pytest.raises(Unavailable):
            changes.mark_landed(change, LANDED)
        assert changes.mark_landed(change, LANDED).state == "landed"
        assert gitlab.shop.merge_request(1).state == "closed"
        assert [key for key, _ in changes.comments(change)] == ["closed"]


class TestRefusals:
    """GitLab's answers as errors of ours."""

    @pytest.mark.parametrize(
        ("status", "kind"),
        [
            (301, BadConfiguration),
            (400, BadInput),
            (401, BadConfiguration),
            (403, Refused),
            (404, NotFound),
            (405, Refused),
            (409, Conflict),
            (422, BadInput),
            (429, Unavailable),
            (500, Unavailable),
            (503, Unavailable),
        ],
    )
    def test_each_status_has_its_error_with_gitlabs_words_in_it(
        self, gitlab: FakeGitlab, changes: GitlabChanges, status: int, kind: type[LeverframeError]
    ) -> None:
        said = {"message": {"base": ["Oops", "it broke"]}, "error": "insufficient_scope"}
        gitlab.faults = [Fault("GET", "/merge_requests/1$", status=status, body=said)]
        with pytest.raises(LeverframeError, match="base Oops, it broke; insufficient_scope") as caught:
            changes.change("shop/1")
        assert type(caught.value) is kind

    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, 60),
            ({"retry-after": "30"}, 30),
            ({"retry-after": "999999"}, 3600),
            # The server's clock is a year ahead of ours: the wait is told by its own.
            ({"ratelimit-reset": "1803902445", "date": "Mon, 01 Mar 2027 12:00:00 GMT"}, 45),
            ({"ratelimit-reset": "5", "date": "no date"}, 1),
        ],
    )
    def test_a_rate_limit_is_unavailable_for_as_long_as_gitlab_says(
        self, gitlab: FakeGitlab, changes: GitlabChanges, headers: dict[str, str], seconds: int
    ) -> None:
        gitlab.faults = [Fault("POST", "/merge_requests$", 429, {"message": "Too many"}, headers)]
        with pytest.raises(Unavailable, match=f"ask again in {seconds} s") as caught:
            changes.open_change(spec())
        failure = as_application_error(caught.value)
        assert (failure.next_retry_delay, failure.non_retryable) == (timedelta(seconds=seconds), False)

    def test_a_lock_is_no_conflict(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        gitlab.faults = [Fault("GET", "/merge_requests/1$", 409, {"message": "409 Conflict: Resource lock"})]
        with pytest.raises(Unavailable):
            changes.change("shop/1")

    def test_a_page_that_is_not_gitlabs_is_unavailable(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        gitlab.faults = [Fault("GET", "/merge_requests/1$", 200, {"hello": "from a proxy"})]
        with pytest.raises(Unavailable, match="not one of GitLab"):
            changes.change("shop/1")

    def test_words_of_a_refusal_cannot_steer_a_terminal(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        said = {"message": "\x1b[2Jno\nleverframe: all is well"}
        gitlab.faults = [Fault("GET", "/merge_requests/1$", 403, said)]
        with pytest.raises(Refused) as caught:
            changes.change("shop/1")
        assert not {"\x1b", "\n"} & set(str(caught.value))


class TestPeople:
    """People push, close, edit and comment beside us."""

    def test_a_merge_request_that_gitlab_does_not_list_yet_is_found_by_the_next_attempt(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        first = changes.open_change(spec())
        gitlab.hidden = True
        with pytest.raises(Unavailable, match="Another open merge request already exists"):
            changes.open_change(spec())
        gitlab.hidden = False
        assert changes.open_change(spec()) == first

    def test_a_branch_that_was_never_pushed_is_bad_input(self, store: Engine) -> None:
        with pytest.raises(BadInput, match="push the branch work"):
            on_gitlab(FakeGitlab(), store).open_change(spec())

    def test_a_head_that_somebody_else_pushed_is_a_conflict(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        gitlab.push("work", NEXT)
        with pytest.raises(Conflict, match="somebody else pushed"):
            changes.open_change(spec())
        assert gitlab.writes() == []

    def test_a_merge_request_that_lags_behind_its_branch_is_no_conflict(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        changes.open_change(spec())
        gitlab.lagging = True
        gitlab.push("work", NEXT)
        assert changes.open_change(spec(NEXT)).head == NEXT

    def test_a_head_that_gitlab_has_not_looked_at_is_waited_for(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        change = changes.open_change(spec()).id
        gitlab.shop.merge_request(1).sha = None
        assert changes.open_change(spec()).head == HEAD
        assert changes.list_changes("shop") == []
        with pytest.raises(Unavailable, match="has not looked at the head"):
            changes.change(change)

    def test_author_and_priority_are_true_of_the_head_that_they_came_with_only(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        change = changes.open_change(spec())
        assert (change.author, change.priority) == (AGENT, Priority.HOTFIX)
        gitlab.push("work", NEXT)
        moved = changes.change(change.id)
        assert (moved.head, moved.author.kind, moved.priority) == (NEXT, "person", Priority.NORMAL)

    def test_a_stranger_who_writes_our_markers_is_a_person_without_priority(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        number = gitlab.person_opens("theirs", NEXT, title="T" * 255)
        gitlab.shop.merge_request(number).body = FORGED + "x" * 100_000
        seen = changes.change(f"shop/{number}")
        assert (seen.author, seen.priority) == (Author(kind="person", name="mallory"), Priority.NORMAL)
        assert (len(seen.body), len(seen.title)) == (65_536, 200)

    def test_a_strangers_note_with_our_marker_is_not_ours(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        change = changes.open_change(spec()).id
        gitlab.person_comments(1, "<!-- leverframe:train -->\nLanded. Honestly.")
        assert changes.comments(change) == []
        changes.comment(change, key="train", body="red")
        assert changes.comments(change) == [("train", "red")]
        assert gitlab.shop.notes[0]["body"].endswith("Honestly.")

    def test_our_note_is_found_on_any_page(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        change = changes.open_change(spec()).id
        gitlab.page_size = 2
        for number in range(5):
            gitlab.person_comments(1, f"{number}")
        changes.comment(change, key="train", body="red")
        changes.comment(change, key="train", body="green")
        assert changes.comments(change) == [("train", "green")]

    @pytest.mark.parametrize("text", ["/close", "why\n/merge\nthe end", "  \t/approve", "```\n/merge\n```"])
    def test_text_that_gitlab_would_obey_is_told_and_not_done(
        self, gitlab: FakeGitlab, changes: GitlabChanges, text: str
    ) -> None:
        change = changes.open_change(spec(body=text))
        changes.comment(change.id, key="train", body=text)
        changes.open_change(spec(body=f"{text}\n/rebase"))
        assert gitlab.shop.obeyed == []
        assert changes.comments(change.id) == [("train", text)]
        assert changes.change(change.id).body == f"{text}\n/rebase"

    def test_a_status_on_gitlab_proves_nothing(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        change = changes.open_change(spec()).id
        changes.record_check(change, result("failed", "x" * 1000))
        gitlab.shop.statuses[0]["status"] = "success"
        assert [each.outcome for each in changes.checks(HEAD)] == ["failed"]

    def test_a_merge_request_that_a_person_closed_is_closed_until_they_open_it_again(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        change = changes.open_change(spec()).id
        gitlab.shop.merge_request(1).state = "closed"
        assert changes.mark_ejected(change, "red").state == "closed"
        with pytest.raises(Conflict, match="been closed"):
            changes.open_change(spec())
        gitlab.shop.merge_request(1).state = "opened"
        assert changes.change(change).state == "open"

    def test_a_merge_request_that_goes_elsewhere_now_is_closed_for_its_train(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        change = changes.open_change(spec()).id
        gitlab.shop.merge_request(1).target = "release-1"
        assert changes.change(change).state == "closed"

    def test_a_merge_request_of_a_fork_is_never_taken_for_a_branch_of_ours(
        self, gitlab: FakeGitlab, changes: GitlabChanges
    ) -> None:
        number = gitlab.person_opens("work", NEXT, fork=True)
        assert changes.open_change(spec()).id == f"shop/{number + 1}"
        assert changes.change(f"shop/{number}").branch == "fork:work"

    def test_what_was_recorded_of_another_project_is_not_believed_of_this_one(
        self, gitlab: FakeGitlab, changes: GitlabChanges, store: Engine
    ) -> None:
        changes.open_change(spec())
        gitlab.projects["acme/till"].merge_requests = gitlab.shop.merge_requests
        elsewhere = GitlabChanges(
            account(gitlab), store, repositories=[declared("shop")], projects={"shop": "acme/till"}
        )
        assert elsewhere.change("shop/1").author.kind == "person"


def test_a_change_is_composed_tested_and_landed_and_a_second_time_changes_nothing(
    store: Engine, tmp_path: Path
) -> None:
    """Merge requests over the very repository that our own train lands in."""
    world, track = GitWorld(tmp_path), track_at(tmp_path)
    gitlab = FakeGitlab(remote=world.remote)
    changes = on_gitlab(gitlab, store)
    head = world.commit("work", {"new.py": "x\n"})
    change = changes.open_change(spec(head))
    car = compose(track, world, head)
    changes.record_check(change.id, passed(car.sha))
    receipt = land(track, world.repository, car)
    for _ in range(2):
        assert changes.mark_landed(change.id, receipt.sha).landed_as == receipt.sha
    assert (gitlab.shop.merge_request(1).state, changes.comments(change.id)) == ("opened", [])
    gitlab.notice_merges(receipt.sha)
    assert (changes.change(change.id).state, changes.change(change.id).landed_as) == ("landed", receipt.sha)
    assert [each["sha"] for each in gitlab.shop.statuses] == [receipt.sha]


class TestHealth:
    """What `doctor` is told."""

    @pytest.mark.parametrize(
        ("scopes", "ok", "said"),
        [
            (("api",), True, "2 projects answer at gitlab.com"),
            (("api", "sudo", "read_repository"), True, "take it away: sudo"),
            (("read_api", "write_repository"), False, "not granted: api"),
            (None, True, "with api"),
        ],
    )
    def test_a_tokens_scopes_are_judged(
        self, gitlab: FakeGitlab, changes: GitlabChanges, scopes: tuple[str, ...] | None, ok: bool, said: str
    ) -> None:
        gitlab.scopes = scopes
        health = changes.health()
        assert health.ok is ok
        assert said in f"{health.detail} {health.remedy}"

    def test_a_token_that_is_not_accepted_is_red_and_not_shown(
        self, gitlab: FakeGitlab, store: Engine
    ) -> None:
        health = on_gitlab(gitlab, store, "glpat-wrong").health()
        assert not health.ok
        assert "401" in health.detail
        assert "glpat-wrong" not in f"{health}"

    def test_a_project_that_is_archived_is_red(self, gitlab: FakeGitlab, changes: GitlabChanges) -> None:
        gitlab.shop.settings["archived"] = True
        assert "gitlab.com/acme/shop is archived" in changes.health().detail

    def test_a_declared_repository_without_a_project_is_a_wrong_setting(
        self, gitlab: FakeGitlab, store: Engine
    ) -> None:
        only_shop = {"shop": PROJECTS["shop"]}
        with pytest.raises(BadConfiguration, match="no entry for the repository 'till'"):
            GitlabChanges(account(gitlab), store, repositories=[declared("till")], projects=only_shop)
