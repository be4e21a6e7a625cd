"""The weekly report, from the records that a ledger wrote."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

from activities.ports import AuditLog
from activities.report import ReportActivities
from leverframe.model.outcomes import Outcome
from policies.audit import Record
from policies.ledger import Ledger
from policies.reservations import LedgerState, Settlement
from tests.fakes.asks import ask, policy


class Log:
    """The part of an audit log that is read."""

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = list(records)

    def read(self, organisation: str, *, after: int = 0, limit: int = 1000) -> list[Record]:
        """In small pages, whatever is asked for."""
        return [record for record in self._records if record.sequence > after][: min(2, limit)]


def weekly(records: Sequence[Record]) -> str:
    return ReportActivities(cast(AuditLog, Log(records)), "acme").weekly()


def test_a_report_says_what_each_agent_was_allowed_and_how_it_ended() -> None:
    ledger, now = Ledger(LedgerState()), datetime.now(UTC) - timedelta(days=3)
    ledger.install(policy(), now)
    for number, outcome in enumerate((Outcome.LANDED, Outcome.FAILED)):
        ledger.reserve(ask(f"run/{number}/1"), now)
        ledger.commit(f"run/{number}/1", now)
        ledger.settle(Settlement(reservation=f"run/{number}/1", outcome=outcome), now)
    text = weekly(ledger.state.unwritten)
    assert "agent: sentry_spike" in text
    assert "2 allowed" in text
    assert "1 failed, 1 landed" in text


def test_when_no_agent_asked_for_anything_there_is_nothing_to_report() -> None:
    ledger = Ledger(LedgerState())
    ledger.install(policy(), datetime.now(UTC))
    assert weekly(ledger.state.unwritten) == ""
