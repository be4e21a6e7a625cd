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
    ("--- FAIL: TestPays (0.02s)", "--- FAIL: TestPays (1.30s)"),
    ("goroutine 7 [sleep, 2 minutes]: f(0xc0) +0x24e", "goroutine 31 [sleep, 3 minutes]: f(0xd1) +0x1"),
    ("no answer of java.lang.Object@402f32ff", "no answer of java.lang.Object@5c7fa833"),
    ("no answer of [I@12345678", "no answer of [I@1b6d3586"),
    ("at A$$Lambda$14/0x000000080b.run", "at A$$Lambda$9/1023487453.run"),
    ("A$$Lambda/0x00007f1a@6d06d69c", "A$$Lambda/0x00007f1b@7852e922"),
    ("at $Proxy12.pay", "at $Proxy9.pay"),
    ("at GeneratedMethodAccessor3.invoke", "at GeneratedMethodAccessor14.invoke"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_varies_from_run_to_run_is_no_part_of_the_signature(one: str, other: str) -> None:
    assert normalised(one) == normalised(other)
    assert fingerprint(one) == fingerprint(other)


def test_another_value_or_error_is_another_signature() -> None:
    assert fingerprint("assert 3 == 4") != fingerprint("assert 3 == 5")
    assert fingerprint("KeyError: 'a'") != fingerprint("KeyError: 'b'")
    assert fingerprint("mail to ann@facade.org") != fingerprint("mail to ann@decade.org")
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
