"""What each rule quarantines of a world's tests, and when: ours as the product does it, and the peers'."""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial

from agents.flaky_tests.bounds import BY_A_PERSON, BY_ITSELF, Bounds
from agents.flaky_tests.detector import Conditions, caught_up, observe_executions, observe_probe
from agents.flaky_tests.healing import claim_fix
from agents.flaky_tests.history import History, Mask
from agents.flaky_tests.masking import reexecutions
from agents.flaky_tests.nightly import next_batch, planned
from agents.flaky_tests.observation import Attempts, Run
from agents.flaky_tests.probes import probe, recheck
from agents.flaky_tests.suite import Suite, fold, with_probe
from bench.flaky_peers import PEERS, Event, Interval
from bench.flaky_world import A_DAY, MAIN_EVERY, RUNS, World

AT = datetime(2026, 1, 1, tzinfo=UTC)
_JOB = 3
"""Re-executions of one fresh job before a failure may be red."""
UNLIMITED = 10**9
_REPORTED = 100
"""A broken test that nothing masks leaves the suite after so many runs: it only fails from then on, so it can
neither be quarantined nor masked again, and takes half of the bench's time."""


@dataclass
class Found:
    """What a rule did to the tests of a world."""

    intervals: dict[int, list[Interval]] = field(default_factory=dict)
    red: set[tuple[int, int]] = field(default_factory=set)
    """(test, run) in an interval that failed the build all the same."""
    executions: int = 0

    def covering(self, test: int, run: int) -> Interval | None:
        held = self.intervals.get(test, [])
        place = bisect_right(held, (run, RUNS + 1)) - 1
        return held[place] if place >= 0 and held[place][0] <= run < held[place][1] else None

    def masked(self, test: int, run: int) -> bool:
        return self.covering(test, run) is not None and (test, run) not in self.red


class Others(Collection[int]):
    """All tests but those with events, and those that are not reported any more."""

    def __init__(self, tests: int, but: Collection[int], gone: Collection[int]) -> None:
        self._tests, self._but, self._gone = tests, but, gone

    def __len__(self) -> int:
        return self._tests - len(self._but) - len(self._gone)

    def __contains__(self, test: object) -> bool:
        return test not in self._but and test not in self._gone

    def __iter__(self) -> Iterator[int]:
        return (test for test in range(self._tests) if test in self)


class AllRun:
    """A shelf on which every test takes part in every run."""

    def __init__(self) -> None:
        self.counted = 0
        self.histories: dict[int, History] = {}
        self._attentive: dict[int, None] = {}

    def seen(self, test: int) -> int:
        return self.counted

    def history(self, test: int) -> History | None:
        return self.histories.get(test)

    def keep(self, test: int, history: History) -> None:
        self.histories[test] = history
        if history.attentive:
            self._attentive[test] = None
        else:
            self._attentive.pop(test, None)

    def attentive(self) -> list[int]:
        return list(self._attentive)

    def count(self, tests: Collection[int]) -> None:
        self.counted += isinstance(tests, Others)


