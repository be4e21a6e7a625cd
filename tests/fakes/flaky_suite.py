"""A suite with flaky and broken tests, one that only passes, and names to fear; and its quarantine file."""

from datetime import date, datetime, timedelta
from pathlib import Path

from activities.backends.results_store import ResultsStore
from activities.records_port import QuarantineSeen
from agents.flaky_tests.quarantine_file import rendered
from leverframe.model.quarantine import Quarantined, QuarantineFile
from leverframe.model.untrusted import Untrusted
from tests.fakes.result_reports import SENSITIVE, SIGNATURE, fold_all, report
from tests.fakes.stores import store_at

FLAKY = "tests/test_cart.py::test_total[usd]"
BROKEN = "tests/test_cart.py::test_empty"
CALM = "tests/test_pay.py::test_refund"
HOSTILE = 'tests/test_x.py::test_"><script>alert(1)</script>\x1b[31m[bold]\u202e'
ISSUE = "https://git.example/acme/shop/issues/7"
RUNS = 14


def entry(test: str, *, since: date, expires: date, link: str = "") -> Quarantined:
    """Of the quarantine file."""
    return Quarantined(
        test=Untrusted(test),
        masks=(SIGNATURE,),
        since=since,
        expires=expires,
        evidence="failed and passed on the same commit in 4 of 311 runs",
        owner="@acme/payments",
        link=link,
    )


def suite_in(path: Path, now: datetime) -> ResultsStore:
    """Runs of an hour each until three hours ago; the file was read an hour ago."""
    store, began = ResultsStore(store_at(path)), now - timedelta(hours=RUNS + 3)
    for number in range(RUNS):
        at = began + timedelta(hours=number)
        signs = {
            FLAKY: "F." if number % 2 else ".",
            BROKEN: "FFF" if number >= RUNS - 3 else ".",
            CALM: ".",
            HOSTILE: "F." if number % 2 == 0 else ".",
        }
        store.keep(report(signs, run=str(number), sha=f"{number:040x}", at=at), at=at)
        fold_all(store, now=at + timedelta(minutes=30), bounds=SENSITIVE)
    today = now.date()
    file = QuarantineFile(
        entries=(
            entry(FLAKY, since=today - timedelta(days=40), expires=today + timedelta(days=3), link=ISSUE),
            entry(BROKEN, since=today - timedelta(days=2), expires=today + timedelta(days=30)),
        )
    )
    seen = QuarantineSeen(sha="a" * 40, content=rendered(file), read_at=now - timedelta(hours=1))
    store.see_quarantine("shop", seen)
    return store
