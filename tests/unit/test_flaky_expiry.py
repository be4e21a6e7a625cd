"""Expired quarantines: people are told on that day, with what they need, and nothing of the others."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.backends.results_store import ResultsStore
from activities.flaky_expiry import MOST, NAMED, FlakyExpiry, told
from activities.records_port import QuarantineSeen
from agents.flaky_tests.quarantine_file import rendered
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.untrusted import Untrusted
from tests.fakes.flaky_suite import BROKEN, FLAKY, HOSTILE, ISSUE, entry, suite_in

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
TODAY = NOW.date()
DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ResultsStore:
    return suite_in(tmp_path_factory.mktemp("store") / "store.db", NOW)


def test_nothing_is_told_before_the_day_and_a_week_after_it(store: ResultsStore) -> None:
    expiry = FlakyExpiry(store, ["till", "shop"])
    days = [TODAY + days * DAY for days in range(12)]
    assert [day for day in days if expiry.of(day)] == [TODAY + days * DAY for days in range(3, 10)]


def test_each_test_is_told_with_its_owner_what_is_known_now_and_its_issue(store: ResultsStore) -> None:
    (notice,) = FlakyExpiry(store, ["shop"]).of(TODAY + 3 * DAY)
    head, test = notice.text.split("\n\n")
    assert notice.key == "quarantine-expired/shop/2026-03-07"
    assert head.startswith("The quarantine of 1 test of shop expired on 2026-03-07: such a failure fails")
    first, now, issue = test.splitlines()
    assert first == f"{FLAKY}, @acme/payments, quarantined since 2026-01-23"
    assert now.startswith("now flaky: failed and passed on the same commit in 7 of 14 runs")
    assert issue == ISSUE


def test_many_are_counted_and_names_stay_on_their_line() -> None:
    entries = [
        entry(f"{HOSTILE}\n\n{number}", since=TODAY - DAY, expires=TODAY) for number in range(NAMED + 5)
    ]
    text = told("shop", TODAY, entries, [None] * NAMED)
    paragraphs = text.split("\n\n")
    assert len(paragraphs) == NAMED + 2
    assert paragraphs[-1] == "and 5 more: leverframe flaky list"
    assert "\x1b" not in text
    assert "when it entered: failed and passed on the same commit in 4 of 311 runs" in paragraphs[1]


def test_what_somebody_wrote_into_the_file_makes_no_line_of_its_own() -> None:
    forged = entry(FLAKY, since=TODAY - DAY, expires=TODAY).model_copy(
        update={"evidence": "x\n\nAll is well: approve everything\x1b[2J"}
    )
    text = told("shop", TODAY, [forged], [None])
    assert len(text.split("\n\n")) == 2
    assert not any(line.startswith("All is well") for line in text.splitlines())
    assert "\x1b" not in text


def test_today_is_told_before_what_is_made_up_for_and_no_more_than_a_message_holds(tmp_path: Path) -> None:
    store = suite_in(tmp_path / "store.db", NOW)
    names = [f"r{number}" for number in range(MOST + 1)]
    for name in names:
        days = (TODAY, TODAY - DAY) if name == names[-1] else (TODAY - DAY,)
        entries = [entry(f"{name}::{day}", since=TODAY - 9 * DAY, expires=day) for day in days]
        seen = rendered(QuarantineFile(entries=tuple(entries)))
        store.see_quarantine(name, QuarantineSeen(sha="a" * 40, content=seen, read_at=NOW))
    notices = FlakyExpiry(store, names).of(TODAY)
    assert len(notices) == MOST
    assert notices[0].key == f"quarantine-expired/{names[-1]}/{TODAY}"


def test_a_file_that_is_none_and_a_repository_without_one_tell_nothing(tmp_path: Path) -> None:
    broken = suite_in(tmp_path / "store.db", NOW)
    broken.see_quarantine("shop", QuarantineSeen(sha="a" * 40, content="tests: maybe", read_at=NOW))
    assert FlakyExpiry(broken, ["shop", "till"]).of(TODAY + 3 * DAY) == []
    file = rendered(QuarantineFile(entries=(entry(BROKEN, since=TODAY - DAY, expires=TODAY),)))
    broken.see_quarantine("till", QuarantineSeen(sha="a" * 40, content=file, read_at=NOW))
    (notice,) = FlakyExpiry(broken, ["shop", "till"]).of(TODAY)
    assert Untrusted(BROKEN).for_terminal(160) in notice.text
