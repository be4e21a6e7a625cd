"""What the store promises to remember of changes of a quarantine file."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from activities.backends.results_store import ResultsStore
from activities.results_port import AmendedEntry, QuarantineNote
from tests.fakes.result_reports import (
    BEGAN,
)

FLAKY = "tests/test_a.py::test_flaky"
CALM = "tests/test_b.py::test_calm"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def store(engine: Engine) -> ResultsStore:
    return ResultsStore(engine)


def test_notes_of_changes_keep_the_newest_state_and_those_that_are_over_are_not_told(
    store: ResultsStore,
) -> None:
    def note(change: str, state: Any) -> QuarantineNote:
        return QuarantineNote(change=change, state=state, enter=(FLAKY,), leave=(), opened_at=BEGAN)

    store.note("shop", [note("shop/1", "open"), note("shop/2", "open"), note("shop/3", "open")])
    store.note("shop", [note("shop/1", "rejected"), note("shop/2", "over")])
    assert [(one.change, one.state) for one in store.notes("shop")] == [
        ("shop/1", "rejected"),
        ("shop/3", "open"),
    ]
    assert store.notes("till") == []


def test_what_changes_do_to_entries_that_stay_is_told_for_ever(store: ResultsStore) -> None:
    day = BEGAN.date()
    amend = (AmendedEntry(test=FLAKY, expired=day, expires=day + timedelta(days=30), masks=("a" * 16,)),)
    notes = [
        QuarantineNote(change=change, state=state, enter=(), leave=(), opened_at=BEGAN, amend=amend)
        for change, state in (("run/1/0", "asked"), ("shop/1", "over"))
    ]
    store.note("shop", notes)
    store.note("shop", notes)
    assert store.notes("shop") == notes


def test_when_a_file_last_named_a_test_is_remembered(store: ResultsStore) -> None:
    store.note_named("shop", [FLAKY, CALM], BEGAN)
    for _ in range(2):
        store.note_named("shop", [FLAKY], BEGAN + HOUR)
    store.note_named("shop", [], BEGAN + HOUR)
    named = store.named_at("shop", [FLAKY, CALM, "tests/unheard_of.py::test_x"])
    assert named == {FLAKY: BEGAN + HOUR, CALM: BEGAN}
    assert store.named_at("till", [FLAKY]) == {}
    assert store.named_at("shop", []) == {}
