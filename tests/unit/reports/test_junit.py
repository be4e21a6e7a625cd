"""JUnit files of the usual test runners become attempts by full names."""

from datetime import UTC, datetime, timedelta

import pytest

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_ATTEMPT, MOST_TEST, Report
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
from leverframe_pytest.signatures import fingerprint

NOW = datetime(2026, 11, 29, 18, 30, tzinfo=UTC)
FACTS = Facts(repository="shop", source="upload", run="77", sha="1f0c" * 10, branch="main", job="unit")


def read_text(text: str, facts: Facts = FACTS) -> Report:
    return read(text.encode(), facts, now=NOW)


def seen(report: Report) -> list[tuple[str, int, str]]:
    return [(attempt.test, attempt.attempt, attempt.outcome) for attempt in report.attempts]


PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite name="pytest"
 timestamp="2026-11-29T17:00:00+01:00" hostname="vm">
<testcase classname="tests.test_a.TestX" name="test_y[a/b.c::d]" file="tests/test_a.py" time="0.5" />
<testcase classname="tests.test_a.TestX" name="test_y[a/b.c::d]" file="tests/test_a.py" time="0.5" />
<testcase classname="tests.test_a" name="test_z" file="tests/test_a.py" time="1"><failure message="assert 0">
E   assert 0

tests/test_a.py:14: AssertionError</failure></testcase>
<testcase classname="tests.test_a" name="test_z" file="tests/test_a.py"><error
 message="failed on teardown with &quot;RuntimeError: td&quot;">
tests/test_a.py:13: RuntimeError</error></testcase>
<testcase classname="tests.test_a" name="test_s" file="tests/test_a.py">
<skipped type="pytest.skip"/></testcase>
</testsuite></testsuites>"""


def test_pytests_xunit1_gives_node_ids_and_a_rerun_without_a_failure_has_failed() -> None:
    report = read_text(PYTEST)
    assert seen(report) == [
        ("tests/test_a.py::TestX::test_y[a/b.c::d]", 1, "fail"),
        ("tests/test_a.py::TestX::test_y[a/b.c::d]", 2, "pass"),
        ("tests/test_a.py::test_z", 1, "fail"),
        ("tests/test_a.py::test_s", 1, "skip"),
    ]
    assert report.attempts[0].at == datetime(2026, 11, 29, 16, tzinfo=UTC)
    assert report.attempts[0].duration_ms == 500
    assert {attempt.path for attempt in report.attempts} == {"tests/test_a.py"}
    assert report.complaints[0].startswith("1 failed attempts have lost what failed")


SUREFIRE = """<testsuite name="com.acme.PayTest" time="1,234.5">
<testcase name="refund" classname="com.acme.PayTest" time="1,000.25">
 <flakyFailure message="no money" type="AssertionError">
  <stackTrace>at PayTest.java:17</stackTrace></flakyFailure>
 <flakyError message="gone" type="IOException"><stackTrace>at PayTest.java:9</stackTrace></flakyError>
</testcase>
<testcase name="charge" classname="com.acme.PayTest">
 <failure message="no" type="AssertionError">at PayTest.java:17</failure>
 <rerunFailure message="no" type="AssertionError"><stackTrace>at PayTest.java:18</stackTrace></rerunFailure>
 <rerunError message="gone" type="IOException"/>
</testcase></testsuite>"""


def test_surefires_reruns_are_attempts_and_the_same_failure_has_one_fingerprint() -> None:
    report = read_text(SUREFIRE)
    assert seen(report) == [
        ("com.acme.PayTest::refund", 1, "fail"),
        ("com.acme.PayTest::refund", 2, "error"),
        ("com.acme.PayTest::refund", 3, "pass"),
        ("com.acme.PayTest::charge", 1, "fail"),
        ("com.acme.PayTest::charge", 2, "fail"),
        ("com.acme.PayTest::charge", 3, "error"),
    ]
    fingerprints = [attempt.fingerprint for attempt in report.attempts]
    assert fingerprints[3] == fingerprints[4] != fingerprints[5]
    assert report.attempts[0].duration_ms == 1_000_250


GO = """<testsuites><testsuite name="github.com/acme/pay">
<testcase classname="github.com/acme/pay" name="TestRefund/eur">
<failure message="Failed" type="">--- FAIL: TestRefund/eur (0.31s)
    pay_test.go:12: got 3</failure></testcase>
