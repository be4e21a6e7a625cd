"""Where the declared repositories lie on GitHub, and what their changes are called there."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.model.topology import Repository

_NUMBER = re.compile(r"[1-9][0-9]{0,9}")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a declared repository lies."""

    repository: str
    target: str
    owner: str
    repo: str
    key: str
    """`github.com/acme/shop`: keeps what we recorded of another repository apart."""


class Places:
    """The declared repositories, by name."""

    def __init__(
        self, repositories: Iterable[Repository], owner_repo: Mapping[str, str], *, host: str
    ) -> None:
        """Raises BadConfiguration: a declared repository has no `owner/name` on GitHub."""
        self._places = {each.name: _place(each, owner_repo, host) for each in repositories}

    def __len__(self) -> int:
        return len(self._places)

    def all(self) -> list[Place]:
        """Every place, in the order of the declarations."""
        return list(self._places.values())

    def of(self, repository: str) -> Place:
        """Raises NotFound for a repository that is not declared."""
        if repository not in self._places:
            raise NotFound(f"repository {repository!r} is not declared")
        return self._places[repository]

    def named(self, change: str) -> tuple[Place, int]:
        """Place and number of the change `shop/7`. Raises NotFound for a name that is none."""
        repository, _, number = change.rpartition("/")
        if repository not in self._places or not _NUMBER.fullmatch(number):
            raise NotFound(f"there is no change {change!r}")
        return self._places[repository], int(number)


def _place(repository: Repository, owner_repo: Mapping[str, str], host: str) -> Place:
    owner, _, repo = owner_repo.get(repository.name, "").partition("/")
    if not owner:
        raise BadConfiguration(
            f"changes.github.owner_repo has no entry for the repository {repository.name!r}"
        )
    key = f"{host}/{owner}/{repo}".lower()
    return Place(repository=repository.name, target=repository.target, owner=owner, repo=repo, key=key)
