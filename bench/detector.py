"""The spike detector against named baselines, on seven synthetic stream shapes.

    python bench/detector.py [--streams N] [--seed N]

Baselines: `static` (10 errors in 5 min), `posthog` (a 5-min bucket of at least 10 that is over 10 times
the mean of the non-empty ones of the last hour), `robust-z` (the last 60 min against the median and MAD
of the trailing hours, as error trackers with a volume alert do). Every rule sees the same counts, may
alarm once an hour, and learns for ten days before it is judged. The generators are ours, so the third
digit is noise; the gaps are what counts.
"""

import argparse
import math
import random
import statistics
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from agents.sentry_spike import detector
from agents.sentry_spike.detector import Stream, Tuning

DAY = 1440
WARM_DAYS, QUIET_DAYS, SPIKE_MINUTES = 10, 4, 120
START = 20_000 * DAY
"""A Wednesday, in minutes since 1970."""


def seeded(name: str) -> random.Random:
    """Dice that fall the same in every run."""
    return random.Random(name)  # noqa: S311  reproducible, not secret


def poisson(rate: float, dice: random.Random) -> int:
    """One Poisson number: Knuth's product for small rates, the normal approximation above 30."""
    if rate <= 0:
        return 0
    if rate > 30:
        return max(0, round(dice.gauss(rate, math.sqrt(rate))))
    limit, product, count = math.exp(-rate), dice.random(), 0
    while product > limit:
        product *= dice.random()
        count += 1
    return count


def diurnal(minute: int) -> float:
    return 1 + 0.7 * math.sin(2 * math.pi * (minute % DAY) / DAY)


