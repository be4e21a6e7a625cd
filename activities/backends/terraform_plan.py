"""What a plan would do, read from Terraform's own JSON (https://developer.hashicorp.com/terraform/internals/json-format)."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, Field, ValidationError

from leverframe.model.errors import Unavailable
from leverframe.model.frozen import Frozen
from leverframe.model.untrusted import Untrusted

MOST_ADDRESSES = 500


class Counts(Frozen):
    """How many resources a plan creates, updates and destroys. A replacement is one of each end."""

    created: int = 0
    updated: int = 0
    destroyed: int = 0

    def in_words(self) -> str:
        """`2 created, 1 destroyed`; what is not there is left out."""
        named = {"created": self.created, "updated": self.updated, "destroyed": self.destroyed}
        return ", ".join(f"{count} {name}" for name, count in named.items() if count) or "outputs only"


class _Change(BaseModel):
    actions: tuple[str, ...]


class _ResourceChange(BaseModel):
    address: str
    mode: str = "managed"
    change: _Change


class _Resource(BaseModel):
    address: str
    provisioners: tuple[Any, ...] = ()


class _Call(BaseModel):
    module: "_Module | None" = None


class _Module(BaseModel):
    resources: tuple[_Resource, ...] = ()
    module_calls: dict[str, _Call] = Field(default_factory=dict)


class _Configuration(BaseModel):
    root_module: _Module = _Module()


class Plan(BaseModel):
    """The parts of a plan that we look at."""

    resource_changes: tuple[_ResourceChange, ...] = ()
    output_changes: dict[str, _Change] = Field(default_factory=dict)
    configuration: _Configuration = _Configuration()

    def counts(self) -> Counts:
        """Of managed resources; data sources are only read."""
        actions = [change.change.actions for change in self._managed()]
        return Counts(
            created=sum("create" in each for each in actions),
            updated=sum("update" in each for each in actions),
            destroyed=sum("delete" in each for each in actions),
        )

    def addresses(self) -> tuple[str, ...]:
        """What is not as the configuration says, sorted, as one line of printable text each."""
        named = [change.address for change in self._managed() if _acts(change.change)]
        named += [f"output.{name}" for name, change in self.output_changes.items() if _acts(change)]
        return tuple(sorted(Untrusted(name).for_terminal() for name in named)[:MOST_ADDRESSES])

    def provisioners(self) -> tuple[str, ...]:
        """Addresses of resources that would run a command of the tree."""
        return tuple(
            Untrusted(address).for_terminal()
            for address, resource in _resources(self.configuration.root_module)
            if resource.provisioners
        )

    def _managed(self) -> list[_ResourceChange]:
        return [change for change in self.resource_changes if change.mode == "managed"]


def read_plan(document: bytes) -> Plan:
    """A plan from `terraform show -json`. Raises Unavailable for anything else."""
    try:
        return Plan.model_validate_json(document)
    except ValidationError as error:
        raise Unavailable("the plan can't be read: it is not JSON of Terraform's format") from error


def _acts(change: _Change) -> bool:
    return not set(change.actions) <= {"no-op", "read"}


def _resources(module: _Module, within: str = "") -> Iterator[tuple[str, _Resource]]:
    """Every resource with its address; the plan has addresses within the module."""
    for resource in module.resources:
        yield f"{within}{resource.address}", resource
    for name, call in module.module_calls.items():
        if call.module is not None:
            yield from _resources(call.module, f"{within}module.{name}.")
