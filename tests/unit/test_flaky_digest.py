"""The weekly digest of flaky tests: what people should know, and nothing when there is nothing."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

import pytest

from activities.backends.results_store import ResultsStore
from activities.flaky_digest import FlakyDigest, Week, told
from activities.ports import AuditLog
from activities.records_port import Happened, QuarantineSeen
from activities.report import ReportActivities
from leverframe.model.quarantine import Quarantined
from policies.audit import Record
from tests.fakes.flaky_suite import BROKEN, FLAKY, HOSTILE, entry, suite_in
from tests.fakes.job_attempts import HOSTILE as HOSTILE_JOB
from tests.fakes.job_attempts import executed
from tests.fakes.stores import store_at

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultsStore:
    return suite_in(tmp_path_factory.mktemp("store") / "store.db", NOW)


def week(*entries: Quarantined, happened: tuple[Happened, ...] = ()) -> Week:
    return Week(
        repository="shop",
        until=NOW,
        happened=happened,
        quarantined=(),
        broken=(),
        entries=entries,
        file_problem="",
        runs=(),
    )


def test_a_digest_names_what_is_new_expires_and_is_broken_and_what_it_cost(store: ResultsStore) -> None:
    (text,) = FlakyDigest(store, ["till", "shop"]).sections(NOW)
    assert text.splitlines() == [
        "flaky tests of shop, this week",
        f'new: 2: {FLAKY}, tests/test_x.py::test_"><script>alert(1)</script>[bold]',
        f"expire within 7 days: 1: {FLAKY} (2026-03-07, @acme/payments)",
        f"broken while quarantined: 1: {BROKEN}",
        f"oldest quarantine: {FLAKY}, for 40 days",
        "lost: 4 s in further executions of tests, in 14 runs",
    ]
    assert HOSTILE not in text


def test_a_week_without_quarantines_and_events_has_no_digest(store: ResultsStore) -> None:
    assert told(week()) == ""
    assert FlakyDigest(store, ["till"]).sections(NOW) == []


def test_healed_tests_are_named_once_and_many_are_counted() -> None:
    happened = [Happened(test=f"t{number}", what="released", at=NOW) for number in (*range(7), 3)]
    assert "healed: 7: t0, t1, t2, t3, t4 and 2 more" in told(week(happened=tuple(happened)))


def test_what_expires_in_a_week_is_told_apart_from_what_has_expired() -> None:
    entries = [
        entry(name, since=TODAY - 9 * DAY, expires=TODAY + days * DAY)
        for name, days in (("over", 0), ("soon", 1), ("last", 7), ("later", 8))
    ]
    text = told(week(*entries))
    assert "expire within 7 days: 2: soon (2026-03-05, @acme/payments), last (2026-03-11, @acme" in text
    assert "expired, their failures count again: 1: over" in text


def test_a_quarantine_file_that_can_not_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    store = ResultsStore(store_at(tmp_path / "store.db"))
    store.see_quarantine("shop", QuarantineSeen(sha="a", content="nonsense\n\x1b[2J", read_at=NOW))
    (text,) = FlakyDigest(store, ["shop"]).sections(NOW)
    assert "the quarantine file can't be used: .leverframe/quarantine.yaml: it does not begin with" in text
    assert "\x1b" not in text


def test_the_weekly_report_begins_with_flaky_tests_even_when_no_agent_asked_for_anything() -> None:
    def sections(now: datetime) -> list[str]:
        return ["flaky tests of shop, this week", "of till"]

    class Empty:
        def read(self, organisation: str, *, after: int = 0, limit: int = 1000) -> list[Record]:
            return []

    activities = ReportActivities(cast(AuditLog, Empty()), "acme", sections)
    assert activities.weekly() == "flaky tests of shop, this week\n\nof till"


def test_jobs_that_failed_and_passed_in_the_week_are_told_with_how_often(tmp_path: Path) -> None:
    store = ResultsStore(store_at(tmp_path / "store.db"))
    store.keep_jobs(executed(1, "fail", "pass", began=NOW - 8 * DAY))
    assert FlakyDigest(store, ["shop"]).sections(NOW) == []
    for run in range(2, 12):
        store.keep_jobs(executed(run, *(("fail", "pass") if run == 5 else ("pass",)), began=NOW - DAY))
    store.keep_jobs(executed(5, "fail", "pass", job=HOSTILE_JOB, began=NOW - DAY))
    (text,) = FlakyDigest(store, ["shop"]).sections(NOW)
    told = text.splitlines()[1]
    assert told.startswith("jobs that failed and passed at one commit: 2: ")
    assert "CI / unit (1 of 10 runs, at least 1.0 %)" in told
    assert told.endswith("; 4 min lost, 20 min until they had passed")
    assert not {"\x1b", "\u202e"} & set(text)
