"""Findings, entries and facts of a quarantine file, with what a test does not care about filled in."""

from datetime import timedelta
from typing import Any

from leverframe.model.quarantine import (
    FlakyFacts,
    FlakyFinding,
    QuarantineCaps,
    Quarantined,
    QuarantineFile,
)
from leverframe.model.untrusted import Untrusted
from tests.unit.agents.flaky_tests.lives import AT

CAPS = QuarantineCaps(
    share_ppm=20_000, per_day=5, per_change=25, deny_paths=("tests/security/*",), deny_markers=("payment",)
)


def flaky(name: str, **fields: Any) -> FlakyFinding:
    return FlakyFinding(
        **{
            "test": Untrusted(f"tests/test_a.py::{name}"),
            "kind": "flaky",
            "at": AT,
            "evidence": "failed and passed on the same commit in 4 of 311 runs",
            "strength": 2_000_000,
            "discordant": 4,
            "runs": 311,
            "masks": ("0" * 16,),
            "path": "tests/test_a.py",
            "markers": (),
            "owner": "@shop/tests",
            **fields,
        }
    )


def entry(name: str, **fields: Any) -> Quarantined:
    return Quarantined(
        **{
            "test": Untrusted(f"tests/test_a.py::{name}"),
            "masks": ("0" * 16,),
            "since": AT.date(),
            "expires": AT.date() + timedelta(days=30),
            "owner": "@shop/tests",
            "evidence": "4 of 311 runs",
            **fields,
        }
    )


def facts(*findings: FlakyFinding, **fields: Any) -> FlakyFacts:
    return FlakyFacts(
        **{"tests": 1_000, "file": QuarantineFile(), "findings": findings, "caps": CAPS, **fields}
    )
