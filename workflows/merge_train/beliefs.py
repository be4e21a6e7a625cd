"""Beliefs: each open change's chance to land, from the predictor and from everything that was tested.

A passed path proves all of its members good, and good together. A red one says that somebody in it is
not, or two don't go together, or that it was a flake: which one is shared out by Bayes, as in noisy group
testing (belief propagation over the red paths). So a red far down the line accuses whoever is least
proven, and one that is explained by a change known to be bad accuses nobody else.
"""

from dataclasses import dataclass

from workflows.merge_train.lane import Path, Trial
from workflows.merge_train.line import Line, places
from workflows.merge_train.predictor import Predictor
from workflows.merge_train.record import Record

ROUNDS = 4
"""Rounds of belief propagation: enough for the few reds that are open at a time."""

NEVER = 1e-4
"""No flake is rarer: a red proves a lot, never everything."""

REDS = 60
"""Red paths that are weighed at once, those at the front first."""

PAIRS = 40
"""With so many others a change may clash at the most; further ones are taken as told apart by time."""


@dataclass(frozen=True, slots=True)
class Accusation:
    """A red path: at least one of these members does not land, or it was a flake."""

    members: int
    """The set of places that may be to blame."""
    flake: float
    """The chance that all of its runs were flakes, if nobody is to blame."""
    chance: float
    """The chance of the red before it was seen."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What to think of the changes in a line, by place."""

    lands: tuple[float, ...]
    """The chance to land, behind those who are likely to, after all evidence."""
    alone: tuple[float, ...]
    """The same chance before the red paths are weighed."""
    accusations: tuple[Accusation, ...]
    """The red paths that no other one explains."""
    likely: int
    """The set of places that land in the likeliest explanation of everything that is red."""
    proven: int
    """The set of places that were in a passed path: good in themselves."""
    together: tuple[int, ...]
    """For each place the set of those proven to go together with it."""

    def needed(self, ahead: int, base: int) -> float:
        """The chance that exactly `base` lands out of `ahead`: that a test on it will count."""
        chance = 1.0
        for at in places(ahead):
            chance *= self.alone[at] if base >> at & 1 else 1 - self.alone[at]
            if chance < 1e-12:
                return 0.0
        return min(1.0, chance * self.explained(ahead, base))

    def explained(self, ahead: int, base: int) -> float:
        """How much likelier the red paths make it that exactly `base` lands out of `ahead`."""
        factor = 1.0
        for one in self.accusations:
            if not one.members & ahead:
                continue
            if one.members & ahead & ~base:
                factor /= one.chance
            else:
                quiet = 1 - one.flake
                for at in places(one.members & ~ahead):
                    quiet *= self.alone[at]
                factor *= (1 - quiet) / one.chance
        return factor


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
    faults: list[float] = []
    likely = 0
    for at, known in enumerate(passing):
        good = 1.0 if proven >> at & 1 and known > 0 else known
        strangers = (line.ahead[at] & likely & ~together[at]).bit_count() if clash else 0
        chance = good * (1 - clash) ** min(strangers, PAIRS)
        faults.append(1 - chance)
        likely |= (chance >= 0.5) << at
    reds = _reds(line, trials, max(predictor.flaking(record), NEVER))
    alone = tuple(1 - fault for fault in faults)
    accusations: tuple[Accusation, ...] = ()
    if reds:
        shares = [_shares(one, passing, faults, _Proofs(proven, together), clash) for one in reds]
        accusations = _accusations(reds, shares, alone)
        likely = _explanation(accusations, alone, likely)
        _accuse(reds, shares, faults)
    chances = tuple(1 - fault for fault in faults)
    return Beliefs(chances, alone, accusations, likely, proven, together)


@dataclass(frozen=True, slots=True)
class _Proofs:
    proven: int
    together: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Red:
    """A red path: its members' places, and the chance that all of its runs were flakes."""

    members: tuple[int, ...]
    flake: float
    alone: bool = False
    """Only the last one can be to blame: it does not apply to the others, which apply to each other."""


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


def _reds(line: Line, trials: tuple[Trial, ...], flake: float) -> list[_Red]:
    found = set()
    for trial in trials:
        chosen = _set(line, trial.path)
        if chosen is None:
            continue
        if trial.state == "conflict":
            found.add(_Red(tuple(places(chosen)), NEVER**2, alone=True))
        elif red(trial):
            found.add(_Red(tuple(places(chosen)), flake ** max(trial.failed_runs, 1)))
    return sorted(found, key=lambda one: (one.members[-1], one.members, one.flake))[:REDS]


def _accusations(
    reds: list[_Red], shares: list[dict[int, float]], alone: tuple[float, ...]
) -> tuple[Accusation, ...]:
    """The red paths with the fewest suspects; a red that contains one of them says nothing more."""
    found: dict[int, float] = {}
    for one, share in zip(reds, shares, strict=True):
        members = sum(1 << at for at in share)
        if members:
            found[members] = min(found.get(members, 1.0), one.flake)
    least = [
        members
        for members in found
        if not any(other != members and other & members == other for other in found)
    ]
    told = []
    for members in sorted(least):
        quiet = 1 - found[members]
        for at in places(members):
            quiet *= alone[at]
        told.append(Accusation(members, found[members], 1 - quiet))
    return tuple(told)


def _explanation(accusations: tuple[Accusation, ...], alone: tuple[float, ...], likely: int) -> int:
    """Who lands when each red path is explained by the one in it who is most likely to blame."""
    for one in accusations:
        if one.members & ~likely:
            continue
        worst = min(places(one.members), key=lambda at: (alone[at], -at))
        if (1 - alone[worst]) > one.flake * alone[worst]:
            likely &= ~(1 << worst)
    return likely


def _accuse(reds: list[_Red], shares: list[dict[int, float]], faults: list[float]) -> None:
    """Move the faults' chances by what the red paths say, in place."""
    prior = {at: _odds(faults[at]) for share in shares for at in share}
    weights = [dict.fromkeys(share, 1.0) for share in shares]
    odds = dict(prior)
    for _ in range(ROUNDS):
        for number, (one, share) in enumerate(zip(reds, shares, strict=True)):
            without = {at: 1 - part * _chance(odds[at] / weights[number][at]) for at, part in share.items()}
            quiet = 1 - one.flake
            for chance in without.values():
                quiet *= chance
            for at, part in share.items():
                others = 1 - quiet / max(without[at], 1e-12)
                weight = part / max(others, 1e-12) + 1 - part
                odds[at] *= weight / weights[number][at]
                weights[number][at] = weight
    for at, value in odds.items():
        faults[at] = _chance(value)


def _shares(
    one: _Red, passing: tuple[float, ...], faults: list[float], proofs: _Proofs, clash: float
) -> dict[int, float]:
    """For each member that may be to blame: how much of its fault would show in this path."""
    shares = {}
    before = 0
    for at in one.members:
        if one.alone:
            fault = float(at == one.members[-1])
        else:
            good = 1.0 if proofs.proven >> at & 1 else passing[at]
            fault = 1 - good * (1 - clash) ** (before & ~proofs.together[at]).bit_count()
        before |= 1 << at
        if fault > 0 and 0 < faults[at] < 1:
            shares[at] = min(1.0, fault / faults[at])
    return shares


def _odds(chance: float) -> float:
    return chance / (1 - chance)


def _chance(odds: float) -> float:
    return odds / (1 + odds)
