"""Expired quarantines: people are told on that day, with what they need, and nothing of the others."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from activities.backends.results_store import ResultsStore
from activities.flaky_expiry import MOST, NAMED, Expiring, FlakyExpiry, told
from activities.records_port import QuarantineSeen
from activities.results_port import AmendedEntry, ChangeState, QuarantineNote
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
    expiry = FlakyExpiry(store, {"till": "till", "shop": "shop"})
    days = [TODAY + days * DAY for days in range(12)]
    assert [day for day in days if expiry.of(day)] == [TODAY + days * DAY for days in range(3, 10)]


def test_each_test_is_told_with_its_owner_what_is_known_now_and_its_issue(store: ResultsStore) -> None:
    (notice,) = FlakyExpiry(store, {"shop": "shop"}).of(TODAY + 3 * DAY)
    head, test = notice.text.split("\n\n")
    assert notice.key == "quarantine-expired/shop/2026-03-07"
    assert head.startswith("The quarantine of 1 test of shop expired on 2026-03-07: such a failure fails")
    first, now, issue = test.splitlines()
    assert first == f"{FLAKY}, @acme/payments, quarantined since 2026-01-23"
    assert now.startswith("now flaky: failed and passed on the same commit in 7 of 14 runs")
    assert issue == ISSUE


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("asked", "people were asked whether to renew it"),
        ("over", "people were asked whether to renew it"),
        ("open", "a merge request that renews it is open"),
        ("rejected", "a person decided not to renew it"),
    ],
)
def test_what_became_of_the_question_is_told_of_the_day_that_has_come(state: ChangeState, words: str) -> None:
    gone = entry(FLAKY, since=TODAY - DAY, expires=TODAY)

    def note(expired: date) -> QuarantineNote:
        one = AmendedEntry(test=FLAKY, expired=expired, expires=expired + 30 * DAY)
        return QuarantineNote(change="x", state=state, enter=(), leave=(), opened_at=NOW, amend=(one,))

    assert words in told("shop", TODAY, [gone], [None], [note(TODAY)])
    for notes in ([], [note(TODAY - 30 * DAY)]):
        assert words not in told("shop", TODAY, [gone], [None], notes)


def test_who_asks_is_woken_from_three_days_before_and_as_long_as_the_entry_is_there(tmp_path: Path) -> None:
    store, today = suite_in(tmp_path / "store.db", NOW), datetime.now(UTC).date()
    expiry = FlakyExpiry(store, {"shop": "shopd"}, agents=["flaky_tests"], ui_url="http://ui")

    def seen(*days: int) -> list[Expiring]:
        entries = [
            entry(f"{FLAKY}{number}", since=today - 40 * DAY, expires=today + day * DAY)
            for number, day in enumerate(days)
        ]
        content = rendered(QuarantineFile(entries=tuple(entries)))
        store.see_quarantine("shop", QuarantineSeen(sha="a" * 40, content=content, read_at=NOW))
        return expiry.expiring()

    assert seen(4, 30) == []
    (soon,) = seen(3, 2, 30)
    assert (soon.repository, soon.service, soon.tests, soon.day) == ("shop", "shopd", 2, today + 2 * DAY)
    assert (soon.agents, soon.ui_url) == (("flaky_tests",), "http://ui")
    assert [one.day for one in seen(-20)] == [today - 20 * DAY]
    assert FlakyExpiry(store, {"shop": "shopd"}).expiring() == [], "nobody is on who would look"


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
    notices = FlakyExpiry(store, dict(zip(names, names, strict=True))).of(TODAY)
    assert len(notices) == MOST
    assert notices[0].key == f"quarantine-expired/{names[-1]}/{TODAY}"


def test_a_file_that_is_none_and_a_repository_without_one_tell_nothing(tmp_path: Path) -> None:
    broken = suite_in(tmp_path / "store.db", NOW)
    broken.see_quarantine("shop", QuarantineSeen(sha="a" * 40, content="tests: maybe", read_at=NOW))
    assert FlakyExpiry(broken, {"shop": "shop", "till": "till"}).of(TODAY + 3 * DAY) == []
    file = rendered(QuarantineFile(entries=(entry(BROKEN, since=TODAY - DAY, expires=TODAY),)))
    broken.see_quarantine("till", QuarantineSeen(sha="a" * 40, content=file, read_at=NOW))
    (notice,) = FlakyExpiry(broken, {"shop": "shop", "till": "till"}).of(TODAY)
    assert Untrusted(BROKEN).for_terminal(160) in notice.text
