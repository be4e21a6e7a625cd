"""One run of Terraform's commands on one unpacked tree: init, workspace, plan, apply of exactly that plan.

The settings, never the tree, say which program runs, with which arguments and variables. Everything that
Terraform keeps for itself lies in a directory beside the tree: nothing of the kind in the tree counts.
"""

import fcntl
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, Field, ValidationError

from activities.backends.command_process import Finished, run
from activities.backends.terraform_plan import Plan, read_plan
from activities.backends.terraform_tree import LOCK_FILE, TreeRules
from activities.backends.terraform_words import LOG_CHARACTERS, failure, no_proof
from leverframe.model.untrusted import Untrusted

ModelT = TypeVar("ModelT", bound=BaseModel)

_NO_CHANGES, _CHANGES = 0, 2
"""Exit codes of `plan -detailed-exitcode`."""
_SHORTEST_SECRET = 6
_QUEUE_SECONDS = 0.2

_STALE = re.compile(r"saved plan is stale", re.IGNORECASE)
_NO_WORKSPACE = re.compile(r'workspace "[^"]*" doesn\'t exist', re.IGNORECASE)


class Ended(Exception):
    """The run is over before it reached what it was for."""

    def __init__(self, outcome: Literal["failed", "inconclusive"], summary: str, log: str = "") -> None:
        super().__init__(summary)
        self.outcome = outcome
        self.summary = summary
        self.log = log


class StalePlan(Exception):
    """Somebody changed the state after the plan: plan again."""


MISSING = "install Terraform or OpenTofu, or set terraform.binary"
"""What to do when there is no such program."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What the settings give to every run."""

    binary: str
    prefix: tuple[str, ...] = ()
    """What confines each command: `terraform_confinement`."""
    rules: TreeRules
    backend_config: Mapping[str, str] = field(default_factory=dict, repr=False)
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The variables that are passed on: dev's credentials."""
    lock_seconds: int = 60
    stop_seconds: float = 60
    plugins: Path
    """Where downloaded providers are kept from run to run."""


class _StateBackend(BaseModel):
    type: str
    config: dict[str, object] = Field(default_factory=dict)


class _State(BaseModel):
    backend: _StateBackend | None = None


class _Listed(BaseModel):
    source: str = Field(default="", alias="Source")


class _Modules(BaseModel):
    modules: tuple[_Listed, ...] = Field(default=(), alias="Modules")


