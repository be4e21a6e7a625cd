"""Reports that the runners themselves wrote, recorded from the recipes of tests/recipes."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from leverframe.model.test_reports import Report
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read

RECORDED = Path(__file__).parent / "recorded"


def report(name: str) -> Report:
    facts = Facts(repository="shop", source="upload", run="1", sha="abc")
    return read((RECORDED / name).read_bytes(), facts, now=datetime.now(UTC))


def outcomes(found: Report) -> dict[str, list[str]]:
    """Test → what its attempts came to, in their order."""
    told: dict[str, list[str]] = {}
    for attempt in found.attempts:
        assert attempt.attempt == len(told.setdefault(attempt.test, [])) + 1
        told[attempt.test].append(attempt.outcome)
    return told


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "gotestsum.xml",
            {
                "example.com/shop/cart::TestPays": ["fail", "fail", "pass"],
                "example.com/shop/cart::TestShips/abroad": ["fail", "fail", "fail"],
                "example.com/shop/cart::TestShips": ["fail", "fail", "fail"],
                "example.com/shop/cart::TestAdds": ["pass"],
                "example.com/shop/store::TestReads": ["pass"],
                "example.com/shop/store::TestWaits": ["pass"],
            },
        ),
        (
            "surefire_flaky.xml",
            {
                "com.acme.CartTest::adds": ["pass"],
                "com.acme.CartTest::pays": ["error", "error", "pass"],
                "com.acme.CartTest::ships": ["pass"],
                "com.acme.CartTest::waits": ["pass"],
            },
        ),
        (
            "surefire.xml",
            {
                "com.acme.CartTest::adds": ["pass"],
                "com.acme.CartTest::pays": ["error", "error", "error"],
                "com.acme.CartTest::ships": ["pass"],
                "com.acme.CartTest::waits": ["error", "error", "error"],
            },
        ),
        (
            "rspec.xml",
            {
                "spec/cart_spec.rb::Cart adds": ["pass"],
                "spec/cart_spec.rb::Cart pays": ["fail"],
                "spec/cart_spec.rb::Cart ships": ["pass"],
                "spec/cart_spec.rb::Cart waits": ["pass"],
                "spec/store_spec.rb::Store reads": ["fail"],
                "spec/store_spec.rb::Store writes": ["fail"],
            },
        ),
        (
            "jest.jsonl",
            {
                "src/cart.test.js::cart adds": ["pass"],
                "src/cart.test.js::cart pays": ["fail", "fail", "pass"],
                "src/cart.test.js::cart ships": ["fail", "fail", "fail"],
                "src/cart.test.js::cart waits": ["pass"],
                "src/store.test.js::(the file itself)": ["error"],
            },
        ),
    ],
)
def test_every_attempt_is_told_and_attempts_that_failed_alike_have_one_signature(
    name: str, expected: dict[str, list[str]]
) -> None:
    found = report(name)
    assert outcomes(found) == expected
    assert found.complaints == ()
    for test in expected:
        failed = [one for one in found.attempts if one.test == test and one.outcome in ("fail", "error")]
        assert len({one.fingerprint for one in failed}) == bool(failed)
        assert all(one.fingerprint for one in failed)


def test_failures_that_a_suite_counts_beyond_its_reruns_lie_outside_of_its_tests() -> None:
    body = (RECORDED / "surefire.xml").read_bytes()
    assert b'errors="6"' in body
    facts = Facts(repository="shop", source="upload", run="1", sha="abc")
    more = read(body.replace(b'errors="6"', b'errors="7"'), facts, now=datetime.now(UTC))
    assert more.complaints == ("1 failures are counted that no test case has: they lie outside of tests",)


def test_a_test_that_passed_when_it_ran_again_covers_no_failure_that_is_missing() -> None:
    body = (RECORDED / "surefire_flaky.xml").read_bytes()
    facts = Facts(repository="shop", source="upload", run="1", sha="abc")
    assert b'errors="2"' in body
    for counted, complaints in ((b"2", 0), (b"0", 0), (b"1", 1), (b"3", 1)):
        told = read(body.replace(b'errors="2"', b'errors="%s"' % counted), facts, now=datetime.now(UTC))
        assert len(told.complaints) == complaints, counted


def test_a_panic_is_a_failure_of_its_test_and_the_rest_of_the_package_is_missing() -> None:
    found = outcomes(report("gotestsum_panic.xml"))
    assert found["example.com/shop/store::TestReads"] == ["fail"]
    assert "example.com/shop/store::TestWaits" not in found
