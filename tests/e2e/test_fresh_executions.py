"""Fresh executions from end to end: real git, pytest in real jails, store, fold and workflow."""

import sys
from pathlib import Path

import pytest

import leverframe_pytest
from activities.backends.sandbox_jail import JailSandbox
from activities.sandbox import SandboxActivities
from agents.flaky_tests.causes import Cause
from leverframe.model.checks import Check
from tests.fakes.execution_world import ExecutionWorld
from tests.fakes.git_world import GitWorld
from tests.fakes.jails import KINDS, why_not
from tests.fakes.servers import running_server
from tests.fakes.tracks import track_at

PLUGIN = Path(leverframe_pytest.__file__).parent
PAYS, TOTAL = "tests/test_cart.py::test_pays", "tests/test_cart.py::test_total"
GONE = "tests/test_fork.py::test_new"
SUITE = """
ITEMS = []

def test_pays():
    assert ITEMS == []

def test_adds():
    ITEMS.append("mug")

def test_adds_more():
    ITEMS.append("cup")

def test_clears():
    ITEMS.clear()

def test_total():
    assert max([2, 3]) == 5
"""
CHECK = Check(
    name="unit",
    command=(
        *("env", "PYTEST_DISABLE_PLUGIN_AUTOLOAD=1", sys.executable, "-m", "pytest", "-q"),
        *("-p", "leverframe_pytest.plugin", "--leverframe-results", "{results}"),
    ),
    selects_tests=True,
    timeout_seconds=120,
)


@pytest.mark.slow
async def test_probes_in_the_sandbox_quarantine_what_depends_on_the_order_and_name_that(
    tmp_path: Path,
) -> None:
    jails = [kind for kind in KINDS if not why_not(kind)]
    if not jails:
        pytest.skip(f"no jail here: {why_not(KINDS[0])}")
    git, track = GitWorld(tmp_path), track_at(tmp_path)
    plugin = {f"leverframe_pytest/{path.name}": path.read_text() for path in PLUGIN.glob("*.py")}
    sha = git.commit("main", {"pytest.ini": "[pytest]\n", "tests/test_cart.py": SUITE, **plugin})
    repository = git.repository.model_copy(update={"checks": (CHECK,)})
    artifacts, reports = tmp_path / "one/artifacts", tmp_path / "reports"
    sandbox = SandboxActivities(JailSandbox(jails[0]), {"shop": repository}, artifacts, reports)
    async with await running_server() as env:
        world = ExecutionWorld(
            env.client, tmp_path, a_day=400, name="shop", real=(repository, track, sandbox)
        )
        # The broken one passed once by mistake. The first run is of a fork, whose commit git does not have.
        world.told({GONE: "F."}, run=1)
        world.told({PAYS: "F.", TOTAL: "F."}, run=2, sha=sha)
        assert world.fold() == 2
        async with world.working():
            said = await world.executed()
    assert said.endswith("nothing more is worth an execution, or allowed today")
    pays, total, gone = (world.results.story("shop", test) for test in (PAYS, TOTAL, GONE))
    assert pays is not None
    assert total is not None
    assert [one.why for one in (*pays.executions, *total.executions) if one.why] == []
    assert gone is not None
    assert {one.outcome for one in gone.executions} == {"unfit"}
    assert pays.line.quarantined_at is not None
    assert pays.cause is not None
    assert pays.cause.cause is Cause.ORDER
    assert {one.passes for one in total.executions} == {0}
    assert total.line.quarantined_at is None
