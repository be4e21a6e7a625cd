"""Test reports that GitHub and GitLab keep become reports of the run, and those of forks don't."""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import timedelta

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.forge_reports import FetchReports, ForgeReportActivities
from activities.forge_reports_port import Fetched, ForgeReports
from activities.taking_in import TakenIn
from leverframe.model.errors import NotFound, Unavailable
from leverframe.reports import zipped as zips
from tests.fakes.github import FakeGithub
from tests.fakes.github_artifacts import zipped
from tests.fakes.github_setup import declared, reports_on
from tests.fakes.github_shapes import BEGAN, Fault
from tests.fakes.gitlab import FakeGitlab
from tests.fakes.gitlab_ci import again as again_of
from tests.fakes.gitlab_ci import ends, waits
from tests.fakes.gitlab_setup import reports_on as reports_on_gitlab
from tests.fakes.gitlab_state import PipelineState
from tests.fakes.report_shelf import ReportShelf

SHA = "a" * 40
SHOP = declared("shop")
MINUTE = timedelta(minutes=1)
FAILED = b'<testsuite name="s"><testcase name="a"><failure/></testcase></testsuite>'
PASSED = b'<testsuite name="s"><testcase name="a"/></testsuite>'


def fetched(forge: ForgeReports, run: str) -> list[Fetched]:
    found = forge.run(SHOP, run)
    assert found is not None
    return list(forge.fetch(SHOP, found))


def told(found: list[Fetched]) -> list[tuple[str, str, str, list[str]]]:
    """Run, branch, job and outcomes of each report."""
    return [
        (report.run, report.branch, report.job, [attempt.outcome for attempt in report.attempts])
        for one in found
        for report in one.reports
    ]


