"""How long one evaluation takes beside 5,000 holds, as a ratio to a naive scan of the same holds.

Both answer the same question in the same run, in turns: the shipped policy, one more flip of a flag. The scan
looks at every hold for every limit and nothing else, as one would write it first; what it counts is checked
against the index. The index is built once, as the ledger keeps it, and one more reservation with its removal
is timed too, because the ledger pays for that as well. Times are the processor's: nothing here waits for
anything, and what else the machine does is no fault of it.

    .venv/bin/python bench/evaluate.py [--holds 5000] [--rounds 300]
"""

import argparse
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402 - after the path is set
from rich.table import Table  # noqa: E402

from leverframe.model.outcomes import Outcome  # noqa: E402
from leverframe.model.proposals import Affected, Cost, FlipFlag, Lever, Measurement  # noqa: E402
from policies.counting import amount, scope_key  # noqa: E402
from policies.decision import ReserveRequest  # noqa: E402
from policies.documents import PolicyDocument, PolicySnapshot, parse  # noqa: E402
from policies.evaluate import evaluate  # noqa: E402
from policies.intent import Intent  # noqa: E402
from policies.layering import applicable, is_about  # noqa: E402
from policies.rules import Limit  # noqa: E402
from policies.usage import Sighting, Usage, UsageDocument, Use  # noqa: E402

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
AGENT, REPOSITORY = "sentry_spike", "shop"
TARGET_US = 1000


def shipped() -> PolicySnapshot:
    """The policy that the project ships."""
    root = ROOT / "policies/defaults"
    return parse({path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.yaml")})


def past(holds: int, *, held: bool) -> UsageDocument:
    """One agent's effects of the last week over 200 subjects: all unsettled, or all settled."""
    chance = random.Random(7)  # noqa: S311 - the same figures in every run
    uses = []
    for _ in range(holds):
        at = NOW - timedelta(seconds=chance.randrange(7 * 86_400))
        uses.append(
            Use(
                agent=AGENT,
                repository=REPOSITORY,
                service=REPOSITORY,
                subject=f"SHOP-{chance.randrange(200)}",
                lever=chance.choice(list(Lever)),
                at=at,
                held=held,
                cost=Cost(cents=chance.randrange(50), tokens=chance.randrange(5000)),
                outcome=None if held else Outcome.LANDED,
                ended_at=None if held else at + timedelta(minutes=5),
            )
        )
    uses.sort(key=lambda use: use.at)
    last = {use.subject: use.at for use in uses}
    sightings = (
        Sighting(repository=REPOSITORY, service=REPOSITORY, subject=subject, at=at)
        for subject, at in last.items()
    )
    return UsageDocument(uses=tuple(uses), sightings=tuple(sightings))


def asked() -> Intent:
    """One more flip, with everything that a rule may want to know."""
    return Intent.of(
        ReserveRequest(
            reservation="run/1",
            agent=AGENT,
            repository=REPOSITORY,
            service=REPOSITORY,
            subject="SHOP-7",
            effect=FlipFlag(flag="new-checkout", on=False),
            cost=Cost(cents=3, tokens=900),
            evidence=(Measurement(name="events", observed=400, threshold=20, unit="events"),),
            affected=Affected(count=1, of=12),
        )
    )


def scan(limits: Sequence[tuple[PolicyDocument, Limit]], intent: Intent, uses: Sequence[Use]) -> list[int]:
    """For each limit, what stands under it: every hold is looked at every time."""
    return [
        sum(
            amount(limit, use.cost)
            for use in uses
            if is_about(policy, use)
            and sees(limit, use)
            and scope_key(limit, use) == scope_key(limit, intent)
        )
        for policy, limit in limits
    ]


def sees(limit: Limit, use: Use) -> bool:
    """Whether the limit counts the use at all."""
    if use.lever not in limit.levers:
        return False
    return use.held if limit.window is None else use.at + limit.window > NOW


def one_in_one_out(usage: Usage, use: Use) -> None:
    """A reservation and its release, as the index sees them."""
    usage.add("new", use)
    usage.drop("new")


def timed(rounds: int, parts: Sequence[Callable[[], object]]) -> list[list[float]]:
    """Microseconds of each part, in turns."""
    took: list[list[float]] = [[] for _ in parts]
    for _ in range(rounds):
        for part, times in zip(parts, took, strict=True):
            began = time.thread_time()
            part()
            times.append((time.thread_time() - began) * 1e6)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--holds", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=300)
    options = parser.parse_args()
    snapshot, intent = shipped(), asked()
    limits = [
        (policy, limit)
        for policy in applicable(snapshot, intent)
        for limit in policy.rules.limits
        if limit.unit != "escalations" and intent.lever in limit.levers
    ]
    table = Table("", "median µs", "p99 µs", title=f"One evaluation beside {options.holds:,} holds")
    slowest = 0.0
    ratios = []
    for name, held in (("unsettled", True), ("settled", False)):
        document = past(options.holds, held=held)
        usage = Usage(snapshot, document)
        scanned = scan(limits, intent, document.uses)
        indexed = [usage.counter(*one).taken(scope_key(one[1], intent), NOW) for one in limits]
        assert indexed == scanned, "a comparison of different answers would be worth nothing"
        newest = document.uses[-1].model_copy(update={"at": NOW})

        took = timed(
            options.rounds,
            (
                partial(evaluate, snapshot, intent, usage, NOW),
                partial(one_in_one_out, usage, newest),
                partial(scan, limits, intent, document.uses),
            ),
        )
        for part, times in zip(("evaluate", "one in, one out", "naive scan"), took, strict=True):
            p99 = statistics.quantiles(times, n=100)[98]
            table.add_row(f"{part}, all {name}", f"{statistics.median(times):,.0f}", f"{p99:,.0f}")
        slowest = max(slowest, statistics.median(took[0]))
        ratios.append(statistics.median(slow / fast for fast, _, slow in zip(*took, strict=True)))
    console = Console()
    console.print(table)
    console.print(f"naive scan ÷ evaluate: {', '.join(f'{ratio:.0f}' for ratio in ratios)}")
    verdict = "met" if slowest < TARGET_US else "missed"
    console.print(f"target: under {TARGET_US:,} µs in the middle: {verdict} ({slowest:,.0f} µs)")


if __name__ == "__main__":
    main()