def weekend(minute: int) -> float:
    return 0.5 if (minute // DAY + 3) % 7 >= 5 else 1.0


def rare(dice: random.Random) -> Iterator[int]:
    for _ in iter(int, 1):
        yield poisson(1 / (2 * DAY), dice)


def low(dice: random.Random) -> Iterator[int]:
    for _ in iter(int, 1):
        yield poisson(0.02, dice)


def daily(dice: random.Random) -> Iterator[int]:
    for minute in range(START, START + 100 * DAY):
        yield poisson(diurnal(minute) * weekend(minute), dice)


def noisy(dice: random.Random) -> Iterator[int]:
    wobble = 0.0
    for minute in range(START, START + 100 * DAY):
        wobble = 0.99 * wobble + dice.gauss(0, 0.02)
        rate = 40 * diurnal(minute) * math.exp(wobble)
        yield poisson(rate * dice.gammavariate(5, 1 / 5), dice)


def clusters(dice: random.Random) -> Iterator[int]:
    waiting: deque[int] = deque()
    for _ in iter(int, 1):
        if dice.random() < 6.5 / DAY:
            size = poisson(30, dice)
            for index in range(3):
                part = size // 3
                if len(waiting) > index:
                    waiting[index] += part
                else:
                    waiting.append(part)
        yield (waiting.popleft() if waiting else 0) + poisson(0.005, dice)


def cron(dice: random.Random) -> Iterator[int]:
    for minute in range(START, START + 100 * DAY):
        burst = poisson(5, dice) if minute % 60 == 0 else 0
        burst += poisson(120, dice) if minute % DAY == 200 else 0
        yield burst + poisson(0.1, dice)


def growth(dice: random.Random) -> Iterator[int]:
    for minute in range(START, START + 100 * DAY):
        yield poisson(0.5 * 1.1 ** ((minute - START) / DAY) * diurnal(minute), dice)


@dataclass(frozen=True)
class Shape:
    """A kind of stream, and the added rates (events per minute) of its spikes."""

    name: str
    make: Callable[[random.Random], Iterator[int]]
    medium: float
    large: float


SHAPES = (
    Shape("rare", rare, 1, 10),
    Shape("low", low, 1, 10),
    Shape("daily", daily, 5, 20),
    Shape("noisy", noisy, 120, 600),
    Shape("clusters", clusters, 3, 15),
    Shape("cron", cron, 3, 15),
    Shape("growth", growth, 10, 40),
)


class Rule(Protocol):
    """A detector: minute counts in, whether it would alarm out."""

    def see(self, minute: int, count: int) -> bool: ...

    def branch(self) -> "Rule":
        """A copy that goes its own way."""
        ...


@dataclass
class Ours:
    tuning: Tuning = field(default_factory=Tuning)
    stream: Stream | None = None

    def see(self, minute: int, count: int) -> bool:
        second = minute * 60
        if self.stream is None:
            self.stream = detector.begin(second, self.tuning)
        if count:
            self.stream = detector.add(self.stream, [(second, count)], self.tuning)
        self.stream = detector.advance(self.stream, second + 59, self.tuning)
        alarm = bool(count) and detector.read(self.stream, second + 59, self.tuning).alarm
        if alarm:
            # As the agent does when the run that it started has settled.
            self.stream = detector.rearm(self.stream, second + 59, self.tuning)
        return alarm

    def branch(self) -> "Ours":
        return Ours(self.tuning, self.stream)


@dataclass
class Static:
    last: deque[int] = field(default_factory=lambda: deque([0] * 5, 5))

    def see(self, minute: int, count: int) -> bool:
        self.last.append(count)
        return sum(self.last) >= 10

    def branch(self) -> "Static":
        return Static(deque(self.last, 5))


@dataclass
class PostHog:
    buckets: deque[int] = field(default_factory=lambda: deque([0] * 12, 12))

    def see(self, minute: int, count: int) -> bool:
        if minute % 5 == 0:
            self.buckets.append(0)
        self.buckets[-1] += count
        past = [bucket for bucket in list(self.buckets)[:-1] if bucket]
        return self.buckets[-1] >= 10 and self.buckets[-1] > 10 * (statistics.fmean(past) if past else 0)

    def branch(self) -> "PostHog":
        return PostHog(deque(self.buckets, 12))


@dataclass
class RobustZ:
    hour: deque[int] = field(default_factory=lambda: deque([0] * 60, 60))
    hours: deque[int] = field(default_factory=lambda: deque([0] * 168, 168))

    def see(self, minute: int, count: int) -> bool:
        self.hour.append(count)
        total = sum(self.hour)
        if minute % 60 == 59:
            self.hours.append(total)
        if total < 10:
            return False
        middle = statistics.median(self.hours)
        spread = statistics.median(abs(hour - middle) for hour in self.hours)
        return 0.6745 * (total - middle) / max(spread, 1) > 5

    def branch(self) -> "RobustZ":
        return RobustZ(deque(self.hour, 60), deque(self.hours, 168))


RULES: dict[str, Callable[[], Rule]] = {
    "static": Static,
    "posthog": PostHog,
    "robust-z": RobustZ,
    "ours": Ours,
}


@dataclass
class Tally:
    """What one rule did on one shape."""

    false_alarms: int = 0
    stream_days: int = 0
    delays: dict[str, list[int | None]] = field(default_factory=lambda: {"medium": [], "large": []})

    def detected(self, size: str) -> float:
        return 100 * sum(delay is not None for delay in self.delays[size]) / len(self.delays[size])

    def median(self, size: str) -> float | None:
        found = [delay for delay in self.delays[size] if delay is not None]
        return statistics.median(found) if found else None


def quiet_run(rule: Rule, counts: list[int], tally: Tally) -> list[tuple[int, Rule]]:
    """Feed a stream without spikes; count alarms after the warm-up and branch the rule at four moments."""
    branches, muted = [], 0
    for index, count in enumerate(counts):
        minute = START + index
        alarm = rule.see(minute, count)
        if index < WARM_DAYS * DAY:
            continue
        if alarm and index >= muted:
            tally.false_alarms += 1
        # An alarm that goes on is the same alarm.
        muted = index + 60 if alarm else muted
        if index % (DAY * QUIET_DAYS // 4) == 137:
            branches.append((index, rule.branch()))
    tally.stream_days += QUIET_DAYS
    return branches


def spike(rule: Rule, index: int, counts: list[int], added: float, dice: random.Random) -> int | None:
    """Minutes from a spike's start to the first alarm. A rule that fires anyway is credited: a gift to it."""
    for minute in range(SPIKE_MINUTES):
        at = index + 1 + minute
        if rule.see(START + at, counts[at] + poisson(added, dice)):
            return minute + 1
    return None


def measure(shape: Shape, streams: int, seed: int) -> dict[str, Tally]:
    """All rules on the same streams of one shape, with the same spikes."""
    tallies = {name: Tally() for name in RULES}
    for number in range(streams):
        maker = shape.make(seeded(f"{seed}/{shape.name}/{number}"))
        counts = [next(maker) for _ in range((WARM_DAYS + QUIET_DAYS) * DAY + SPIKE_MINUTES + 1)]
        for name, make in RULES.items():
            quiet = counts[: (WARM_DAYS + QUIET_DAYS) * DAY]
            for index, branch in quiet_run(make(), quiet, tallies[name]):
                for size, added in (("medium", shape.medium), ("large", shape.large)):
                    dice = seeded(f"{seed}/{shape.name}/{number}/{index}/{size}")
                    delay = spike(branch.branch(), index, counts, added, dice)
                    tallies[name].delays[size].append(delay)
    return tallies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--streams", type=int, default=3, help="streams of each shape (default 3)")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    began = time.perf_counter()
    totals = {name: Tally() for name in RULES}
    print(
        "cell: false alarms per stream-day; medium spikes % @ median minutes; large spikes % @ median minutes"
    )
    print(f"{'shape':10}" + "".join(f"{name:^34}" for name in RULES))
    for shape in SHAPES:
        cells = measure(shape, options.streams, options.seed)
        print(f"{shape.name:10}" + "".join(f"{cell(cells[name]):^34}" for name in RULES), flush=True)
        for name, tally in cells.items():
            totals[name].false_alarms += tally.false_alarms
            totals[name].stream_days += tally.stream_days
            for size, delays in tally.delays.items():
                totals[name].delays[size] += delays
    print(f"{'all':10}" + "".join(f"{cell(totals[name]):^34}" for name in RULES))
    ours = totals["ours"]
    for name in ("static", "posthog", "robust-z"):
        other = totals[name]
        print(
            f"ours / {name}: false alarms {ratio(ours.false_alarms, other.false_alarms)}, "
            f"medium spikes found {ratio(ours.detected('medium'), other.detected('medium'))}"
        )
    print(
        f"{ours.stream_days} stream-days, {len(ours.delays['medium'])} spikes a size, "
        f"{time.perf_counter() - began:.0f} s"
    )


def cell(tally: Tally) -> str:
    parts = [f"{tally.false_alarms / tally.stream_days:.3f}"]
    for size in ("medium", "large"):
        median = tally.median(size)
        parts.append(f"{tally.detected(size):.0f}%@{'–' if median is None else f'{median:g}'}")
    return "; ".join(parts)


def ratio(ours: float, other: float) -> str:
    return f"{ours / other:.2f}" if other else f"{ours:g} to 0"


if __name__ == "__main__":
    main()
