"""A person with a clone of the repository, git and the command line: nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leverframe.model.errors import LeverframeError


class CommandFailed(LeverframeError):
    """A command that the story needs did not succeed; carries what it printed."""


@dataclass
class Person:
    """Works in `clone`, pushes branches, and asks for things with `leverframe`."""

    name: str
    remote: Path
    clone: Path
    config: Path

    def git(self, *arguments: str) -> str:
        """Run git in the clone; returns its output. Raises CommandFailed."""
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        identity = ("-c", f"user.name={self.name}", "-c", f"user.email={self.name}@shop.example")
        return self._run(["git", *identity, *arguments], cwd=self.clone, extra=quiet)

    def propose(self, branch: str, *, title: str, files: dict[str, str]) -> str:
        """Write the files on a new branch off the target, push it, and submit it; the change's id."""
        if not self.clone.exists():
            self.clone.parent.mkdir(parents=True, exist_ok=True)
            self._run(["git", "clone", "--quiet", str(self.remote), str(self.clone)], cwd=self.clone.parent)
        self.git("fetch", "--quiet", "origin")
        self.git("checkout", "--quiet", "-B", branch, "origin/main")
        for path, content in files.items():
            target = self.clone / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", title)
        self.git("push", "--quiet", "--force", "origin", branch)
        submitted = self.leverframe("changes", "submit", branch, "--title", title, "--author", self.name)
        return str(submitted["id"])

    def leverframe(self, *arguments: str) -> Any:
        """Run a `leverframe` command with `--json`; returns what it printed. Raises CommandFailed."""
        command = [sys.executable, "-m", "leverframe", *arguments, "--json"]
        return json.loads(self._run(command, cwd=Path.cwd()))

    def _run(self, command: list[str], *, cwd: Path, extra: dict[str, str] | None = None) -> str:
        environment = {**os.environ, "LEVERFRAME_CONFIG": str(self.config), **(extra or {})}
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CommandFailed(
                f"{' '.join(command[:6])} … exited {done.returncode}: {done.stderr.strip()[-800:]}"
            )
        return done.stdout
