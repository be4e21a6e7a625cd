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
from dataclasses import dataclass, field
from statistics import median

from bench.flaky_peers import Interval
from bench.flaky_rules import RULES, Found
from bench.flaky_world import A_DAY, MAIN_EVERY, OUTAGES, RUNS, Truth, World, made

LONG = 10**6


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
