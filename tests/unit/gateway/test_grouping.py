"""Grouping and scrubbing: same error, same group; hostile events are refused or made harmless."""

import json
import zlib
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe.gateway.grouping import MAX_PAYLOAD_BYTES, group, issue_subject, keep
from leverframe.gateway.scrubbing import FILTERED, is_secret_key, scrub, scrub_text
from leverframe.gateway.sentry_event import canonical_event_id, read_event
from leverframe.model.error_events import ErrorEvent
from leverframe.model.errors import BadInput
from leverframe.model.signals import ErrorBatch, SecondCount
from leverframe.model.untrusted import Untrusted


def frame(
    function: str, *, module: str = "shop.pricing", in_app: bool = True, **more: object
) -> dict[str, object]:
    return {
        "module": module,
        "function": function,
        "filename": "shop/pricing.py",
        "lineno": 7,
        "in_app": in_app,
        **more,
    }


def crash(*frames: dict[str, object], type_: str = "KeyError", value: str = "'a'") -> dict[str, object]:
    return {
        "exception": {"values": [{"type": type_, "value": value, "stacktrace": {"frames": list(frames)}}]}
    }


def subject(raw: dict[str, object]) -> str:
    return group(read_event(raw), "shop").subject


def kept(raw: dict[str, object]) -> ErrorEvent:
    return ErrorEvent.model_validate_json(zlib.decompress(keep(read_event(raw))))


def test_a_subject_is_the_service_and_twelve_upper_case_hex_digits() -> None:
    name, _, digits = subject(crash(frame("price"))).partition("-")
    assert (name, len(digits)) == ("SHOP", 12)
    assert digits == digits.upper()
    assert int(digits, 16)


@pytest.mark.parametrize("service", ["shop", "s" * 53, "s" * 54, "s" * 63])
def test_the_longest_service_and_issue_number_still_make_a_subject(service: str) -> None:
    issues = [digit * 20 for digit in "12"]
    subjects = [issue_subject(service, issue) for issue in issues]
    assert [group(read_event(crash()), service, issue=issue).subject for issue in issues] == subjects
    assert len(set(subjects)) == 2
    for subject in subjects:
        batch = ErrorBatch(
            id="one",
            repository="shop",
            service=service,
            subject=subject,
            title=Untrusted("t"),
            counts=(SecondCount(second=1, count=1),),
            received_at=datetime(2026, 3, 2, tzinfo=UTC),
        )
        assert batch.subject == subject


def test_messages_lines_and_library_frames_do_not_split_a_group() -> None:
    one = crash(frame("price"), frame("get", module="lib", in_app=False), value="'a'")
    two = crash(frame("price", lineno=99), frame("other", module="lib2", in_app=False), value="'b'")
    assert subject(one) == subject(two)


def test_type_function_and_module_split_groups() -> None:
    variants = [
        crash(frame("price")),
        crash(frame("price"), type_="ValueError"),
        crash(frame("tax")),
        crash(frame("price", module="shop.cart")),
    ]
    assert len({subject(raw) for raw in variants}) == len(variants)


def test_recursion_depth_does_not_split_a_group() -> None:
    assert subject(crash(*[frame("walk")] * 3)) == subject(crash(*[frame("walk")] * 30))


def test_the_last_exception_of_a_chain_is_the_crash() -> None:
    raw = crash(frame("price"))
    raw["exception"]["values"].insert(0, {"type": "OSError", "value": "cause"})  # type: ignore[index]
    assert group(read_event(raw), "shop").title.for_terminal() == "KeyError: 'a'"
    assert subject(raw) == subject(crash(frame("price")))


def test_without_in_app_frames_all_frames_count() -> None:
    raw = crash(frame("a", in_app=False))
    assert subject(raw) != subject(crash(frame("b", in_app=False)))
    assert [one.function.stored() for one in kept(raw).frames] == ["a"]


def test_a_logged_message_is_grouped_by_its_template() -> None:
    one: dict[str, object] = {
        "logentry": {"message": "no stock of %s", "formatted": "no stock of tea"},
        "logger": "shop",
    }
    two: dict[str, object] = {
        "logentry": {"message": "no stock of %s", "formatted": "no stock of milk"},
        "logger": "shop",
    }
    assert subject(one) == subject(two)
    assert group(read_event(one), "shop").title.stored() == "no stock of tea"


def test_the_trackers_own_issue_names_the_group_when_there_is_one() -> None:
    assert group(read_event(crash(frame("a"))), "shop", issue="4711").subject == "SHOP-ISSUE-4711"


def test_the_last_evaluation_of_a_flag_counts_and_variants_are_left_out() -> None:
    values = [{"flag": "a", "result": True}, {"flag": "b", "result": "blue"}, {"flag": "a", "result": False}]
    raw = {**crash(frame("x")), "contexts": {"flags": {"values": values}}}
    assert group(read_event(raw), "shop").flags == (("a", False),)


def test_frames_are_kept_crash_first() -> None:
    event = kept(crash(frame("outer"), frame("inner")))
    assert [one.function.stored() for one in event.frames] == ["inner", "outer"]


