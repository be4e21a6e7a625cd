"""Failures of one cause have one signature, others have others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverframe_pytest.signatures import LONGEST, fingerprint, normalised

SAME = [
    ("File a.py, line 31, in f: KeyError('x')", "File a.py, line 78, in f: KeyError('x')"),
    ("a.py:31: AssertionError", "a.py:78: AssertionError"),
    ("<Pool object at 0x7f3a10>", "<Pool object at 0x55ffe2>"),
    ("timed out after 30.02 s", "timed out after 31.5s"),
    ("no file /tmp/pytest-of-ci/pytest-12/t0/x.db", "no file /tmp/pytest-of-ci/pytest-9/t0/x.db"),
    ("refused: 127.0.0.1:41233", "refused: 127.0.0.1:51999"),
    ("2026-03-02T12:00:00Z boom", "2025-11-22 18:30:12.5 boom"),
    ("order 3f2504e0-4f89-11d3-9a0c-0305e82c3301", "order 0e37df36-f698-11e6-8dd4-cb9ced3df976"),
    ("worker gw3 crashed", "worker gw0 crashed"),
    ("\x1b[31mboom\x1b[0m", "boom"),
    ("a\n   b", "a b"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_varies_from_run_to_run_is_no_part_of_the_signature(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert fingerprint(one) == fingerprint(other)


def test_another_value_or_error_is_another_signature() -> None:
    assert fingerprint("assert 3 == 4") != fingerprint("assert 3 == 5")
    assert fingerprint("KeyError: 'a'") != fingerprint("KeyError: 'b'")
    assert fingerprint(None) == fingerprint("") == ""


@given(st.text(max_size=3 * LONGEST))
def test_any_text_has_a_signature_of_fixed_size_and_normalising_twice_changes_nothing(text: str) -> None:
    assert len(fingerprint(text)) in (0, 16)
    assert len(normalised(text)) <= 5 * LONGEST


@pytest.mark.parametrize(
    "hostile", ["a" * 10**6, "/tmp/" * 10**5, "0x" + "f" * 10**6, "\\" * 10**5, "1:" * 10**5]
)
def test_a_huge_failure_is_cut_before_it_is_looked_at(hostile: str) -> None:
    assert len(fingerprint(hostile)) == 16
