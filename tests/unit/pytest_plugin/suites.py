"""A suite that fails in several ways, run by the real pytest with our plugin, and its quarantine file."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from leverframe_pytest.quarantine import PLACE, Entry, write

TODAY = datetime.now(UTC).date()
SUITE = """
    import itertools, os, pytest

    tries = itertools.count()

    def test_sound(): pass

    @pytest.mark.parametrize("currency", ["usd", "eur"])
    def test_total(currency):
        assert currency == "eur", f"no rate for {currency} after 12 ms"

    def test_second_time_lucky():
        if next(tries) % 2 == 0:
            raise TimeoutError("not yet")

    @pytest.fixture
    def broken(): raise OSError("no database at 127.0.0.1:5432")

    def test_needs_the_database(broken): pass

    @pytest.mark.skip
    def test_skipped(): pass
"""
PLUGIN = ("-p", "leverframe_pytest.plugin", "--leverframe-results=out.jsonl")
USD = "test_shop.py::test_total[usd]"
LUCKY = "test_shop.py::test_second_time_lucky"
DATABASE = "test_shop.py::test_needs_the_database"


def ran(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "no:asyncio", *PLUGIN, *arguments)


def attempts(pytester: pytest.Pytester) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (pytester.path / "out.jsonl").read_text().splitlines()]


def signatures(pytester: pytest.Pytester) -> dict[str, str]:
    return {row["test"]: row["signature"] for row in attempts(pytester) if row["signature"]}


def quarantine(
    pytester: pytest.Pytester, tests: dict[str, str], *, expires: date = TODAY + timedelta(days=30)
) -> None:
    entries = {
        test: Entry(
            test=test,
            signatures=(signature,),
            since=TODAY - timedelta(days=60),
            expires=expires,
            owner="@acme/shop",
            evidence="",
            tracking="https://git.example/7",
        )
        for test, signature in tests.items()
    }
    path = pytester.path / PLACE
    path.parent.mkdir(exist_ok=True)
    path.write_text(write(entries))


def known(pytester: pytest.Pytester) -> dict[str, str]:
    """Write the suite, run it once, and say what failed how."""
    pytester.makepyfile(test_shop=SUITE)
    ran(pytester)
    found = signatures(pytester)
    (pytester.path / "out.jsonl").unlink()
    return found
