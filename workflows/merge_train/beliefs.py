"""Beliefs: each open change's chance to land, from the predictor and from everything that was tested.

A passed path proves all of its members good, and good together. A red one says that somebody in it is
not, or two don't go together, or that it was a flake: see `explanations`.
"""

import math
from dataclasses import dataclass
from itertools import accumulate

from workflows.merge_train.explanations import Explanation, Priors, Red, explained
from workflows.merge_train.lane import Path, Trial
from workflows.merge_train.line import Line, places
from workflows.merge_train.predictor import Predictor
from workflows.merge_train.record import PAIRS, Record

NEVER = 1e-4
"""No flake is rarer: a red proves a lot, never everything."""

REDS = 60
"""Red paths that are weighed at once, those at the front first."""

SURE = 1e-9
"""No chance is nearer to 0 or 1."""


@dataclass(frozen=True, slots=True)
class View:
    """What one explanation makes of the line."""

    weight: float
    """The chance that this is how it is."""
    lands: dict[int, float]
    """The places whose chance to land it changes, and that chance."""
    shifts: dict[int, tuple[float, float]]
    """For these places, by how much the logarithms of their chances not to land, and to land, change."""
    changed: int
    """The set of these places."""
    likely: int
    """The set of places that land, if it is so."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What to think of the changes in a line, by place."""

    usual: tuple[float, ...]
    """The chance to land, behind those who are likely to, before anything red is weighed."""
    usually: int
    """The set of places that land then."""
    logs: tuple[tuple[float, float], ...]
    """The logarithms of the usual chances not to land, and to land."""
    before: tuple[float, ...]
    """The logarithm of the chance that of those before a place exactly `usually` land."""
    views: tuple[View, ...]
    """What the red paths may mean, likeliest first."""
    proven: int
    """The set of places that were in a passed path: good in themselves."""
    together: tuple[int, ...]
    """For each place the set of those proven to go together with it."""

    @property
    def likely(self) -> int:
        """The set of places that land by the likeliest explanation."""
        return self.views[0].likely

    def lands(self, at: int) -> float:
        """The chance of a place to land, over all explanations."""
        usual = self.usual[at]
        return sum(view.weight * view.lands.get(at, usual) for view in self.views)

    def needed(self, ahead: int, base: int) -> float:
        """The chance that exactly `base` lands out of `ahead`: that a test on it will count."""
        usual = self.log_usual(ahead)
        for at in places(ahead & (base ^ self.usually)):
            inside = base >> at & 1
            usual += self.logs[at][inside] - self.logs[at][1 - inside]
        return min(1.0, sum(self.seen(view, ahead, base, usual) for view in self.views))

    def log_usual(self, ahead: int) -> float:
        """The logarithm of the chance that of these exactly those land that usually do."""
        if not ahead & (ahead + 1):
            return self.before[ahead.bit_length()]
        return sum(self.logs[at][self.usually >> at & 1] for at in places(ahead))

    def seen(self, view: View, ahead: int, base: int, usual: float) -> float:
        """The part that one view has in a chance whose logarithm before the reds is `usual`."""
        for at in places(ahead & view.changed):
            usual += view.shifts[at][base >> at & 1]
        return view.weight * math.exp(usual)


def log_chance(lands: float, inside: int) -> float:
    """The logarithm of the chance that a place lands, or that it does not."""
    return math.log(max(lands if inside else 1 - lands, SURE))


def red(trial: Trial) -> bool:
    """Whether something in it has failed and has not passed since."""
    return trial.state == "failed" or (
        trial.state == "running" and (trial.early_red or trial.failed_runs > 0)
    )


def believed(
    line: Line,
    trials: tuple[Trial, ...],
    passed_before: tuple[Path, ...],
    record: Record,
    predictor: Predictor,
) -> Beliefs:
    """The beliefs after all of this evidence. The order and the number of copies of trials don't matter."""
    proven, together = _proofs(line, trials, passed_before)
    passing = predictor.passing(line.entries, record)
    clash = predictor.clashing(record)
    good = tuple(1.0 if proven >> at & 1 and known > 0 else known for at, known in enumerate(passing))
    usual: list[float] = []
    usually = 0
    for at, known in enumerate(good):
        strangers = (line.ahead[at] & usually & ~together[at]).bit_count() if clash else 0
        chance = known * (1 - clash) ** min(strangers, PAIRS)
        usual.append(chance)
        usually |= (chance >= 0.5) << at
    priors = Priors(good, clash, together)
    found = explained(_reds(line, trials, max(predictor.flaking(record), NEVER)), priors)
    logs = tuple((log_chance(lands, 0), log_chance(lands, 1)) for lands in usual)
    views = tuple(_view(one, priors, usual, usually, logs) for one in found)
    sums = accumulate((pair[usually >> at & 1] for at, pair in enumerate(logs)), initial=0.0)
    return Beliefs(tuple(usual), usually, logs, tuple(sums), views, proven, together)


def _view(
    one: Explanation,
    priors: Priors,
    usual: list[float],
    usually: int,
    logs: tuple[tuple[float, float], ...],
) -> View:
    lands: dict[int, float] = {}
    for at in places(one.good):
        lands[at] = usual[at] / max(priors.good[at], SURE)
    for at in places(one.bad):
        lands[at] = 0.0
    likely = usually & ~one.bad
    likely |= sum(1 << at for at, chance in lands.items() if chance >= 0.5)
    for at, partners in sorted(one.clashes):
        there = (partners & likely).bit_count() / partners.bit_count()
        lands[at] = lands.get(at, usual[at]) * (1 - there)
        if lands[at] < 0.5:
            likely &= ~(1 << at)
    shifts = {
        at: (log_chance(chance, 0) - logs[at][0], log_chance(chance, 1) - logs[at][1])
        for at, chance in lands.items()
    }
    return View(one.weight, lands, shifts, sum(1 << at for at in lands), likely)


def _set(line: Line, path: Path) -> int | None:
    """The path's members as a set; None when one of them has left."""
    chosen = 0
    for sequence in path:
        at = line.place.get(sequence)
        if at is None:
            return None
        chosen |= 1 << at
    return chosen


def _proofs(
    line: Line, trials: tuple[Trial, ...], passed_before: tuple[Path, ...]
) -> tuple[int, tuple[int, ...]]:
    passed = [trial.path for trial in trials if trial.state == "passed"]
    proven, together = 0, [0] * len(line.entries)
    for path in (*passed, *passed_before):
        chosen = _set(line, path)
        if chosen is None or line.entries[line.place[path[-1]]].override:
            continue
        proven |= chosen
        for at in places(chosen):
            together[at] |= chosen
    return proven, tuple(together)


def _reds(line: Line, trials: tuple[Trial, ...], flake: float) -> list[Red]:
    found = set()
    for trial in trials:
        chosen = _set(line, trial.path)
        if chosen is None:
            continue
        if trial.state == "conflict":
            found.add(Red(chosen, NEVER**2, last=line.place[trial.path[-1]]))
        elif red(trial):
            found.add(Red(chosen, flake ** max(trial.failed_runs, 1)))
    return sorted(found, key=lambda one: (one.members.bit_count(), one.members, one.flake))[:REDS]