class TestGithub:
    @pytest.fixture
    def github(self) -> Iterator[FakeGithub]:
        made = FakeGithub()
        made.runs.attempt(9, 1, SHA, began=BEGAN)
        made.runs.attempt(9, 2, SHA, began=BEGAN + 30 * MINUTE)
        yield made
        assert made.problems == []

    def test_each_attempt_has_the_artifacts_that_were_made_while_it_ran(self, github: FakeGithub) -> None:
        github.page_size = 1
        github.runs.upload(9, "tests-unit", zipped({"x/junit.xml": FAILED}), at=BEGAN + MINUTE)
        github.runs.upload(9, "tests-unit", zipped({"x/junit.xml": PASSED}), at=BEGAN + 31 * MINUTE)
        github.runs.upload(9, "binaries", zipped({"a.xml": PASSED}), at=BEGAN + MINUTE)
        forge = reports_on(github, "tests-*")
        assert told(fetched(forge, "9.1")) == [("9.1", "work", "tests-unit", ["fail"])]
        assert told(fetched(forge, "9.2")) == [("9.2", "work", "tests-unit", ["pass"])]

    def test_lines_of_the_same_run_know_the_commit_that_a_pull_requests_job_tested(
        self, github: FakeGithub
    ) -> None:
        row = {"run": "9.1", "sha": "b" * 40, "test": "a.py::b", "at": "2026-01-01", "outcome": "pass"}
        lines = [row, row | {"test": "a.py::c"}, row | {"run": "9.2"}, row | {"sha": "c" * 40}]
        body = "\n".join(map(json.dumps, lines)).encode()
        github.runs.upload(9, "tests", zipped({"results.jsonl": body, "junit.xml": PASSED}), at=BEGAN)
        (found,) = fetched(reports_on(github, "tests"), "9.1")
        assert {(one.sha, len(one.attempts)) for one in found.reports} == {("b" * 40, 2), (SHA, 1)}
        assert "2 lines are of another run or commit" in " ".join(found.reports[0].complaints)

    def test_what_can_not_be_used_is_told_and_the_rest_kept(self, github: FakeGithub) -> None:
        files = {"../../etc/a.xml": PASSED, "coverage.xml": "<coverage/>", "notes.txt": "no", "b.jsonl": "{"}
        github.runs.upload(9, "tests", zipped(files), at=BEGAN)
        github.runs.upload(9, "tests", b"no zip", at=BEGAN)
        github.runs.upload(9, "tests", b"", at=BEGAN, size=10**9)
        github.runs.upload(9, "tests", b"", at=BEGAN, expired=True)
        found = fetched(reports_on(github, "tests"), "9.1")
        assert told(found) == [("9.1", "work", "tests", ["pass"])]
        words = [complaint.partition(" ")[2] for one in found for complaint in one.complaints]
        assert [any(part in word for word in words) for part in ("file 2", "file 3", "no sound zip")] == [
            True
        ] * 3
        assert [any(part in word for word in words) for part in ("larger than", "expired")] == [True] * 2

    def test_a_run_of_a_fork_and_one_that_goes_on_say_nothing(self, github: FakeGithub) -> None:
        github.runs.attempt(10, 1, SHA, began=BEGAN, fork=True, branch="main")
        github.runs.attempt(11, 1, SHA, began=BEGAN, status="in_progress")
        forge = reports_on(github, "*")
        assert forge.run(SHOP, "10.1") is None
        with pytest.raises(Unavailable, match="goes on"):
            forge.run(SHOP, "11.1")

    def test_attempts_that_ended_since_are_found_and_none_of_forks_or_of_what_nobody_wants(
        self, github: FakeGithub
    ) -> None:
        github.page_size = 1
        github.runs.attempt(7, 1, SHA, began=BEGAN - 90 * MINUTE)
        github.runs.attempt(8, 1, SHA, began=BEGAN - 90 * MINUTE)
        github.runs.attempt(8, 2, SHA, began=BEGAN - 4 * MINUTE)
        github.runs.attempt(10, 1, SHA, began=BEGAN, fork=True)
        github.runs.attempt(11, 1, SHA, began=BEGAN, status="in_progress")
        found = reports_on(github, "*").ended(SHOP, BEGAN)
        assert sorted(found) == ["8.1", "8.2", "9.1", "9.2"]
        assert reports_on(github, "*").ended(declared("other"), BEGAN) == []

    @pytest.mark.parametrize("run", ["9.3", "9", "", "../9.1", "9.1.1", "٩.1", "9" * 30 + ".1"])
    def test_a_run_that_is_none_is_not_found(self, github: FakeGithub, run: str) -> None:
        with pytest.raises(NotFound):
            reports_on(github, "*").run(SHOP, run)

    def test_an_answer_that_is_lost_is_asked_for_again(self, github: FakeGithub) -> None:
        github.faults.append(Fault("GET", "/artifacts$", 502, {}))
        with pytest.raises(Unavailable):
            fetched(reports_on(github, "*"), "9.1")

    def test_artifacts_may_be_read_by_whoever_reruns_workflows(self, github: FakeGithub) -> None:
        assert reports_on(github, "*").health().ok