<testcase classname="github.com/acme/pay" name="TestRefund/eur"></testcase>
<testcase classname="pay" name="TestTwice"></testcase><testcase classname="pay" name="TestTwice"></testcase>
</testsuite></testsuites>"""


def test_a_test_of_go_that_ran_twice_without_a_failure_has_passed_twice() -> None:
    assert seen(read_text(GO)) == [
        ("github.com/acme/pay::TestRefund/eur", 1, "fail"),
        ("github.com/acme/pay::TestRefund/eur", 2, "pass"),
        ("github.com/acme/pay::pay::TestTwice", 1, "pass"),
        ("github.com/acme/pay::pay::TestTwice", 2, "pass"),
    ]


SUREFIRE_SUITE = (
    '<testsuite name="a.RowsTest" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    'xsi:noNamespaceSchemaLocation="https://maven.apache.org/surefire/xsd/surefire-test-report.xsd">'
)
GO_SUITE = '<testsuite name="a"><properties><property name="go.version" value="go1.19"/></properties>'
PASS, FAIL, SKIP = (
    f'<testcase classname="a" name="row">{it}</testcase>' for it in ("", "<failure/>", "<skipped/>")
)


@pytest.mark.parametrize(
    ("suite", "cases", "outcomes"),
    [
        # A test that passed is not run again: these are two tests, and a broken one does not look flaky.
        ("<testsuite>", PASS + FAIL, ["fail"]),
        ("<testsuite>", FAIL + PASS + FAIL, ["fail", "fail"]),
        # These runners tell a test once, whatever they ran again.
        (SUREFIRE_SUITE, FAIL + PASS, ["fail"]),
        ('<testsuite name="rspec">', FAIL + PASS, ["fail"]),
        ('<testsuites name="jest tests"><testsuite name="x">', FAIL + PASS, ["fail"]),
        (SUREFIRE_SUITE, FAIL + SKIP, ["fail"]),
        (SUREFIRE_SUITE, FAIL + "<testcase classname='a' name='row'><flakyFailure/></testcase>", ["fail"]),
        # These write an attempt as a case.
        ("<testsuite>", FAIL + FAIL + PASS, ["fail", "fail", "pass"]),
        ("<testsuite>", FAIL + SKIP, ["fail", "skip"]),
        (GO_SUITE, PASS + FAIL + PASS, ["pass", "fail", "pass"]),
        # Nothing failed, so that nothing can be taken for flaky.
        (SUREFIRE_SUITE, PASS + PASS, ["pass", "pass"]),
    ],
)
def test_tests_that_share_a_name_are_no_attempts_of_one(suite: str, cases: str, outcomes: list[str]) -> None:
    ends = "</testsuite>" * suite.count("<testsuite ") or "</testsuite>"
    report = read_text(suite + cases + ends + ("</testsuites>" if "<testsuites" in suite else ""))
    assert [one.outcome for one in report.attempts] == outcomes
    told = [each for each in report.complaints if "names are shared" in each]
    assert bool(told) is ("pass" not in outcomes and "skip" not in outcomes)


JEST = """<testsuites name="jest tests"><testsuite name="pay" timestamp="2026-11-29T17:00:00">
<testcase classname="pay refunds" name="pay refunds" time="0.005">
<failure>Error: 1 at pay.js:3:7</failure></testcase>
<testcase classname="pay refunds" name="pay twice" file="src/pay.test.js"></testcase>
</testsuite></testsuites>"""
RSPEC = """<testsuite name="rspec"><testcase classname="spec.models.user_spec" name="User is valid"
 file="./spec/models/user_spec.rb" time="0.1"></testcase></testsuite>"""
PLAYWRIGHT = """<testsuites><testsuite name="a.spec.ts" hostname="chromium">
<testcase name="buys" classname="a.spec.ts"/>
</testsuite><testsuite name="a.spec.ts" hostname="firefox">
<testcase name="buys" classname="a.spec.ts"><failure/></testcase>
</testsuite></testsuites>"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (JEST, [("pay refunds", 1, "fail"), ("src/pay.test.js::pay refunds::pay twice", 1, "pass")]),
        (RSPEC, [("spec/models/user_spec.rb::User is valid", 1, "pass")]),
        (PLAYWRIGHT, [("a.spec.ts::buys (chromium)", 1, "pass"), ("a.spec.ts::buys (firefox)", 1, "fail")]),
    ],
    ids=["jest-junit", "rspec", "playwright"],
)
def test_names_tell_tests_apart_by_file_suite_and_host(text: str, expected: list[object]) -> None:
    assert seen(read_text(text)) == expected


def test_tests_of_one_leaf_name_in_two_classes_are_two_tests() -> None:
    report = read_text(
        '<testsuite name="s"><testcase classname="a.A" name="works"/>'
        '<testcase classname="a.B" name="works"/></testsuite>'
    )
    assert seen(report) == [("s::a.A::works", 1, "pass"), ("s::a.B::works", 1, "pass")]


def test_a_variant_is_a_part_of_every_name() -> None:
    facts = Facts(repository="shop", source="upload", run="1", sha="a", variant="windows, 3.12")
    assert seen(read_text(RSPEC, facts))[0][0] == "spec/models/user_spec.rb::User is valid (windows, 3.12)"


def test_a_failure_that_our_plugin_forgave_has_failed_all_the_same() -> None:
    report = read_text(
        """<testsuite name="pytest"><testcase classname="tests.test_a" name="test_x" file="tests/test_a.py">
<properties><property name="quarantined_failure" value="boom"/></properties><skipped/></testcase>
</testsuite>"""
    )
    assert seen(report) == [("tests/test_a.py::test_x", 1, "fail")]
    assert report.attempts[0].fingerprint == fingerprint("boom")


