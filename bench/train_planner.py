"""How long the planner takes for a train of 1,000 open changes, as a ratio to reading its snapshot.

    python -m bench.train_planner [--rounds N]

A hundred runners test cars at the front; some are green, some red on undecided bases, half of the line is in
one lane of eight. The baseline is what any planner would have to do first: read the same snapshot from JSON.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from leverframe.model.changes import Priority
from leverframe.model.topology import TrainRules
from workflows.merge_train.lane import Entry, Snapshot, Trial
from workflows.merge_train.planning import plan
from workflows.merge_train.record import Record

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
OPEN = 1000
RUNNERS = 100
LANES = tuple(f"lane-{number}" for number in range(8))


def snapshot(*, composed: bool, seed: int = 1) -> Snapshot:
    """A busy morning: everybody at the front is under test on everybody before them."""
    dice = random.Random(seed)  # noqa: S311 - reproducible, not secret
    entries = tuple(
        Entry(
            sequence=number,
            priority=Priority.NORMAL,
            actor=dice.choice(("person", "agent:sentry_spike", "release")),
            lanes=(dice.choice(LANES),) if composed and dice.random() < 0.5 else (),
            enqueued_at=NOW - timedelta(minutes=OPEN - number),
        )
        for number in range(1, OPEN + 1)
    )
    trials = []
    for number in range(1, RUNNERS + 31):
        state = "running" if number > 30 else dice.choice(("passed", "failed", "running"))
        if number == 1:
            state = "running"  # Otherwise the plan would be a verdict, and shorter.
        trials.append(
            Trial(
                path=tuple(range(max(1, number - 60 if composed else 1), number + 1)),
                state=state,
                failed_runs=int(state == "failed"),
                began_at=NOW - timedelta(minutes=dice.randrange(30)),
            )
        )
    return Snapshot(entries=entries, trials=tuple(trials), now=NOW)


def timed(what: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of processor time of each round: other processes on the machine don't count."""
    found = []
    for _ in range(rounds):
        began = time.process_time()
        what()
        found.append((time.process_time() - began) * 1000)
    return found


def main() -> None:
    """Print median and 99th percentile."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    for mode in ("chain", "composed"):
        seen = snapshot(composed=mode == "composed")
        text = seen.model_dump_json()
        rules = TrainRules(runners=RUNNERS, lane_mode=mode)
        base = timed(lambda text=text: Snapshot.model_validate_json(text), rounds)
        took = timed(lambda seen=seen, rules=rules: plan(seen, rules, Record()), rounds)
        median, baseline = statistics.median(took), statistics.median(base)
        p99 = statistics.quantiles(took, n=100)[98]
        print(
            f"{mode:<9} {OPEN} open, {len(seen.trials)} trials: median {median:.1f} ms, p99 {p99:.1f} ms; "
            f"{median / baseline:.1f} × reading the snapshot ({baseline:.1f} ms)"
        )


if __name__ == "__main__":
    main()