class TestGitlab:
    @pytest.fixture
    def gitlab(self) -> FakeGitlab:
        made = FakeGitlab()
        made.push("work", SHA)
        made.shop.job_names = ("unit", "lint")
        return made

    @pytest.fixture
    def pipeline(self, gitlab: FakeGitlab) -> PipelineState:
        made = gitlab.shop.pipeline(SHA, "work")
        gitlab.finish(made)
        case = {"name": "a", "classname": "C", "status": "failed", "system_output": "boom", "file": "t/a.rb"}
        gitlab.shop.test_suites[made.id] = {
            "unit": [case, {**case, "status": "success"}, {**case, "name": "b", "status": "skipped"}],
            "empty": [],
        }
        return made

    def test_the_pipelines_report_has_a_suite_for_each_job(
        self, gitlab: FakeGitlab, pipeline: PipelineState
    ) -> None:
        found = fetched(reports_on_gitlab(gitlab), str(pipeline.id))
        assert told(found) == [(str(pipeline.id), "work", "unit", ["fail", "skip"])]
        attempt = found[0].reports[0].attempts[0]
        assert (attempt.test, attempt.path, len(attempt.fingerprint)) == ("t/a.rb::C::a", "t/a.rb", 16)

    def test_whole_files_in_archives_go_before_it_and_a_retried_job_counts(
        self, gitlab: FakeGitlab, pipeline: PipelineState
    ) -> None:
        first, lint = pipeline.jobs
        gitlab.shop.archives = {
            first.id: zipped({"out/junit.xml": FAILED, "other.xml": PASSED}),
            lint.id: b"no zip",
        }
        found = fetched(reports_on_gitlab(gitlab, "out/*.xml"), str(pipeline.id))
        assert told(found) == [(str(pipeline.id), "work", "unit", ["fail"])]
        assert any("no sound zip" in complaint for one in found for complaint in one.complaints)

    def test_what_ran_for_the_second_time_is_a_run_of_its_own(
        self, gitlab: FakeGitlab, pipeline: PipelineState
    ) -> None:
        unit, lint = pipeline.jobs
        again = again_of(gitlab, pipeline, unit)
        lines = '{"test": "t", "run": "%s", "sha": "%s", "at": "2026-01-01", "outcome": "%s"}'
        first, second = (lines % (pipeline.id, SHA, outcome) for outcome in ("fail", "pass"))
        gitlab.shop.archives = {
            unit.id: zipped({"out.jsonl": first}),
            again.id: zipped({"out.jsonl": second}),
            lint.id: zipped({"out.jsonl": first}),
        }
        forge = reports_on_gitlab(gitlab, "out.jsonl")
        with pytest.raises(Unavailable, match="goes on"):
            forge.run(SHOP, str(pipeline.id))
        gitlab.finish(pipeline)
        name = str(pipeline.id)
        assert forge.ended(SHOP, BEGAN) == [f"{name}+{again.id}"]
        assert told(fetched(forge, f"{name}+{again.id}")) == [
            (name, "work", "unit", ["fail"]),
            (name, "work", "lint", ["fail"]),
            (f"{name}.2", "work", "unit", ["pass"]),
        ]
        assert forge.ended(SHOP, BEGAN + 60 * MINUTE) == []

    def test_a_job_that_begins_when_its_pipeline_was_fetched_has_it_fetched_once_more(
        self, gitlab: FakeGitlab, pipeline: PipelineState
    ) -> None:
        unit, lint = pipeline.jobs
        ends(gitlab, pipeline, unit, "failed", began=BEGAN, ended=BEGAN + MINUTE)
        ends(gitlab, pipeline, lint, "success", began=BEGAN, ended=BEGAN + MINUTE)
        slow = waits(gitlab, pipeline, "slow")
        gitlab.shop.archives = {unit.id: zipped({"a.xml": FAILED})}
        forge, shelf = reports_on_gitlab(gitlab, "*.xml"), ReportShelf()
        activities = ForgeReportActivities(forge, shelf, {"shop": SHOP})

        def fetch_all() -> list[str]:
            names = forge.ended(SHOP, BEGAN)
            for run in names:
                ActivityEnvironment().run(activities.fetch_reports, FetchReports(repository="shop", run=run))
            return names

        first = fetch_all()
        assert fetch_all() == first, "nothing new, nothing to fetch"
        ends(gitlab, pipeline, slow, "success", began=BEGAN + 30 * MINUTE, ended=BEGAN + 31 * MINUTE)
        gitlab.shop.archives[slow.id] = zipped({"a.xml": PASSED})
        later = fetch_all()
        again = again_of(gitlab, pipeline, unit)
        gitlab.shop.archives[again.id] = zipped({"a.xml": PASSED})
        ends(gitlab, pipeline, again, "success", began=BEGAN + 40 * MINUTE, ended=BEGAN + 41 * MINUTE)
        last = fetch_all()
        assert [first, later, last] == [[f"{pipeline.id}+{job.id}"] for job in (lint, slow, again)]
        kept = [(report.run, report.job, report.attempts[0].outcome) for report in shelf.reports.values()]
        name = str(pipeline.id)
        assert kept == [(name, "unit", "fail"), (name, "slow", "pass"), (f"{name}.2", "unit", "pass")]

    def test_the_pipelines_own_report_that_is_read_again_keeps_what_it_said(
        self, gitlab: FakeGitlab, pipeline: PipelineState
    ) -> None:
        forge = reports_on_gitlab(gitlab)
        (run,) = forge.ended(SHOP, BEGAN)
        before = fetched(forge, run)
        late = waits(gitlab, pipeline, "late")
        ends(gitlab, pipeline, late, "success", began=BEGAN + 30 * MINUTE, ended=BEGAN + 31 * MINUTE)
        case = {"name": "z", "classname": "C", "status": "success", "file": "t/a.rb"}
        gitlab.shop.test_suites[pipeline.id]["late"] = [case]
        (run_later,) = forge.ended(SHOP, BEGAN)
        after = fetched(forge, run_later)
        assert (run_later != run, after[0].reports[0]) == (True, before[0].reports[0])
        assert [report.job for report in after[0].reports] == ["unit", "late"]

    def test_without_a_file_in_any_archive_the_pipelines_report_is_taken(
        self, gitlab: FakeGitlab, pipeline: PipelineState
    ) -> None:
        gitlab.shop.archives = {pipeline.jobs[0].id: zipped({"other.xml": PASSED})}
        found = fetched(reports_on_gitlab(gitlab, "out/*.xml"), str(pipeline.id))
        assert [job for _, _, job, _ in told(found)] == ["unit"]

    def test_a_pipeline_that_goes_on_or_holds_what_others_report_says_nothing(
        self, gitlab: FakeGitlab
    ) -> None:
        forge = reports_on_gitlab(gitlab)
        with pytest.raises(Unavailable, match="goes on"):
            forge.run(SHOP, str(gitlab.shop.pipeline(SHA, "work").id))
        outside = gitlab.shop.pipeline(SHA, "work")
        outside.source, outside.status = "external", "success"
        assert forge.run(SHOP, str(outside.id)) is None
        with pytest.raises(NotFound):
            forge.run(SHOP, "1/../2")
        assert forge.health().ok


