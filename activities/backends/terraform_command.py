"""Infrastructure by the local `terraform` or `tofu`: plan into a file, apply exactly that file.

A run that was interrupted is planned anew from the state that is there; a commit that is applied plans
nothing. What a tree may contain is in `terraform_tree`, the commands are in `terraform_session`.
"""

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from activities.backends.command_process import run
from activities.backends.terraform_confinement import own_processes
from activities.backends.terraform_session import MISSING, Ended, Means, Session, StalePlan
from activities.backends.terraform_tree import TreeRules, refusals
from activities.ports import Backend, Health
from leverframe.model.changes import CheckResult
from leverframe.model.errors import BadConfiguration, LeverframeError, Refused, Unavailable
from leverframe.model.topology import Infrastructure

CHECK = "dev"

_PLANS = 3
"""So often is planned when somebody else changes dev's state in between."""
_KNOWN = ("terraform", "tofu")
_VERSION_SECONDS = 20


class TerraformCommand:
    """The Terraform port on a program of this machine. Safe for threads: each run has its own directories."""

    def __init__(
        self,
        *,
        plugins: Path,
        binary: str = "",
        providers: Sequence[str] = (),
        modules: Sequence[str] = (),
        state_backend: str = "",
        backend_config: Mapping[str, str] | None = None,
        pass_environment: Sequence[str] = (),
        lock_seconds: int = 60,
        stop_seconds: float = 60,
        confined: bool = True,
    ) -> None:
        self._binary = binary
        self._rules = TreeRules(
            providers=tuple(providers), modules=tuple(modules), state_backend=state_backend
        )
        self._backend_config = dict(backend_config or {})
        self._passed = tuple(pass_environment)
        self._lock_seconds = lock_seconds
        self._stop_seconds = stop_seconds
        self._plugins = plugins
        self._confined = confined

    def apply(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> CheckResult:
        """Raises BadConfiguration: there is no Terraform on this machine; Unavailable."""
        began = time.monotonic()
        try:
            with self._session(infrastructure, tree, heartbeat) as session:
                summary, log = _applied(session)
            outcome = "passed"
        except Ended as ended:
            outcome, summary, log = ended.outcome, ended.summary, ended.log
        seconds = round(time.monotonic() - began, 3)
        result: dict[str, Any] = {"outcome": outcome, "summary": summary, "log": log}
        return CheckResult(check=CHECK, sha=sha, seconds=seconds, **result)

    def drift(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, ...]:
        """Plans without the state's lock, so that it never stands in the way of an apply.

        Raises:
            BadConfiguration: there is no Terraform on this machine.
            Refused: Terraform, or our rules for trees, don't take the tree.
            Unavailable: nobody can tell now.
        """
        try:
            with self._session(infrastructure, tree, heartbeat) as session:
                plan = session.plan(lock=False)
        except Ended as ended:
            said = f"{ended.summary}: {ended.log[-600:]}" if ended.log else ended.summary
            raise (Refused if ended.outcome == "failed" else Unavailable)(said) from ended
        return plan.addresses() if plan else ()

    def health(self) -> Health:
        """Which program there is, and which of the variables that it should get are not set."""
        try:
            binary = self._found()
            version = self._version(binary)
        except LeverframeError as error:
            return Health(ok=False, detail=str(error), remedy="install Terraform, or set terraform.binary")
        missing = [name for name in self._passed if name not in os.environ]
        said = f"version {version} at {binary}"
        if missing:
            return Health(
                ok=False,
                detail=f"{said}; not set here: {', '.join(missing)}",
                remedy="set them for the hands worker, or take them out of terraform.pass_environment",
            )
        providers = ", ".join(self._rules.providers) or "none but the built-in one"
        sees = "only its own processes" if self._confined and own_processes() else "this worker's variables"
        return Health(ok=True, detail=f"{said}; providers allowed: {providers}; it can see {sees}")

    @contextmanager
    def _session(
        self, infrastructure: Infrastructure, tree: Path, heartbeat: Callable[[], None]
    ) -> Iterator[Session]:
        """A session whose tree was looked at, on the workspace that dev is. Raises Ended."""
        if found := refusals(tree, infrastructure.directory, self._rules):
            raise Ended("failed", f"the tree may not be applied: {found[0]}", "\n".join(found))
        means = Means(
            binary=self._found(),
            prefix=own_processes() if self._confined else (),
            rules=self._rules,
            backend_config=self._backend_config,
            environment={name: os.environ[name] for name in self._passed if name in os.environ},
            lock_seconds=self._lock_seconds,
            stop_seconds=self._stop_seconds,
            plugins=self._plugins,
        )
        with tempfile.TemporaryDirectory(prefix="leverframe-tf-", ignore_cleanup_errors=True) as work:
            session = Session(
                means,
                place=(tree / infrastructure.directory).resolve(),
                work=Path(work),
                seconds=infrastructure.timeout_seconds,
                heartbeat=heartbeat,
            )
            session.init()
            session.select(infrastructure.workspace)
            yield session

    def _found(self) -> str:
        for name in (self._binary,) if self._binary else _KNOWN:
            if found := shutil.which(name):
                return found
        wanted = self._binary or " or ".join(_KNOWN)
        raise BadConfiguration(f"there is no {wanted} on this machine: install it, or set terraform.binary")

    def _version(self, binary: str) -> str:
        with tempfile.TemporaryDirectory() as empty:
            finished = run(
                [binary, "version", "-json"],
                directory=Path(empty),
                environment={"PATH": os.environ.get("PATH", os.defpath), "CHECKPOINT_DISABLE": "1"},
                seconds=_VERSION_SECONDS,
                stop_seconds=1,
                remedy=MISSING,
                heartbeat=lambda: None,
            )
        try:
            return str(json.loads(finished.out)["terraform_version"])[:40]
        except (ValueError, KeyError, TypeError) as error:
            raise BadConfiguration(f"{binary} does not tell its version as Terraform does") from error


def _applied(session: Session) -> tuple[str, str]:
    """Plan and apply; the sentence about it and Terraform's own words. Raises Ended."""
    for _ in range(_PLANS):
        plan = session.plan()
        if plan is None:
            return "nothing to change: dev is as the commit says", ""
        try:
            log = session.apply()
        except StalePlan:
            continue
        return f"applied to dev: {plan.counts().in_words()}", log
    raise Ended("inconclusive", f"dev's state was changed by somebody else after each of {_PLANS} plans")


BACKEND = Backend(
    kind="terraform",
    name="command",
    scopes=("dev's credentials, through terraform.pass_environment",),
    build=TerraformCommand,
)
