"""Attribution: which trials are verdicts, against whom, and what may land. Nobody is blamed on a guess.

Only a trial whose base is settled judges its change: a path of one. Everything else is evidence.
"""

from dataclasses import dataclass
from typing import Literal

from leverframe.model.topology import TrainRules
from workflows.merge_train.beliefs import red
from workflows.merge_train.lane import Eject, Land, Path, Trial
from workflows.merge_train.line import Line, places

Reason = Literal["check_failed", "incompatible", "check_inconclusive", "conflict"]

RUNS_WITHOUT_WORD = 3
"""A change whose checks gave no verdict so often leaves: nothing says that it is at fault."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What the settled trials say."""

    ejected: tuple[Eject, ...]
    again: tuple[Path, ...]
    """Trials on a settled base that need one more run before they are a verdict."""
    suspects: int
    """Places whose change was red on the tip: others may land past them."""


def judged(
    line: Line, trials: tuple[Trial, ...], passed_before: tuple[Path, ...], rules: TrainRules
) -> Verdicts:
    """The verdicts of every trial on a settled base."""
    green_once = {sequence for path in passed_before for sequence in path}
    ejected, again, suspects = dict[int, Eject](), list[Path](), 0
    for trial in trials:
        sequence = trial.path[0]
        if len(trial.path) > 1 or sequence not in line.place:
            continue
        if red(trial):
            suspects |= 1 << line.place[sequence]
        reason = _reason(trial, rules, green_before=sequence in green_once)
        if reason is not None:
            ejected[line.place[sequence]] = Eject(sequence=sequence, path=trial.path, reason=reason)
        elif trial.state in ("failed", "inconclusive"):
            again.append(trial.path)
    gone = {line.entries[at].sequence for at in ejected}
    return Verdicts(
        ejected=tuple(ejected[at] for at in sorted(ejected)),
        again=tuple(path for path in again if path[0] not in gone),
        suspects=suspects,
    )


def _reason(trial: Trial, rules: TrainRules, *, green_before: bool) -> Reason | None:
    match trial.state:
        case "conflict":
            return "conflict"
        case "failed" if trial.failed_runs > rules.confirmations:
            return "incompatible" if green_before else "check_failed"
        case "inconclusive" if trial.inconclusive_runs >= RUNS_WITHOUT_WORD:
            return "check_inconclusive"
        case _:
            return None


def landable(line: Line, trials: tuple[Trial, ...], suspects: int, *, batches: bool) -> Land | None:
    """The first car that may land: green on the tip, with nobody before it but suspects.

    With `batches` also several that were tested as one, when each of them stood next in line.
    """
    standing = {trial.path: trial for trial in trials if not trial.overtaken}
    found = []
    for path, trial in standing.items():
        if trial.state != "passed" or (len(path) > 1 and not (batches and _one_test(path, standing, line))):
            continue
        read = line.read(path)
        if read is None:
            continue
        members = read[0] | 1 << read[1]
        if all(not line.ahead[at] & ~(members | suspects) for at in places(members)):
            found.append((len(path), read[1], path))
    # The shortest first: a batch below another one lands before it.
    return Land(path=min(found)[2]) if found else None


def _one_test(path: Path, standing: dict[Path, Trial], line: Line) -> bool:
    """Whether the path was tested as a batch: nobody in it has, or will have, a word of its own."""
    if any(line.entries[line.place[one]].solo for one in path if one in line.place):
        return False
    for length in range(1, len(path)):
        below = standing.get(path[:length])
        if below is not None and (below.state in ("running", "passed") or length == 1):
            return False
    return True
