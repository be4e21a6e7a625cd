"""Where each declared repository lies on GitLab."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from leverframe.model.errors import BadConfiguration, NotFound
from leverframe.model.topology import Repository


@dataclass(frozen=True, kw_only=True)
class Place:
    """One project: `acme/platform/shop`."""

    repository: str
    target: str
    path: str
    key: str
    """`gitlab.com/acme/platform/shop`: keeps what we recorded of another project apart."""

    @property
    def url(self) -> str:
        """The project's address in the API; its slashes are encoded."""
        return f"/projects/{quote(self.path, safe='')}"

    def merge_request(self, number: int) -> str:
        """The address of one merge request in the API."""
        return f"{self.url}/merge_requests/{number}"


class Places:
    """Declared repository → its project."""

    def __init__(self, host: str, repositories: Sequence[Repository], projects: Mapping[str, str]) -> None:
        """Raises BadConfiguration: a declared repository has no project."""
        self._places = {each.name: _place(host, each, projects) for each in repositories}

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places.values())

    def __len__(self) -> int:
        return len(self._places)

    def at(self, repository: str) -> Place:
        """Raises NotFound."""
        if repository not in self._places:
            raise NotFound(f"repository {repository!r} is not declared")
        return self._places[repository]

    def named(self, change: str) -> tuple[Place, int]:
        """The project and the number (`iid`) of `shop/7`. Raises NotFound."""
        repository, _, number = change.rpartition("/")
        if repository not in self._places or not re.fullmatch(r"[1-9][0-9]{0,9}", number):
            raise NotFound(f"there is no change {change!r}")
        return self._places[repository], int(number)


def _place(host: str, repository: Repository, projects: Mapping[str, str]) -> Place:
    path = projects.get(repository.name, "")
    if not path:
        raise BadConfiguration(f"changes.gitlab.projects has no entry for the repository {repository.name!r}")
    key = f"{host}/{path}".lower()
    return Place(repository=repository.name, target=repository.target, path=path, key=key)
