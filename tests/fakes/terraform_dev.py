"""A dev of `terraform_data` resources, which need no provider from anywhere; its state is a local file."""

import json
import shutil
import stat
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from activities.backends.terraform_command import TerraformCommand
from leverframe.model.changes import CheckResult
from leverframe.model.topology import Infrastructure

SHA = "a" * 40

MAIN = """\
terraform {
  backend "local" {}
}

variable "colour" {
  default = "red"
}

resource "terraform_data" "bucket" {
  input = "one"
}
"""

real_terraform = pytest.mark.skipif(
    shutil.which("terraform") is None and shutil.which("tofu") is None,
    reason="neither terraform nor tofu is on PATH",
)


class Dev:
    """A tree with a root module at `infra`, and the directory in which dev's state is."""

    infrastructure = Infrastructure(paths=("infra/**",), directory="infra", timeout_seconds=60)

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tree = root / "tree"
        self.states = root / "states"
        self.write({"infra/main.tf": MAIN})

    def write(self, files: Mapping[str, str]) -> None:
        """Put files into the tree."""
        for name, text in files.items():
            path = self.tree / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def with_workspace(self) -> "Dev":
        """The workspace `dev`, as a person makes it once. It is the state file itself that counts."""
        (self.states / "dev").mkdir(parents=True)
        return self

    def terraform(self, **options: object) -> TerraformCommand:
        """The port with its state in this world."""
        place = {"workspace_dir": str(self.states), "path": str(self.root / "default.tfstate")}
        usual: dict[str, object] = {"lock_seconds": 0, "stop_seconds": 20, "backend_config": place}
        # Stand-ins that kill themselves can't be the first process of a namespace.
        usual["confined"] = "binary" not in options
        return TerraformCommand(plugins=self.root / "providers", **(usual | options))  # type: ignore[arg-type]

    def state(self) -> dict[str, object]:
        """Address → the value that dev has."""
        path = self.states / "dev" / "terraform.tfstate"
        if not path.exists():
            return {}
        found: dict[str, object] = {}
        for resource in json.loads(path.read_text())["resources"]:
            for each in resource["instances"]:
                key = f"[{each['index_key']}]" if "index_key" in each else ""
                value = each["attributes"]["input"]
                found[f"{resource['type']}.{resource['name']}{key}"] = value and value["value"]
        return found

    def program(self, script: str) -> str:
        """An executable that stands in for Terraform, for what the real one can't be made to do."""
        path = self.root / "bin" / "terraform"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return str(path)

    def program_at(self, command: str, script: str) -> str:
        """A stand-in whose commands all end well and plan a change, except for this one."""
        state = '{"version": 3, "backend": {"type": "s3", "config": {}}}'
        return self.program(
            f'if [ "$1" = {command} ]; then {script}; fi\n'
            f"case $1 in\ninit) echo '{state}' > $TF_DATA_DIR/terraform.tfstate ;;\n"
            "plan) exit 2 ;;\nshow) echo '{}' ;;\nesac\n"
        )

    def program_before(self, command: str, script: str) -> str:
        """The real Terraform, with something that happens just before this command."""
        real = shutil.which("terraform") or shutil.which("tofu")
        return self.program(f'if [ "$1" = {command} ]; then {script}; fi\nexec {real} "$@"\n')


def beat() -> None:
    """A heartbeat that nobody listens to."""


def applied(
    dev: Dev, *, seconds: int = 60, heartbeat: Callable[[], None] = beat, **options: object
) -> CheckResult:
    infrastructure = dev.infrastructure.model_copy(update={"timeout_seconds": seconds})
    return dev.terraform(**options).apply(infrastructure, tree=dev.tree, sha=SHA, heartbeat=heartbeat)


def drifted(dev: Dev, **options: object) -> tuple[str, ...]:
    return dev.terraform(**options).drift(dev.infrastructure, tree=dev.tree, sha=SHA, heartbeat=beat)
