"""What pytest's reports say: signatures of failures, and what our hooks note on them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from leverframe_pytest.results import LONGEST_MARKER, MOST_MARKERS
from leverframe_pytest.signatures import fingerprint

SIGNATURE = "leverframe_signature"
"""Attribute of a report of a failure: what it has in common with others of the same cause."""
AGAIN = "leverframe_again"
"""Of a failure of a quarantined test that is executed again before it counts."""
FORGIVEN = "leverframe_forgiven"
"""Of the end of the execution that passed: the signature of the failure before it."""
COUNTED = "leverframe_counted"
"""Of a failure of a quarantined test that counts all the same: why."""
REPEATED = "leverframe_repeated"
"""Of a report that is logged a second time, since nothing that came after it forgives it."""

_MARKERS = "leverframe_markers"


def ran_again(report: pytest.TestReport) -> bool:
    """Whether the test is executed once more after this failure, by a rerun plugin or by us."""
    return str(report.outcome) == "rerun"


def is_part(report: pytest.TestReport) -> bool:
    """Whether it is of a subtest: the test's own report follows."""
    return hasattr(report, "context")


def note_signature(report: pytest.TestReport) -> None:
    """Note what a failure says, before anything of it is changed."""
    if (report.failed or ran_again(report)) and not hasattr(report, SIGNATURE):
        setattr(report, SIGNATURE, _signature(report))


def note_markers(report: pytest.TestReport, item: pytest.Item) -> None:
    """Note the marks of the test, its class and its module; none of them where there are too many to tell."""
    names = sorted({mark.name for mark in item.iter_markers()})
    if len(names) <= MOST_MARKERS and all(len(name) <= LONGEST_MARKER for name in names):
        setattr(report, _MARKERS, names)  # a list: pytest-xdist sends no tuple


def markers_of(report: pytest.TestReport) -> tuple[str, ...] | None:
    """What was noted; nothing on the report of a worker that died."""
    names: list[str] | None = getattr(report, _MARKERS, None)
    return None if names is None else tuple(names)


def _signature(report: pytest.TestReport) -> str:
    """Where it broke and what it said; line numbers and source text of the way there vary too much."""
    crash = getattr(report.longrepr, "reprcrash", None)
    if crash is None:
        return fingerprint("\n".join(_last_lines(report.longreprtext)))
    return fingerprint(f"{Path(crash.path).name}\n{crash.message}")


def _last_lines(text: str) -> Iterator[str]:
    """pytest marks the lines of an error with E; without them the last line has to do."""
    marked = [line[1:].strip() for line in text.splitlines() if line.startswith("E ")]
    yield from marked or text.strip().splitlines()[-1:]
