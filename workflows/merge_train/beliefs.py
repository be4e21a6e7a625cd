"""Beliefs: each open change's chance to land, from the predictor and from everything that was tested.

A passed path proves all of its members good, and good together. A red one says that somebody in it is
not, or two don't go together, or that it was a flake: see `explanations`.
"""

import math
from dataclasses import dataclass

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
    changed: tuple[tuple[int, float], ...]
    """Places whose chance to land it changes, and that chance."""
    likely: int
    """The set of places that land, if it is so."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What to think of the changes in a line, by place."""

    usual: tuple[float, ...]
    """The chance to land, behind those who are likely to, before anything red is weighed."""
    usually: int
    """The set of places that land then."""
    views: tuple[View, ...]
    """What the red paths may mean, likeliest first."""
    proven: int
    """The set of places that were in a passed path: good in themselves."""
    together: tuple[int, ...]
    """For each place the set of those proven to go together with it."""
    suspected: int
    """The set of places that some explanation blames."""

    def lands(self, at: int) -> float:
        """The chance of a place to land, over all explanations."""
        if not self.suspected >> at & 1:
            return self.usual[at]
        return sum(view.weight * dict(view.changed).get(at, self.usual[at]) for view in self.views)

    @property
    def likely(self) -> int:
        """The set of places that land by the likeliest explanation."""
        return self.views[0].likely

    def needed(self, ahead: int, base: int) -> float:
        """The chance that exactly `base` lands out of `ahead`: that a test on it will count."""
        usual = sum(log_odds(self.usual[at], base >> at & 1) for at in places(ahead))
        return min(1.0, sum(self.seen(view, ahead, base, usual) for view in self.views))

    def seen(self, view: View, ahead: int, base: int, usual: float) -> float:
        """The part that one view has in the chance; `usual` is the chance's logarithm before the reds."""
        for at, chance in view.changed:
            if ahead >> at & 1:
                inside = base >> at & 1
                usual += log_odds(chance, inside) - log_odds(self.usual[at], inside)
        return view.weight * math.exp(usual)


def log_odds(lands: float, inside: int) -> float:
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
    views = tuple(_view(one, priors, usual, usually) for one in found)
    suspected = 0
    for view in views:
        for at, _ in view.changed:
            suspected |= 1 << at
    return Beliefs(tuple(usual), usually, views, proven, together, suspected)


def _view(one: Explanation, priors: Priors, usual: list[float], usually: int) -> View:
    changed: dict[int, float] = {}
    for at in places(one.good):
        changed[at] = usual[at] / max(priors.good[at], SURE)
    for at in places(one.bad):
        changed[at] = 0.0
    likely = usually & ~one.bad
    likely |= sum(1 << at for at, chance in changed.items() if chance >= 0.5)
    for at, partners in sorted(one.clashes):
        there = (partners & likely).bit_count() / partners.bit_count()
        changed[at] = changed.get(at, usual[at]) * (1 - there)
        if changed[at] < 0.5:
            likely &= ~(1 << at)
    return View(one.weight, tuple(sorted(changed.items())), likely)


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