class Session:
    """Commands on the root module in `place`, with `work` as Terraform's own directory.

    Every method raises `Ended` when the command did not end well.
    """

    def __init__(
        self, means: Means, *, place: Path, work: Path, seconds: float, heartbeat: Callable[[], None]
    ) -> None:
        self._means = means
        self._place = place
        self._work = work
        self._data = work / "data"
        self._plan = work / "dev.plan"
        self._deadline = time.monotonic() + seconds
        self._heartbeat = heartbeat
        self._environment = self._prepared()

    def init(self) -> None:
        """Fetch what the configuration needs, then compare Terraform's own list of it with the rules."""
        arguments = ["init", "-input=false", "-no-color", f"-backend-config={self._backend_config()}"]
        if (self._place / LOCK_FILE).exists():
            arguments.append("-lockfile=readonly")
        with self._turn():
            self._succeed(*arguments)
        listed = _read(self._data / "modules" / "modules.json", _Modules)
        for module in listed.modules if listed else ():
            if module.source and not self._means.rules.allows_module(module.source):
                shown = Untrusted(module.source).for_terminal(100)
                raise Ended("failed", f"Terraform found a module from {shown}, which is not allowed")

    def select(self, workspace: str) -> None:
        """Choose the workspace that dev is. It is never made here: a new one would be a second dev."""
        self._check_state(workspace)
        if workspace == "default":
            return
        finished = self._run("workspace", "select", "-no-color", workspace)
        if finished.code != 0:
            if _NO_WORKSPACE.search(_text(finished)):
                raise Ended(
                    "inconclusive",
                    f"there is no workspace {workspace!r}: make it once with `terraform workspace new`",
                    self._log(finished),
                )
            raise self._judged("workspace select", finished)

    def plan(self, *, lock: bool = True) -> Plan | None:
        """Plan into a file; None when nothing would change."""
        locking = [f"-lock-timeout={self._means.lock_seconds}s"] if lock else ["-lock=false"]
        arguments = ["-input=false", "-no-color", "-detailed-exitcode", f"-out={self._plan}"]
        finished = self._run("plan", *arguments, *locking)
        if finished.stopped is None and finished.code == _NO_CHANGES:
            return None
        if finished.stopped is not None or finished.code != _CHANGES:
            raise self._judged("plan", finished)
        plan = read_plan(self._succeed("show", "-json", str(self._plan)).out)
        if acting := plan.provisioners():
            raise Ended("failed", f"{', '.join(acting[:5])} would run a command with dev's credentials")
        return plan

    def apply(self) -> str:
        """Apply the plan that was made, and no other; what Terraform said. Raises StalePlan."""
        locking = f"-lock-timeout={self._means.lock_seconds}s"
        finished = self._run("apply", "-input=false", "-no-color", locking, str(self._plan))
        if finished.stopped is None and finished.code == 0:
            return self._log(finished)
        if finished.stopped is None and _STALE.search(_text(finished)):
            raise StalePlan
        raise self._judged("apply", finished)

    def _check_state(self, workspace: str) -> None:
        """See where Terraform itself says that it keeps the state."""
        state = _read(self._data / "terraform.tfstate", _State)
        if state is None or state.backend is None:
            raise Ended("failed", "the configuration names no state backend: its state would be lost")
        kind, wanted = state.backend.type, self._means.rules.state_backend
        if wanted and kind != wanted:
            shown = Untrusted(kind).for_terminal(60)
            raise Ended("failed", f"the state would be kept in {shown!r}, not in {wanted!r}")
        name = "path" if workspace == "default" else "workspace_dir"
        if kind == "local" and not Path(str(state.backend.config.get(name) or "")).is_absolute():
            raise Ended(
                "failed",
                "the state would be kept in the unpacked tree and lost: "
                f"give terraform.backend_config an absolute {name}",
            )

    def _succeed(self, *arguments: str) -> Finished:
        finished = self._run(*arguments)
        if finished.stopped is not None or finished.code != 0:
            raise self._judged(arguments[0], finished)
        return finished

    def _run(self, *arguments: str) -> Finished:
        return run(
            [*self._means.prefix, self._means.binary, *arguments],
            directory=self._place,
            environment=self._environment,
            remedy=MISSING,
            seconds=max(0.0, self._deadline - time.monotonic()),
            stop_seconds=self._means.stop_seconds,
            heartbeat=self._heartbeat,
        )

    def _judged(self, command: str, finished: Finished) -> Ended:
        """What a command that did not end well proves."""
        log, told = self._log(finished), _text(finished)
        if finished.stopped == "time":
            return Ended("inconclusive", f"terraform {command} was stopped at its time limit", log)
        if finished.stopped == "output":
            return Ended("inconclusive", f"terraform {command} was stopped: it printed too much", log)
        if finished.code < 0:
            return Ended("inconclusive", f"terraform {command} was killed by signal {-finished.code}", log)
        if why := no_proof(command, told):
            return Ended("inconclusive", why, log)
        return Ended("failed", failure(command), log)

    def _log(self, finished: Finished) -> str:
        """The end of what it printed, without the values of the passed variables and control characters."""
        text = _text(finished)
        for value in self._means.environment.values():
            if len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, "***")
        return Untrusted(text[-LOG_CHARACTERS:]).for_model(LOG_CHARACTERS)

    def _prepared(self) -> dict[str, str]:
        """Make the directories and the command line's configuration; all variables of the commands."""
        for name in ("data", "home", "tmp"):
            (self._work / name).mkdir(parents=True)
        self._means.plugins.mkdir(parents=True, exist_ok=True)
        configuration = self._work / "terraform.rc"
        configuration.write_text(_command_line_configuration(self._means))
        usual = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._work / "home"),
            "TMPDIR": str(self._work / "tmp"),
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        }
        ours = {
            "TF_IN_AUTOMATION": "1",
            "TF_INPUT": "0",
            "TF_DATA_DIR": str(self._data),
            "TF_CLI_CONFIG_FILE": str(configuration),
            "CHECKPOINT_DISABLE": "1",
        }
        return usual | dict(self._means.environment) | ours

    def _backend_config(self) -> Path:
        """Values of the state backend in a file of ours: an argument would show them to everybody."""
        path = self._work / "backend.tfbackend.json"
        path.write_text(json.dumps(dict(self._means.backend_config)))
        return path

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """Alone with the kept providers: Terraform does not lock them itself."""
        with (self._means.plugins / ".lock").open("w") as lock:
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > self._deadline:
                        raise Ended("inconclusive", "other runs fetched providers for all its time") from None
                    self._heartbeat()
                    time.sleep(_QUEUE_SECONDS)
            yield


def _command_line_configuration(means: Means) -> str:
    """Only the allowed providers, from their registry; no file of a tree or of a user counts."""
    included = ", ".join(json.dumps(address) for address in means.rules.providers)
    only = f"include = [{included}]" if included else 'exclude = ["*/*/*"]'
    return (
        "disable_checkpoint = true\n"
        f"plugin_cache_dir = {json.dumps(str(means.plugins))}\n"
        f"provider_installation {{\n  direct {{\n    {only}\n  }}\n}}\n"
    )


def _text(finished: Finished) -> str:
    return (finished.out[-100_000:] + finished.err[-100_000:]).decode(errors="replace")


def _read(path: Path, model: type[ModelT]) -> ModelT | None:
    """A file that Terraform wrote for itself; None when it wrote none."""
    if not path.exists():
        return None
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError:
        raise Ended("inconclusive", f"Terraform's own {path.name} is not as it has been known") from None
