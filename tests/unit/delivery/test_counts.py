"""Counts by SHA and by variant of a flag stay bounded, whatever a service says of its flags."""

import pytest

from leverframe.delivery.counts import MAX_FLAGS, MAX_FLAGS_A_REQUEST, MAX_VARIANTS, Counts, evaluated
from leverframe.model.releases import Count

SHA = "a" * 40


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ("", []),
        ("new-pricing=on", [("new-pricing", "on")]),
        ("a=on , b=leverframe-internal", [("a", "on"), ("b", "leverframe-internal")]),
        ("a=on,a=off", [("a", "off")]),
        ('a="on", b, =on, c=, d=on;x, e=on', [("e", "on")]),
        ("a=on," + "x" * 5000, []),
    ],
)
def test_a_response_tells_its_flags_and_junk_is_left_out(header: str, told: list[tuple[str, str]]) -> None:
    assert list(evaluated(header)) == told


def test_a_request_counts_for_its_sha_and_for_the_variant_of_each_flag() -> None:
    counts = Counts()
    counts.record(SHA, failed=True, milliseconds=7, flags="a=on, b=off")
    counts.record(SHA, failed=False, milliseconds=7, flags="a=off")
    counts.record(SHA, failed=False, milliseconds=7)
    assert counts.signals(SHA)["errors"] == Count(bad=1, total=3)
    assert counts.signals(SHA)["slower than 5 ms"] == Count(bad=3, total=3)
    seen = {each.variant: (each.requests, each.errors) for each in counts.variants("a")}
    assert seen == {"on": (1, 1), "off": (1, 0)}
    assert counts.variants("a")[0].latency[1] == 1
    assert counts.variants("c") == ()


def test_flags_and_variants_without_end_fill_no_memory() -> None:
    counts = Counts()
    many = ",".join(f"f{number}=on" for number in range(2 * MAX_FLAGS_A_REQUEST))
    counts.record(SHA, failed=False, milliseconds=1, flags=many)
    assert not counts.variants(f"f{MAX_FLAGS_A_REQUEST}")
    for number in range(2 * MAX_VARIANTS):
        counts.record(SHA, failed=False, milliseconds=1, flags=f"f0=v{number}")
    assert len(counts.variants("f0")) == MAX_VARIANTS
    for number in range(MAX_FLAGS):
        counts.record(SHA, failed=False, milliseconds=1, flags=f"g{number}=on")
    assert counts.variants("f0") == ()
    assert counts.variants(f"g{MAX_FLAGS - 1}")
