"""What the sandbox left of a car's tests is taken in once, however broken it is."""

import io
import os
import tarfile
from pathlib import Path

import pytest
from temporalio.testing import ActivityEnvironment

from activities import left_reports
from activities.car_reports import CarReportActivities
from activities.left_reports import LeftReports
from activities.taking_in import TakenIn
from leverframe.demo.shop_repository import shop_repository
from tests.fakes.report_shelf import ReportShelf

LEFT = LeftReports(repository="shop", sha="a" * 40, check="tests", trial=7)
JUNIT = b'<testsuite name="s"><testcase name="a"/></testsuite>'
WRITTEN = 1_795_000_000


@pytest.fixture
def shelf() -> ReportShelf:
    return ReportShelf()


def leave(directory: Path, *files: bytes, cut: int = 0) -> Path:
    place = LEFT.place(directory)
    place.parent.mkdir(parents=True, exist_ok=True)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as tar:
        for number, content in enumerate(files):
            member = tarfile.TarInfo(f"../../{number}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    place.write_bytes(out.getvalue()[: -cut or None])
    os.utime(place, (WRITTEN, WRITTEN))
    return place


def take_in(directory: Path, shelf: ReportShelf) -> TakenIn:
    activities = CarReportActivities(shelf, {"shop": shop_repository("shop.git")}, directory)
    return ActivityEnvironment().run(activities.take_in_reports, LEFT)


def test_reports_of_a_car_are_of_a_run_of_its_own_and_not_of_the_target(
    tmp_path: Path, shelf: ReportShelf
) -> None:
    place = leave(tmp_path, JUNIT)
    assert take_in(tmp_path, shelf) == TakenIn(reports=1, attempts=1)
    (report,) = shelf.reports.values()
    assert (report.run, report.sha, report.branch, report.job, report.source) == (
        f"{'a' * 40}/7",
        "a" * 40,
        "train/main",
        "tests",
        "car",
    )
    assert not place.exists()
    assert take_in(tmp_path, shelf) == TakenIn()


def test_a_second_try_keeps_the_same_reports(tmp_path: Path, shelf: ReportShelf) -> None:
    for _ in range(2):
        leave(tmp_path, JUNIT)
        take_in(tmp_path, shelf)
    assert len(shelf.reports) == 1


def test_what_is_broken_is_told_and_the_rest_kept(tmp_path: Path, shelf: ReportShelf) -> None:
    leave(tmp_path, b"<!DOCTYPE x><testsuite/>", JUNIT + b"<", JUNIT[:-30], cut=7_670)
    taken = take_in(tmp_path, shelf)
    assert taken.reports == 1
    assert [complaint[:6] for complaint in taken.complaints[:2]] == ["report", "tests:"]
    assert taken.complaints[-1] == "what came out of the jail is no sound tar: ReadError"


@pytest.mark.parametrize("content", [b"", b"no tar at all", bytes(5000), b"\x80" * 2048])
def test_what_is_no_tar_is_deleted_without_a_failure(
    tmp_path: Path, shelf: ReportShelf, content: bytes
) -> None:
    place = leave(tmp_path)
    place.write_bytes(content)
    assert take_in(tmp_path, shelf).reports == 0
    assert not place.exists()


def test_more_than_fits_is_not_read(
    tmp_path: Path, shelf: ReportShelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(left_reports, "MAX_BYTES", 100)
    leave(tmp_path, JUNIT, JUNIT)
    taken = take_in(tmp_path, shelf)
    assert (taken.reports, taken.complaints[-1]) == (1, "what came out of the jail holds too much")


def test_what_nobody_took_in_for_days_goes_with_it(tmp_path: Path, shelf: ReportShelf) -> None:
    old = LEFT.model_copy(update={"trial": 1}).place(tmp_path)
    leave(tmp_path, JUNIT)
    old.write_bytes(b"")
    os.utime(old, (WRITTEN - 300_000, WRITTEN - 300_000))
    take_in(tmp_path, shelf)
    assert not old.exists()
