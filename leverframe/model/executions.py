"""Fresh executions of one test: what is asked of the sandbox, and what came of it."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from leverframe.model.frozen import Frozen, Sha, Slug
from leverframe.model.quarantine import Fingerprint
from leverframe.model.untrusted import Untrusted

MOST_EXECUTIONS = 20
"""In one job."""
MOST_A_DAY = 100_000
"""That policy may allow in a repository."""


class Kind(StrEnum):
    """How a fresh job executes the test; what fails only there names the likely cause."""

    AS_IT_RAN = "as_it_ran"
    ALONE = "alone"
    """Without the tests before it in its file: fails by itself, or needs them."""
    SHUFFLED = "shuffled"
    """After others of its directory, in another order: order, leaked state."""
    PARALLEL = "parallel"
    """Beside processes that use the processors: concurrency, time-outs."""
    CLOCK = "clock"
    """At another date and hour, in another time zone: time."""
    SEED = "seed"
    """With one seed of Python's random numbers and hashes for all executions of the job: randomness."""

    @property
    def how(self) -> str:
        """In words that a sentence may end with."""
        return _HOW[self]


_HOW = {
    Kind.AS_IT_RAN: "as it ran",
    Kind.ALONE: "alone",
    Kind.SHUFFLED: "in another order",
    Kind.PARALLEL: "beside busy processes",
    Kind.CLOCK: "at another time",
    Kind.SEED: "with one seed",
}


class ExecutionOrder(Frozen):
    """One fresh job that executes one test at one commit, each time in a jail of its own."""

    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    """Names the job: asked for twice, it is one."""
    repository: Slug
    sha: Sha
    check: Slug
    """A declared check whose command runs only the tests that it is told; see `Check.selects_tests`."""
    test: Untrusted
    """Travels as data, never as a part of the command."""
    kind: Kind = Kind.AS_IT_RAN
    executions: int = Field(default=1, ge=1, le=MOST_EXECUTIONS)
    until_pass: bool = False
    """Stop at the first pass."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Of what the kind varies."""


class Executed(Frozen):
    """What one job came to. With neither passes nor failures it said nothing, and `why` says why."""

    order: str
    passes: int = Field(default=0, ge=0, le=MOST_EXECUTIONS)
    failures: int = Field(default=0, ge=0, le=MOST_EXECUTIONS)
    fingerprints: tuple[Fingerprint, ...] = Field(default=(), max_length=MOST_EXECUTIONS)
    """Of the failures, each once."""
    milliseconds: int = Field(default=0, ge=0)
    """Of the executions alone."""
    why: str = Field(default="", max_length=500)
    """A sentence of ours."""


ExecutionPurpose = Literal["recheck", "probe", "night"]
"""`recheck`: a calm test only failed in a run; `probe`: it failed and passed at one commit, and the evidence
is thin; `night`: it is quarantined, and may have healed."""
