"""How fast a history replays beside parsing it alone, and what tests cost in memory.

    python -m bench.flaky_replay [--tests 1000] [--runs 100] [--remembered 10000]

Rows: so many tests in so many runs, 1 % of them discordant, 2 % of the tests broken. The ratio is the CPU
time of reading, validating and folding the rows to that of `json.loads` on the same lines. Memory: so many
tests that are all flaky, with as many failures of their own as a history keeps.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import process_time

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.gate import Gate
from agents.flaky_tests.observation import Attempts, Run
from agents.flaky_tests.replay import Replay
from agents.flaky_tests.shelf import MemoryShelf
from agents.flaky_tests.suite import Suite, fold
from bench.detector import seeded
from leverframe.cli.session import lines_of
from leverframe.reports.lines import LONGEST
from leverframe.simulation.attempt_rows import rows

AT = datetime(2026, 1, 1, tzinfo=UTC)


def history(tests: int, runs: int) -> Iterator[str]:
    dice = seeded("replay")
    for run in range(runs):
        at = (AT + timedelta(hours=run)).isoformat()
        for test in range(tests):
            broken = test % 50 == 0 and run > runs // 2
            outcomes = ("fail",) * 3 if broken else ("fail", "pass") if dice.random() < 0.01 else ("pass",)
            for attempt, outcome in enumerate(outcomes, start=1):
                yield json.dumps(
                    {
                        "test": f"tests/unit/module_{test // 50}/test_{test}.py::TestIt::test_case",
                        "run": f"run-{run}",
                        "sha": f"{run:040x}",
                        "branch": "main" if run % 4 == 0 else f"change-{run}",
                        "attempt": attempt,
                        "at": at,
                        "outcome": outcome,
                        "signature": f"a.py:{run}: AssertionError" if outcome == "fail" else None,
                    }
                )


def parsed(path: Path) -> None:
    for _, line in lines_of(path, longest=LONGEST):
        json.loads(line)


def replayed(path: Path) -> None:
    replay = Replay(Bounds())
    for row in rows(lines_of(path, longest=LONGEST), "bench"):
        replay.add(row)
    replay.finish()


def remembered(tests: int) -> int:
    """Bytes that so many tests' names and histories add at the peak: all flaky, each failure another one.

    The gate is opened before each run, since trouble of the infrastructure is what this is.
    """
    before = getrusage(RUSAGE_SELF).ru_maxrss
    shelf, suite = MemoryShelf(), Suite()
    names = {
        f"tests/unit/module_{test // 50}/test_{test}.py::TestIt::test_case": test for test in range(tests)
    }
    for number in range(10):
        others = {
            test: Attempts(int(number % 3 != 2), 1, True, (f"{number:08x}{test:08x}",))
            for test in names.values()
        }
        open_gate = Gate(both=(tests,) * 101, failing=(tests,) * 101)
        run = Run(f"{number:040x}", f"change-{number}", False, AT, frozenset(), others)
        suite = fold(replace(suite, gate=open_gate), run, shelf, Bounds(runs_to_false_quarantine=100)).suite
        del others, run
    return (getrusage(RUSAGE_SELF).ru_maxrss - before) * 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Replay beside parsing alone, and the memory of many tests.")
    parser.add_argument("--tests", type=int, default=1_000)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--remembered", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.jsonl")
        path.write_text("".join(f"{line}\n" for line in history(options.tests, options.runs)))
        count = sum(1 for _ in lines_of(path, longest=LONGEST))
        spent = []
        for step in (parsed, replayed):
            times = []
            for _ in range(3):
                started = process_time()
                step(path)
                times.append(process_time() - started)
            spent.append(min(times))
    alone, whole = spent
    print(f"{count:,} rows: {count / whole:,.0f} a second, {whole / alone:.2f} times parsing alone")
    used = remembered(options.remembered)
    each = used / options.remembered
    print(f"{each:,.0f} bytes a test with the longest history: {each / 10:,.0f} MB for 100,000 of them")


if __name__ == "__main__":
    main()
