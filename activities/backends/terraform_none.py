"""No Terraform: the default. A repository that declares infrastructure is told what to set."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from activities.ports import Backend, Health
from leverframe.model.changes import CheckResult
from leverframe.model.errors import BadConfiguration
from leverframe.model.topology import Infrastructure

_REMEDY = "set terraform.backend to 'command' or 'cloud'"


class NoTerraform:
    """The Terraform port of an installation that has none."""

    def __init__(self, *, declared: Mapping[str, Infrastructure]) -> None:
        self._declared = declared

    def apply(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> CheckResult:
        """Raises BadConfiguration."""
        _nothing()

    def drift(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, ...]:
        """Raises BadConfiguration."""
        _nothing()

    def health(self) -> Health:
        if self._declared:
            names = ", ".join(sorted(self._declared))
            return Health(ok=False, detail=f"{names}: infrastructure without Terraform", remedy=_REMEDY)
        return Health(ok=True, detail="no repository declares infrastructure")


def _nothing() -> NoReturn:
    raise BadConfiguration(f"the repository declares infrastructure, and there is no Terraform: {_REMEDY}")


BACKEND = Backend(kind="terraform", name="none", scopes=(), build=NoTerraform)
