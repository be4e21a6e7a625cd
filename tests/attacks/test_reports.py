"""Reports made to do harm are refused in words, whatever they are made of."""

import gc
import gzip
import json
import tracemalloc
from datetime import UTC, datetime

import pytest

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import Report
from leverframe.reports.facts import Facts
from leverframe.reports.gzipped import MOST_MEMBERS, unpacked
from leverframe.reports.junit_xml import DEEPEST, LONGEST_TOKEN
from leverframe.reports.reading import read

FACTS = Facts(repository="shop", source="upload", run="1", sha="a")
SOUND = b'<testsuite><testcase name="a"/>'


def report(body: bytes) -> Report:
    return read(body, FACTS, now=datetime(2026, 11, 29, tzinfo=UTC))


LAUGHS = (
    b'<!DOCTYPE t [<!ENTITY l0 "lol">'
    + b"".join(b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10) for n in range(1, 10))
    + b']><testsuite><testcase name="&l9;"/></testsuite>'
)
QUADRATIC = b'<!DOCTYPE t [<!ENTITY a "%s">]><testsuite>%s</testsuite>' % (b"a" * 50_000, b"&a;" * 50_000)
EXTERNAL = (
    b'<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuite><testcase name="&x;"/></testsuite>'
)
PARAMETER = b'<!DOCTYPE t [<!ENTITY % x SYSTEM "http://127.0.0.1/x.dtd"> %x;]><testsuite/>'
REMOTE = b'<!DOCTYPE testsuite SYSTEM "http://127.0.0.1/x.dtd"><testsuite><testcase name="a"/></testsuite>'
LATE = b"<!-- %s -->" % (b"x" * 100_000) + EXTERNAL


@pytest.mark.parametrize(
    "body",
    [LAUGHS, QUADRATIC, EXTERNAL, PARAMETER, REMOTE, LATE, b'<?xml version="1.0"?>\n' + LAUGHS],
    ids=[
        "a billion laughs",
        "quadratic",
        "a file",
        "a parameter",
        "a remote type",
        "after a comment",
        "declared",
    ],
)
def test_a_document_type_is_refused_before_anything_of_it_expands(body: bytes) -> None:
    with pytest.raises(BadInput, match="document type"):
        report(body)


def test_an_entity_that_nobody_declared_ends_the_sound_part() -> None:
    found = report(SOUND + b'<testcase name="&x;"/></testsuite>')
    assert len(found.attempts) == 1
    assert "undefined entity" in found.complaints[0]


@pytest.mark.parametrize(
    "body",
    [b"<testsuite>" * 100_000, SOUND + b"<testcase name='b'>" + b"<x>" * 100_000],
    ids=["suites", "in a test case"],
)
def test_deep_nesting_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput, match=f"more than {DEEPEST} deep"):
        report(body)


def test_deeply_nested_json_is_one_bad_line() -> None:
    good = b'{"test": "a", "at": "2026-01-01T00:00:00Z", "outcome": "pass"}\n'
    found = report(good + b'{"test": ' + b"[" * 200_000 + b"\n")
    assert len(found.attempts) == 1
    assert found.complaints[0].startswith("line 2: ")


@pytest.mark.parametrize(
    "rest",
    [
        b"<testcase name='" + b"x" * (LONGEST_TOKEN + 300_000) + b"'/>",
        b"<!--" + b"x" * (LONGEST_TOKEN + 300_000),
        b"<" + b"x" * (LONGEST_TOKEN + 300_000),
    ],
    ids=["an attribute", "a comment", "a name"],
)
def test_a_token_that_does_not_end_is_not_read_again_and_again(rest: bytes) -> None:
    found = report(SOUND + rest)
    assert len(found.attempts) == 1
    assert "a tag or comment is longer than" in found.complaints[0]


def test_thousands_of_attributes_are_refused() -> None:
    with pytest.raises(BadInput, match="more than 100 attributes"):
        report(b"<testsuite %s/>" % b" ".join(b'a%d="1"' % number for number in range(50_000)))


def test_a_long_text_of_a_failure_is_kept_by_its_ends_only() -> None:
    text = b"<testcase name='b'><failure>%s</failure></testcase>"
    one, other = (text % (b"begin " + b"%d " % n * 2_000_000 + b"end") for n in (1, 2))
    found = report(SOUND + one + other + b"</testsuite>")
    assert [attempt.outcome for attempt in found.attempts] == ["pass", "fail", "fail"]
    assert found.attempts[1].fingerprint != found.attempts[2].fingerprint


@pytest.mark.parametrize(
    "body",
    [
        '<?xml version="1.0" encoding="utf-16"?><testsuite/>'.encode("utf-16"),
        b'<?xml version="1.0" encoding="utf-7"?><testsuite/>',
        b'<?xml version="1.0" encoding="zip"?><testsuite/>',
        b'<?xml version="1.0" encoding="big5"?><testsuite/>',
        b'<?xml version="1.0" encoding="../../x"?><testsuite/>',
    ],
)
def test_an_encoding_that_is_not_known_is_refused(body: bytes) -> None:
    with pytest.raises(BadInput):
        report(body)


def test_a_hundred_megabytes_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(BadInput, match="larger than 50,000,000 bytes"):
        report(bytes(100_000_000))


def bomb(megabytes: int) -> bytes:
    return gzip.compress(b"<" + b" " * (megabytes * 1_000_000), mtime=0)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (bomb(20), "times its own size"),
        (gzip.compress(bomb(20)), "neither JUnit XML nor JSON lines"),
        (bomb(1)[:-20], "cut off"),
        (bomb(1)[:200] + b"x" * 300, "broken"),
        (gzip.compress(b"", mtime=0) * (MOST_MEMBERS + 1), "members"),
        (gzip.compress(SOUND, mtime=0) + b"and more", "broken"),
    ],
    ids=["a bomb", "a bomb in a bomb", "cut off", "broken", "a million members", "a tail"],
)
def test_gzip_data_is_unpacked_within_bounds(body: bytes, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        report(body)


def test_a_gzip_file_is_bounded_by_what_it_holds() -> None:
    with pytest.raises(BadInput, match="holds more than 1000 bytes"):
        unpacked(gzip.compress(b"0123456789" * 101), max_bytes=1_000)


LONG = [f"{number:06}" + "x" * 200_000 for number in range(20)]
LINES = "".join(
    json.dumps(
        {"test": f"t::{text[:6]}", "at": "2026-01-01T00:00:00Z", "outcome": "fail"}
        | {"signature": text, "path": text}
    )
    + "\n"
    for text in LONG
)
CASES = "".join(
    f'<testcase name="{text[:6]}"><failure message="{text}"/></testcase><testcase file="{text}" name="x"/>'
    for text in LONG
)


@pytest.mark.parametrize("body", [LINES, f"<testsuite>{CASES}</testsuite>"], ids=["lines", "JUnit"])
def test_long_texts_are_not_remembered_once_their_report_is_read(body: str) -> None:
    read_from = body.encode()
    tracemalloc.start()
    try:
        assert len(report(read_from).attempts) == len(LONG)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000
