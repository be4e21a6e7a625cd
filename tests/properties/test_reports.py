"""Laws of reading reports: whatever comes in, an error of ours or a report within its bounds comes out."""

import gzip
import json
from datetime import UTC, datetime
from typing import Any
from xml.sax.saxutils import quoteattr

from hypothesis import example, given, settings
from hypothesis import strategies as st

from leverframe.model.errors import BadInput
from leverframe.model.test_reports import MOST_ATTEMPT, MOST_NAME, MOST_TEST, Report
from leverframe.reports.facts import Facts
from leverframe.reports.gathering import APART
from leverframe.reports.reading import read

NOW = datetime(2026, 11, 29, 18, tzinfo=UTC)
FACTS = Facts(repository="shop", source="upload", run="1", sha="a")

law = settings(deadline=None, max_examples=25)

tags = st.sampled_from(
    ["testsuites", "testsuite", "testcase", "failure", "error", "skipped", "flakyFailure", "rerunError", "x"]
)
attributes = st.dictionaries(
    st.sampled_from(["name", "classname", "file", "time", "timestamp", "hostname", "message", "type"]),
    st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), max_size=12)
    | st.sampled_from(
        ["1e999", "-1", "nan", "2026-11-29T17:00:00", "9999-12-31T23:59:59-14:00", "pytest", ""]
    ),
    max_size=5,
)
pieces = st.lists(
    st.builds(
        lambda tag, told: f"<{tag} {' '.join(f'{k}={quoteattr(v)}' for k, v in told.items())}>",
        tags,
        attributes,
    )
    | st.builds("</{}>".format, tags)
    | st.text(max_size=5)
    | st.sampled_from(["<!DOCTYPE x>", "<![CDATA[", "]]>", "&a;", "&#0;", "<!--", "-->", "<?x?>"]),
    max_size=25,
).map(lambda found: ("<testsuite>" + "".join(found)).encode("utf-8", "surrogatepass"))
values = st.sampled_from([None, True, 0, -1, 10**400, 1e308, float("nan"), "", "x", [], [[]], {}])
rows = st.lists(
    st.fixed_dictionaries(
        {
            "test": st.sampled_from(["tests/a.py::b", "x" * (MOST_TEST + 1), "a\0", "\ud800"]) | values,
            "at": st.sampled_from(["2026-11-29T17:00:00Z", "0001-01-01T00:00:00+14:00"]) | values,
            "outcome": st.sampled_from(["pass", "fail", "error", "skip"]) | values,
        },
        optional=dict.fromkeys(
            ("run", "sha", "branch", "job", "attempt", "signature", "duration_ms"), values
        ),
    ),
    max_size=6,
).map(lambda found: "\n".join(map(json.dumps, found)).encode())


def check(body: bytes) -> Report | None:
    try:
        found = read(body, FACTS, now=NOW)
    except BadInput:
        return None
    for attempt in found.attempts:
        assert 0 < len(attempt.test) <= MOST_TEST
        assert 1 <= attempt.attempt <= MOST_ATTEMPT
        assert attempt.outcome in ("fail", "error") or not attempt.fingerprint
        assert attempt.at <= NOW + APART
        assert attempt.duration_ms >= 0
        assert len(attempt.path) <= MOST_NAME
        attempt.test.encode()
    assert len({attempt[:2] for attempt in found.attempts}) == len(found.attempts) > 0
    return found


@law
@given(pieces | rows | st.binary(max_size=60))
@example(b"\x1f\x8b")
@example(b'{"test": "a", "at": "2026-11-29", "outcome": []}')
def test_only_bad_input_or_a_report_within_bounds_comes_out(body: bytes) -> None:
    check(body)
    check(gzip.compress(body))


@law
@given(pieces, st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_report_that_is_cut_or_damaged_keeps_no_more_than_it_had(body: bytes, at: int, junk: bytes) -> None:
    check(body[:at])
    check(body[:at] + junk + body[at:])


@law
@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=12), st.data())
def test_a_file_that_is_cut_anywhere_tells_a_beginning_of_what_it_told_whole(
    told: list[tuple[str, bool]], data: Any
) -> None:
    cases = [f'<testcase name="{name}">{"<failure/>" if failed else ""}</testcase>' for name, failed in told]
    # Go's: of other runners a later case may say that the first was another test.
    go = '<properties><property name="go.version" value="go1.19"/></properties>'
    whole = f"<testsuite>{go}{''.join(cases)}</testsuite>".encode()
    all_of_it = check(whole)
    assert all_of_it is not None
    part = check(whole[: data.draw(st.integers(0, len(whole)))])
    if part is not None:
        assert part.attempts == all_of_it.attempts[: len(part.attempts)]
        assert part.complaints or len(part.attempts) == len(told)
