"""How many bytes a ledger carries: it packs itself only when that could be too much."""

from datetime import datetime, timedelta

import pytest

from policies.decision import Allowed
from policies.ledger import Ledger
from policies.reservations import LedgerStart, LedgerState
from tests.fakes.asks import NOON, ask, policy
from tests.fakes.ledgers import EVERYTHING, SECOND, rules, under

MINUTE = timedelta(minutes=1)


def used() -> LedgerState:
    """A ledger that has granted something; the store has its record, and nothing in it is old."""
    ledger = under(policy())
    ledger.reserve(ask(), NOON)
    ledger.written(ledger.head.sequence)
    ledger.lapse(NOON)
    return ledger.state


def size(ledger: Ledger) -> int:
    """What it needs in a message."""
    return LedgerStart.of("acme", ledger.state).size


def said(ledger: Ledger, at: datetime) -> int:
    """How many bytes it says it carries, where there is room for none."""
    [finding] = ledger.reserve(ask("run/2"), at).findings
    count, _, words = finding.observed.partition(" ")
    assert (finding.rule, words) == ("ledger.capacity", "bytes to carry on")
    return int(count)


def pause(ledger: Ledger, at: datetime) -> int:
    """One more record, which is written at any time; twice its length may be what it adds."""
    ledger.pause(EVERYTHING, at)
    ledger.resume(EVERYTHING, at)
    return 2 * sum(len(record.line()) for record in ledger.unwritten[-2:])


@pytest.fixture
def no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("policies.ledger.MAX_CARRIED", 1)


def test_as_much_as_fits_is_one_byte_less_than_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    for carried in (None, 10**9):
        ledger = Ledger(used(), carried=carried)
        needs = size(ledger)
        monkeypatch.setattr("policies.ledger.MAX_CARRIED", needs)
        [finding] = ledger.reserve(ask("run/2"), NOON).findings
        assert (finding.observed, finding.limit) == (
            f"{needs} bytes to carry on",
            f"fewer than {needs}",
        )
        monkeypatch.setattr("policies.ledger.MAX_CARRIED", needs + 1)
        assert isinstance(Ledger(used(), carried=carried).reserve(ask("run/2"), NOON), Allowed)


def test_it_packs_itself_before_it_says_that_it_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """It was told of as much as there may be, and has forgotten most of that since."""
    monkeypatch.setattr("policies.ledger.MAX_CARRIED", 100_000)
    assert isinstance(Ledger(used(), carried=100_000).reserve(ask("run/2"), NOON), Allowed)


def test_what_it_was_told_to_carry_is_believed_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packing takes long, so a wrong word is found out only when the room is used up."""
    monkeypatch.setattr("policies.ledger.MAX_CARRIED", 10)
    told = Ledger(used(), carried=9)
    assert isinstance(told.reserve(ask("run/2"), NOON), Allowed)
    assert rules(told.reserve(ask("run/3"), NOON).findings) == ["ledger.capacity"]


@pytest.mark.usefixtures("no_room")
def test_within_a_minute_new_records_are_estimated_and_then_it_packs_itself_again() -> None:
    ledger = Ledger(used())
    measured = said(ledger, NOON)
    assert measured == size(ledger)
    grown = pause(ledger, NOON)
    assert said(ledger, NOON) == measured + grown
    grown += pause(ledger, NOON + SECOND)
    last = NOON + MINUTE - timedelta(microseconds=1)
    assert said(ledger, last) == measured + grown
    assert size(ledger) != measured + grown
    again = said(ledger, NOON + MINUTE)
    assert again == size(ledger)
    grown = pause(ledger, NOON + MINUTE)
    assert said(ledger, NOON + MINUTE + SECOND) == again + grown


@pytest.mark.usefixtures("no_room")
def test_many_new_records_make_it_pack_itself_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(used())
    measured = said(ledger, NOON)
    grown = pause(ledger, NOON)
    monkeypatch.setattr("policies.ledger.MEASURE_AFTER", grown + 1)
    assert said(ledger, NOON) == measured + grown
    monkeypatch.setattr("policies.ledger.MEASURE_AFTER", grown)
    assert said(ledger, NOON) == size(ledger) != measured + grown
