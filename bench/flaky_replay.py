"""How fast a history replays beside parsing it alone, and what tests and rows cost in memory.

    python -m bench.flaky_replay [--tests 1000] [--runs 100] [--remembered 10000]
    python -m bench.flaky_replay --long 10000000 [--tests 10000] [--folder /tmp]

Rows: so many tests in so many runs, 1 % of them discordant, 2 % of the tests broken. The ratio is the CPU
time of reading, validating and folding the rows to that of reading and `json.loads` on the same lines. The
two take turns, some rows each, so that a machine that is busy with something else slows both. Memory: so many
tests that are all flaky, with as many failures of their own as a history keeps.

`--long` writes so many rows, gzipped, and does that with them and their first tenth, each in a process of its
own: the peak of its memory must not grow with the rows. Ten million take about five minutes of a core.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import islice
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
from leverframe.simulation.attempt_history import Skipped, replayed

AT = datetime(2026, 1, 1, tzinfo=UTC)
TURN = 10_000
"""Rows that are parsed alone, then replayed."""


def history(tests: int, runs: int) -> Iterator[str]:
    """One text a run, put together from parts that are the same for many rows: there are millions."""
    dice = seeded("replay")
    names = [
        f'{{"test": "tests/unit/module_{test // 50}/test_{test}.py::TestIt::test_case", '
        for test in range(tests)
    ]
    for run in range(runs):
        branch = "main" if run % 4 == 0 else f"change-{run}"
        at = (AT + timedelta(hours=run)).isoformat()
        same = f'"run": "run-{run}", "sha": "{run:040x}", "branch": "{branch}", "at": "{at}", '
        passed = f'{same}"attempt": 1, "outcome": "pass", "signature": null}}\n'
        again = f'{same}"attempt": 2, "outcome": "pass", "signature": null}}\n'
        failed = [
            f'{same}"attempt": {attempt}, "outcome": "fail", "signature": "a.py:{run}: AssertionError"}}\n'
            for attempt in (1, 2, 3)
        ]
        lines = []
        for test, name in enumerate(names):
            if test % 50 == 0 and run > runs // 2:
                lines += [name + end for end in failed]
            elif dice.random() < 0.01:
                lines += [name + failed[0], name + again]
            else:
                lines.append(name + passed)
        yield "".join(lines)


def turns(path: Path, most: int | None = None) -> tuple[float, float]:
    """CPU seconds of replaying so many lines, and of parsing them alone."""
    alone, parsing = islice(lines_of(path, longest=LONGEST), most), 0.0

    def lines(skipped: Skipped | None) -> Iterator[tuple[int, bytes]]:
        nonlocal parsing
        for place, line in enumerate(islice(lines_of(path, longest=LONGEST, skipped=skipped), most)):
            if place % TURN == 0:
                begun = process_time()
                for _, text in islice(alone, TURN):
                    json.loads(text)
                parsing += process_time() - begun
            yield line

    started = process_time()
    told = replayed(lines, "bench", lambda: Replay(Bounds()))
    assert not told.sorted
    return process_time() - started - parsing, parsing


def long_history(count: int, tests: int, folder: Path) -> None:
    """Write, then replay in fresh processes, and say what each took."""
    path = folder / "history.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        for run in history(tests, count // tests):
            file.write(run)
    for most in (count // 10, count):
        whole, alone, peak = in_a_fresh_process("turns", str(path), str(most))
        print(
            f"{most:,} rows: {whole:.1f} s, {most / whole:,.0f} a second, {whole / alone:.2f} times parsing "
            f"alone, peak {peak:,.0f} MB",
            flush=True,
        )


def in_a_fresh_process(*step: str) -> list[float]:
    """What a step comes to, and the peak of its process's memory in MB.

    A peak never goes down again, and begins with that of who started the process: keep that small.
    """
    command = [sys.executable, "-m", __spec__.name, "--step", *step]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return [float(number) for number in told.split()]


def _step(name: str, *arguments: str) -> None:
    if name == "turns":
        path, most = arguments
        numbers: tuple[float, ...] = turns(Path(path), int(most))
    else:
        numbers = (remembered(int(arguments[0])),)
    print(*numbers, getrusage(RUSAGE_SELF).ru_maxrss / 1024)


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
    parser.add_argument("--long", type=int, metavar="ROWS")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        _step(*options.step)
        return
    if options.long:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            long_history(options.long, options.tests, Path(folder))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.jsonl")
        with path.open("w") as file:
            file.writelines(history(options.tests, options.runs))
        count = sum(1 for _ in lines_of(path, longest=LONGEST))
        whole, alone = min(turns(path) for _ in range(3))
    print(f"{count:,} rows: {count / whole:,.0f} a second, {whole / alone:.2f} times parsing alone")
    used, peak = in_a_fresh_process("remembered", str(options.remembered))
    each = used / options.remembered
    print(
        f"{each:,.0f} bytes a test with the longest history: {each / 10:,.0f} MB for 100,000 of them; "
        f"the process's peak was {peak:,.0f} MB"
    )


if __name__ == "__main__":
    main()
