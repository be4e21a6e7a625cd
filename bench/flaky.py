"""Which rule quarantines what is flaky, and what it hides on the way.

    python -m bench.flaky [--seeds 4] [--first 1] [--worlds calm,outage,stress]
        [--rules all|ours|peers]

Ours is the product's own fold, probes, masks and healing plan; the peers' rules are written from their
documentation in `flaky_peers`, on the same tests, runs and reruns. One seed of one world takes one to two
minutes of a core; `--seeds 1 --worlds outage --rules ours` is a look. The failure rates are those of 811
real tests (`flaky_rates`); everything else of the world is made up (`flaky_world`), so this compares rules:
it is no precision on real suites, for which no labelled stream of runs is public. `leverframe flaky replay`
tries ours on your own history.

Columns: median runs from the onset of a flake until quarantine, for tests that fail in at least 5 %, and in 1
to 5 %, of executions; the share of 0.2 to 1 % flakes found within 1,000 runs; quarantines of 1,000 quiet
healthy tests (and of active ones, which changes break) in 100 days; the share of runs masked in which main
broke a healthy test, or the change under test a quarantined one; tests that really broke while quarantined,
masked for more than 10 runs; runs until a rise to 70 % failures is no longer masked; releases while flaky in
1,000 quarantined runs; quarantined again within 14 days of a release; from a fix until release the median in
runs, and the share within 600; red runs of nothing but flakiness among those with no pass; minutes a day that
one flaky test keeps main red while it is not broken, counted from its onset, and that one broken test leaves
main green; fresh executions for each quarantined test and day, probes included.
"""

import argparse
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from statistics import median

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
from bench.flaky_world import A_DAY, MAIN_EVERY, OUTAGES, RUNS, Truth, World, made

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


@dataclass
class Measured:
    """The counts of one rule in one world, over all seeds."""

    delays: dict[str, list[int]] = field(default_factory=lambda: {"often": [], "seldom": [], "rare": []})
    false: dict[str, int] = field(default_factory=lambda: {"quiet": 0, "active": 0})
    tests: dict[str, int] = field(default_factory=lambda: {"quiet": 0, "active": 0})
    regressed: list[bool] = field(default_factory=list)
    """Runs in which main broke an active test: was it masked?"""
    broken_by_change: list[bool] = field(default_factory=list)
    """Runs in which the change under test broke a quarantined test."""
    hidden: list[int] = field(default_factory=list)
    """Masked runs after each real break of a quarantined test."""
    shifted: list[int] = field(default_factory=list)
    false_releases: int = 0
    requarantined: int = 0
    releases: int = 0
    quarantined_runs: int = 0
    heals: list[int] = field(default_factory=list)
    flake_red: list[bool] = field(default_factory=list)
    """Runs in which a quarantined, merely flaky test had no pass at first: was it red?"""
    main_flaky: list[bool] = field(default_factory=list)
    """Runs of main with a flaky test that is not broken: did it make main red?"""
    main_broken: list[bool] = field(default_factory=list)
    """Runs of main with a broken test: did it leave main green?"""
    executions: int = 0

    def add(self, world: World, found: Found) -> None:
        self.executions += found.executions
        for truth in world.truths:
            held = found.intervals.get(truth.number, [])
            if truth.kind in self.false:
                self.tests[truth.kind] += 1
                self.false[truth.kind] += len(held)
                self.regressed += [found.masked(truth.number, run) for run in truth.regressed]
            else:
                self._flaky(truth, held, found)
            self.broken_by_change += [
                found.masked(truth.number, run) for run in truth.breaks if found.covering(truth.number, run)
            ]
            self._main(truth, world, found)
        for number, run in enumerate(world.runs):
            for test, attempts in run.items():
                truth = world.truths[test]
                if attempts.passes or truth.broken_at(number) or number in world.outages:
                    continue
                if truth.flaky and found.covering(test, number) and number < truth.turns:
                    self.flake_red.append((test, number) in found.red)

    def _main(self, truth: Truth, world: World, found: Found) -> None:
        """What main shows of a test: each of its runs counts until the next one, but those in an outage."""
        for number in range(0, RUNS, MAIN_EVERY):
            if truth.broken_at(number):
                self.main_broken.append(found.masked(truth.number, number))
            elif truth.flaky and truth.onset <= number < truth.turns and number not in world.outages:
                seen = world.runs[number].get(truth.number)
                only_failed = seen is not None and not seen.passes
                self.main_flaky.append(only_failed and not found.masked(truth.number, number))

    def _flaky(self, truth: Truth, held: list[Interval], found: Found) -> None:
        first = next((start for start, _ in held if start > truth.onset), RUNS)
        size = "often" if truth.rate >= 0.05 else "seldom" if truth.rate >= 0.01 else "rare"
        if size != "rare" or truth.rate >= 0.002:
            self.delays[size].append(min(first - truth.onset, LONG))
        for start, end in held:
            self.quarantined_runs += end - start
            if start <= truth.onset or end >= RUNS:
                continue
            self.releases += 1
            still = end < truth.turns or truth.kind == "stays"
            self.false_releases += still
            self.requarantined += any(0 <= again - end < 14 * A_DAY for again, _ in held)
        covering = found.covering(truth.number, truth.turns) if truth.turns < RUNS else None
        if covering is None:
            return
        if truth.kind == "fixed":
            self.heals.append(covering[1] - truth.turns)
        else:
            seen = next((run for run in range(truth.turns, RUNS) if self._shows(truth, found, run)), RUNS)
            (self.hidden if truth.kind == "breaks" else self.shifted).append(seen - truth.turns + 1)

    def _shows(self, truth: Truth, found: Found, run: int) -> bool:
        """Whether the break is seen in the run: by a red one, or since nothing is masked any more."""
        return not found.masked(truth.number, run)

    def cells(self) -> list[str]:
        days = RUNS / A_DAY
        false = [1000 / self.tests[kind] * 100 / days * self.false[kind] for kind in ("quiet", "active")]
        return [
            f"{_middle(self.delays['often'])} / {_middle(self.delays['seldom'])}",
            _share([delay <= 1000 for delay in self.delays["rare"]]),
            f"{false[0]:.1f} ({false[1]:.1f})",
            f"{_share(self.regressed)} / {_share(self.broken_by_change)}",
            _share([masked > 10 for masked in self.hidden]),
            _middle(self.shifted),
            f"{1000 * self.false_releases / max(self.quarantined_runs, 1):.2f}",
            _share([True] * self.requarantined + [False] * (self.releases - self.requarantined)),
            f"{_middle(self.heals)} / {_share([runs <= 600 for runs in self.heals])}",
            _share(self.flake_red),
            f"{_minutes(self.main_flaky)} / {_minutes(self.main_broken)}",
            f"{A_DAY * self.executions / max(self.quarantined_runs, 1):.1f}",
        ]


