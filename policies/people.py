"""People: who may be asked, and how each door knows them. One file, `people.yaml`, beside the policies.

An account belongs to exactly one person, named explicitly: there is no matching by e-mail or display name.
"""

from collections.abc import Iterable
from typing import Annotated

from pydantic import Field, StringConstraints

from leverframe.model.frozen import Frozen, Slug

Principal = Slug
"""A person's name in votes, groups and the audit log."""

TeamId = Annotated[str, StringConstraints(pattern=r"^[TE][A-Z0-9]{2,20}$")]
UserId = Annotated[str, StringConstraints(pattern=r"^[UW][A-Z0-9]{2,20}$")]


class SlackAccount(Frozen):
    """A Slack user within one workspace."""

    team: TeamId
    user: UserId

    @property
    def key(self) -> str:
        """`slack:T0123/U0456`: how a vote names the account."""
        return f"slack:{self.team}/{self.user}"


class Person(Frozen):
    """Somebody who may be asked."""

    principal: Principal
    name: str = Field(min_length=1, max_length=100)
    slack: tuple[SlackAccount, ...] = ()
    logins: tuple[str, ...] = ()
    """Names of the operating system's accounts from which they use the command line."""
    git: tuple[str, ...] = ()
    """Addresses they commit with, lower case: nobody approves the repair of their own commit."""

    def accounts(self) -> frozenset[str]:
        """How votes may name the person: `login:ada`, `slack:T0123/U0456`."""
        return frozenset(f"login:{login}" for login in self.logins) | {each.key for each in self.slack}

    def is_among(self, requesters: Iterable[str]) -> bool:
        """Whether one of these git addresses, logins or names is the person's own, whatever its case."""
        own = {name.casefold() for name in (self.principal, *self.logins, *self.git)}
        return any(requester.casefold() in own for requester in requesters)


class Group(Frozen):
    """People who are asked together."""

    name: Slug
    members: tuple[Person, ...]
