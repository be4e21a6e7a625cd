"""Moving refs by GitHub's API, for landing where git may not push to the target: all of them or none.

`updateRefs` is what an atomic push with leases is for git: `beforeOid` must be what the ref points at, forty
zeros stand for a ref that must not exist. The objects must be on GitHub: cars are, by their refs; receipts
are stored here. https://docs.github.com/en/graphql/reference/mutations#updaterefs
"""

import base64
from collections.abc import Mapping, Sequence

from pydantic import BaseModel

from activities.backends.github_account import GithubAccount
from activities.backends.github_errors import answering
from activities.backends.github_graphql import ask
from activities.backends.github_places import Place, Places
from activities.backends.track_landing import Move
from leverframe.model.errors import Conflict, NotFound
from leverframe.model.topology import Repository

REPOSITORY = """
query Repository($owner: String!, $name: String!) { repository(owner: $owner, name: $name) { id } }"""

MOVE = """
mutation Move($repository: ID!, $moves: [RefUpdate!]!) {
  updateRefs(input: {repositoryId: $repository, refUpdates: $moves}) { clientMutationId }
}"""

QUESTIONS = (REPOSITORY, MOVE)

_NOWHERE = "0" * 40


class _Blob(BaseModel):
    sha: str


class GithubRefs:
    """Moves refs of the declared repositories."""

    def __init__(
        self, account: GithubAccount, *, repositories: Sequence[Repository], owner_repo: Mapping[str, str]
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._account = account
        self._rest = account.client.rest
        self._places = Places(repositories, owner_repo, host=account.host)

    def move(self, repository: Repository, moves: Sequence[Move]) -> None:
        """Move all refs or none, never backwards. Asks once.

        Raises:
            BadInput, Conflict: a ref is not where `before` says, or a rule forbids it: look.
            NotFound: GitHub does not show the repository.
            Unavailable: no answer, so what happened is not known: look.
        """
        at = self._places.of(repository.name)
        for each in moves:
            if each.content is not None:
                self._store(at, each.name, each.content, each.after)
        updates = [
            {"name": each.name, "beforeOid": each.before or _NOWHERE, "afterOid": each.after, "force": False}
            for each in moves
        ]
        ask(self._account, f"move {moves[0].name}", MOVE, repository=self._id(at), moves=updates)

    def _store(self, at: Place, name: str, content: bytes, expected: str) -> None:
        with answering(f"store what {name} is to point at"):
            encoded = base64.b64encode(content).decode()
            answer = self._rest.git.create_blob(at.owner, at.repo, content=encoded, encoding="base64")
            sha = _Blob.model_validate(answer.json()).sha
        if sha != expected:
            raise Conflict(f"GitHub stored {sha[:12]} where git makes {expected[:12]} of the same content")

    def _id(self, at: Place) -> str:
        told = ask(self._account, f"look up {at.key}", REPOSITORY, owner=at.owner, name=at.repo)
        repository = told.data.get("repository")
        if not isinstance(repository, dict) or not isinstance(repository.get("id"), str):
            raise NotFound(f"GitHub does not show {at.key}")
        return str(repository["id"])
