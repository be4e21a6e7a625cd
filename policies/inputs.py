"""What a person hands to the policy to try it out: a proposal file and a usage file, both JSON."""

from typing import TypeVar

from pydantic import Field, ValidationError

from leverframe.model.differences import TreeDifference
from leverframe.model.errors import BadInput
from leverframe.model.frozen import Frozen, Slug
from leverframe.model.proposals import MAX_REQUESTERS, Affected, Cost, Effect, Measurement
from policies.decision import ReserveRequest
from policies.usage import UsageDocument

ModelT = TypeVar("ModelT", bound=Frozen)


class ProposalFile(Frozen):
    """One effect that an agent would ask the ledger for."""

    reservation: str = "explained/0"
    """Whose turn it is; it changes no verdict."""
    agent: Slug
    repository: Slug
    service: Slug
    subject: str = Field(min_length=1, max_length=200)
    effect: Effect
    difference: TreeDifference | None = None
    cost: Cost | None = None
    evidence: tuple[Measurement, ...] = Field(default=(), max_length=50)
    affected: Affected | None = None
    lineage: tuple[str, ...] = Field(default=(), max_length=20)
    requesters: tuple[str, ...] = Field(default=(), max_length=MAX_REQUESTERS)

    def request(self) -> ReserveRequest:
        """The same as the ledger would get it."""
        return ReserveRequest(**dict(self))


def read_proposal(text: str) -> ReserveRequest:
    """Raises BadInput with a line for each field that can't be used."""
    return _read(ProposalFile, text, "proposal").request()


def read_usage(text: str) -> UsageDocument:
    """Raises BadInput with a line for each field that can't be used."""
    return _read(UsageDocument, text, "usage")


def _read(model: type[ModelT], text: str, noun: str) -> ModelT:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or 'file'}: {item['msg']}" for item in error.errors()]
        raise BadInput(f"the {noun} file can't be used:\n  " + "\n  ".join(lines)) from error
