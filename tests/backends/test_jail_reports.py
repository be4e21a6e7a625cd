"""Test reports come out of the jail whole, bounded, and without a say in what the check says."""

import tarfile
from pathlib import Path

import pytest

from activities.backends import jail_reports
from activities.backends.sandbox_jail import JailSandbox
from activities.left_reports import LeftReports
from activities.ports import ReportsPlace
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from tests.fakes.trees import SHA, write_tar

LEFT = LeftReports(repository="shop", sha=SHA, check="tests", trial=7)


class Tried:
    """One check in a jail, with the place for its reports."""

    def __init__(self, jail: JailSandbox, home: Path) -> None:
        self.jail, self.home = jail, home
        self.tree = write_tar(home / "tree.tar", {"a.txt": "a"})
        self.place = LEFT.place(home / "reports")

    def run(self, script: str, *results: str) -> CheckResult:
        return self.jail.run_check(
            Check(name="tests", command=("sh", "-c", script), results=results, timeout_seconds=30),
            artifact=self.tree,
            sha=SHA,
            heartbeat=lambda: None,
            reports=ReportsPlace(into=self.place, environment=LEFT.environment("main")),
        )

    def brought(self) -> list[bytes]:
        with tarfile.open(self.place) as tar:
            return [file.read() for member in tar if (file := tar.extractfile(member))]


@pytest.fixture
def tried(jail: JailSandbox, tmp_path: Path) -> Tried:
    return Tried(jail, tmp_path)


def test_the_file_of_the_command_and_what_the_globs_match_come_out(tried: Tried) -> None:
    script = "echo one > {results}; mkdir -p out/x; echo two > out/a.xml; echo three > out/x/b.xml"
    result = tried.run(f"{script}; echo no > out/c.txt", "out/**/*.xml")
    assert result.outcome == "passed"
    assert sorted(tried.brought()) == [b"one\n", b"three\n", b"two\n"]
    assert tried.place.name == f"{SHA}-tests-7.tar"


def test_a_red_check_leaves_its_reports_too_and_the_run_is_named_to_the_command(tried: Tried) -> None:
    result = tried.run('echo "$LEVERFRAME_RUN $LEVERFRAME_BRANCH $LEVERFRAME_JOB" > {results}; exit 3')
    assert (result.outcome, "status 3" in result.summary) == ("failed", True)
    assert tried.brought() == [f"{SHA}/7 train/main tests\n".encode()]


def test_a_command_without_reports_leaves_no_file(tried: Tried) -> None:
    assert tried.run("true", "*.xml").outcome == "passed"
    assert not tried.place.exists()


def test_links_devices_pipes_and_directories_are_no_reports(tried: Tried) -> None:
    script = "ln -s /etc/passwd a.xml; mkfifo b.xml; mkdir c.xml; ln -s /dev/zero d.xml; echo sound > e.xml"
    assert tried.run(script, "*.xml").outcome == "passed"
    assert tried.brought() == [b"sound\n"]


def test_a_report_that_is_too_large_stays_behind_and_the_others_come(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jail_reports, "MAX_BYTES", 1000)
    result = tried.run("head -c 2000 /dev/zero > a.xml; echo sound > b.xml", "a.xml", "b.xml")
    assert tried.brought() == [b"sound\n"]
    assert "is too large" in result.log


def test_a_command_that_fills_the_descriptor_itself_changes_no_result_and_is_not_kept(
    tried: Tried, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jail_reports, "MAX_BYTES", 0)
    monkeypatch.setattr(jail_reports, "_MOST_AROUND", 1000)
    fill = "for f in /proc/$PPID/fd/*; do [ -f $f ] && head -c 5000 /dev/zero > $f; done; true"
    assert tried.run(fill).outcome == "passed"
    assert not tried.place.exists()


def test_a_command_that_kills_its_parent_fails_by_itself(tried: Tried) -> None:
    assert tried.run("echo x > {results}; kill -9 $PPID; sleep 5").outcome != "passed"
    assert not tried.place.exists()


def test_a_place_that_can_not_be_written_changes_no_result(tried: Tried) -> None:
    tried.place.parent.parent.write_text("a file where the directory should be")
    assert tried.run("echo x > {results}").outcome == "passed"


def test_a_command_that_is_not_there_says_so(tried: Tried) -> None:
    result = tried.jail.run_check(
        Check(name="tests", command=("no-such-command", "{results}"), timeout_seconds=30),
        artifact=tried.tree,
        sha=SHA,
        heartbeat=lambda: None,
        reports=ReportsPlace(into=tried.place, environment={}),
    )
    assert (result.outcome, "no-such-command" in result.log) == ("failed", True)
