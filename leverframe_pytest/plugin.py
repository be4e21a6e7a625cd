"""The options: attempts are written down, quarantined failures are forgiven, single tests are executed.

A quarantine file that can't be read forgives nothing. With pytest-xdist failures are judged in the worker;
attempts are written by the main process.
"""

import os
from collections.abc import Generator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from leverframe_pytest import clock, only, quarantine, results
from leverframe_pytest.forgiving import Forgiver
from leverframe_pytest.recording import Recorder
from leverframe_pytest.reports import note_markers

_ONLY = pytest.StashKey[only.Only | None]()
"""What is executed; None is everything."""
_CLOCK_SAYS = pytest.StashKey[str]()
"""For people, of a clock that was to be moved; else empty."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("leverframe", "Leverframe: attempts and quarantine")
    group.addoption(
        "--leverframe-results",
        metavar="FILE",
        default=os.environ.get("LEVERFRAME_RESULTS"),
        help="append one JSON line for each attempt (default: LEVERFRAME_RESULTS)",
    )
    group.addoption(
        "--leverframe-quarantine",
        metavar="FILE",
        default=quarantine.PLACE,
        help="the quarantine file, from the root directory (default: %(default)s); an empty name is none",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Before any code of the repository is loaded. Not called where a conftest file names this plugin."""
    _take_orders(early_config)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    if _ONLY not in config.stash:
        _take_orders(config)
    if config.stash[_ONLY] is not None:
        only.alone_in_one_process(config)
        # A test may run pytest itself, which has nothing to do with this.
        del os.environ["LEVERFRAME_ONLY"]


def pytest_configure(config: pytest.Config) -> None:
    named_only = config.stash.get(_ONLY, None)
    entries = {} if named_only is not None else _read(config)
    config.pluginmanager.register(Forgiver(entries, today=datetime.now(UTC).date()), "leverframe-forgiver")
    if named_only is not None:
        selector = only.Selector(named_only, config.rootpath, config.stash[_CLOCK_SAYS])
        config.pluginmanager.register(selector, "leverframe-only")
    if hasattr(config, "workerinput") or not (named := config.getoption("leverframe_results")):
        return
    try:
        run = results.this_run(os.environ, config.rootpath)
    except results.NotKnown as error:
        raise pytest.UsageError(f"--leverframe-results: {error}") from error
    recorder = Recorder(config.rootpath / named, run, named_only.tests if named_only else None)
    config.pluginmanager.register(recorder, "leverframe-recorder")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report say which marks its test has: the main process may never see the test itself."""
    report = yield
    note_markers(report, item)
    return report


def _take_orders(config: pytest.Config) -> None:
    """What the environment says, and the clock as it says. Raises UsageError: a run of all tests, or at the
    wrong time, would say too much.
    """
    try:
        ordered = only.told(os.environ)
    except only.Malformed as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_ONLY], config.stash[_CLOCK_SAYS] = ordered, ""
    if ordered is not None and ordered.clock is not None:
        back = clock.begin_at(ordered.clock)
        if back is not None:
            config.add_cleanup(back)
        config.stash[_CLOCK_SAYS] = clock.told(ordered.clock, moved=back is not None)


def _read(config: pytest.Config) -> dict[str, quarantine.Entry] | str:
    """The entries, or why there are none."""
    named = config.getoption("leverframe_quarantine")
    path: Path = config.rootpath / named
    if not named or not path.exists():
        return {}
    try:
        return quarantine.read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, quarantine.Unreadable) as error:
        return f"{named} can't be read, so nothing is quarantined: {error}"