class Ours:
    """The agent, as it would act by itself on a suite: fold, probe, mask, heal."""

    def __init__(self, world: World, bounds: Bounds) -> None:
        self.world, self.bounds = world, bounds
        self.suite, self.shelf, self.found = Suite(), AllRun(), Found()
        self._since: dict[int, int] = {}
        self._gone: set[int] = set()

    def judged(self) -> Found:
        for number in range(RUNS):
            self._run(number)
            if number % A_DAY == A_DAY - 1:
                self._night(number)
        for test in list(self._since):
            self._close(test, RUNS)
        return self.found

    def _run(self, number: int) -> None:
        others = {
            test: self._again(test, number, attempts)
            for test, attempts in self.world.runs[number].items()
            if test not in self._gone
        }
        run = Run(
            sha=f"{number:040x}",
            branch="main" if number % MAIN_EVERY == 0 else f"change-{number}",
            main=number % MAIN_EVERY == 0,
            at=AT + timedelta(days=number / A_DAY),
            passed=Others(len(self.world.truths), others, self._gone),
            others=others,
        )
        noise = self.suite.noise.bound
        folded = fold(self.suite, run, self.shelf, self.bounds)
        self.suite = folded.suite
        for change in folded.changes:
            history = change.after
            if not folded.in_trouble and change.test in others:
                history = self._probed(change.test, history, run, noise)
            self._note(change.test, history, number)
            truth = self.world.truths[change.test]
            if (
                truth.kind == "breaks"
                and number >= truth.turns + _REPORTED
                and change.test not in self._since
            ):
                self._gone.add(change.test)

    def _probed(self, test: int, history: History, run: Run, noise: float) -> History:
        """The test's history after all the fresh jobs that are worth it."""
        seen, number, conditions = self.shelf.seen(test), int(run.sha, 16), Conditions(noise, self.bounds)
        while asked := probe(history, seen, self.bounds, UNLIMITED):
            jobs = self.world.executions(
                test, number, len(asked.kinds), asked.executions, f"probe {history.probes}"
            )
            self.found.executions += asked.total
            results = tuple((asked.executions, failures) for failures in jobs)
            before, history = history, observe_probe(history, results, seen, run.at, conditions)
            self.suite = with_probe(self.suite, before, history)
            self.shelf.keep(test, history)
        return history

    def _again(self, test: int, number: int, attempts: Attempts) -> Attempts:
        """A quarantined test that only failed is executed again before it may be red."""
        history = self.shelf.history(test)
        quarantine = history.quarantine if history else None
        if quarantine is None:
            left = recheck(history, self.shelf.seen(test), attempts, UNLIMITED)
        else:
            left = reexecutions(quarantine) if quarantine.mask is Mask.ON and not attempts.passes else 0
        job = 0
        while left > 0 and not attempts.passes:
            each = min(_JOB, left)
            failures = self.world.executions(test, number, 1, each, f"again {job}")[0]
            self.found.executions += each
            attempts = replace(
                attempts, passes=attempts.passes + each - failures, failures=attempts.failures + failures
            )
            left, job = left - each, job + 1
        if quarantine is not None and not attempts.passes:
            self.found.red.add((test, number))
        return attempts

    def _night(self, number: int) -> None:
        """The day's fresh executions at the tip of main, and the fixes that commits claim."""
        quarantines = {}
        for test in sorted(self._since):
            history = self.shelf.histories[test]
            if history.quarantine is None:
                continue
            quarantine = caught_up(history.quarantine, self.shelf.seen(test))
            if any(number - A_DAY < claim <= number for claim in self.world.truths[test].claims):
                quarantine = claim_fix(quarantine)
            self.shelf.keep(test, history._replace(quarantine=quarantine))
            quarantines[test] = quarantine
        at = AT + timedelta(days=number / A_DAY)
        for test, count in planned(quarantines, UNLIMITED, number // A_DAY).items():
            done = failures = 0
            while more := next_batch(count, done, failures):
                failures += sum(self.world.executions(test, number, more, 1, f"night {done}"))
                done += more
            self.found.executions += done
            history = observe_executions(
                self.shelf.histories[test], (failures, done), self.shelf.seen(test), at, self.bounds
            )
            self.shelf.keep(test, history)
            self._note(test, history, number)

    def _note(self, test: int, history: History, number: int) -> None:
        held = history.quarantine is not None and history.quarantine.mask is Mask.ON
        if held and test not in self._since:
            self._since[test] = number + 1
        elif not held and test in self._since:
            self._close(test, number + 1)

    def _close(self, test: int, end: int) -> None:
        self.found.intervals.setdefault(test, []).append((self._since.pop(test), end))


def peer(world: World, name: str) -> Found:
    events: dict[int, list[Event]] = {}
    for number, run in enumerate(world.runs):
        for test, attempts in run.items():
            events.setdefault(test, []).append(Event(number, attempts.both))
    return Found(intervals={test: PEERS[name](found) for test, found in events.items()})


def _ours(world: World, level: float) -> Found:
    return Ours(world, Bounds(runs_to_false_quarantine=level)).judged()


RULES: dict[str, dict[str, Callable[[World], Found]]] = {
    "peers": {name: partial(peer, name=name) for name in PEERS},
    "ours": {
        "ours, A = 1e4": partial(_ours, level=BY_A_PERSON),
        "ours, A = 1e6": partial(_ours, level=BY_ITSELF),
    },
}