class TestZips:
    """Archives that were made to do harm."""

    def test_a_bomb_is_counted_as_it_is_unpacked(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zips, "MAX_BYTES", 100_000)
        found, complaints = zips.reports_in(zipped({"a.xml": "x", "b.xml": b" " * 10_000_000, "c.xml": "y"}))
        assert ([name for name, _ in found], len(complaints)) == (["a.xml"], 1)

    def test_many_files_and_rare_methods_are_left_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(zips, "MOST_FILES", 2)
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            archive.writestr("rare.xml", "x", zipfile.ZIP_LZMA)
            for number in range(3):
                archive.writestr(f"{number}.xml", "x")
        found, complaints = zips.reports_in(out.getvalue())
        assert (len(found), len(complaints)) == (2, 2)

    @pytest.mark.parametrize("at", range(0, 140, 7))
    def test_damage_anywhere_never_changes_what_comes_out(self, at: int) -> None:
        whole = bytearray(zipped({"a.xml": PASSED * 3}))
        whole[at % len(whole)] ^= 0xFF
        found, _ = zips.reports_in(bytes(whole))
        assert {content for _, content in found} <= {PASSED * 3}


class TestActivity:
    def test_reports_are_kept_once_however_often_they_are_fetched(self) -> None:
        github, shelf = FakeGithub(), ReportShelf()
        github.runs.attempt(9, 1, SHA, began=BEGAN)
        github.runs.upload(9, "tests", zipped({"a.xml": PASSED, "b.xml": b"<x/>"}), at=BEGAN)
        activities = ForgeReportActivities(reports_on(github, "*"), shelf, {"shop": SHOP})
        for _ in range(2):
            taken = ActivityEnvironment().run(
                activities.fetch_reports, FetchReports(repository="shop", run="9.1")
            )
            assert (taken.reports, taken.attempts, len(taken.complaints)) == (1, 1, 1)
        (report,) = shelf.reports.values()
        assert (report.source, report.sha) == ("github", SHA)

    def test_a_run_that_says_nothing_is_no_failure_and_no_forge_is_one(self) -> None:
        github, shelf = FakeGithub(), ReportShelf()
        github.runs.attempt(9, 1, SHA, began=BEGAN, fork=True)
        asked = FetchReports(repository="shop", run="9.1")
        activities = ForgeReportActivities(reports_on(github, "*"), shelf, {"shop": SHOP})
        taken = ActivityEnvironment().run(activities.fetch_reports, asked)
        assert taken == TakenIn(complaints=("the run is a fork's",))
        with pytest.raises(ApplicationError, match="no forge is configured"):
            ActivityEnvironment().run(ForgeReportActivities(None, shelf, {}).fetch_reports, asked)
