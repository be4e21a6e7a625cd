"""How jobs ended at GitHub and GitLab becomes attempts: which run, which attempt, and nothing of forks."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from temporalio.testing import ActivityEnvironment

from activities.forge_reports import FetchReports, ForgeReportActivities
from activities.forge_reports_port import ForgeReports, FoundJobs
from agents.flaky_tests.jobs import Job, JobRuns, flaky_job
from leverframe.model.errors import BadConfiguration, NotFound, Unavailable
from leverframe.model.test_reports import MOST_NAME
from tests.fakes.github import FakeGithub
from tests.fakes.github_artifacts import zipped
from tests.fakes.github_jobs import CIRCLE
from tests.fakes.github_setup import an_app, declared, new_key, reports_on
from tests.fakes.github_shapes import APP_ID, BEGAN, MORE_PERMISSIONS, Fault
from tests.fakes.gitlab import FakeGitlab
from tests.fakes.gitlab_ci import again as again_of
from tests.fakes.gitlab_ci import ends, waits
from tests.fakes.gitlab_setup import reports_on as reports_on_gitlab
from tests.fakes.report_shelf import ReportShelf

SHA = "a" * 40
SHOP = declared("shop")
MINUTE = timedelta(minutes=1)
LATER = BEGAN + 30 * MINUTE


def jobs_of(forge: ForgeReports, run: str) -> FoundJobs:
    found = forge.run(SHOP, run)
    assert found is not None
    return forge.jobs(SHOP, found)


def told(found: FoundJobs) -> list[tuple[str, str, int, str]]:
    """Run, name, attempt and conclusion of each."""
    return [(one.run, one.job.stored(), one.attempt, one.conclusion) for one in found.attempts]


class TestWorkflowRuns:
    @pytest.fixture
    def github(self) -> Iterator[FakeGithub]:
        made = FakeGithub()
        made.runs.attempt(9, 1, SHA, began=BEGAN)
        made.runs.attempt(9, 2, SHA, began=LATER)
        yield made
        assert made.problems == []

    @pytest.mark.parametrize("copies", [True, False])
    def test_each_attempt_has_the_jobs_that_ran_in_it(self, github: FakeGithub, copies: bool) -> None:
        github.page_size, github.jobs.copies = 1, copies
        github.jobs.job(9, 1, "unit", "failure", began=BEGAN, took=3 * MINUTE)
        github.jobs.job(9, 1, "lint", "success", began=BEGAN)
        github.jobs.job(9, 2, "unit", "success", began=LATER)
        forge = reports_on(github, jobs=("*",))
        first, second = jobs_of(forge, "9.1"), jobs_of(forge, "9.2")
        assert told(first) == [("9", "CI / unit", 1, "fail"), ("9", "CI / lint", 1, "pass")]
        assert told(second) == [("9", "CI / unit", 2, "pass")]
        attempt = first.attempts[0]
        assert (attempt.took, attempt.sha, attempt.branch.stored()) == (3 * MINUTE, SHA, "work")
        assert attempt.reports_run == "9.1", "as jobs name it when they upload reports"

    @pytest.mark.parametrize(
        ("conclusion", "means"),
        [("success", "pass"), ("failure", "fail"), ("timed_out", "fail")]
        + [(one, None) for one in ("cancelled", "skipped", "neutral", "action_required", None)],
    )
    def test_only_an_end_of_its_own_says_anything(
        self, github: FakeGithub, conclusion: str | None, means: str | None
    ) -> None:
        github.jobs.job(9, 1, "unit", conclusion, began=BEGAN)
        found = jobs_of(reports_on(github, jobs=("*",)), "9.1")
        assert [one.conclusion for one in found.attempts] == ([means] if means else [])
        assert found.complaints == ()

    def test_several_jobs_of_one_name_in_an_attempt_tell_nothing(self, github: FakeGithub) -> None:
        for conclusion in ("failure", "success"):
            github.jobs.job(9, 1, "matrix", conclusion, began=BEGAN)
        github.jobs.job(9, 1, "unit", "success", began=BEGAN)
        github.jobs.job(9, 1, "unit", "success", began=BEGAN, workflow="Nightly")
        found = jobs_of(reports_on(github, jobs=("*",)), "9.1")
        assert [name for _, name, _, _ in told(found)] == ["CI / unit", "Nightly / unit"]

    def test_only_wanted_names_are_kept_and_a_slash_is_nothing_special(self, github: FakeGithub) -> None:
        for name in ("unit (3.12, linux)", "deploy / prod"):
            github.jobs.job(9, 1, name, "success", began=BEGAN)
        github.jobs.job(9, 1, "bare", "success", began=BEGAN, workflow=None)
        names = {
            globs: [name for _, name, _, _ in told(jobs_of(reports_on(github, jobs=globs), "9.1"))]
            for globs in (("*unit*",), ("CI / *",), ("bare", "x"), ("unit*",))
        }
        assert names == {
            ("*unit*",): ["CI / unit (3.12, linux)"],
            ("CI / *",): ["CI / unit (3.12, linux)", "CI / deploy / prod"],
            ("bare", "x"): ["bare"],
            ("unit*",): [],
        }
        assert jobs_of(reports_on(github, "*"), "9.1") == FoundJobs(), "nobody wants jobs"

    def test_names_that_no_store_takes_are_counted_and_not_repeated(self, github: FakeGithub) -> None:
        for name in ("nul\0", "x" * MOST_NAME):
            github.jobs.job(9, 1, name, "success", began=BEGAN)
        github.jobs.job(9, 1, "\x1b[2J", "success", began=BEGAN)
        found = jobs_of(reports_on(github, jobs=("*",)), "9.1")
        assert [name for _, name, _, _ in told(found)] == ["CI / \x1b[2J"], "data, until it is shown"
        assert [complaint[:6] for complaint in found.complaints] == ["2 jobs"]

    def test_a_name_of_a_million_characters_is_not_looked_through(self, github: FakeGithub) -> None:
        """With a glob of several parts that would take hours."""
        github.jobs.job(9, 1, "unit" * 250_000, "success", began=BEGAN)
        github.jobs.job(9, 1, "unit tests", "success", began=BEGAN)
        found = jobs_of(reports_on(github, jobs=("*unit*unit*x", "CI / unit*")), "9.1")
        assert [name for _, name, _, _ in told(found)] == ["CI / unit tests"]
        assert [complaint[:6] for complaint in found.complaints] == ["1 jobs"]

    def test_times_that_can_not_be_are_left_out(self, github: FakeGithub) -> None:
        github.jobs.job(9, 1, "far", "success", began=BEGAN + timedelta(days=900))
        github.jobs.job(9, 1, "long", "success", began=BEGAN, took=timedelta(days=8))
        backwards = github.jobs.job(9, 1, "backwards", "success", began=BEGAN + MINUTE)
        backwards["completed_at"] = BEGAN.isoformat()
        found = jobs_of(reports_on(github, jobs=("*",)), "9.1")
        assert [(one.job.stored(), one.took) for one in found.attempts] == [("CI / backwards", timedelta(0))]
        assert found.complaints == ("2 jobs tell times that can't be",)

    def test_a_huge_run_is_read_page_by_page(self, github: FakeGithub) -> None:
        for number in range(250):
            github.jobs.job(9, 1, f"shard {number}", "success", began=BEGAN)
        assert len(jobs_of(reports_on(github, jobs=("*",)), "9.1").attempts) == 250

    def test_a_run_whose_jobs_alone_are_wanted_has_no_artifacts_read(self, github: FakeGithub) -> None:
        github.runs.upload(9, "tests", zipped({"a.xml": "<testsuite/>"}), at=BEGAN)
        forge = reports_on(github, jobs=("*",))
        run = forge.run(SHOP, "9.1")
        assert run is not None
        assert list(forge.fetch(SHOP, run)) == []
        assert sorted(forge.ended(SHOP, BEGAN)) == ["9.1", "9.2"]


class TestCheckSuites:
    @pytest.fixture
    def github(self) -> Iterator[FakeGithub]:
        made = FakeGithub()
        yield made
        assert made.problems == []

    def test_what_ran_again_is_the_next_attempt_and_the_suite_has_another_name(
        self, github: FakeGithub
    ) -> None:
        github.runs.attempt(9, 1, SHA, began=BEGAN)
        forge, suite = reports_on(github, jobs=("*",)), github.jobs.suite(SHA)
        github.jobs.check(suite, "build", "failure", began=BEGAN)
        _, first = forge.ended(SHOP, BEGAN)
        github.jobs.check(suite, "build", "success", began=LATER)
        github.jobs.check(suite, "docs", "success", began=LATER)
        github.page_size = 1
        _, second = forge.ended(SHOP, BEGAN)
        assert first != second
        name = f"suite-{suite['id']}"
        assert {first.partition(".")[0], second.partition(".")[0]} == {name}
        assert sorted(told(jobs_of(forge, second))) == [
            (name, "circleci-checks: build", 1, "fail"),
            (name, "circleci-checks: build", 2, "pass"),
            (name, "circleci-checks: docs", 1, "pass"),
        ]
        run = forge.run(SHOP, second)
        assert run is not None
        assert list(reports_on(github, "*", jobs=("*",)).fetch(SHOP, run)) == [], "it has no artifacts"

    def test_ours_githubs_own_and_those_of_forks_are_passed_over(self, github: FakeGithub) -> None:
        github.runs.attempt(9, 1, SHA, began=BEGAN)
        key = new_key()
        github.public_key = key.public
        forge = reports_on(github, jobs=("*",), credential=an_app(key.private))
        for suite in (
            github.jobs.suite(SHA, app=APP_ID, slug="leverframe"),
            github.jobs.suite(SHA, app=15368, slug="github-actions"),
            github.jobs.suite(SHA, branch=None),
            github.jobs.suite(SHA) | {"app": None},
        ):
            github.jobs.check(suite, "unit", "failure", began=BEGAN)
            github.jobs.suites[-1] = suite
            assert forge.run(SHOP, f"suite-{suite['id']}.1") is None
        assert forge.ended(SHOP, BEGAN) == ["9.1"]

    def test_checks_of_one_name_beside_each_other_are_no_repetitions(self, github: FakeGithub) -> None:
        suite = github.jobs.suite(SHA)
        for began, conclusion in ((BEGAN, "failure"), (BEGAN + MINUTE / 2, "success")):
            github.jobs.check(suite, "both", conclusion, began=began)
        github.jobs.check(suite, "one", "success", began=BEGAN)
        found = jobs_of(reports_on(github, jobs=("*",)), f"suite-{suite['id']}.7")
        assert [name for _, name, _, _ in told(found)] == ["circleci-checks: one"]

    def test_one_that_goes_on_is_asked_for_later_and_one_that_is_none_is_not_found(
        self, github: FakeGithub
    ) -> None:
        github.runs.attempt(9, 1, SHA, began=BEGAN)
        forge, suite = reports_on(github, jobs=("*",)), github.jobs.suite(SHA)
        with pytest.raises(Unavailable, match="goes on"):
            forge.run(SHOP, f"suite-{suite['id']}.1")
        assert forge.ended(SHOP, BEGAN) == ["9.1"]
        for name in ("suite-1.1", "suite-0.1", "suite-7", "suite-7.x", "suite-../1.1", f"suite-{'9' * 30}.1"):
            with pytest.raises(NotFound):
                forge.run(SHOP, name)

    @pytest.mark.parametrize(("status", "left"), [(403, []), (404, ["suite"]), (422, ["suite"])])
    def test_suites_that_can_not_be_listed_keep_no_run_of_a_workflow_back(
        self, github: FakeGithub, status: int, left: list[str]
    ) -> None:
        for number, sha in ((9, SHA), (8, "b" * 40)):
            github.runs.attempt(number, 1, sha, began=BEGAN)
            github.jobs.check(github.jobs.suite(sha), "build", "success", began=BEGAN)
        github.faults.append(Fault("GET", "/check-suites$", status, {"message": "No commit found for SHA"}))
        ended = reports_on(github, jobs=("*",)).ended(SHOP, BEGAN)
        assert sorted(name.partition("-")[0] for name in ended) == ["8.1", "9.1", *left]

    def test_a_token_that_is_not_accepted_is_no_commit_that_is_gone(self, github: FakeGithub) -> None:
        github.runs.attempt(9, 1, SHA, began=BEGAN)
        github.faults.append(Fault("GET", "/check-suites$", 401, {"message": "Bad credentials"}))
        with pytest.raises(BadConfiguration):
            reports_on(github, jobs=("*",)).ended(SHOP, BEGAN)

    def test_health_says_which_permission_is_missing(self, github: FakeGithub) -> None:
        key = new_key()
        github.public_key = key.public
        forge = reports_on(github, jobs=("*",), credential=an_app(key.private))
        for granted, lacks in (
            ({"actions": "read", "checks": "read"}, ""),
            ({"checks": "write"}, "actions: read"),
            ({"actions": "read"}, "checks: read"),
        ):
            github.permissions = {"metadata": "read", "statuses": "read", **granted}
            health = forge.health()
            assert (health.ok, lacks in health.detail) == (not lacks, True)
        assert reports_on(github, "*", credential=an_app(key.private)).health().ok, "artifacts need no checks"
        github.permissions |= MORE_PERMISSIONS
        assert not forge.health().ok
        assert CIRCLE != APP_ID


class TestPipelines:
    @pytest.fixture
    def gitlab(self) -> FakeGitlab:
        made = FakeGitlab()
        made.push("work", SHA)
        made.shop.job_names = ("unit", "lint")
        return made

    def test_retried_jobs_are_attempts_and_what_did_not_end_by_itself_is_none(
        self, gitlab: FakeGitlab
    ) -> None:
        gitlab.page_size = 1
        pipeline = gitlab.shop.pipeline(SHA, "work")
        unit, lint = pipeline.jobs
        ends(gitlab, pipeline, unit, "failed", began=BEGAN, ended=BEGAN + 2 * MINUTE)
        ends(gitlab, pipeline, lint, "canceled", began=BEGAN, ended=BEGAN + MINUTE)
        waits(gitlab, pipeline, "deploy")
        again = again_of(gitlab, pipeline, unit)
        ends(gitlab, pipeline, again, "success", began=LATER, ended=LATER + MINUTE)
        forge = reports_on_gitlab(gitlab, jobs=("*",), reports=False)
        (run,) = forge.ended(SHOP, BEGAN)
        found = jobs_of(forge, run)
        name = str(pipeline.id)
        assert told(found) == [(name, "unit", 1, "fail"), (name, "unit", 2, "pass")]
        assert [one.reports_run for one in found.attempts] == [name, f"{name}.2"]
        found_run = forge.run(SHOP, run)
        assert found_run is not None
        assert list(forge.fetch(SHOP, found_run)) == [], "nobody wants its reports"
        flaky = flaky_job(
            Job("gitlab", "unit"), JobRuns(runs=1, failed=1), found.attempts, reported=frozenset()
        )
        assert flaky is not None
        assert (flaky.flaky_runs, flaky.lost_ms, flaky.waited_ms) == (1, 120_000, 29 * 60_000)
        assert forge.health().ok

    def test_a_pipeline_that_waits_for_a_person_is_read_as_far_as_it_ran(self, gitlab: FakeGitlab) -> None:
        pipeline = gitlab.shop.pipeline(SHA, "work")
        deploy = waits(gitlab, pipeline, "deploy", blocks=True)
        for job in pipeline.jobs[:2]:
            ends(gitlab, pipeline, job, "success", began=BEGAN, ended=BEGAN + MINUTE)
        assert pipeline.status == "manual"
        forge = reports_on_gitlab(gitlab, jobs=("*",), reports=False)
        (first,) = forge.ended(SHOP, BEGAN)
        assert [name for _, name, _, _ in told(jobs_of(forge, first))] == ["unit", "lint"]
        ends(gitlab, pipeline, deploy, "success", began=LATER, ended=LATER + MINUTE)
        (last,) = forge.ended(SHOP, BEGAN)
        assert (first != last, len(told(jobs_of(forge, last)))) == (True, 3)

    def test_only_wanted_jobs_of_repositories_that_want_them(self, gitlab: FakeGitlab) -> None:
        pipeline = gitlab.shop.pipeline(SHA, "work")
        gitlab.finish(pipeline)
        run = str(pipeline.id)
        assert [name for _, name, _, _ in told(jobs_of(reports_on_gitlab(gitlab, jobs=("li*",)), run))] == [
            "lint"
        ]
        assert jobs_of(reports_on_gitlab(gitlab), run) == FoundJobs()
        assert reports_on_gitlab(gitlab, jobs=("*",), reports=False).ended(declared("till"), BEGAN) == []


class TestActivity:
    ASKED = FetchReports(repository="shop", run="9.1")

    @pytest.fixture
    def github(self) -> FakeGithub:
        made = FakeGithub()
        made.runs.attempt(9, 1, SHA, began=BEGAN)
        made.runs.upload(
            9, "tests", zipped({"a.xml": b'<testsuite><testcase name="a"/></testsuite>'}), at=BEGAN
        )
        made.jobs.job(9, 1, "unit", "failure", began=BEGAN)
        return made

    def test_both_are_kept_once_however_often_they_are_fetched(self, github: FakeGithub) -> None:
        shelf = ReportShelf()
        activities = ForgeReportActivities(reports_on(github, "*", jobs=("*",)), shelf, {"shop": SHOP})
        for _ in range(2):
            taken = ActivityEnvironment().run(activities.fetch_reports, self.ASKED)
            assert (taken.reports, taken.jobs, taken.complaints) == (1, 1, ())
        assert (len(shelf.reports), len(shelf.jobs)) == (1, 1)

    def test_jobs_that_may_not_be_read_keep_no_report_back(self, github: FakeGithub) -> None:
        shelf = ReportShelf()
        activities = ForgeReportActivities(reports_on(github, "*", jobs=("*",)), shelf, {"shop": SHOP})
        github.faults.append(Fault("GET", "/jobs$", 403, {"message": "Resource not accessible"}))
        taken = ActivityEnvironment().run(activities.fetch_reports, self.ASKED)
        assert (taken.reports, taken.jobs, len(shelf.reports)) == (1, 0, 1)
        assert "its jobs can't be read" in taken.complaints[0]
