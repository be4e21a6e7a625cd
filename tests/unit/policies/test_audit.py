"""The audit chain: nothing can be changed, left out or put between without being seen."""

from collections.abc import Callable
from datetime import timedelta, timezone

import pytest
from pydantic import ValidationError

from leverframe.model.outcomes import Outcome
from policies.audit import BEGINNING, Head, Record, broken_at, chain
from policies.events import event_of
from policies.ledger import Ledger
from policies.reservations import LedgerState, PauseRequest, Settlement
from tests.fakes.asks import NOON, ON, REVERT, ask, policy


def written() -> list[Record]:
    ledger = Ledger(LedgerState())
    ledger.install(policy(), NOON)
    ledger.reserve(ask(), NOON)
    ledger.reserve(ask("run/2", effect=ON), NOON + timedelta(microseconds=1))
    ledger.reserve(ask("run/3", effect=REVERT), NOON)
    ledger.commit("run/1", NOON)
    ledger.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED), NOON)
    ledger.pause(PauseRequest(by="ada", reason="ünïcode \u202e"), NOON)
    return ledger.unwritten


def test_a_whole_log_holds_from_the_beginning_and_from_any_known_head() -> None:
    records = written()
    assert records[0].previous == BEGINNING
    assert broken_at(records) is None
    assert broken_at(records[3:], records[2].as_head()) is None
    assert broken_at(records[3:]) == (4, "record 1 is missing")


def test_a_record_survives_its_line_and_keeps_its_hash() -> None:
    records = written()
    again = [Record.model_validate_json(record.line()) for record in records]
    assert again == records
    assert broken_at(again) is None
    assert all(record.line().isascii() and "\n" not in record.line() for record in records)


def test_every_record_keeps_its_event() -> None:
    for record in written():
        event = event_of(Record.model_validate_json(record.line()))
        assert event.kind == record.kind
        assert event.model_dump(mode="json", exclude={"kind"}) == record.data


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (lambda r: [*r[:2], *r[3:]], "record 3 is missing"),
        (lambda r: [r[0], r[2], r[1], *r[3:]], "record 2 is missing"),
        (lambda r: [*r[:3], r[2], *r[3:]], "record 4 is missing"),
        (lambda r: [*r[:2], _with(r[2], data={}), *r[3:]], "its content does not have its hash"),
        (lambda r: [*r[:2], _with(r[2], kind="denied"), *r[3:]], "its content does not have its hash"),
        (lambda r: [*r[:2], _with(r[2], at=NOON), *r[3:]], "its content does not have its hash"),
        (
            lambda r: [*r[:2], chain(r[1].as_head(), r[2].kind, {}, r[2].at), *r[3:]],
            "it does not name the hash of the record before it",
        ),
    ],
)
def test_what_was_changed_left_out_or_put_between_is_seen(
    tamper: Callable[[list[Record]], list[Record]], why: str
) -> None:
    broken = broken_at(tamper(written()))
    assert broken is not None
    assert broken[1] == why


def test_the_same_instant_in_another_time_zone_is_another_text() -> None:
    """Records are written in UTC only, so a moved text is a changed text."""
    record = chain(Head(), "released", {"reservation": "run/1"}, NOON)
    moved = _with(record, at=NOON.astimezone(timezone(timedelta(hours=1))))
    assert broken_at([moved]) is not None


def test_a_record_that_keeps_no_event_is_not_one() -> None:
    with pytest.raises(ValidationError):
        event_of(chain(Head(), "granted", {"reservation": "run/1"}, NOON))


def _with(record: Record, **changes: object) -> Record:
    return record.model_copy(update=changes)
