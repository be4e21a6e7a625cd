"""What GitHub's CI says of a commit: newest first, green only when all is, and nothing made up."""

from collections.abc import Iterator
from datetime import timedelta

import pytest

from activities.backends.checks_github import GithubChecks
from leverframe.model.checks import Check
from leverframe.model.errors import NotFound, Refused, Unavailable
from tests.fakes.github import FakeGithub
from tests.fakes.github_setup import Key, an_app, checks_on, declared, new_key
from tests.fakes.github_shapes import APP_ID, MORE_PERMISSIONS, Fault

SHOP, SHA, OTHER = declared("shop"), "a" * 40, "b" * 40
UNIT = Check(name="unit", runs_on="forge", context="ci / unit (3.11)")
NAME = UNIT.context


@pytest.fixture(scope="module")
def key() -> Key:
    return new_key()


@pytest.fixture
def github(key: Key) -> Iterator[FakeGithub]:
    made = FakeGithub(public_key=key.public)
    made.permissions |= MORE_PERMISSIONS
    made.repos["shop"].commits |= {SHA, OTHER}
    yield made
    assert made.problems == []


@pytest.fixture
def checks(github: FakeGithub, key: Key) -> GithubChecks:
    return checks_on(github, an_app(key.private))


def outcome(checks: GithubChecks) -> str | None:
    result = checks.result(SHOP, sha=SHA, check=UNIT)
    return result.outcome if result else None


