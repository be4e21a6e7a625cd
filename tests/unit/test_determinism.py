"""Decisions and orchestration use no clock, chance, file or process: what Temporal's sandbox would stop.

The sandbox sees only what a test happens to run, and lets our pure packages through. This reads all of it.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from temporalio.worker.workflow_sandbox import SandboxRestrictions

ROOT = Path(__file__).resolve().parents[2]
PURE = ("workflows", "agents", "policies", "leverframe/model")
FILES = sorted(path for folder in PURE for path in (ROOT / folder).rglob("*.py"))

_FORBIDDEN = SandboxRestrictions.default.invalid_module_members
_AT_RUN_TIME: Any = SimpleNamespace(is_runtime=True)


def forbidden(code: str) -> list[str]:
    """The full names that the code uses and a workflow may not."""
    tree = ast.parse(code)
    names = dict.fromkeys(_bound(tree), "") | dict(_imported(tree))
    used = set[str]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute | ast.Name) and (name := _full(node, names)):
            used.add(name)
    return sorted(name for name in used if _stopped(name))


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """What each imported name stands for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                yield (
                    one.asname or one.name.partition(".")[0],
                    (one.asname and one.name) or one.name.partition(".")[0],
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for one in node.names:
                yield (one.asname or one.name, f"{node.module}.{one.name}")


def _bound(tree: ast.AST) -> Iterator[str]:
    """Names that the code gives something else than what is built in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg


def _full(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        owner = _full(node.value, names)
        return f"{owner}.{node.attr}" if owner else ""
    if isinstance(node, ast.Name):
        return names.get(node.id, f"__builtins__.{node.id}")
    return ""


def _stopped(name: str) -> bool:
    return _FORBIDDEN.match_access(_AT_RUN_TIME, *name.split("."), include_use=True)


def test_nothing_pure_uses_a_clock_chance_a_file_or_a_process() -> None:
    found = {str(path.relative_to(ROOT)): forbidden(path.read_text()) for path in FILES}
    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from datetime import datetime, UTC\nx = datetime.now(UTC)", "datetime.datetime.now"),
        ("import random as r\nx = r.random()", "random.random"),
        ("from uuid import uuid4\nx = uuid4()", "uuid.uuid4"),
        ("import time\ntime.sleep(1)", "time.sleep"),
        ("open('x')", "__builtins__.open"),
        ("import subprocess\nsubprocess.run(['x'])", "subprocess.run"),
    ],
)
def test_what_the_sandbox_would_stop_is_found(code: str, name: str) -> None:
    assert forbidden(code) == [name]
    assert forbidden("from datetime import datetime\nx = datetime(2026, 1, 1)") == []
