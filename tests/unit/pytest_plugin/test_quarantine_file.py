"""The quarantine file: strict, readable as YAML, and never half believed."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from leverframe_pytest.quarantine import EXECUTIONS, MOST_EXECUTIONS, Entry, Unreadable, read, write

ENTRY = Entry(
    test="tests/test_cart.py::test_total[usd]",
    signatures=("3f2a9c0d11e85b67",),
    since=date(2026, 11, 20),
    expires=date(2026, 12, 20),
    owner="@acme/payments",
    evidence="failed and passed on the same commit in 4 of 311 runs",
    tracking="https://git.example/acme/shop/issues/7",
)
TEXT = write({ENTRY.test: ENTRY})

texts = st.text(alphabet="a[]-: #\"'\\\n\r\x00\x85\u2028\ud800é→", max_size=12)
days = st.dates(min_value=date(2020, 1, 1), max_value=date(2030, 1, 1))


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    since, expires = sorted(draw(st.lists(days, min_size=2, max_size=2, unique=True)))
    return Entry(
        test=draw(texts.filter(bool)),
        signatures=tuple(draw(st.lists(texts, min_size=1, max_size=3))),
        since=since,
        expires=expires,
        owner=draw(texts.filter(bool)),
        evidence=draw(texts),
        tracking=draw(texts),
        executions=draw(st.integers(1, MOST_EXECUTIONS)),
    )


@given(st.lists(entries(), max_size=4))
def test_what_is_written_is_read_again_whatever_its_texts_hold(some: list[Entry]) -> None:
    wanted = {entry.test: entry for entry in some}
    assert read(write(wanted)) == wanted


def test_any_reader_of_yaml_sees_the_same() -> None:
    document = YAML(typ="safe").load(TEXT)
    assert document["version"] == 1
    [test] = document["tests"]
    assert test["test"] == ENTRY.test
    assert test["signatures"] == list(ENTRY.signatures)
    assert test["expires"] == "2026-12-20"


def test_an_entry_need_not_say_how_often_it_is_executed_again() -> None:
    assert "executions" not in TEXT
    assert read(TEXT)[ENTRY.test].executions == EXECUTIONS
    more = Entry(**{**ENTRY.__dict__, "executions": 12})
    assert "    executions: 12\n" in write({ENTRY.test: more})


def test_it_is_sorted_so_that_the_same_tests_make_the_same_file() -> None:
    other = Entry(**{**ENTRY.__dict__, "test": "a.py::b"})
    assert write({ENTRY.test: ENTRY, other.test: other}) == write({other.test: other, ENTRY.test: ENTRY})


def test_an_empty_one_quarantines_nothing() -> None:
    assert read(write({})) == {}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (("version: 1", "version: 2"), "does not begin with `version: 1`"),
        (("tests:\n", "tests: []\n"), "has no tests below it"),
        (("  - test", "- test"), "line 5: it is not `key: value`"),
        (("  - test", "    test"), "line 5: an entry begins with"),
        (("    owner", "    signatures"), "line 9: signatures is there twice"),
        (("    owner", "    mode"), "line 5: owner is missing"),
        (("    tracking", "    mode: 1\n    tracking"), "line 5: there is no mode"),
        (('"@acme/payments"', "@acme/payments"), "line 9: the value of owner is not JSON"),
        (('"@acme/payments"', "7"), "line 5: owner is no text"),
        (('"@acme/payments"', '""'), "line 5: test and owner are not empty"),
        (('["3f2a9c0d11e85b67"]', '"3f2a9c0d11e85b67"'), "line 5: signatures is a list"),
        (('["3f2a9c0d11e85b67"]', "[]"), "line 5: signatures is a list of at least one"),
        (("    tracking", "    executions: true\n    tracking"), "line 5: executions is a whole number from"),
        (("    tracking", "    executions: 16\n    tracking"), "line 5: executions is a whole number from"),
        (("    tracking", '    executions: "3"\n    tracking'), "line 5: executions is a whole number"),
        (('"2026-12-20"', '"soon"'), "line 5: since and expires are days"),
        (('"2026-12-20"', '"2026-11-20"'), "line 5: it expires before it begins"),
        (('"2026-12-20"', "[" * 100_000), "line 8: the value of expires is not JSON"),
        (("tests:\n", "tests:\n" + TEXT.partition("tests:\n")[2]), f"{ENTRY.test} is there twice"),
    ],
)
def test_a_file_that_says_anything_else_is_refused_with_the_line(change: tuple[str, str], why: str) -> None:
    broken = TEXT.replace(*change, 1)
    assert broken != TEXT
    with pytest.raises(Unreadable) as refused:
        read(broken)
    assert why in str(refused.value)


def test_a_file_of_any_size_is_not_read() -> None:
    with pytest.raises(Unreadable, match="more than"):
        read(TEXT + "#" * 5_000_000)
