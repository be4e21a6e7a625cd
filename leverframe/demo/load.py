"""Users of the shop: a steady stream of requests, from a process of its own.

`python -m leverframe.demo.load --url http://127.0.0.1:8411 --rate 120` runs until SIGTERM or SIGINT and
then prints what it saw as one JSON object: `{"200": 812, "201": 410, "500": 3, "unreachable": 0}`.
"""

import argparse
import asyncio
import contextlib
import json
import random
import signal
import sys
from collections import Counter
from dataclasses import dataclass, field
from typing import TypeVar

import aiohttp

T = TypeVar("T")

_MOST_IN_FLIGHT = 200
_ANSWER_SECONDS = 10

_ROUTES = (("catalogue", 25), ("checkout", 35), ("order", 35), ("home", 5))
"""What users do, with weights in per cent."""

_CARTS: tuple[tuple[tuple[tuple[str, int], ...], int], ...] = (
    ((("mug", 1),), 20),
    ((("mug", 2), ("green-tea", 1)), 15),
    ((("teapot", 1), ("black-tea", 3), ("strainer", 1)), 15),
    ((("green-tea", 6), ("strainer", 1)), 10),
    ((("green-tea", 1), ("sample", 1)), 20),
    ((("mug", 1), ("gift-card", 1)), 20),
)
"""What they buy, with weights in per cent. The sample has no list price, the gift card no weight."""

_CUSTOMERS = 1000

_ARCHIVED_ORDERS = range(1000, 1200)


@dataclass(frozen=True)
class Visit:
    """One request of one user."""

    method: str
    path: str
    body: dict[str, object] | None = None


@dataclass
class Load:
    """Sends `rate` requests a second to `url`, whatever the answers are, and counts the answers."""

    url: str
    rate: float
    chance: random.Random = field(default_factory=lambda: random.Random(1))  # noqa: S311 - which cart
    counts: Counter[str] = field(default_factory=Counter)
    """Answers by status; `unreachable` where none came, `skipped` where too many were under way."""
    _visits: int = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop` is set; requests under way are abandoned then."""
        loop = asyncio.get_running_loop()
        timeout = aiohttp.ClientTimeout(total=_ANSWER_SECONDS)
        under_way: set[asyncio.Task[None]] = set()
        async with aiohttp.ClientSession(self.url, timeout=timeout) as session:
            due = loop.time()
            while not stop.is_set():
                if len(under_way) < _MOST_IN_FLIGHT:
                    task = asyncio.create_task(self._send(session, self.visit()))
                    under_way.add(task)
                    task.add_done_callback(under_way.discard)
                else:
                    self.counts["skipped"] += 1
                due = max(due + 1 / self.rate, loop.time() - 1)  # after a pause, catch up at most a second
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0, due - loop.time()))
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def visit(self) -> Visit:
        """What the next user does."""
        route = self._pick(_ROUTES)
        if route == "checkout":
            lines = [{"sku": sku, "quantity": quantity} for sku, quantity in self._pick(_CARTS)]
            return Visit("POST", "/checkout", {"lines": lines})
        if route == "order":
            return Visit("GET", f"/orders/{self.chance.choice(_ARCHIVED_ORDERS)}")
        return Visit("GET", "/catalogue" if route == "catalogue" else "/")

    def _pick(self, weighted: tuple[tuple[T, int], ...]) -> T:
        return self.chance.choices([value for value, _ in weighted], [weight for _, weight in weighted])[0]

    async def _send(self, session: aiohttp.ClientSession, visit: Visit) -> None:
        try:
            self._visits += 1
            customer = {"X-Customer": f"customer-{self._visits % _CUSTOMERS}"}
            async with session.request(
                visit.method, visit.path, json=visit.body, headers=customer
            ) as response:
                await response.read()
                self.counts[str(response.status)] += 1
        except (aiohttp.ClientError, TimeoutError):
            self.counts["unreachable"] += 1


async def _run(url: str, rate: float) -> Counter[str]:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    load = Load(url, rate)
    await load.run(stop)
    return load.counts


def main() -> None:
    parser = argparse.ArgumentParser(prog="leverframe.demo.load", description="Send users to the shop.")
    parser.add_argument("--url", required=True, help="where the shop is, for example http://127.0.0.1:8411")
    parser.add_argument("--rate", type=float, default=120, help="requests a second")
    options = parser.parse_args()
    if options.rate <= 0:
        parser.error("--rate must be more than 0")
    sys.stdout.write(json.dumps(asyncio.run(_run(options.url, options.rate))) + "\n")


if __name__ == "__main__":
    main()
