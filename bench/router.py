"""What the router costs: requests per second and added latency, as ratios to the same service asked directly.

    python -m bench.router [--seconds N]

The service answers from a bare asyncio protocol, so that nearly all of the measured time is the router's.
Direct and routed rounds alternate in one run and one process each for client, router and service; compare
the ratios, not the absolute figures. The canary has 25 %, so both arms and the counting are on the way.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tests.fakes.delivery_world import A, B, DeliveryWorld, free_ports, until

ROUNDS = 5
CONNECTIONS = 8
RATE = 120
"""Requests per second of the paced rounds: what the demo's load generator sends."""

FAST_SERVICE = b"""
import asyncio, sys

ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nContent-Type: text/plain\\r\\n\\r\\nok"

class Fast(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(ANSWER * data.count(b"\\r\\n\\r\\n"))

async def main():
    server = await asyncio.get_running_loop().create_server(Fast, "127.0.0.1", int(sys.argv[1]))
    await server.serve_forever()

asyncio.run(main())
"""
PROGRAM = (
    "import sys; from pathlib import Path; from leverframe.settings import Settings;"
    "from leverframe.delivery import serve;"
    "serve(Settings.model_validate_json(Path(sys.argv[1]).read_text()))"
)


@dataclass
class Measured:
    """Latencies of one way, in milliseconds, and the time they took together."""

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: int) -> float:
        return statistics.quantiles(self.latencies, n=100)[percent - 1]


class Connection:
    """One kept-alive HTTP/1.1 connection that always asks the same."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._request = f"GET /sha HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self) -> float:
        """Milliseconds until the answer is here, body and all."""
        began = time.perf_counter()
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        await self._reader.readexactly(2)
        assert head.startswith(b"HTTP/1.1 200"), head
        return (time.perf_counter() - began) * 1000

    def close(self) -> None:
        self._writer.close()


async def flat_out(port: int, seconds: float, into: Measured) -> None:
    """Every connection asks again as soon as it is answered."""
    connections = [Connection(port) for _ in range(CONNECTIONS)]
    for connection in connections:
        await connection.open()
    began = time.perf_counter()

    async def one(connection: Connection) -> None:
        while time.perf_counter() - began < seconds:
            into.latencies.append(await connection.ask())

    await asyncio.gather(*(one(connection) for connection in connections))
    into.seconds += time.perf_counter() - began
    for connection in connections:
        connection.close()


async def paced(port: int, seconds: float, into: Measured) -> None:
    """One request every 1/RATE seconds, late or not."""
    connection = Connection(port)
    await connection.open()
    began = time.perf_counter()
    for number in range(int(seconds * RATE)):
        await asyncio.sleep(max(0.0, began + number / RATE - time.perf_counter()))
        into.latencies.append(await connection.ask())
    into.seconds += time.perf_counter() - began
    connection.close()


async def measure(world: DeliveryWorld, direct_port: int, router: int, seconds: float) -> None:
    """Alternate the two ways and print the ratios."""
    ways = {"direct": direct_port, "routed": world.ports["production"]}
    for title, load in ((f"{CONNECTIONS} connections, flat out", flat_out), (f"{RATE} requests/s", paced)):
        results = {name: Measured() for name in ways}
        before = cpu_seconds(router)
        for _ in range(ROUNDS):
            for name, port in ways.items():
                await load(port, seconds, results[name])
        direct, routed = results["direct"], results["routed"]
        spent = 1000 * (cpu_seconds(router) - before) / len(routed.latencies)
        print(f"\n{title}: {len(direct.latencies)} direct and {len(routed.latencies)} routed requests")
        if load is flat_out:
            print(f"  requests/s  direct {direct.rate:8.0f}  routed {routed.rate:8.0f}", end="")
            print(f"  ratio {routed.rate / direct.rate:.2f}")
        for percent in (50, 95, 99):
            plain, through = direct.percentile(percent), routed.percentile(percent)
            print(f"  p{percent} ms      direct {plain:8.2f}  routed {through:8.2f}", end="")
            print(f"  added {through - plain:.2f}")
        print(f"  router CPU  {spent:.2f} ms a request, its other duties included")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far (Linux)."""
    numbers = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")


async def two_arms(world: DeliveryWorld) -> None:
    """A is stable and B the canary at 25 %, both from the fast service."""
    for sha in (A, B):
        await asyncio.to_thread(world.deploy, sha, "well", FAST_SERVICE)
        world.point(sha, "production")
        await world.runs(sha, "production")
    await asyncio.to_thread(world.delivery.set_weight, "shop", sha=B, percent=25)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one round")
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="bench-router-") as place:
        world = DeliveryWorld(Path(place))
        config = Path(place) / "settings.json"
        config.write_text(world.settings.model_dump_json())
        port = free_ports(1)[0]
        router = await asyncio.create_subprocess_exec(
            sys.executable, "-c", PROGRAM, str(config), stdout=asyncio.subprocess.DEVNULL
        )
        direct = await asyncio.create_subprocess_exec(sys.executable, "-c", FAST_SERVICE.decode(), str(port))
        try:
            await until(lambda: world.delivery.health().ok)
            await two_arms(world)
            await measure(world, port, router.pid, seconds)
        finally:
            for process in (direct, router):
                process.terminate()
                await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
