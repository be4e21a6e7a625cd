"""Answers of the probe driver: whatever is printed, each asked probe gets exactly one honest result."""

import json

import pytest

from activities.backends.jail_answers import read_answers
from leverframe.model.topology import Probe

PROBES = [Probe(name="catalogue", path="/catalogue"), Probe(name="order", path="/orders/1007")]


def printed(*answers: tuple[str, int, str], log: str = "") -> bytes:
    """What a driver prints for `(probe, status, detail)`."""
    listed = [{"probe": probe, "status": status, "detail": detail} for probe, status, detail in answers]
    return json.dumps({"answers": listed, "log": log}).encode()


def test_answers_are_given_in_the_order_of_the_probes() -> None:
    results = read_answers(PROBES, printed(("order", 404, "gone"), ("catalogue", 200, "{}")), "passed")
    assert [(one.probe, one.status, one.detail) for one in results] == [
        ("catalogue", 200, "{}"),
        ("order", 404, "gone"),
    ]


@pytest.mark.parametrize(
    "output",
    [
        b"",
        b"not json",
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"answers": "all fine", "log": ""}',
        printed(("catalogue", 99999, "")),
        printed(("catalogue", -1, "")),
        printed(("catalogue", 200, "x" * 5000)),
        printed(*[("catalogue", 200, "")] * 1001),
        printed(("catalogue", 200, "")) + printed(("catalogue", 200, "")),
    ],
)
def test_an_unreadable_answer_is_no_response(output: bytes) -> None:
    results = read_answers(PROBES, output, "stopped after 30 s, its time limit")
    assert [one.status for one in results] == [0, 0]
    assert results[0].detail == "no readable answer came out of the jail: stopped after 30 s, its time limit"


def test_an_answer_for_a_probe_that_was_not_asked_is_dropped() -> None:
    results = read_answers(PROBES[:1], printed(("admin", 200, "not asked for")), "passed")
    assert [(one.probe, one.status, one.detail) for one in results] == [
        ("catalogue", 0, "the probe was not sent")
    ]


def test_escape_sequences_and_invisible_characters_are_taken_out() -> None:
    results = read_answers(
        PROBES[:1], printed(("catalogue", 200, "\x1b[31mred\x1b[0m\u202e\nline")), "passed"
    )
    assert results[0].detail == "red line"


def test_the_last_line_of_the_log_says_why_nothing_answered() -> None:
    output = printed(("catalogue", 0, "the service ended with status 1"), log="Traceback\nKeyError: 'PORT'\n")
    assert read_answers(PROBES[:1], output, "passed")[0].detail == (
        "the service ended with status 1: KeyError: 'PORT'"
    )
