"""The one base of every value that crosses a process boundary."""

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, StringConstraints

Sha = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
"""A full git commit or tree id."""

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")]
"""A name that is safe in a workflow id, a path and a label: repository, service, agent."""

Instant = AwareDatetime
"""A timezone-aware time; UTC wherever we make one."""


class Frozen(BaseModel):
    """An immutable value. An unknown field is an error, never ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid")
