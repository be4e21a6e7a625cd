"""The strategies that queues of today use, as their documentation describes them. Nothing of ours in them.

They know one current base for each car and blame whoever is red on it. Every function gives turnarounds in
minutes (arrival to decision) and the number of builds started.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

from leverframe.simulation.workload import Arrival, Workload


@dataclass
class Figures:
    """What one strategy came to."""

    turnaround: list[float] = field(default_factory=list)
    builds: int = 0
    landed: set[int] = field(default_factory=set)

    @property
    def p50(self) -> float:
        ordered = sorted(self.turnaround)
        return ordered[len(ordered) // 2]

    @property
    def builds_per_change(self) -> float:
        return self.builds / max(1, len(self.turnaround))


def passes(cars: dict[int, Arrival], landed: set[int], path: tuple[int, ...]) -> bool:
    """What the builds say of the path on what has landed."""
    below = landed | set(path)
    return all(cars[one].good and below.isdisjoint(cars[one].clashes) for one in path)


def pipeline(workload: Workload, runners: int, size: int, *, aimd: bool = False) -> Figures:
    """The optimistic pipeline: each of the first cars on all before it that are not known to fail.

    A failure re-bases everybody behind it. With `aimd` the window grows by one with each landing and is
    halved, not below 3, by each failure at the front.
    """
    return _Pipeline(workload, runners, size, aimd).run()


class _Pipeline:
    def __init__(self, workload: Workload, runners: int, size: int, aimd: bool) -> None:
        self.workload, self.runners, self.size, self.aimd = workload, runners, size, aimd
        self.cars = {one.number: one for one in workload.arrivals}
        self.figures = Figures()
        self.open: list[int] = []
        self.base: dict[int, tuple[int, ...]] = {}
        self.token: dict[int, int] = {}
        self.result: dict[int, bool] = {}
        self.events: list[tuple[float, int, int, int]] = []
        self.count = 0
        self.now = 0.0

    def run(self) -> Figures:
        for one in self.workload.arrivals:
            heapq.heappush(self.events, (one.at, 0, one.number, 0))
        while self.events:
            self.now, kind, number, token = heapq.heappop(self.events)
            if kind == 0:
                self.open.append(number)
            elif self.token.get(number) == token:
                del self.token[number]
                self.result[number] = passes(self.cars, self.figures.landed, (*self.base[number], number))
            else:
                continue
            self.settle()
        return self.figures

    def settle(self) -> None:
        while self.open and self.result.get(self.open[0]) is not None and not self.base[self.open[0]]:
            front = self.open.pop(0)
            self.figures.turnaround.append(self.now - self.cars[front].at)
            if self.result.pop(front):
                self.figures.landed.add(front)
                for other in self.base:
                    if self.base[other][:1] == (front,):
                        self.base[other] = self.base[other][1:]
                self.size += self.aimd
            elif self.aimd:
                self.size = max(3, self.size // 2)
            self.base.pop(front)
        standing: tuple[int, ...] = ()
        for number in self.open[: self.size]:
            if self.base.get(number) != standing:
                self.base[number] = standing
                self.token.pop(number, None)
                self.result.pop(number, None)
            if number not in self.token and number not in self.result and len(self.token) < self.runners:
                self.count += 1
                self.figures.builds += 1
                self.token[number] = self.count
                heapq.heappush(self.events, (self.now + self.cars[number].minutes, 1, number, self.count))
            if self.result.get(number) is not False:
                standing = (*standing, number)
        for number in self.open[self.size :]:
            self.token.pop(number, None)


def batches(workload: Workload, size: int) -> Figures:
    """One batch at a time; a red one is halved, the halves one after the other, in order."""
    cars = {one.number: one for one in workload.arrivals}
    figures, now, queue = Figures(), 0.0, list[tuple[int, ...]]()
    waiting = list(workload.arrivals)
    while waiting or queue:
        if not queue:
            now = max(now, waiting[0].at)
            ready = [one.number for one in waiting if one.at <= now][:size]
            waiting = waiting[len(ready) :]
            queue.append(tuple(ready))
        batch = queue.pop(0)
        now += max(cars[one].minutes for one in batch)
        figures.builds += 1
        if passes(cars, figures.landed, batch):
            figures.landed.update(batch)
        elif len(batch) > 1:
            queue[:0] = [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
            continue
        figures.turnaround += [now - cars[one].at for one in batch]
    return figures


REFERENCES: dict[str, Callable[[Workload, int], Figures]] = {
    "serial": lambda workload, runners: batches(workload, 1),
    "window 8": lambda workload, runners: pipeline(workload, runners, 8),
    "window 20": lambda workload, runners: pipeline(workload, runners, 20),
    "aimd 20": lambda workload, runners: pipeline(workload, runners, 20, aimd=True),
    "batch 4": lambda workload, runners: batches(workload, 4),
}
