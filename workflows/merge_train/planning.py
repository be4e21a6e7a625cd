"""The planner: what a train does next, from one snapshot. Pure, and the only place that judges.

Every event is only a reason to plan again, so duplicates and late ones change nothing. The parts: `line`
(who waits for whom), `beliefs` (what the tests say) by `explanations` (of what is red), `attribution`
(verdicts and landings), `speculation` (which trial is needed how likely), `batching`, and here how they
make one plan under each strategy.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from leverframe.model.changes import Priority
from leverframe.model.topology import TrainRules
from workflows.merge_train.attribution import Verdicts, judged, landable
from workflows.merge_train.batching import covered, grouped, longest
from workflows.merge_train.beliefs import Beliefs, believed, red
from workflows.merge_train.lane import Path, Plan, Snapshot, Trial
from workflows.merge_train.line import Line, lined_up
from workflows.merge_train.predictor import ByRecord, Predictor
from workflows.merge_train.record import Record
from workflows.merge_train.speculation import weighed

BY_RECORD = ByRecord()

PREEMPTS = 20.0
"""A trial without a runner takes one from a running trial that is needed so many times less likely: what runs
already is lost, so it has to be nearly useless."""

_DECISIVE = ("passed", "failed", "conflict", "inconclusive", "running")


@dataclass(frozen=True, slots=True)
class _Scene:
    """One snapshot as the parts of the planner see it."""

    snapshot: Snapshot
    rules: TrainRules
    line: Line
    trials: tuple[Trial, ...]
    beliefs: Beliefs
    verdicts: Verdicts

    @property
    def threshold(self) -> float:
        """A trial must be needed with at least this chance."""
        return self.rules.needed_ppm / 1_000_000 if self.rules.strategy == "speculate" else 0.0


def plan(snapshot: Snapshot, rules: TrainRules, record: Record, predictor: Predictor = BY_RECORD) -> Plan:
    """What to do now. The same snapshot always gives the same plan, however its trials are ordered.

    A plan with a landing or an ejection starts nothing: carry it out and plan again.
    """
    trials = _once_each(snapshot.trials)
    full = lined_up(snapshot.entries, composed=rules.lane_mode == "composed")
    verdicts = judged(full, trials, snapshot.passed_before, rules)
    if verdicts.ejected:
        gone = {ejected.sequence for ejected in verdicts.ejected}
        return Plan(ejected=verdicts.ejected, cancel=_with_any(trials, gone))
    line = _allowed(full, snapshot)
    land = None
    if snapshot.mode != "hold_landing":
        batches = rules.batch > 1 and rules.strategy in ("batch", "speculate")
        land = landable(line, _allowed_to_ride(trials, full, snapshot), verdicts.suspects, batches=batches)
    if land is not None:
        return Plan(land=land)
    beliefs = believed(line, trials, snapshot.passed_before, record, predictor)
    return _tested(_Scene(snapshot, rules, line, trials, beliefs, verdicts), full)


def _once_each(trials: tuple[Trial, ...]) -> tuple[Trial, ...]:
    """Each path once, as far as it is known to have come; in the order of the paths."""

    def known(trial: Trial) -> tuple[object, ...]:
        reds = (not trial.early_red, -trial.failed_runs, -trial.inconclusive_runs)
        state = _DECISIVE.index(trial.state)
        return trial.path, trial.overtaken, -trial.runs, state, reds, trial.began_at

    kept: dict[Path, Trial] = {}
    for trial in sorted(trials, key=known):
        kept.setdefault(trial.path, trial)
    return tuple(kept.values())


def _with_any(trials: tuple[Trial, ...], gone: set[int]) -> tuple[Path, ...]:
    return tuple(
        trial.path for trial in trials if trial.state == "running" and not gone.isdisjoint(trial.path)
    )


def _allowed(full: Line, snapshot: Snapshot) -> Line:
    """The line of those who may be tested and land now: in `hotfix_only` nobody waits for the others."""
    if snapshot.mode != "hotfix_only":
        return full
    hot = sum((entry.priority == Priority.HOTFIX) << at for at, entry in enumerate(full.entries))
    ahead = tuple(before & hot for before in full.ahead)
    return Line(full.entries, full.place, ahead)


def _allowed_to_ride(trials: tuple[Trial, ...], full: Line, snapshot: Snapshot) -> tuple[Trial, ...]:
    """The trials of those who may be tested and land now."""
    if snapshot.mode != "hotfix_only":
        return trials
    hot = {entry.sequence for entry in full.entries if entry.priority == Priority.HOTFIX}
    return tuple(trial for trial in trials if hot.issuperset(trial.path))


def _tested(scene: _Scene, full: Line) -> Plan:
    """The trials of a plan without verdicts."""
    bench = _Bench(scene)
    allowed = {trial.path for trial in _allowed_to_ride(scene.trials, full, scene.snapshot)}
    for trial in scene.trials:
        if trial.state != "running":
            continue
        read = full.read(trial.path)
        if read is None or (trial.overtaken and not red(trial) and not _screens(scene, read[1])):
            bench.cancel.append(trial.path)
        elif trial.overtaken and red(trial):
            bench.running[trial.path] = 1.0
        else:
            here = read if scene.line is full else scene.line.read(trial.path)
            screens = len(trial.path) == 1 and _screens(scene, read[1])
            least = scene.threshold if screens else 0.0
            needed = 0.0 if trial.overtaken else _needed(scene, here)
            bench.running[trial.path] = max(needed, least)
    for path in scene.verdicts.again:
        if path in allowed:
            bench.repeat(path, 1.0)
    for wanted, path in _candidates(scene, bench):
        bench.offer(path, wanted)
    for path in _screenings(scene, bench):
        bench.offer(path, 0.0)
    return Plan(
        cancel=tuple(sorted(bench.cancel)),
        again=tuple(bench.again),
        start=tuple(bench.start),
        waits=_waits(scene, bench),
    )


def _screens(scene: _Scene, at: int) -> bool:
    """Whether a test of the change by itself, on a tip, tells something that nothing has proven yet."""
    return scene.rules.strategy == "speculate" and not scene.beliefs.proven >> at & 1


def _needed(scene: _Scene, read: tuple[int, int] | None) -> float:
    if read is None:
        return 0.0
    return scene.beliefs.needed(scene.line.ahead[read[1]], read[0])


class _Bench:
    """The runners: who has one, and who gets one. Mutable while one plan is made."""

    def __init__(self, scene: _Scene) -> None:
        self.scene = scene
        self.running: dict[Path, float] = {}
        self.cancel: list[Path] = []
        self.again: list[Path] = []
        self.start: list[Path] = []
        self.left = scene.snapshot.builds_left
        self.out_of_budget = False
        self.out_of_runners = False

    @property
    def free(self) -> int:
        """Runners that nothing has or gets yet."""
        most = 1 if self.scene.rules.strategy == "serial" else self.scene.rules.runners
        used = len(self.running) + len(self.again) + len(self.start)
        return most - self.scene.snapshot.busy - used

    def repeat(self, path: Path, needed: float) -> None:
        """Run it once more if there is, or can be, a runner for it."""
        if self._runner(needed):
            self._spend()
            self.again.append(path)

    def offer(self, path: Path, needed: float) -> bool:
        """Start it if budget and runners allow."""
        spare = self.left is None or self.left > 0
        if not spare and not self._first_in_line(path):
            self.out_of_budget = True
            return False
        if self.running.pop(path, None) is not None:
            # It went on where it was overtaken; now it is wanted on the tip.
            self.cancel.append(path)
        if not self._runner(needed):
            return False
        self._spend()
        self.start.append(path)
        return True

    def _spend(self) -> None:
        if self.left is not None:
            self.left = max(0, self.left - 1)

    def _first_in_line(self, path: Path) -> bool:
        first = next(iter(_open_places(self.scene)), None)
        return len(path) == 1 and first is not None and self.scene.line.place[path[0]] == first

    def _runner(self, needed: float) -> bool:
        if self.free > 0:
            return True
        path, least = min(self.running.items(), key=lambda one: (one[1], one[0]), default=((), 1.0))
        if path and least * PREEMPTS < needed:
            del self.running[path]
            self.cancel.append(path)
            return True
        self.out_of_runners = True
        return False


def _open_places(scene: _Scene) -> Iterator[int]:
    """The places that may be tested now, first to land first."""
    hot = scene.snapshot.mode == "hotfix_only"
    for at, entry in enumerate(scene.line.entries):
        if not hot or entry.priority == Priority.HOTFIX:
            yield at


def _width(scene: _Scene) -> int:
    """How many changes at the front may be under test."""
    rules, clamp = scene.rules, scene.snapshot.clamp
    if rules.strategy == "serial":
        return 1
    if rules.strategy == "speculate":
        # The chances say what is worth a test; beyond twice the runners nobody would get one.
        return max(rules.window, 2 * rules.runners)
    if rules.strategy == "window" or clamp is None:
        return rules.window
    return min(rules.window, clamp)


def _candidates(scene: _Scene, bench: _Bench) -> Iterator[tuple[float, Path]]:
    """What is worth a runner and has none, best first."""
    chosen = [at for at, _ in zip(_open_places(scene), range(_width(scene)), strict=False)]
    rules, line, beliefs = scene.rules, scene.line, scene.beliefs
    threshold = scene.threshold
    tested = frozenset(trial.path for trial in scene.trials if not _startable(trial))
    options = list(weighed(line, beliefs, chosen, threshold))
    singles = [best for best, *_ in options]
    live = [
        trial.path for trial in scene.trials if trial.state in ("running", "passed") and not trial.overtaken
    ]
    served = covered(line, live, singles)
    most = 1
    # Without a budget only the first in line is tested, and a batch would hide it.
    if rules.strategy in ("batch", "speculate") and bench.left != 0:
        waiting = [one for one in singles if not served >> one.place & 1]
        most = longest(beliefs, waiting, bench.free, rules.batch)
    worth = [one for one in singles if one.needed >= threshold]
    found = list(grouped(line, beliefs, worth, tested=tested, served=served if most > 1 else 0, most=most))
    if rules.strategy == "speculate":
        found += [(one, line.path(one.base, one.place)) for _, *others in options for one in others]
        found.sort(key=lambda one: (-one[0].needed, one[0].place, one[0].base))
    for one, path in found:
        if path not in tested:
            yield one.needed, path


def _screenings(scene: _Scene, bench: _Bench) -> Iterator[Path]:
    """Tests on the tip of changes of which nothing is known, for runners that nobody else wants.

    They can't land from there while others are before them. But whatever becomes of those, a red is a
    verdict at once, and a green makes every base that contains the change more certain. With a budget
    there are none: it is kept for the tests that land.
    """
    under = {path[-1] for path in (*bench.running, *bench.again, *bench.start)}
    by_themselves = {trial.path[0] for trial in scene.trials if len(trial.path) == 1}
    for at in _open_places(scene):
        entry = scene.line.entries[at]
        if bench.free <= 0 or scene.snapshot.builds_left is not None:
            return
        known = entry.sequence in under or entry.sequence in by_themselves
        if not known and not entry.solo and not entry.override and _screens(scene, at):
            yield (entry.sequence,)


def _startable(trial: Trial) -> bool:
    return trial.overtaken and (trial.state == "passed" or (trial.state == "running" and not red(trial)))


def _waits(scene: _Scene, bench: _Bench) -> dict[int, str]:
    """Why each change that is not under test is not."""
    under = {path[-1] for path in (*bench.running, *bench.again, *bench.start)}
    green = {trial.path for trial in scene.trials if trial.state == "passed" and len(trial.path) == 1}
    width, said = _width(scene), {}
    position = {at: number for number, at in enumerate(_open_places(scene))}
    for at, entry in enumerate(scene.line.entries):
        if entry.sequence in under:
            continue
        number = position.get(at)
        if number is None:
            why = "Only hotfixes are tested while the train is frozen for them."
        elif (entry.sequence,) in green:
            why = "It is green, and lands once those before it are decided."
        elif number >= width:
            why = f"{number} changes are before it, and {width} at the front are tested at once."
        elif bench.out_of_budget:
            why = "The budget for builds is used up; only the first in line is tested."
        elif bench.out_of_runners:
            why = "Every runner tests something that is needed more likely."
        else:
            why = "Who lands before it is too uncertain for a test to count yet."
        said[entry.sequence] = why
    return said
