"""The quarantine recipes of docs/how-to/quarantine-with-other-runners.md, run as they stand there."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from leverframe.model.test_reports import Attempt
from leverframe.reports.facts import Facts
from leverframe.reports.reading import read
from leverframe_pytest.quarantine import PLACE, Entry, write

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/how-to/quarantine-with-other-runners.md"
JEST = os.environ.get("LEVERFRAME_TEST_JEST", "")
"""A directory in whose node_modules jest is."""
MAVEN_REPOSITORY = Path("/usr/share/maven-repo")
_MAVEN_SETTINGS = f"<settings><localRepository>{MAVEN_REPOSITORY}</localRepository></settings>"
_SURVIVOR = re.compile(r"COUNTED (?P<test>.+) \[(?P<signature>[0-9a-f]{16})\]: it is not quarantined")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A section of the page, and the project that it is tried with."""

    section: str
    project: str
    missing: Callable[[], str]
    """What the machine lacks, or nothing."""
    flaky: str
    attempts: int
    """Of a test that fails, in one execution of the command."""
    block: int = 0
    """Which of the section's commands."""


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a recipe came to."""

    code: int
    said: str
    attempts: tuple[Attempt, ...]

    def of(self, test: str) -> list[tuple[str, str]]:
        """Outcome and fingerprint of a test's attempts in the file for `tests upload`."""
        return [(one.outcome, one.fingerprint) for one in self.attempts if one.test == test]


class World:
    """A checkout of a recipe's project, with the machine's own runners."""

    def __init__(self, recipe: Recipe, directory: Path) -> None:
        self.recipe = recipe
        self.checkout = directory / "shop"
        shutil.copytree(Path(__file__).parent / "projects" / recipe.project, self.checkout)
        self._tools = directory / "tools"
        self._tools.mkdir()
        self._tool("leverframe", f'exec {sys.executable} -m leverframe "$@"')
        self._tool("bundle", 'shift; exec "$@"')
        settings = directory / "settings.xml"
        settings.write_text(_MAVEN_SETTINGS)
        self._tool("mvn", f'exec {shutil.which("mvn")} --offline --settings {settings} "$@"')
        if recipe.project == "jest":
            shutil.copy(ROOT / "examples/jest/leverframe-reporter.cjs", self.checkout)
            (self.checkout / "node_modules").symlink_to(Path(JEST, "node_modules"))

    def run(self, **environment: str) -> Ran:
        """The page's command, in a shell that stops where it fails."""
        (counter := self.checkout / "counter.txt").unlink(missing_ok=True)
        (out := self.checkout / "results.jsonl").unlink(missing_ok=True)
        done = subprocess.run(
            ["sh", "-ec", command(self.recipe)],
            cwd=self.checkout,
            env={
                **os.environ,
                "PATH": f"{self._tools}{os.pathsep}{os.environ['PATH']}",
                "PYTHONPATH": str(ROOT),
                "GOFLAGS": "-mod=mod -timeout=10s",
                "GOPROXY": "off",
                "COUNTER": str(counter),
                "LEVERFRAME_RUN": "1",
                "LEVERFRAME_SHA": "abc",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        body = out.read_bytes() if out.exists() else b""
        facts = Facts(repository="shop", source="upload")
        report = read(body, facts, now=datetime.now(UTC)) if body else None
        return Ran(code=done.returncode, said=done.stdout, attempts=report.attempts if report else ())

    def learn(self) -> str:
        """Quarantine the flaky test for how it fails now; that signature."""
        ran = self.run(FAILURES="99")
        assert ran.code != 0, ran.said
        failed = {found["test"]: found["signature"] for found in _SURVIVOR.finditer(ran.said)}
        assert list(failed) == [self.recipe.flaky], ran.said
        self.quarantine(failed[self.recipe.flaky])
        return failed[self.recipe.flaky]

    def quarantine(self, signature: str, *, executions: int = 3) -> None:
        """The flaky test, from today on."""
        today = datetime.now(UTC).date()
        entry = Entry(
            test=self.recipe.flaky, signatures=(signature,), since=today, expires=today + timedelta(days=9),
            owner="@pay", evidence="", tracking="", executions=executions,
        )  # fmt: skip
        (self.checkout / PLACE).parent.mkdir(exist_ok=True)
        (self.checkout / PLACE).write_text(write({entry.test: entry}))

    def _tool(self, name: str, script: str) -> None:
        path = self._tools / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)


def command(recipe: Recipe) -> str:
    """The commands of a section of the page."""
    section = PAGE.read_text().split(f"\n## {recipe.section}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)[recipe.block]


def programs(*names: str) -> str:
    """The first program that the machine lacks."""
    return next((f"{name} is not installed" for name in names if shutil.which(name) is None), "")


def jest() -> str:
    found = JEST and Path(JEST, "node_modules/.bin/jest").exists()
    return programs("npx") or ("" if found else "LEVERFRAME_TEST_JEST names no directory with jest")


def maven() -> str:
    surefire = MAVEN_REPOSITORY / "org/apache/maven/plugins/maven-surefire-plugin/2.22.3"
    return programs("mvn", "javac") or ("" if surefire.exists() else "libsurefire-java is not installed")


def rspec() -> str:
    lacking = programs("rspec", "ruby")
    if (
        not lacking
        and subprocess.run(["ruby", "-e", 'require "rspec_junit_formatter"'], check=False).returncode
    ):
        return "ruby-rspec-junit-formatter is not installed"
    return lacking
