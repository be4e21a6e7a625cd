"""What is known of a repository's flaky tests, and the change of its quarantine file that follows from it."""

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from leverframe.model.frozen import Frozen, Instant
from leverframe.model.test_reports import MOST_MARKER, MOST_MARKERS, MOST_NAME
from leverframe.model.untrusted import Untrusted
from leverframe_pytest.quarantine import EXECUTIONS, MOST_EXECUTIONS

MOST_ENTRIES = 10_000
MOST_PER_CHANGE = 100
"""Tests that one change adds, and so many more that it removes: a person reads it."""

Fingerprint = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{16})?$")]
"""Of a failure; empty for one of which nothing is known."""

OWNER = r"^@?[A-Za-z0-9][A-Za-z0-9._/+-]{0,99}(@[A-Za-z0-9.-]{1,100})?$"
Owner = Annotated[str, StringConstraints(pattern=OWNER)]
"""A person, a team or a mail address, as CODEOWNERS names them."""
Link = Annotated[str, StringConstraints(pattern=r"^(https://[!-~]{1,490})?$")]
"""Of the issue that tracks the repair; empty for none."""

TestPath = Annotated[str, StringConstraints(max_length=MOST_NAME)]
"""A test's file in the repository; empty where it is not known."""
Reexecutions = Annotated[int, Field(ge=1, le=MOST_EXECUTIONS)]
"""How often a test that failed as it is quarantined for is executed again, until it passes; without a pass
its failure counts."""
Marker = Annotated[str, StringConstraints(max_length=MOST_MARKER)]
"""What pytest calls a mark."""
Markers = Annotated[tuple[Marker, ...], Field(max_length=MOST_MARKERS)] | None
"""Of one test, sorted; None where no report has told them."""


class Quarantined(Frozen):
    """One entry of the file: a test whose named failures can't fail a build until it expires."""

    test: Untrusted
    """Its full identity: file, whole node id with parameters, variant."""
    masks: tuple[Fingerprint, ...] = Field(min_length=1, max_length=8)
    since: date
    expires: date
    """The first day on which its failures count again."""
    evidence: str = Field(max_length=1_000)
    """A sentence of ours."""
    owner: Owner
    link: Link = ""
    executions: Reexecutions = EXECUTIONS


class QuarantineFile(Frozen):
    """The whole file, sorted by test, each test once."""

    entries: tuple[Quarantined, ...] = Field(default=(), max_length=MOST_ENTRIES)

    def tests(self) -> frozenset[Untrusted]:
        return frozenset(entry.test for entry in self.entries)


class FlakyFinding(Frozen):
    """What the detector says of one test that is or should be quarantined."""

    test: Untrusted
    kind: Literal["flaky", "healed", "broken", "deleted"]
    at: Instant
    evidence: str = Field(max_length=1_000)
    """A sentence of ours."""
    strength: int = Field(ge=0)
    """The evidence against A, as a whole number; 0 for what is no longer flaky."""
    discordant: int = Field(default=0, ge=0)
    runs: int = Field(default=0, ge=0)
    masks: tuple[Fingerprint, ...] = Field(default=(), max_length=8)
    path: TestPath = ""
    markers: Markers = None
    owner: Owner | None = None
    """By the repository's CODEOWNERS."""
    link: Link = ""
    """The tracking issue of exactly this test."""
    executions: Reexecutions = EXECUTIONS
    """By its own rate."""
    mask_strength: int = Field(default=0, ge=0)
    """The least evidence that each of `masks` has of its own: enough for one that came later to be hidden."""
    unhealed: bool = False
    """The file named it and does so no more, though the detector has not released it since."""


class QuarantineCaps(Frozen):
    """What policy allows an agent to quarantine. Missing means nothing."""

    share_ppm: int = Field(default=0, ge=0, le=1_000_000)
    """Of the suite, quarantined at once."""
    per_day: int = Field(default=0, ge=0)
    per_change: int = Field(default=0, ge=0, le=MOST_PER_CHANGE)
    deny_paths: tuple[str, ...] = ()
    """Globs of files whose tests are never quarantined: security, payments."""
    deny_markers: tuple[str, ...] = ()
    fallback_owner: Owner | None = None
    """Whose a test is that CODEOWNERS gives to nobody; without one such a test is never quarantined."""
    days: int = Field(default=30, ge=1, le=366)
    """An entry expires after so many days; then the test's failures count again."""
    by_itself: int = Field(default=1_000_000, ge=1)
    """Evidence of at least this may land by itself; less needs a person."""
    executions_a_day: int = Field(default=0, ge=0)
    """Fresh executions of single tests in the repository."""
    renewals: bool = False
    """Whether people may be asked to let a quarantine go on that expires, or has ended unhealed."""


class EntryStory(Frozen):
    """What is remembered of an entry that the file has now."""

    test: Untrusted
    renewed: int = Field(default=0, ge=0)
    """How often it was renewed, as far as that is known."""
    asked: bool = False
    """People were asked already whether to renew it beyond the day on which it expires now."""
    refused: tuple[Fingerprint, ...] = Field(default=(), max_length=1_000)
    """Failures that a person did not want it to hide."""


class FlakyFacts(Frozen):
    """Everything that a change of the quarantine file depends on, gathered by an activity."""

    kind: Literal["flaky_tests"] = "flaky_tests"
    tests: int = Field(ge=0)
    """In the suite."""
    file: QuarantineFile
    """As it is on the target branch."""
    findings: tuple[FlakyFinding, ...] = Field(default=(), max_length=1_000)
    in_flight: tuple[Untrusted, ...] = Field(default=(), max_length=1_000)
    """Tests that an open change of ours already adds or removes."""
    rejected: tuple[Untrusted, ...] = Field(default=(), max_length=10_000)
    """Tests whose quarantine a person turned down; for ever, until a person takes that back."""
    added_today: int = Field(default=0, ge=0)
    stories: tuple[EntryStory, ...] = Field(default=(), max_length=MOST_ENTRIES)
    """Of entries of which there is something to tell."""
    caps: QuarantineCaps = QuarantineCaps()
    """What policy allows by now."""


class LeftOut(Frozen):
    """A test that the change leaves alone, and why."""

    test: Untrusted
    why: str