WRONG: list[dict[str, Any]] = [
    {"exception": "no"},
    {"exception": {"values": [7]}},
    {"exception": {"values": [{"type": 7}]}},
    {"exception": {"values": [{"type": "E", "stacktrace": []}]}},
    {"exception": {"values": [{"type": "E", "stacktrace": {"frames": "x"}}]}},
    {"exception": {"values": [{"type": "E", "stacktrace": {"frames": [{"lineno": "7"}]}}]}},
    {"exception": {"values": [{"type": "E", "stacktrace": {"frames": [{"lineno": -1}]}}]}},
    {"exception": {"values": [{"type": "E", "stacktrace": {"frames": [{"vars": []}]}}]}},
    {"exception": {"values": [{"type": "E", "stacktrace": {"frames": [{}] * 1001}}]}},
    {"contexts": {"flags": {"values": [{"flag": 1}]}}},
    {"contexts": {"flags": []}},
    {"contexts": []},
    {"release": {}},
    {"transaction": 5},
    {"level": 3},
    {"logentry": 3},
    {"event_id": 3},
]


@pytest.mark.parametrize("raw", WRONG, ids=[json.dumps(raw)[:60] for raw in WRONG])
def test_a_wrong_type_anywhere_that_we_read_is_bad_input(raw: dict[str, object]) -> None:
    with pytest.raises(BadInput, match="not usable"):
        read_event(raw)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FRAMES = st.fixed_dictionaries({}, optional=dict.fromkeys(("filename", "function", "lineno", "vars"), JSON))
EXCEPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "type": JSON,
        "value": JSON,
        "stacktrace": st.fixed_dictionaries({"frames": st.lists(FRAMES) | JSON}),
    },
)
EVENTS = st.fixed_dictionaries(
    {},
    optional={
        "exception": st.lists(EXCEPTIONS, max_size=3) | JSON,
        "contexts": st.fixed_dictionaries({"flags": JSON}) | JSON,
        **dict.fromkeys(("logentry", "message", "release", "level", "environment", "transaction"), JSON),
    },
)


@given(EVENTS)
def test_any_event_is_grouped_and_kept_or_is_bad_input(raw: dict[str, object]) -> None:
    try:
        event = read_event(raw)
    except BadInput:
        return
    assert group(event, "shop").subject.startswith("SHOP-")
    assert len(zlib.decompress(keep(event))) <= MAX_PAYLOAD_BYTES


def test_secrets_are_replaced_at_every_depth_of_the_local_variables() -> None:
    variables = {
        "request": {"user": {"password": "'hunter2'", "name": "'ann'"}, "headers": [{"X-Api-Key": "k1"}]},
        "text": "{'token': 'abc123', 'n': 1}",
    }
    [one] = kept(crash(frame("x", vars=variables))).frames
    dumped = json.dumps(one.variables)
    assert not [secret for secret in ("hunter2", "k1", "abc123") if secret in dumped]
    assert "'ann'" in dumped


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password='hunter2 is long' failed", "hunter2"),
        ("login with api_key: 12ab34cd, retry", "12ab34cd"),
        ("Authorization: Bearer abc.def-ghi123", "abc.def"),
        ("postgresql://app:s3cret@db/shop", "s3cret"),
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIA"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "eyJ"),
        ("ghp_" + "a" * 36, "aaaa"),
        ("card 4111 1111 1111 1111 declined", "1111"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE", "MIIE"),
    ],
)
def test_secrets_in_a_text_are_replaced_by_their_shape(text: str, secret: str) -> None:
    scrubbed = scrub_text(text)
    assert secret not in scrubbed
    assert FILTERED in scrubbed


def test_ordinary_texts_and_keys_are_left_alone() -> None:
    for text in ("KeyError: 'passenger'", "order 12345 of 2024-11-22", "unexpected token at line 3"):
        assert scrub_text(text) == text
    assert not [key for key in ("passenger", "author", "tokenizer", "opinion", "side") if is_secret_key(key)]
    assert all(map(is_secret_key, ("user_password", "apiKey", "X-Auth-Token", "SESSION_ID", "dsn")))


def test_a_large_event_loses_its_variables_and_keeps_its_stack() -> None:
    variables = {f"v{n}": "x" * 900 for n in range(40)}
    event = kept(crash(*[frame(f"f{n}", vars=variables) for n in range(40)]))
    assert len(event.frames) == 40
    assert not any(one.variables for one in event.frames)


@given(JSON)
def test_scrubbing_any_value_gives_json_without_nul(value: object) -> None:
    assert "\\u0000" not in json.dumps(scrub(value))


@pytest.mark.parametrize("sent", ["", "abc", "g" * 32, "'; DROP TABLE--", "a" * 33])
def test_an_event_id_that_is_no_uuid_is_bad_input(sent: str) -> None:
    with pytest.raises(BadInput, match="UUID"):
        canonical_event_id(sent)


def test_an_event_id_has_one_spelling_and_is_made_when_missing() -> None:
    assert canonical_event_id("5C0D-" + "A" * 28) == "5c0d" + "a" * 28
    assert canonical_event_id(None) != canonical_event_id(None)
