"""What GitLab's CI says of a commit becomes a verdict, or none."""

import pytest

from activities.backends.checks_gitlab import GitlabChecks
from leverframe.model.checks import Check
from leverframe.model.errors import NotFound, Refused, Unavailable
from leverframe.model.topology import Repository
from tests.fakes.gitlab import FakeGitlab, Fault
from tests.fakes.gitlab_ci import outside
from tests.fakes.gitlab_setup import checks_on, declared
from tests.fakes.gitlab_state import PipelineState

SHA, OTHER = "a" * 40, "b" * 40
SHOP: Repository = declared("shop")
UNIT = Check(name="unit", runs_on="forge")
WHOLE = Check(name="ci", runs_on="forge", context="pipeline")


@pytest.fixture
def gitlab() -> FakeGitlab:
    made = FakeGitlab()
    made.push("work", SHA)
    return made


@pytest.fixture
def checks(gitlab: FakeGitlab) -> GitlabChecks:
    return checks_on(gitlab)


def pipeline(gitlab: FakeGitlab, status: str = "running", reason: str | None = None) -> PipelineState:
    made = gitlab.shop.pipeline(SHA, "work")
    gitlab.finish(made, status, reason=reason)
    return made


def outcome(checks: GitlabChecks, check: Check = UNIT, sha: str = SHA) -> str | None:
    result = checks.result(SHOP, sha=sha, check=check)
    assert result is None or (result.sha, result.check) == (sha, check.name)
    return result.outcome if result else None


