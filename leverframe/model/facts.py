"""Facts: what an agent asked for and an activity gathered. Agents see facts, never the world.

Those about tests are in `leverframe.model.quarantine`.
"""

from typing import Annotated, Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Instant, Sha, Slug
from leverframe.model.quarantine import FlakyFacts
from leverframe.model.untrusted import Untrusted

MAX_AUTHORS = 20
"""People named per landed commit."""


class ErrorFactsRequest(Frozen):
    """What an agent needs to know of an error group before it can propose."""

    kind: Literal["errors"] = "errors"
    repository: Slug
    service: Slug
    subject: str
    since: Instant
    """Only events accepted from here on count."""
    max_events: int = Field(default=200, ge=1, le=1000)
    max_commits: int = Field(default=20, ge=1, le=200)


class FlakyFactsRequest(Frozen):
    """What an agent needs to know of a repository's tests before it can propose."""

    kind: Literal["flaky_tests"]
    """Written out: a request without a kind is of the time when all asked for errors."""
    agent: Slug
    """Who asks: policy says what it may quarantine."""
    repository: Slug
    service: Slug
    subject: str
    since: Instant
    """When the first of the reports came that are to be folded in."""


FactsRequest = ErrorFactsRequest | FlakyFactsRequest
"""Every kind of question for facts."""


class Frame(Frozen):
    """One in-app stack frame whose file exists in the repository at the live commit."""

    path: str
    function: Untrusted
    line: int = Field(ge=1)
    blamed: Sha | None = None
    """The commit that last changed the line, as the target branch's first-parent history names it."""


class FlagObservation(Frozen):
    """How often one flag had one value in the sampled events."""

    flag: str
    """The name of a flag that the flag backend knows; unknown names are dropped."""
    value: bool
    errors: int = Field(ge=0)


class FlagState(Frozen):
    """One flag as its backend has it now."""

    flag: str
    on: bool
    """For anybody: while it is rolled out, too."""
    percent: int | None = None
    """While it is rolled out: the share of the users who are not internal that has it on."""
    kill: bool = True
    """Switching it off is safe: the backend's metadata does not say otherwise."""
    changed_at: Instant | None = None
    """When it was last switched, if the backend knows."""
    changed_by: str | None = None
    """The key it was last switched with: a reservation's id, or a person's name and time."""
    restore_after_minutes: int | None = None
    """So long after a kill it is to be switched on again, as whoever owns the flag declared."""
    killed_at_percent: int | None = None
    """It was switched off in the middle of a rollout that had come so far; nobody has changed it since."""


class ReleaseObservation(Frozen):
    """How many sampled events came from one release."""

    sha: Sha
    errors: int = Field(ge=0)


class LandedCommit(Frozen):
    """One commit on the target branch's first-parent line, newest first."""

    sha: Sha
    subject: Untrusted
    landed_at: Instant
    paths: tuple[str, ...]
    change: str | None = None
    by_agent: bool = False
    first: bool = False
    """It has no parent: nothing stood before it that a revert could go back to."""
    run: str | None = None
    """The agent run behind it, vouched for by its receipt; None for a person's."""
    author: str = ""
    """The git address of its author, lower case; of a merged change, who wrote its last commit."""
    authors: tuple[str, ...] = Field(default=(), max_length=MAX_AUTHORS)
    """Everybody who must not approve its repair: the login that landed it, and the git address of each
    commit that came with it, lower case."""


class ErrorFacts(Frozen):
    """Everything the embedded store, the forge and the flag backend know about one error group."""

    kind: Literal["errors"] = "errors"
    title: Untrusted
    exception: Untrusted
    trace: Untrusted
    """A short, scrubbed stack trace for people."""
    route: Untrusted
    """The transaction name of the newest event, or an empty text."""
    sampled: int = Field(ge=0)
    total: int = Field(ge=0)
    first_at: Instant
    frames: tuple[Frame, ...] = ()
    """Crash frame first."""
    flags: tuple[FlagObservation, ...] = ()
    flag_states: tuple[FlagState, ...] = ()
    releases: tuple[ReleaseObservation, ...] = ()
    live: Sha
    """What production's overlay names now."""
    previous: Sha | None = None
    """What production's overlay named before that."""
    commits: tuple[LandedCommit, ...] = ()


Facts = Annotated[ErrorFacts | FlakyFacts, Field(discriminator="kind")]
"""Every kind of facts."""
