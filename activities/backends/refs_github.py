"""Landing through GitHub's API where git can't push: refs move by compare-and-swap, all of them or none.

`updateRefs` is what an atomic push with leases is for git: `beforeOid` must be what the ref points at, forty
zeros stand for a ref that must not exist. The target and the receipt's ref go in one call. As with git,
every answer that is not plain is settled by looking, and nothing else is ever put in its place.
https://docs.github.com/en/graphql/reference/mutations#updaterefs
"""

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ValidationError

from activities.backends.github_account import GithubAccount
from activities.backends.github_answers import Comparison, Ref
from activities.backends.github_errors import answering
from activities.backends.github_graphql import ask
from activities.backends.github_places import Place, Places
from leverframe.model.changes import Car, Receipt
from leverframe.model.errors import (
    BadConfiguration,
    BadInput,
    Conflict,
    NotFound,
    Refused,
    TargetMoved,
    Unavailable,
)
from leverframe.model.topology import Repository

REPOSITORY = """
query Repository($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { id } }"""

MOVE = """
mutation Move($repository: ID!, $moves: [RefUpdate!]!) {
  updateRefs(input: {repositoryId: $repository, refUpdates: $moves}) { clientMutationId }
}"""

QUESTIONS = (REPOSITORY, MOVE)

_NOWHERE = "0" * 40
_ATTEMPTS = 3
_RECEIPTS_READ = 100
"""A car that is in without a receipt among the newest of so many gets one."""


@dataclass(frozen=True, kw_only=True)
class Move:
    """One ref on its way from one object to another."""

    name: str
    """In full: `refs/heads/main`."""
    before: str | None
    """What it must point at; None when it must not exist."""
    after: str


class _NamedRef(Ref):
    ref: str


class _Blob(BaseModel):
    sha: str


class _Content(BaseModel):
    content: str
    encoding: str


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """What GitHub has now."""

    contained: bool
    receipt: Receipt | None
    next_sequence: int


