"""What holds for every test: nothing of the machine's own Leverframe reaches one."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Generator, Iterator
from functools import cache
from typing import TYPE_CHECKING

import pytest
import structlog
import typer.testing
from hypothesis import HealthCheck, Phase, settings
from typer.main import get_command

if TYPE_CHECKING:
    from tests.fakes.servers import SharedServers

for name in [name for name in os.environ if name.startswith("LEVERFRAME_")]:
    if not name.startswith("LEVERFRAME_TEST_"):
        del os.environ[name]

# Each command and worker that a test starts would compile all modules again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The engine of a test is small and short-lived: its collector has better things to leave alone.
os.environ.setdefault("GOGC", "400")

# What is imported and collected lives until the end. Looking at all of it again and again took a fifth of the
# start and a tenth of the unit tests.
gc.disable()

# Otherwise each call of a `CliRunner` makes all commands of the program anew, most of what such a test takes.
typer.testing._get_command = cache(get_command)

# How fast a busy machine draws and runs examples says nothing of the code.
settings.register_profile("tests", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tests")

# A logger that one test has cached would tell `capture_logs` of a later one nothing.
_configure_logs = structlog.configure
structlog.configure = lambda **how: _configure_logs(**how | {"cache_logger_on_first_use": False})

# `make mutation` asks each change the same examples, and wants to know only that one of them fails.
settings.register_profile(
    "mutation", deadline=None, derandomize=True, phases=[Phase.explicit, Phase.generate]
)
if "LEVERFRAME_TEST_MUTATION" in os.environ:
    settings.load_profile("mutation")


@pytest.fixture(scope="session")
def servers() -> "Iterator[SharedServers]":
    """Real Temporal servers, started when the first module asks for one."""
    from tests.fakes.servers import SharedServers

    shared = SharedServers()
    yield shared
    asyncio.run(shared.stop())


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What the test starts hears SIGINT, which a shell's job in the background and all it starts ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# Which of how many workers this is; without workers, the only one.
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Each worker loads the directory from another place on, so that in a new clone each compiles a part.

    In step, all of them would compile every module at the same time.
    """
    report = yield
    if report.passed and isinstance(collector, pytest.Directory):
        first = len(report.result) * WORKER // WORKERS
        report.result = [*report.result[first:], *report.result[:first]]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow tests first and then those with an engine, so that no worker is left alone at the end."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("slow") is None,
            "workflows" not in item.path.parts,
            item.path,
        )
    )


def pytest_collection_finish() -> None:
    """From here on the collector looks after what tests make, and at nothing that was there before."""
    gc.freeze()
    gc.set_threshold(10_000, 20, 50)
    gc.enable()
