"""What a year of test results costs: reports of a large suite kept and folded, against parsing them alone.

    python -m bench.test_results --tests 100000 --runs 5

Prints a ratio for each step and the bytes that stay. A run is one report of every test: nearly all pass, with
durations that vary; a few fail, and a few fail and pass.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from sqlalchemy import Engine, func, select, text

from activities.backends.results_store import ResultsStore
from activities.backends.results_tables import (
    test_attempts,
    test_commits,
    test_days,
    test_pages,
    test_reports,
    test_states,
    tests,
)
from activities.backends.store_sql import open_store
from agents.flaky_tests.bounds import BY_A_PERSON, Bounds
from leverframe.model.test_reports import Attempt, Report

BEGAN = datetime(2026, 3, 2, tzinfo=UTC)
APART = timedelta(minutes=72)
"""20 runs a day."""
FLAKY, BROKEN = 1 / 2_000, 1 / 20_000
"""Of the tests, in a run."""


@dataclass
class Spent:
    """Seconds."""

    parse: float = 0.0
    keep: float = 0.0
    fold: float = 0.0
    payload: int = 0
    """Bytes."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tests", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--store", default="", help="a SQLAlchemy URL; empty is a new SQLite file")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        engine = open_store(chosen.store or f"sqlite:///{home}/store.db")
        first = Spent()
        _run(engine, 0, chosen.tests, first)
        base, spent = _bytes(engine), Spent()
        for number in range(1, chosen.runs + 1):
            _run(engine, number, chosen.tests, spent)
        chosen.payload = spent.payload // chosen.runs
        _tell(chosen, first, spent, base, _bytes(engine))


def _run(engine: Engine, number: int, count: int, spent: Spent) -> None:
    store = ResultsStore(engine)
    at = BEGAN + number * APART
    lines = "\n".join(json.dumps(row) for row in _rows(number, count, at))
    began = time.process_time()
    rows = [json.loads(line) for line in lines.splitlines()]
    spent.parse += time.process_time() - began
    attempts = tuple(
        Attempt(row["test"], row["attempt"], row["outcome"], row["signature"], at, row["ms"], row["path"])
        for row in rows
    )
    report = Report(
        repository="large",
        run=str(number),
        sha=f"{number:040x}",
        branch="main",
        job="tests",
        source="upload",
        attempts=attempts,
    )
    began = time.process_time()
    store.keep(report, at=at)
    spent.keep += time.process_time() - began
    spent.payload += _bytes(engine)["test_reports"]
    began = time.process_time()
    store.fold_next(
        "large",
        target="main",
        settled_before=at,
        at=at,
        bounds=Bounds(runs_to_false_quarantine=BY_A_PERSON),
        contains=lambda fix, sha: True,
    )
    spent.fold += time.process_time() - began


def _rows(number: int, count: int, at: datetime) -> Iterator[dict[str, object]]:
    draw = random.Random(number)  # noqa: S311 - the same tests fail in every measurement
    for test in range(count):
        path = f"tests/area_{test % 97}/test_module_{test // 50}.py"
        chance = draw.random()
        outcomes = (
            ["fail", "pass"] if chance < FLAKY else ["fail"] * 3 if chance < FLAKY + BROKEN else ["pass"]
        )
        for attempt, outcome in enumerate(outcomes, 1):
            yield {
                "test": f"{path}::TestThings::test_does_its_thing[{test}]",
                "attempt": attempt,
                "outcome": outcome,
                "signature": "" if outcome == "pass" else f"{test % 7:016x}",
                "at": at.isoformat(),
                "ms": int(draw.lognormvariate(3.0, 0.3) * (1 + test % 40)),
                "path": path,
            }


_KEPT = {
    "test_reports": test_reports.c.payload,
    "test_pages": test_pages.c.counts,
    "test_days": test_days.c.counts,
    "test_commits": test_commits.c.passed,
    "test_states": test_states.c.history,
    "tests": tests.c.test,
}


def _bytes(engine: Engine) -> dict[str, int]:
    """By table, of what is kept."""
    with engine.connect() as connection:
        found = {
            name: int(
                connection.execute(select(func.coalesce(func.sum(func.length(column)), 0))).scalar_one()
            )
            for name, column in _KEPT.items()
        }
        rows = connection.execute(select(func.count()).select_from(test_attempts)).scalar_one()
        if engine.dialect.name == "sqlite":
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            found["whole file"] = pages * connection.execute(text("PRAGMA page_size")).scalar_one()
    return found | {"rows of attempts": rows}


def _tell(
    chosen: argparse.Namespace, first: Spent, spent: Spent, base: dict[str, int], now: dict[str, int]
) -> None:
    runs = chosen.runs
    print(f"{chosen.tests:,} tests, {runs} runs; seconds of CPU a run, and the ratio to parsing JSON")
    for name in ("parse", "keep", "fold"):
        mean = getattr(spent, name) / runs
        ratio, begun = mean / (spent.parse / runs), getattr(first, name)
        print(f"  {name:6} {mean:6.2f} s  {ratio:5.2f}x   the first run: {begun:.2f} s")
    print(f"a report waits as {chosen.payload:,} bytes; what stays:")
    for name, size in now.items():
        print(f"  {name:18} {size:12,}  (+{(size - base[name]) // runs:,} a run)")
    days = -(-(runs + 1) * APART // timedelta(days=1))
    attempts = now["rows of attempts"] / (runs + 1) * 20 * 90
    print(f"a year of 20 runs a day: {now['test_days'] / days * 400 / 1e6:,.0f} MB of counts by test and day")
    print(f"  for 400 days, {attempts:,.0f} attempts for 90 days, {20 * 400:,} rows of runs")


if __name__ == "__main__":
    main()
