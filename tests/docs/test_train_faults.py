"""The page of the train's faults names only tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/train-faults.md"


def test_each_test_that_the_page_names_exists_and_each_line_names_one() -> None:
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)\(", path.read_text())
    }
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")][1:]
    named = [re.findall(r"`(test_\w+)`", line) for line in lines]
    assert len(lines) > 30
    assert all(named), "each fault is tried by a test"
    assert {name for names in named for name in names} - known == set()
