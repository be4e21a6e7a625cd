"""Envelopes: what the parser takes apart, and that nothing makes it fail in another way than `BadInput`."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.gateway.documents import MAX_DEPTH, parse_json
from leverframe.gateway.envelope import MAX_HEADER_BYTES, MAX_ITEMS, Envelope, Item, parse_envelope
from leverframe.model.errors import BadInput

LIMIT = 100_000


def parse(body: bytes) -> Envelope:
    return parse_envelope(body, max_bytes=LIMIT)


def test_an_item_with_a_length_may_hold_newlines() -> None:
    body = b'{"event_id":"a"}\n{"type":"event","length":3}\n{\n}\n{"type":"session"}\n{}\n'
    assert parse(body) == Envelope(
        event_id="a", items=(Item(type="event", payload=b"{\n}"), Item(type="session", payload=b"{}"))
    )


def test_an_item_without_a_length_ends_with_its_line_or_the_envelope() -> None:
    assert parse(b'{}\n{"type":"event"}\n{"a":1}').items == (Item(type="event", payload=b'{"a":1}'),)


def test_an_envelope_may_have_no_items_and_no_event_id() -> None:
    assert parse(b"{}") == parse(b"{}\n\n") == Envelope(event_id=None, items=())


def test_an_item_may_be_empty() -> None:
    assert parse(b'{}\n{"type":"attachment","length":0}\n\n{"type":"x","length":0}').items == (
        Item(type="attachment", payload=b""),
        Item(type="x", payload=b""),
    )


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not valid JSON"),
        (b"[]", "not an object"),
        (b'{"event_id":7}', "event_id"),
        (b'{}\n{"length":2}\n{}', "no type"),
        (b'{}\n{"type":7}\n{}', "no type"),
        (b'{}\n{"type":"event","length":9}\n{}', "truncated"),
        (b'{}\n{"type":"event","length":1}\n{}', "longer"),
        (b'{}\n{"type":"event","length":-1}\n{}', "not a number of bytes"),
        (b'{}\n{"type":"event","length":true}\n{}', "not a number of bytes"),
        (b'{}\n{"type":"event","length":1.5}\n{}', "not a number of bytes"),
        (b"\xff\xfe", "not UTF-8"),
        (b'{"a":1,"a":2}', "same key twice"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":"' + b"x" * MAX_HEADER_BYTES + b'"}', "longer than"),
        (b"{}" + b"\n{}" * LIMIT, "limit"),
        (b"{}" + b'\n{"type":"x","length":0}\n' * (MAX_ITEMS + 1), "items"),
    ],
)
def test_an_unusable_envelope_says_what_is_wrong_with_it(body: bytes, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        parse(body)


@given(st.binary(max_size=2000))
def test_any_bytes_parse_or_are_bad_input(body: bytes) -> None:
    try:
        parsed = parse(body)
    except BadInput:
        return
    assert isinstance(parsed, Envelope)


HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.one_of(st.sampled_from(["event", "session", ""]), st.integers(), st.none()),
        "length": st.one_of(st.integers(-2, 40), st.floats(allow_nan=False), st.none(), st.booleans()),
    },
)


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=30)), max_size=5), st.binary(max_size=3))
def test_almost_right_envelopes_parse_or_are_bad_input(
    items: list[tuple[dict[str, object], bytes]], tail: bytes
) -> None:
    body = b'{"event_id":null}\n' + b"\n".join(json.dumps(h).encode() + b"\n" + p for h, p in items) + tail
    try:
        parsed = parse(body)
    except BadInput:
        return
    assert all(item.payload in body for item in parsed.items)


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_what_is_framed_with_lengths_comes_back_unchanged(payloads: list[bytes]) -> None:
    framed = b"".join(b'{"type":"t","length":%d}\n%b\n' % (len(p), p) for p in payloads)
    assert [item.payload for item in parse(b"{}\n" + framed).items] == payloads


def test_json_as_deep_as_the_limit_is_read_and_one_level_more_is_refused() -> None:
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH, "it") is not None
    with pytest.raises(BadInput, match="deeper"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "it")


def test_brackets_inside_strings_are_not_nesting() -> None:
    text = '["' + "[" * 500 + '\\"' + "{" * 500 + '"]'
    assert parse_json(text.encode(), "it") == ["[" * 500 + '"' + "{" * 500]


def test_half_an_emoji_becomes_a_question_mark_and_a_whole_one_stays() -> None:
    assert parse_json(b'["cut \\ud83d", "whole \\ud83d\\ude00"]', "it") == ["cut ?", "whole 😀"]


def test_a_number_with_more_digits_than_python_converts_is_bad_input() -> None:
    with pytest.raises(BadInput):
        parse_json(b"[" + b"1" * 5000 + b"]", "it")


@given(st.text(alphabet='"\\[]{}a\n', max_size=300))
def test_any_mixture_of_quotes_and_brackets_reads_like_the_standard_library_or_is_bad_input(
    text: str,
) -> None:
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(BadInput):
            parse_json(text.encode(), "it")
    else:
        try:
            assert parse_json(text.encode(), "it") == expected
        except BadInput as error:
            assert "twice" in str(error) or "deeper" in str(error)  # noqa: PT017
