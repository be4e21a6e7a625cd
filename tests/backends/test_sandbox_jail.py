"""The jail as a Sandbox port: what ordinary checks and probes come back with, in both kinds of jail."""

import json
import os
import shutil
import site
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from activities.backends.sandbox_jail import JailKind, JailSandbox
from leverframe.demo.shop_changes import shop_change
from leverframe.demo.shop_repository import SHOP, shop_repository
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.errors import NotFound, Refused
from tests.fakes.jails import KINDS, why_not
from tests.fakes.trees import SHA, write_tar

REPOSITORY = shop_repository("shop.git")


def quiet() -> None:
    """A heartbeat that nobody listens to."""


def check(jail: JailSandbox, artifact: Path, *command: str, seconds: int = 30) -> CheckResult:
    return jail.run_check(
        Check(name="check", command=command, timeout_seconds=seconds),
        artifact=artifact,
        sha=SHA,
        heartbeat=quiet,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tar(tmp_path / "tree.tar", {"greet.py": "print('hello from the tree')\n", "data/a.txt": "a"})


def shop_tar(tmp_path: Path, *changes: str) -> Path:
    files = {
        path.relative_to(SHOP).as_posix(): path.read_text()
        for path in sorted(SHOP.rglob("*"))
        if path.is_file() and path.suffix in (".py", ".toml", ".json")
    }
    for change in changes:
        files |= shop_change(change)
    return write_tar(tmp_path / "shop.tar", files)


def test_a_command_that_succeeds_passes_with_its_output(jail: JailSandbox, tree: Path) -> None:
    result = check(jail, tree, "{python}", "greet.py")
    assert (result.outcome, result.log) == ("passed", "hello from the tree\n")
    assert result.sha == SHA


def test_a_command_that_fails_says_with_which_status(jail: JailSandbox, tree: Path) -> None:
    result = check(jail, tree, "sh", "-c", "echo broken >&2; exit 3")
    assert (result.outcome, result.log) == ("failed", "broken\n")
    assert "status 3" in result.summary


def test_a_command_that_is_not_there_fails_with_its_name(jail: JailSandbox, tree: Path) -> None:
    result = check(jail, tree, "no-such-command")
    assert result.outcome == "failed"
    assert "no-such-command" in result.log


def test_a_command_that_kills_itself_fails(jail: JailSandbox, tree: Path) -> None:
    result = check(jail, tree, "sh", "-c", "kill -SEGV $$")
    assert result.outcome == "failed"
    assert "139" in result.summary


def test_the_command_gets_the_tree_its_environment_and_nothing_else(jail: JailSandbox, tree: Path) -> None:
    script = "import json, os; print(json.dumps([os.getcwd(), sorted(os.listdir()), dict(os.environ)]))"
    where, names, environment = json.loads(check(jail, tree, "{python}", "-c", script).log)
    assert (where, names) == ("/tree", ["data", "greet.py"])
    assert set(environment) - {"PWD"} == {"PATH", "HOME", "TMPDIR", "LANG", "PYTHONDONTWRITEBYTECODE"}


def test_two_commands_share_nothing(jail: JailSandbox, tree: Path) -> None:
    assert check(jail, tree, "sh", "-c", "touch left /tmp/left /dev/shm/left").outcome == "passed"
    seen = check(jail, tree, "sh", "-c", "ls /tree /tmp /dev/shm")
    assert "left" not in seen.log


def test_the_loopback_address_works_inside(jail: JailSandbox, tree: Path) -> None:
    script = (
        "import socket; s = socket.create_server(('127.0.0.1', 0));"
        "socket.create_connection(s.getsockname()).close(); print('connected')"
    )
    assert check(jail, tree, "{python}", "-c", script).log == "connected\n"


def test_the_heartbeat_beats_while_a_command_runs(jail: JailSandbox, tree: Path) -> None:
    beats: list[int] = []
    jail.run_check(
        Check(name="check", command=("sleep", "1.2")),
        artifact=tree,
        sha=SHA,
        heartbeat=lambda: beats.append(1),
    )
    assert len(beats) >= 2


def test_a_missing_artifact_is_not_found(jail: JailSandbox, tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        check(jail, tmp_path / "gone.tar", "true")


def test_the_shop_s_own_tests_pass_in_the_jail(jail: JailSandbox, tmp_path: Path) -> None:
    result = check(jail, shop_tar(tmp_path), *REPOSITORY.checks[0].command)
    assert result.outcome == "passed", result.log
    assert " passed" in result.log


@pytest.mark.parametrize(("on", "status"), [(False, 201), (True, 500)])
def test_probes_meet_the_service_with_the_flag_values_asked_for(
    jail: JailSandbox, tmp_path: Path, on: bool, status: int
) -> None:
    results = jail.run_probes(
        REPOSITORY,
        REPOSITORY.service.probes,
        artifact=shop_tar(tmp_path, "bulk-pricing"),
        sha=SHA,
        flags={"new-pricing": on},
        heartbeat=quiet,
    )
    assert {result.probe: result.status for result in results} == {
        "catalogue": 200,
        "checkout": 201,
        "checkout-with-extras": status,
        "order": 200,
    }


def test_a_service_that_does_not_start_answers_no_probe_and_says_why(jail: JailSandbox, tree: Path) -> None:
    results = jail.run_probes(
        REPOSITORY, REPOSITORY.service.probes[:1], artifact=tree, sha=SHA, flags={}, heartbeat=quiet
    )
    assert [result.status for result in results] == [0]
    assert "No module named shop" in results[0].detail


def test_a_service_that_kills_the_driver_answers_no_probe(jail: JailSandbox, tmp_path: Path) -> None:
    service = "import os, signal\nos.kill(os.getppid(), signal.SIGKILL)\n"
    hostile = write_tar(tmp_path / "hostile.tar", {"shop.py": service})
    results = jail.run_probes(
        REPOSITORY, REPOSITORY.service.probes[:1], artifact=hostile, sha=SHA, flags={}, heartbeat=quiet
    )
    assert [(result.probe, result.status) for result in results] == [("catalogue", 0)]
    assert "no readable answer" in results[0].detail


def test_health_says_which_jail_it_is_and_what_it_does_not_protect(jail: JailSandbox) -> None:
    health = jail.health()
    assert health.ok
    assert health.detail.startswith(("bubblewrap", "unshare"))
    assert "no system call filter" in health.detail


def test_without_a_jail_nothing_runs(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty PATH hides every tool that could build a jail."""
    monkeypatch.setenv("PATH", "/nonexistent")
    jail = JailSandbox()
    with pytest.raises(Refused, match="not run without a jail"):
        check(jail, tree, "true")
    health = jail.health()
    assert not health.ok
    assert "bwrap is not installed" in health.detail
    assert health.remedy


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user to try this")
@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_is_not_root_has_the_same_jail(kind: JailKind, tree: Path) -> None:
    """The whole path once more as nobody; needs an interpreter and sources that nobody can read."""
    if why := why_not(kind):
        pytest.skip(f"no {kind} jail here: {why}")
    python = next((one for one in ("/usr/bin/python3", "/usr/local/bin/python3") if Path(one).exists()), None)
    setpriv = shutil.which("setpriv")
    if python is None or setpriv is None:
        pytest.skip("no system-wide interpreter or setpriv")
    backends = Path(__file__).resolve().parents[2] / "activities" / "backends"
    jailed = f"jail_{kind}"
    script = f"""
import importlib, json, sys, types
for name in ("activities", "activities.backends"):
    package = types.ModuleType(name)
    package.__path__ = [{str(backends)!r}] if "." in name else [{str(backends.parent)!r}]
    sys.modules[name] = package
layout = importlib.import_module("activities.backends.jail_layout")
process = importlib.import_module("activities.backends.jail_process")
kind = importlib.import_module("activities.backends.{jailed}")
limits = layout.Limits(seconds=30, memory_bytes=2**30, processes=50, output_bytes=10**6, disk_bytes=2**26)
def command(report):
    order = dict(tree=layout.TREE, report=report, limits=limits.of_process())
    entered = [*layout.script("enter.py"), json.dumps(order), "sh", "-c", "id -u; cat data/a.txt"]
    return kind.jailed(entered, limits, layout.environment())
ended = process.run(command, tar=sys.stdin.buffer, limits=limits, heartbeat=lambda: None)
print(ended.report, ended.stopped, ended.output.decode())
"""
    with tree.open("rb") as tar:
        done = subprocess.run(
            [setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", python, "-I", "-c", script],
            stdin=tar,
            capture_output=True,
            text=True,
            cwd="/",
            timeout=60,
            check=False,
        )
    if "Permission denied" in done.stderr and str(backends) in done.stderr:
        pytest.skip("nobody can't read the sources here")
    assert done.stdout.startswith("ready None 65534\na"), done.stdout + done.stderr


def test_our_interpreter_is_the_one_that_runs_inside(jail: JailSandbox, tree: Path) -> None:
    result = check(jail, tree, "{python}", "-c", "import sys; print(sys.version)")
    assert result.log.strip() == sys.version


@pytest.mark.parametrize("kind", KINDS)
def test_an_environment_below_tmp_is_seen_although_the_jail_has_a_tmp_of_its_own(
    kind: JailKind, tree: Path, tmp_path: Path
) -> None:
    if why := why_not(kind):
        pytest.skip(f"no {kind} jail here: {why}")
    with tempfile.TemporaryDirectory(dir="/tmp") as below:
        environment = Path(below, "venv")
        venv.create(environment, with_pip=False, symlinks=True)
        script = f"""
from pathlib import Path
from activities.backends.sandbox_jail import JailSandbox
from leverframe.model.checks import Check
check = Check(name="check", command=("{{python}}", "-c", "import sys; print(sys.prefix)"))
result = JailSandbox({kind!r}).run_check(check, artifact=Path({str(tree)!r}), sha="{SHA}", heartbeat=print)
print("\\n", result.outcome, result.log)
"""
        sources = Path(__file__).resolve().parents[2]
        done = subprocess.run(
            [environment / "bin" / "python", "-c", script],
            env={"PATH": os.defpath, "PYTHONPATH": os.pathsep.join([str(sources), *site.getsitepackages()])},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.stdout.split()[-2:] == ["passed", str(environment)], done.stdout + done.stderr
