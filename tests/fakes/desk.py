"""A person at a terminal."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client
from typer.testing import CliRunner

from leverframe.cli.exits import Exit, exit_code
from leverframe.cli.main import app
from leverframe.model.errors import LeverframeError
from leverframe.model.topology import Repository

NOBODY = "127.0.0.1:1"
"""Where no engine answers."""


class Desk:
    """A person's terminal: commands in this process, with settings of their own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, home: Path, repository: Repository, *, noun: str
    ) -> None:
        self._monkeypatch = monkeypatch
        self._noun = noun
        monkeypatch.chdir(home)
        monkeypatch.delenv("LEVERFRAME_CONFIG", raising=False)
        self.set(
            HOME=str(home),
            STORE__URL=f"sqlite:///{home}/store.db",
            TEMPORAL__ADDRESS=NOBODY,
        )
        self.declare(repository)

    def at(self, client: Client) -> None:
        """Its engine is this one."""
        address = client.service_client.config.target_host
        self.set(TEMPORAL__ADDRESS=address, TEMPORAL__NAMESPACE=client.namespace)

    def declare(self, *repositories: Repository) -> None:
        self.set(REPOSITORIES=json.dumps([each.model_dump(mode="json") for each in repositories]))

    def set(self, **settings: str) -> None:
        for name, text in settings.items():
            self._monkeypatch.setenv(f"LEVERFRAME_{name}", text)

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, what it said on stdout, and what it complained about."""
        done = CliRunner().invoke(app, list(words))
        if isinstance(done.exception, LeverframeError):
            return exit_code(done.exception), done.stdout, str(done.exception)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, done.stderr

    async def asked(self, *words: str) -> tuple[int, str, str]:
        """The same for the desk's noun, while this loop goes on."""
        return await asyncio.to_thread(self.run, self._noun, *words)

    async def told(self, *words: str) -> Any:
        """The one JSON document on stdout of a command that must end well."""
        code, out, complaint = await self.asked(*words, "--json")
        assert (code, complaint) == (Exit.OK, "")
        return json.loads(out)
