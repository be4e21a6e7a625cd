"""What `leverframe ledger show` prints of a ledger, for people."""

from datetime import UTC, datetime

import pytest

from leverframe.cli.ledger import print_standing
from policies.overview import overview
from policies.reservations import LedgerState
from tests.fakes.asks import policy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def test_people_are_told_first_that_the_ledger_began_anew(capsys: pytest.CaptureFixture[str]) -> None:
    print_standing(overview("acme", LedgerState(snapshot=policy()), NOW))
    assert "began anew" not in capsys.readouterr().out
    print_standing(overview("acme", LedgerState(snapshot=policy(), began_anew=NOW), NOW))
    assert capsys.readouterr().out.startswith("began anew: at 2026-11-23 12:00:00 UTC; what was granted")
