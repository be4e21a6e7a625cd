"""Executes single tests, as the environment says: what a fresh job runs while the command stays the same.

`LEVERFRAME_ONLY` is a JSON list of exact node ids, `LEVERFRAME_KIND` how they are executed (one of KINDS,
`as_it_ran` by default), `LEVERFRAME_SEED` a whole number for what the kind varies, `LEVERFRAME_CLOCK` when a
run of the kind `clock` begins. Names of tests come from reports, which anybody can write: they are only ever
compared.

Each named test runs once, whatever a rerun plugin is told, in this process, whatever pytest-xdist is told;
`--maxfail` does not end the run before it. No failure is forgiven, and only named tests are recorded.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from leverframe_pytest import clock

KINDS = ("as_it_ran", "alone", "shuffled", "parallel", "clock", "seed")
"""`alone`: without the tests before it in its file. `shuffled`: after others of its directory, in an order
made of the seed. `parallel`: as it ran, while other processes are busy. `seed`: as it ran, with the random
numbers of `random` and numpy begun anew from the seed before each test. `clock`: as it ran, at another time.
Whoever starts pytest sets the zone, and for `seed` PYTHONHASHSEED, which must be there before Python is."""
MOST_BEFORE = 50
"""Tests that run before a shuffled one."""
MOST_BUSY = 4
"""Processes beside a parallel one; fewer where there are fewer processors."""
MOST_TESTS = 1_000

_BUSY = """\
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True: pass
"""


class Malformed(ValueError):
    """The environment does not say what to run; the text says which variable, and what it must be."""


@dataclass(frozen=True, kw_only=True)
class Only:
    """What is executed."""

    tests: frozenset[str]
    kind: str
    seed: int
    clock: int | None = None
    """When the run begins, in seconds since 1970; None is now."""

    @property
    def files(self) -> frozenset[str]:
        """Where the tests lie, from the root directory."""
        return frozenset(test.partition("::")[0] for test in self.tests)


def told(environment: Mapping[str, str]) -> Only | None:
    """What the environment says; None: everything runs. Raises Malformed."""
    if "LEVERFRAME_ONLY" not in environment:
        return None
    try:
        tests = json.loads(environment["LEVERFRAME_ONLY"])
    except (ValueError, RecursionError) as error:
        raise Malformed("LEVERFRAME_ONLY is not JSON: it must be a list of node ids") from error
    if (
        not isinstance(tests, list)
        or not 0 < len(tests) <= MOST_TESTS
        or not all(isinstance(test, str) and test for test in tests)
    ):
        raise Malformed(f"LEVERFRAME_ONLY must be a JSON list of 1 to {MOST_TESTS:,} node ids")
    kind = environment.get("LEVERFRAME_KIND", KINDS[0])
    if kind not in KINDS:
        raise Malformed(f"LEVERFRAME_KIND must be one of {', '.join(KINDS)}")
    seed = environment.get("LEVERFRAME_SEED", "0")
    if not (seed.isascii() and seed.isdigit() and len(seed) <= 18):
        raise Malformed("LEVERFRAME_SEED must be a whole number that is not negative")
    moment = environment.get("LEVERFRAME_CLOCK")
    if moment is not None:
        if not (moment.isascii() and moment.isdigit() and len(moment) <= clock.LONGEST):
            raise Malformed(
                f"LEVERFRAME_CLOCK must be whole seconds since 1970, of at most {clock.LONGEST} digits"
            )
        if kind != "clock":
            raise Malformed("LEVERFRAME_CLOCK is only for the LEVERFRAME_KIND clock")
    at = None if moment is None else int(moment)
    return Only(tests=frozenset(tests), kind=kind, seed=int(seed), clock=at)


def chosen(nodes: Sequence[str], only: Only) -> list[int]:
    """The places of the tests that run, in the order in which they run. `nodes`: node ids as collected."""
    wanted = [place for place, node in enumerate(nodes) if node in only.tests]
    if only.kind == "alone" or not wanted:
        return wanted
    files = [node.partition("::")[0] for node in nodes]
    if only.kind == "shuffled":
        order = _shuffled(files, only.seed)
        first = min(map(order.index, wanted))
        before = order[max(first - MOST_BEFORE, 0) : first]
        return [*before, *(place for place in order[first:] if nodes[place] in only.tests)]
    last = {files[place]: place for place in wanted}
    return [place for place, file in enumerate(files) if place <= last.get(file, -1)]


def _shuffled(files: Sequence[str], seed: int) -> list[int]:
    """The places in another order; those of a file stay together, so that its fixtures are made once."""
    chance = random.Random(seed)  # noqa: S311 - an order, no secret
    names = sorted(set(files))
    chance.shuffle(names)
    order = list[int]()
    for name in names:
        places = [place for place, file in enumerate(files) if file == name]
        chance.shuffle(places)
        order += places
    return order


def alone_in_one_process(config: pytest.Config) -> None:
    """Take back what the command says of pytest-xdist and of the first failures."""
    config.option.maxfail = 0
    if hasattr(config.option, "numprocesses"):
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []
        config.option.distload = False


class Selector:
    """Leaves the chosen tests of those that the command collects, and runs the named ones."""

    def __init__(self, only: Only, root: Path, clock_says: str) -> None:
        """`clock_says`: a line on the clock, or an empty text."""
        self._only = only
        self._root = root
        self._clock_says = clock_says

    def pytest_report_header(self) -> str:
        return f"only {len(self._only.tests)} tests, {self._only.kind}, seed {self._only.seed}"

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Here, since a quiet run shows no header."""
        if self._clock_says:
            terminalreporter.write_line(f"LEVERFRAME_CLOCK: {self._clock_says}")

    @pytest.hookimpl(tryfirst=True)
    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Other files need not be read, however many there are."""
        try:
            path = PurePosixPath(collection_path.relative_to(self._root).as_posix())
        except ValueError:
            return None
        for file in map(PurePosixPath, self._only.files):
            near = path.parent == file.parent if self._only.kind == "shuffled" else path == file
            if near and not collection_path.is_dir():
                return None
            if path == file or path in file.parents:
                return None
        return True

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """After all others, which may choose and order, too."""
        done = yield
        places = chosen([item.nodeid for item in items], self._only)
        missing = self._only.tests - {items[place].nodeid for place in places}
        if missing and not session.testsfailed:
            raise pytest.UsageError(
                f"LEVERFRAME_ONLY: {len(missing)} of {len(self._only.tests)} tests are not among those that "
                f"the command runs, the first: {min(missing)[:200]!a}"
            )
        kept = set(places)
        config.hook.pytest_deselected(items=[one for place, one in enumerate(items) if place not in kept])
        items[:] = [items[place] for place in places]
        return done

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> object:
        """Instead of rerun plugins: each execution of a named test is one attempt."""
        if self._only.kind == "seed":
            _begin_anew(self._only.seed)
        if item.nodeid not in self._only.tests:
            return None
        with _busy() if self._only.kind == "parallel" else ExitStack():
            runner: Any = item.config.pluginmanager.get_plugin("runner")
            done: object = runner.pytest_runtest_protocol(item=item, nextitem=nextitem)
            return done


def _begin_anew(seed: int) -> None:
    """The same random numbers in each execution, of numpy where something has loaded it."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed % 2**32)


@contextmanager
def _busy() -> Iterator[None]:
    """Processes that use every processor. They end with this one, however it ends."""
    with ExitStack() as started:
        for _ in range(min(os.cpu_count() or 1, MOST_BUSY)):
            process = subprocess.Popen([sys.executable, "-I", "-S", "-c", _BUSY], stdin=subprocess.PIPE)
            started.callback(process.wait)
            started.callback(process.kill)
        yield