class TestResult:
    """One verdict from all that has the check's name on exactly the commit."""

    def test_a_job_that_succeeded_passed(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "success", text="12 tests")
        result = checks.result(SHOP, sha=SHA, check=UNIT)
        assert result is not None
        assert (result.check, result.sha, result.outcome, result.seconds) == ("unit", SHA, "passed", 90)
        assert "12 tests" in result.log

    def test_nothing_is_known_of_a_commit_that_ci_has_not_seen_or_of_another_name(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.job(github.ci.workflow(OTHER), NAME, "success")
        github.ci.job(github.ci.workflow(SHA), "ci / unit", "success")
        assert outcome(checks) is None

    @pytest.mark.parametrize(
        ("conclusion", "expected"),
        [
            ("success", "passed"),
            ("failure", "failed"),
            ("cancelled", "inconclusive"),
            ("timed_out", "inconclusive"),
            ("skipped", "inconclusive"),
            ("neutral", "inconclusive"),
            ("action_required", "inconclusive"),
        ],
    )
    def test_only_success_and_failure_say_something_of_the_commit(
        self, github: FakeGithub, checks: GithubChecks, conclusion: str, expected: str
    ) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, conclusion)
        assert outcome(checks) == expected

    def test_the_newest_run_of_the_name_counts(self, github: FakeGithub, checks: GithubChecks) -> None:
        workflow = github.ci.workflow(SHA)
        github.ci.job(workflow, NAME, "failure")
        github.ci.job(workflow, NAME, "success")
        assert outcome(checks) == "passed"

    def test_a_run_that_claims_to_have_begun_later_is_not_newer(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.now += timedelta(days=300)
        old = github.ci.job(github.ci.workflow(SHA), NAME, "success")
        github.now -= timedelta(days=300)
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        assert old["started_at"] > github.repos["shop"].runs[-1]["started_at"]
        assert outcome(checks) == "failed"

    def test_while_the_newest_run_goes_on_there_is_no_result(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        workflow = github.ci.workflow(SHA)
        github.ci.job(workflow, NAME, "failure")
        github.ci.job(workflow, NAME, None)
        assert outcome(checks) is None

    @pytest.mark.parametrize(
        ("state", "expected"),
        [("success", "passed"), ("failure", "failed"), ("error", "inconclusive"), ("pending", None)],
    )
    def test_a_commit_status_of_the_name_counts_as_a_run_does(
        self, github: FakeGithub, checks: GithubChecks, state: str, expected: str | None
    ) -> None:
        github.ci.status(SHA, NAME, "failure")
        github.ci.status(SHA, NAME, state, description="from afar")
        assert outcome(checks) == expected

    def test_a_green_status_does_not_hide_a_red_run_of_the_same_name(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        github.ci.status(SHA, NAME, "success")
        assert outcome(checks) == "failed"

    def test_a_green_run_of_another_app_does_not_hide_a_red_one(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        github.ci.reports(SHA, NAME, "success")
        assert outcome(checks) == "failed"

    def test_red_is_told_while_another_run_of_the_name_goes_on(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        github.ci.status(SHA, NAME, "pending")
        assert outcome(checks) == "failed"

    def test_what_we_showed_ourselves_is_no_evidence(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.reports(SHA, NAME, "success", app=APP_ID)
        assert outcome(checks) is None

    def test_a_status_is_found_on_any_page(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.status(SHA, NAME, "success")
        for number in range(120):
            github.ci.status(SHA, f"other {number}", "success")
        assert outcome(checks) == "passed"

    def test_a_run_is_found_on_any_page(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.page_size = 2
        for _ in range(4):
            github.ci.reports(SHA, NAME, "failure")
        github.ci.reports(SHA, NAME, "success")
        assert outcome(checks) == "passed"

    def test_text_of_ci_cannot_steer_a_terminal_and_is_bounded(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure", text="\x1b[2J" + "x" * 100_000)
        result = checks.result(SHOP, sha=SHA, check=UNIT)
        assert result is not None
        assert "\x1b" not in result.log
        assert len(result.log) <= 20_000

    def test_clocks_that_disagree_make_no_negative_time(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        run = github.ci.job(github.ci.workflow(SHA), NAME, "success")
        run["started_at"], run["completed_at"] = run["completed_at"], run["started_at"]
        result = checks.result(SHOP, sha=SHA, check=UNIT)
        assert result is not None
        assert result.seconds == 0

    def test_without_a_context_the_checks_own_name_is_looked_for(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.job(github.ci.workflow(SHA), "unit", "success")
        assert checks.result(SHOP, sha=SHA, check=Check(name="unit", runs_on="forge")) is not None

    @pytest.mark.parametrize(
        "body", [{}, {"check_runs": [{}]}, {"check_runs": [{"id": 1, "name": NAME, "started_at": "soon"}]}]
    )
    def test_an_answer_of_another_shape_is_unavailable_and_not_green(
        self, github: FakeGithub, checks: GithubChecks, body: dict[str, object]
    ) -> None:
        github.faults = [Fault("GET", "/check-runs$", 200, body)]
        with pytest.raises(Unavailable, match="not one of GitHub"):
            outcome(checks)

    def test_a_conclusion_that_github_adds_proves_nothing(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        run = {"id": 1, "name": NAME, "status": "completed", "conclusion": "splendid"}
        github.faults = [Fault("GET", "/check-runs$", 200, {"total_count": 1, "check_runs": [run]})]
        assert outcome(checks) == "inconclusive"


class TestRunAgain:
    """The failed check once more on the same commit."""

    def test_the_failed_jobs_of_a_workflow_run_again_and_have_no_result_until_then(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        workflow = github.ci.workflow(SHA)
        github.ci.job(workflow, NAME, "failure")
        checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert outcome(checks) is None
        github.ci.job(workflow, NAME, "success")
        assert outcome(checks) == "passed"

    def test_what_runs_already_is_left_alone(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        for _ in range(3):
            checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert len(github.writes()) == 1

    def test_another_asker_who_was_faster_is_no_error(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        said = {"message": "This workflow is already running"}
        github.faults = [Fault("POST", "rerun-failed-jobs$", 403, said)]
        checks.run_again(SHOP, sha=SHA, check=UNIT)

    def test_a_missing_permission_is_an_error(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "failure")
        said = {"message": "Resource not accessible by integration"}
        needed = {"x-accepted-github-permissions": "actions=write"}
        github.faults = [Fault("POST", "rerun-failed-jobs$", 403, said, needed)]
        with pytest.raises(Refused, match="actions=write"):
            checks.run_again(SHOP, sha=SHA, check=UNIT)

    def test_another_apps_check_suite_is_asked_for_again(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        run = github.ci.reports(SHA, NAME, "timed_out")
        checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert github.ci.asked_again == [run["check_suite"]["id"]]

    def test_a_green_run_is_not_asked_for_again(self, github: FakeGithub, checks: GithubChecks) -> None:
        github.ci.job(github.ci.workflow(SHA), NAME, "success")
        checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert github.writes() == []

    def test_a_commit_status_cannot_be_asked_for_again(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.status(SHA, NAME, "failure")
        with pytest.raises(NotFound, match="no check run"):
            checks.run_again(SHOP, sha=SHA, check=UNIT)


class TestCancel:
    """What still runs on a commit that nobody needs any more."""

    def test_what_runs_is_stopped_and_what_ended_or_belongs_to_another_commit_is_not(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        running, elsewhere, ended = (github.ci.workflow(sha) for sha in (SHA, OTHER, SHA))
        github.ci.job(ended, NAME, "success")
        checks.cancel(SHOP, sha=SHA)
        assert [each["conclusion"] for each in (running, elsewhere, ended)] == ["cancelled", None, "success"]
        assert len(github.writes()) == 1

    def test_nothing_to_stop_is_a_success(self, github: FakeGithub, checks: GithubChecks) -> None:
        checks.cancel(SHOP, sha=SHA)
        assert github.writes() == []

    def test_what_ended_between_the_look_and_the_stop_is_a_success(
        self, github: FakeGithub, checks: GithubChecks
    ) -> None:
        github.ci.workflow(SHA)
        github.faults = [Fault("POST", "/cancel$", 409, {"message": "Cannot cancel a workflow run"})]
        checks.cancel(SHOP, sha=SHA)


class TestHealth:
    """Red only where somebody relies on it."""

    def test_a_missing_permission_is_red_where_a_check_relies_on_the_forge(
        self, github: FakeGithub, key: Key
    ) -> None:
        del github.permissions["actions"]
        assert checks_on(github, an_app(key.private)).health().ok
        health = checks_on(github, an_app(key.private), UNIT).health()
        assert (health.ok, "not granted: actions: write" in health.detail) == (False, True)

    def test_with_every_permission_it_is_green(self, github: FakeGithub, key: Key) -> None:
        assert checks_on(github, an_app(key.private), UNIT).health().ok