LONG = 10**6
COLUMNS = (
    "delay ≥ 5 % / 1–5 %",
    "0.2–1 % found",
    "false, quiet (active)",
    "masked: main / own break",
    "broke, hidden > 10",
    "70 % shift seen",
    "false releases",
    "back in 14 d",
    "heal / in 600",
    "flake red",
    "main red / hidden",
    "executions",
)


def _middle(values: list[int]) -> str:
    if not values:
        return "–"
    middle = median(values)
    return "> 1,000" if middle > 1000 else f"{middle:.0f}"


def _minutes(values: list[bool]) -> str:
    """Of a day, at the share of the runs."""
    return f"{24 * 60 * sum(values) / len(values):.1f}" if values else "–"


def _share(values: list[bool]) -> str:
    return f"{100 * sum(values) / len(values):.3g} %" if values else "–"


def main() -> None:
    parser = argparse.ArgumentParser(description="Which rule quarantines what is flaky, and what it hides.")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--worlds", default=",".join(OUTAGES))
    parser.add_argument("--rules", choices=("peers", "ours", "all"), default="all")
    options = parser.parse_args()
    for name in options.worlds.split(","):
        measured: dict[str, Measured] = {}
        for seed in range(options.first, options.first + options.seeds):
            world = made(seed, name)
            for kind in RULES if options.rules == "all" else (options.rules,):
                for rule, judge in RULES[kind].items():
                    measured.setdefault(rule, Measured()).add(world, judge(world))
        print(f"\n{name}: {options.seeds} seeds\n\n| rule | " + " | ".join(COLUMNS) + " |")
        print("|---|" + "---|" * len(COLUMNS))
        for rule, counts in measured.items():
            print(f"| {rule} | " + " | ".join(counts.cells()) + " |", flush=True)


if __name__ == "__main__":
    main()
