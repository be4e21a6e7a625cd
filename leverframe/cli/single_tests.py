"""Can the checks of each repository execute one test again? What the doctor says of it, tried in a jail.

Only the interpreter that stands for `{python}` is tried, over an empty tree: no code of a repository runs.
"""

import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from leverframe.cli.doctor import Colour, Finding
from leverframe.model.checks import Check
from leverframe.model.errors import LeverframeError
from leverframe.model.frozen import Frozen
from leverframe.model.topology import Repository
from leverframe.model.untrusted import Untrusted

if TYPE_CHECKING:
    from activities.ports import Sandbox

TRIED = ("{python}", "-m", "pytest")
"""How a command begins of which it can be seen what it runs."""
_LOOK = """
import importlib.metadata, importlib.util, json, os, time

def has(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False

os.environ["TZ"] = "Asia/Kathmandu"
time.tzset()
try:
    import time_machine
    moves = hasattr(time_machine, "Traveller")
except ImportError:
    moves = False
print(json.dumps({
    "pytest": has("pytest"),
    "plugin": has("leverframe_pytest.plugin"),
    "named": any(
        one.value == "leverframe_pytest.plugin" for one in importlib.metadata.entry_points(group="pytest11")
    ),
    "moves_clock": moves,
    "knows_zones": time.timezone == -20_700,
}))
"""
_SECONDS = 60
_INSTALL = f'{sys.executable} -m pip install "./leverframe_pytest[clock]"'
"""For the interpreter that `{python}` is; the jail does not see the checkout that it may run from."""


class Seen(Frozen):
    """What the interpreter of the sandbox has."""

    pytest: bool
    plugin: bool
    """Ours can be loaded."""
    named: bool
    """pytest loads it by itself, since it is installed as a package."""
    moves_clock: bool
    """There is a time-machine that our plugin uses."""
    knows_zones: bool
    """TZ changes what time it is."""


def single_tests(repositories: tuple[Repository, ...], look: Callable[[], Seen | str]) -> Iterator[Finding]:
    """`look`: what is there, or why that can't be seen. It is only asked where it matters."""
    unable, untried, tried = list[str](), list[str](), list[tuple[str, Check]]()
    for repository in repositories:
        selecting = [check for check in repository.checks if check.selects_tests]
        if not selecting:
            unable.append(repository.name)
        for check in selecting:
            told = f"{repository.name} by {check.name}"
            if check.command[: len(TRIED)] == TRIED:
                tried.append((told, check))
            else:
                untried.append(told)
    if unable:
        yield _finding(
            "yellow",
            f"no check can execute one test again in {', '.join(unable)}",
            "where our pytest plugin is in the sandbox, say `selects_tests = true` of the check",
        )
    if untried:
        yield _finding(
            "green",
            f"said to be executed again, not tried: {', '.join(untried)}, whose command does not begin with "
            + " ".join(TRIED),
        )
    if tried:
        yield _judged(tried, look())


def looked(sandbox: "Sandbox") -> Seen | str:
    """Ask the interpreter in a fresh jail of this machine."""
    check = Check(name="doctor", command=(TRIED[0], "-c", _LOOK), timeout_seconds=_SECONDS)
    with tempfile.TemporaryDirectory() as directory:
        empty = Path(directory) / "empty.tar"
        tarfile.open(empty, "w").close()
        try:
            result = sandbox.run_check(check, artifact=empty, sha="0" * 40, heartbeat=lambda: None)
        except LeverframeError as error:
            return str(error)
    if result.outcome != "passed":
        return f"{{python}} in the jail: {result.summary}"
    try:
        return Seen.model_validate_json(result.log.strip().rpartition("\n")[2])
    except ValidationError:
        return f"{{python}} in the jail said {Untrusted(result.log.strip()).for_terminal()!r}"


def _judged(tried: list[tuple[str, Check]], seen: Seen | str) -> Finding:
    names = ", ".join(told for told, _ in tried)
    if isinstance(seen, str):
        return _finding(
            "yellow",
            f"said to be executed again, and can't be tried here: {names}; {seen}",
            "run the doctor where the sandbox's worker runs",
        )
    if not (seen.pytest and seen.plugin):
        lacks = "our pytest plugin" if seen.pytest else "pytest"
        return _finding(
            "red",
            f"{{python}} in the sandbox lacks {lacks}, so these only work in a tree that brings it: {names}",
            _INSTALL,
        )
    if silent := [told for told, check in tried if not _loads(seen, check.command)]:
        return _finding(
            "red",
            f"{{python}} in the sandbox has our plugin, and pytest does not load it: {', '.join(silent)}",
            "install it as a package, or put `-p leverframe_pytest.plugin` into the command",
        )
    if twice := [told for told, check in tried if _loads(seen, check.command) > 1]:
        return _finding(
            "red",
            "pytest loads our plugin by itself in the sandbox, and ends where it is named besides: "
            + ", ".join(twice),
            "take `-p leverframe_pytest.plugin` out of the command",
        )
    can = f"can be executed again, tried: {names}"
    if not seen.knows_zones:
        return _finding(
            "yellow",
            f"{can}; but the sandbox knows no time zones, so `clock` does not vary them",
            "install the system's time zones (Debian: tzdata)",
        )
    if not seen.moves_clock:
        return _finding(
            "yellow",
            f"{can}; but time-machine 3 is not there, so `clock` varies the time zone alone",
            _INSTALL,
        )
    return _finding("green", can)


def _loads(seen: Seen, command: tuple[str, ...]) -> int:
    """How often pytest loads our plugin: as a package by itself, and where its module is named once more."""
    words = [word.removeprefix("-p") for word in command]
    return (seen.named and "no:leverframe" not in words) + ("leverframe_pytest.plugin" in words)


def _finding(colour: Colour, detail: str, remedy: str = "") -> Finding:
    return Finding(part="single tests", colour=colour, detail=detail, remedy=remedy)