def test_the_signature_of_a_forgiven_failure_is_the_one_that_our_plugin_tells_and_of_no_other_failure() -> (
    None
):
    told = '<property name="quarantined_signature" value="57d61a55876d7f88"/>'
    forgiven, failed, stray = (
        read_text(f'<testsuite name="pytest"><testcase name="x"><p>{first}{told}</p></testcase></testsuite>')
        for first in ('<property name="quarantined_failure" value="boom"/>', "</p><failure/><p>", "")
    )
    assert [one.fingerprint for one in forgiven.attempts] == ["57d61a55876d7f88"]
    assert [(one.outcome, one.fingerprint) for one in failed.attempts] == [("fail", "")]
    assert [(one.outcome, one.fingerprint) for one in stray.attempts] == [("pass", "")]


def test_a_property_may_tell_the_marks_of_a_test() -> None:
    report = read_text(
        """<testsuite name="s"><testcase classname="a" name="told"><properties>
<property name="leverframe_markers" value="slow, security"/><property name="other" value="x"/></properties>
</testcase><testcase classname="a" name="without"><properties>
<property name="leverframe_markers" value=""/></properties></testcase>
<testcase classname="a" name="untold"/></testsuite>"""
    )
    assert [attempt.markers for attempt in report.attempts] == [("security", "slow"), (), None]


@pytest.mark.parametrize("values", [["a," * 60 + "security"], ["a," * 49 + "a", "security"], ["a" * 101]])
def test_of_a_test_with_too_many_marks_none_is_known(values: list[str]) -> None:
    told = "".join(f'<property name="leverframe_markers" value="{value}"/>' for value in values)
    report = read_text(
        f'<testsuite name="s"><testcase name="a"><properties>{told}</properties></testcase></testsuite>'
    )
    assert [attempt.markers for attempt in report.attempts] == [None]


def test_a_file_that_breaks_off_keeps_the_cases_before_and_says_where() -> None:
    report = read_text(GO[: GO.index('<testcase classname="pay"') + 30])
    assert len(report.attempts) == 2
    assert report.complaints == (
        "line 6, column 1: unclosed token; the 2 test cases that end before it are kept",
    )


def test_bytes_of_another_encoding_are_told_and_what_is_before_them_is_kept() -> None:
    body = '<testsuite><testcase name="a"/><testcase name="\xfc"/></testsuite>'.encode("latin-1")
    report = read(body, FACTS, now=NOW)
    assert seen(report) == [("a", 1, "pass")]
    assert "the bytes there are not of the encoding" in report.complaints[0]
    declared = b'<?xml version="1.0" encoding="ISO-8859-1"?>' + body
    assert [name for name, *_ in seen(read(declared, FACTS, now=NOW))] == ["a", "ü"]


def test_what_is_out_of_bounds_is_left_out_and_counted() -> None:
    long = f'<testcase name="{"x" * (MOST_TEST + 1)}"/>'
    many = '<testcase name="again"/>' * (MOST_ATTEMPT + 3)
    report = read_text(f'<testsuite>{long}{many}<testcase/><testcase name="ok"/></testsuite>')
    assert len(report.attempts) == MOST_ATTEMPT + 1
    assert report.complaints == (
        f"1 attempts of tests whose names are longer than {MOST_TEST} characters were left out",
        f"3 attempts after the first {MOST_ATTEMPT} of one test were left out",
        "1 test cases have no name and were left out",
    )


def test_an_attempt_is_not_of_the_future_and_a_path_does_not_leave_the_repository() -> None:
    report = read_text(
        """<testsuite timestamp="2099-01-01T00:00:00Z"><testcase name="a" file="/etc/passwd" time="nan"/>
<testcase name="b" file="../../x.py" time="-7"/>
<testcase name="c" file="src\\c.py" time="1e300"/></testsuite>"""
    )
    assert {attempt.at for attempt in report.attempts} == {NOW - timedelta(minutes=30)}
    assert [attempt.path for attempt in report.attempts] == ["", "", "src/c.py"]
    assert [attempt.duration_ms for attempt in report.attempts] == [0, 0, 604_800_000]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the report is empty"),
        ("test,outcome\n", "neither JUnit XML nor JSON lines"),
        ("<html><body/></html>", "its root is <html>"),
        ("<testsuites/>", "holds no test"),
        ("<testsuite><testcase", "holds no test that can be used; line 1, column 12"),
    ],
)
def test_what_is_no_report_is_refused_in_words(text: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_text(text)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (Facts(repository="shop", source="upload", sha="a"), "no run is named"),
        (Facts(repository="shop", source="upload", run="1"), "no commit is named"),
        (Facts(repository="shop", source="upload", run="1", sha="a b"), "the commit must be"),
        (Facts(repository="shop", source="upload", run="1", sha="a", job="\0"), "the job must be"),
    ],
)
def test_a_report_of_no_known_run_is_refused(facts: Facts, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        read_text(RSPEC, facts)