class GithubRefs:
    """Moves refs of the declared repositories, and lands cars by it. Their commits must be on GitHub."""

    def __init__(
        self, account: GithubAccount, *, repositories: Sequence[Repository], owner_repo: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._account = account
        self._rest = account.client.rest
        self._places = Places(repositories, owner_repo, host=account.host)

    def land(self, repository: Repository, *, car: Car, wanted: Receipt) -> Receipt:
        """Move the target from the car's base to the car, and create its receipt, in one call.

        Idempotent: a car that is in returns the receipt it came in with. That every required check passed on
        the car is for the caller to prove.

        Args:
            repository: where.
            car: what was tested; its commit is on GitHub.
            wanted: the receipt as it will be, but for its sequence number.

        Raises:
            TargetMoved: the target is neither at the car's base nor contains the car.
            Refused: a rule of the repository forbids it, or the car is not built on its base.
            Unavailable: no answer, and looking could not settle what happened.
        """
        at = self._places.of(repository.name)
        told = ""
        for _ in range(_ATTEMPTS):
            seen = self._look(at, car)
            if seen.receipt is not None:
                return seen.receipt
            if not seen.contained and not self._contains(at, car.sha, car.base):
                raise Refused(f"{car.sha[:12]} is not built on its base {car.base[:12]}")
            receipt = wanted.model_copy(update={"sequence": seen.next_sequence})
            moves = self._moves(at, car, receipt, contained=seen.contained)
            try:
                self.move(repository, moves)
            except BadConfiguration:
                raise
            except (BadInput, Conflict) as error:
                told = str(error)
                if self._look(at, car) == seen:
                    # Nobody else moved anything: it is a rule that says no.
                    raise Refused(f"GitHub refuses to land {car.sha[:12]}: {told}") from error
            except Unavailable as error:
                if error.wait is not None:
                    raise
                told = str(error)
            else:
                return receipt
        settled = self._look(at, car).receipt
        if settled is not None:
            return settled
        raise Unavailable(f"{car.sha[:12]} could not be landed yet: {told}")

    def move(self, repository: Repository, moves: Sequence[Move]) -> None:
        """Move all refs or none, never backwards. Asks once.

        Raises:
            BadInput, Conflict: a ref is not where `before` says, or a rule forbids it: look.
            Unavailable: no answer, so what happened is not known: look.
        """
        at = self._places.of(repository.name)
        updates = [
            {"name": each.name, "beforeOid": each.before or _NOWHERE, "afterOid": each.after, "force": False}
            for each in moves
        ]
        ask(self._account, f"move {moves[0].name}", MOVE, repository=self._id(at), moves=updates)

    def _moves(self, at: Place, car: Car, receipt: Receipt, *, contained: bool) -> list[Move]:
        blob = self._blob_of(at, receipt)
        proof = Move(name=f"refs/{_landed(at)}{receipt.sequence}", before=None, after=blob)
        target = Move(name=f"refs/heads/{at.target}", before=car.base, after=car.sha)
        return [proof] if contained else [target, proof]

    def _blob_of(self, at: Place, receipt: Receipt) -> str:
        with answering(f"store the receipt of {receipt.change}"):
            encoded = base64.b64encode(receipt.model_dump_json().encode()).decode()
            answer = self._rest.git.create_blob(at.owner, at.repo, content=encoded, encoding="base64")
            return _Blob.model_validate(answer.json()).sha

    def _look(self, at: Place, car: Car) -> _Seen:
        """Raises TargetMoved."""
        with answering(f"read {at.target} of {at.key}"):
            answer = self._rest.git.get_ref(at.owner, at.repo, f"heads/{at.target}")
            tip = Ref.model_validate(answer.json()).object.sha
        contained = self._contains(at, tip, car.sha)
        if not contained and tip != car.base:
            raise TargetMoved(
                f"{at.target} is at {tip[:12]}, not at {car.base[:12]} where the car was tested"
            )
        numbered = self._numbered(at)
        receipt = self._receipt_of(at, car, numbered) if contained else None
        following = numbered[0][0] + 1 if numbered else 1
        return _Seen(contained=contained, receipt=receipt, next_sequence=following)

    def _contains(self, at: Place, sha: str, older: str) -> bool:
        if sha == older:
            return True
        try:
            with answering(f"compare {older[:12]} with {sha[:12]}"):
                answer = self._rest.repos.compare_commits(at.owner, at.repo, f"{older}...{sha}", per_page=1)
                return Comparison.model_validate(answer.json()).status in ("ahead", "identical")
        except NotFound as error:
            raise NotFound(f"{error}: push the car's commit first") from error

    def _numbered(self, at: Place) -> list[tuple[int, str]]:
        """Sequence number and blob of each receipt ref, newest first."""
        with answering(f"list the receipts of {at.key}"):
            answer = self._rest.git.list_matching_refs(at.owner, at.repo, _landed(at))
            refs = [_NamedRef.model_validate(each) for each in answer.json()]
        prefix = f"refs/{_landed(at)}"
        pairs = ((each.ref.removeprefix(prefix), each.object.sha) for each in refs)
        return sorted(
            ((int(number), blob) for number, blob in pairs if re.fullmatch(r"[1-9][0-9]{0,9}", number)),
            reverse=True,
        )

    def _receipt_of(self, at: Place, car: Car, numbered: Sequence[tuple[int, str]]) -> Receipt | None:
        """The receipt of the car; a blob that is none (somebody's hand) is passed over."""
        for number, blob in numbered[:_RECEIPTS_READ]:
            with answering(f"read the receipt {number} of {at.key}"):
                answer = self._rest.git.get_blob(at.owner, at.repo, blob)
                stored = _Content.model_validate(answer.json())
            receipt = _receipt(stored)
            if receipt and (receipt.sequence, receipt.target, receipt.sha) == (number, at.target, car.sha):
                return receipt
        return None

    def _id(self, at: Place) -> str:
        told = ask(self._account, f"look up {at.key}", REPOSITORY, owner=at.owner, name=at.repo)
        repository = told.data.get("repository")
        if not isinstance(repository, dict) or not isinstance(repository.get("id"), str):
            raise NotFound(f"GitHub does not show {at.key}")
        return str(repository["id"])


def _landed(at: Place) -> str:
    return f"train/{at.target}/landed/"


def _receipt(stored: _Content) -> Receipt | None:
    if stored.encoding != "base64":
        return None
    try:
        return Receipt.model_validate_json(base64.b64decode(stored.content))
    except (ValidationError, ValueError):
        return None
