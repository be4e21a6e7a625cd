"""The pages of the faults name only tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(("page", "at_least"), [("train-faults.md", 31), ("release-faults.md", 20)])
def test_each_test_that_the_page_names_exists_and_each_line_names_one(page: str, at_least: int) -> None:
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    text = (ROOT / "docs/reference" / page).read_text()
    lines = [line for line in text.splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+)`", line) for line in lines]
    assert len(lines) >= at_least
    assert all(named), "each fault is tried by a test"
    assert {name for names in named for name in names} - known == set()
