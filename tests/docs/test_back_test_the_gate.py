"""What the how-to shows of its own trace is what the command says of it."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from leverframe.cli.main import app

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/how-to/back-test-the-gate.md").read_text()


def test_the_trace_of_the_page_is_judged_as_the_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    [(command, shown)] = re.findall(r"\$ leverframe (release replay \S+)\n(.*?)```", PAGE, re.DOTALL)
    result = CliRunner().invoke(app, command.split(), env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert [line.rstrip() for line in result.stdout.splitlines()] == shown.splitlines()