class TestResult:
    """The newest run of exactly this commit decides."""

    @pytest.mark.parametrize("check", [UNIT, WHOLE])
    @pytest.mark.parametrize(
        ("ended", "said"),
        [
            (("success", None), "passed"),
            (("failed", "script_failure"), "failed"),
            (("failed", None), "failed"),
            (("failed", "of_a_later_version"), "failed"),
            (("failed", "runner_system_failure"), "inconclusive"),
            (("failed", "stuck_or_timeout_failure"), "inconclusive"),
            (("failed", "job_execution_timeout"), "inconclusive"),
            (("failed", "runner_unsupported"), "inconclusive"),
            (("failed", "scheduler_failure"), "inconclusive"),
            (("failed", "data_integrity_failure"), "inconclusive"),
            (("canceled", None), "inconclusive"),
            (("skipped", None), "inconclusive"),
            (("running", None), None),
            (("canceling", None), None),
            (("manual", None), None),
            (("of_a_later_version", None), None),
        ],
    )
    def test_each_status_has_its_outcome(
        self,
        gitlab: FakeGitlab,
        checks: GitlabChecks,
        check: Check,
        ended: tuple[str, str | None],
        said: str | None,
    ) -> None:
        pipeline(gitlab, *ended)
        assert outcome(checks, check) == said

    def test_one_verdict_among_lost_runners_is_a_verdict(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        gitlab.shop.job_names = ("unit", "lint")
        made = pipeline(gitlab, "failed", "runner_system_failure")
        assert outcome(checks, WHOLE) == "inconclusive"
        made.jobs[1].reason = "script_failure"
        assert (outcome(checks, WHOLE), outcome(checks)) == ("failed", "inconclusive")
        made.jobs[1].allow_failure = True
        assert outcome(checks, WHOLE) == "inconclusive"

    def test_a_commit_without_a_run_has_no_result(self, gitlab: FakeGitlab, checks: GitlabChecks) -> None:
        gitlab.push("other", OTHER)
        pipeline(gitlab, "success")
        assert outcome(checks, sha=OTHER) is None
        assert outcome(checks, Check(name="e2e", runs_on="forge")) is None

    def test_the_newest_run_counts_and_is_waited_for(self, gitlab: FakeGitlab, checks: GitlabChecks) -> None:
        pipeline(gitlab, "failed", "script_failure")
        late = pipeline(gitlab)
        assert (outcome(checks), outcome(checks, WHOLE)) == (None, None)
        gitlab.finish(late)
        assert (outcome(checks), outcome(checks, WHOLE)) == ("passed", "passed")

    def test_runs_are_found_on_any_page(self, gitlab: FakeGitlab, checks: GitlabChecks) -> None:
        gitlab.page_size, gitlab.shop.job_names = 1, ("unit", "a", "b")
        pipeline(gitlab, "failed", "script_failure")
        pipeline(gitlab, "success")
        assert outcome(checks) == "passed"

    @pytest.mark.parametrize("state", ["success", "failed", "canceled", "running"])
    def test_a_status_from_outside_is_read_by_its_name(
        self, gitlab: FakeGitlab, checks: GitlabChecks, state: str
    ) -> None:
        outside(gitlab, SHA, "security/scan", state)
        scan = Check(name="scan", runs_on="forge", context="security/scan")
        said = {"success": "passed", "failed": "failed", "canceled": "inconclusive", "running": None}
        assert outcome(checks, scan) == said[state]
        assert outcome(checks, WHOLE) is None

    def test_names_are_compared_and_never_interpreted(self, gitlab: FakeGitlab, checks: GitlabChecks) -> None:
        gitlab.shop.job_names = ("../unit?x=1&name=unit", "unit ", "UNIT", "u.it", "unit 1/2", "\x1b[2Jx")
        pipeline(gitlab, "success")
        outside(gitlab, SHA, "leverframe/unit", "success")
        assert outcome(checks) is None
        strange = Check(name="strange", runs_on="forge", context="../unit?x=1&name=unit")
        assert outcome(checks, strange) == "passed"

    def test_a_failure_brings_the_end_of_its_log_without_what_steers_a_terminal(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        made = pipeline(gitlab, "failed", "script_failure")
        gitlab.shop.traces[made.jobs[0].id] = "begin\n" + "x" * 200_000 + "\n\x1b[31mboom\x1b[0m\n"
        for check in (UNIT, WHOLE):
            result = checks.result(SHOP, sha=SHA, check=check)
            assert result is not None
            assert result.log.endswith("x\nboom\n")
            assert len(result.log) <= 40_000
            assert "script_failure" in result.summary

    def test_a_log_that_was_erased_takes_nothing_from_the_verdict(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        pipeline(gitlab, "failed", "script_failure")
        result = checks.result(SHOP, sha=SHA, check=UNIT)
        assert result is not None
        assert (result.outcome, result.log, result.seconds) == ("failed", "", 9.5)

    def test_an_outage_is_no_verdict(self, gitlab: FakeGitlab, checks: GitlabChecks) -> None:
        pipeline(gitlab, "failed", "script_failure")
        gitlab.faults = [Fault("GET", "/jobs$", 503)]
        with pytest.raises(Unavailable):
            outcome(checks)


class TestRunAgain:
    """Only what ended without passing runs again, once."""

    @pytest.mark.parametrize("check", [UNIT, WHOLE])
    def test_a_failed_run_runs_again_and_its_new_result_counts(
        self, gitlab: FakeGitlab, checks: GitlabChecks, check: Check
    ) -> None:
        gitlab.shop.job_names = ("unit", "lint")
        made = pipeline(gitlab, "failed", "script_failure")
        checks.run_again(SHOP, sha=SHA, check=check)
        assert outcome(checks, check) is None
        assert [job.name for job in made.jobs if job.retried] == (
            ["unit", "lint"] if check is WHOLE else ["unit"]
        )
        made.status = "success"
        for job in made.jobs[2:]:
            job.status = "success"
        assert outcome(checks, check) == "passed"

    def test_an_answer_that_was_lost_is_settled_by_looking(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        made = pipeline(gitlab, "failed", "script_failure")
        gitlab.faults = [Fault("POST", "/retry$", applied=True)]
        with pytest.raises(Unavailable):
            checks.run_again(SHOP, sha=SHA, check=UNIT)
        checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert len(made.jobs) == 2

    def test_a_skipped_job_runs_again_with_its_pipeline(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        pipeline(gitlab, "skipped")
        checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert outcome(checks) is None
        assert gitlab.writes()[0].endswith("/retry")

    @pytest.mark.parametrize("status", ["success", "running"])
    def test_a_run_that_passed_or_is_at_work_is_left_alone(
        self, gitlab: FakeGitlab, checks: GitlabChecks, status: str
    ) -> None:
        pipeline(gitlab, status)
        checks.run_again(SHOP, sha=SHA, check=UNIT)
        assert gitlab.writes() == []

    def test_what_gitlab_does_not_know_or_does_not_run_is_not_found(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        with pytest.raises(NotFound, match="knows no run"):
            checks.run_again(SHOP, sha=SHA, check=UNIT)
        outside(gitlab, SHA, "unit", "failed")
        with pytest.raises(NotFound, match="reported from outside"):
            checks.run_again(SHOP, sha=SHA, check=UNIT)

    def test_a_job_that_may_not_be_retried_is_refused_with_gitlabs_words(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        pipeline(gitlab, "failed", "script_failure")
        gitlab.faults = [Fault("POST", "/retry$", 403, {"message": "403 Forbidden - Job is not retryable"})]
        with pytest.raises(Refused, match="Job is not retryable"):
            checks.run_again(SHOP, sha=SHA, check=UNIT)


class TestCancel:
    """What still runs on the commit is stopped."""

    def test_running_pipelines_are_cancelled_and_nothing_to_stop_is_a_success(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        ended, runs = pipeline(gitlab, "success"), pipeline(gitlab)
        outside(gitlab, SHA, "scan", "running")
        for _ in range(2):
            checks.cancel(SHOP, sha=SHA)
        assert (ended.status, runs.status, outcome(checks)) == ("success", "canceled", "inconclusive")
        assert [each.rpartition("/")[2] for each in gitlab.writes()] == ["cancel"]

    def test_a_pipeline_that_was_deleted_meanwhile_is_nothing_to_stop(
        self, gitlab: FakeGitlab, checks: GitlabChecks
    ) -> None:
        pipeline(gitlab)
        gitlab.faults = [Fault("POST", "/cancel$", 404, {"message": "404 Not Found"})]
        checks.cancel(SHOP, sha=SHA)


def test_health_is_red_when_pipelines_can_not_be_read(gitlab: FakeGitlab, checks: GitlabChecks) -> None:
    assert checks.health().ok
    gitlab.faults = [Fault("GET", "/pipelines$", 403, {"message": "403 Forbidden"})]
    assert not checks.health().ok
