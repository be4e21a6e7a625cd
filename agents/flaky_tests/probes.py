"""Which executions are worth asking for while the evidence on a test is thin.

Right after a discordance the test is executed again at the same commit in fresh jobs. Half of them run it
as it ran, the others vary one thing each, so that what makes it fail has a name. A calm test that only failed
is executed again in one fresh job: what passes there was not broken by the change.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from agents.flaky_tests.bounds import Bounds
from agents.flaky_tests.evidence import after_quiet, strength
from agents.flaky_tests.history import History
from agents.flaky_tests.observation import Attempts
from leverframe.model.executions import Kind

ORDER = (
    *(Kind.AS_IT_RAN, Kind.SHUFFLED, Kind.AS_IT_RAN, Kind.PARALLEL),
    *(Kind.AS_IT_RAN, Kind.ALONE, Kind.AS_IT_RAN, Kind.CLOCK),
    *(Kind.AS_IT_RAN, Kind.SEED),
)
EXECUTIONS = 3
"""In one job: few, since what fails by its environment fails in all of a job's."""
BATCH = 8
"""Jobs that are asked for at once."""
FEW_JOBS, MOST_JOBS = 40, 80
"""After one discordance; where the evidence is NEAR, a share of A, one more hit or two decide."""
NEAR = 10_000
RECHECKS = 3
_THIN = 10.0
"""Evidence that is less is not worth a job: nothing was seen lately."""


@dataclass(frozen=True, slots=True)
class Probe:
    """Fresh jobs to run at one commit, each with so many executions of the one test."""

    kinds: tuple[Kind, ...]
    executions: int = EXECUTIONS

    @property
    def total(self) -> int:
        return len(self.kinds) * self.executions


def probe(history: History, seen: int, bounds: Bounds, budget: int) -> Probe | None:
    """What to execute after the discordance that the history ends with; None if nothing is worth it.

    Fold the jobs and ask again. `budget`: executions that policy still allows.
    """
    if history.quarantine is not None or history.last is None or history.last + 1 != seen:
        return None
    evidence = strength(after_quiet(history.evidence, seen - history.as_of))
    if evidence < _THIN:
        return None
    near = history.hits > 1 and evidence * NEAR >= bounds.runs_to_false_quarantine
    jobs = min(BATCH, (MOST_JOBS if near else FEW_JOBS) - history.probes, budget // EXECUTIONS)
    if jobs <= 0:
        return None
    return Probe(tuple(ORDER[(history.probes + job) % len(ORDER)] for job in range(jobs)))


def tells(jobs: Sequence[tuple[int, int]], asked: int) -> bool:
    """Whether a batch of so many jobs gives reason to ask for another one: (executions, failures) of those
    that said something.

    Where hardly any did, or each failed wholly, the next one will, too: the commit is broken, or can not be
    executed.
    """
    return 2 * len(jobs) >= asked and any(failures < executions for executions, failures in jobs)


def recheck(history: History | None, seen: int, attempts: Attempts, budget: int) -> int:
    """How often to execute a test again, in one fresh job until it passes, that only failed in a run.

    Not for a test that fails elsewhere, too: then the answer is known. Ask before the run is folded, and fold
    the run with these executions.
    """
    if not attempts.only_failed or not (history is None or history.calm(seen)):
        return 0
    return min(RECHECKS, budget)
