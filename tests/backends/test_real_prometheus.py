"""The real server: it scrapes small exporters, loses one, sees one restart, and is asked as in production."""

import http.server
import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from activities.backends.metrics_prometheus import PrometheusMetrics
from activities.backends.prometheus_api import PrometheusApi
from leverframe.model.errors import Unavailable
from leverframe.model.queries import ServiceQueries, SignalQuery
from leverframe.model.releases import HealthDocument
from tests.fakes.delivery_world import free_ports
from tests.fakes.release_world import NEW, OLD, FakeEnvironments, World
from workflows.release.exposures import between

PROGRAM = os.environ.get("LEVERFRAME_TEST_PROMETHEUS", "")
pytestmark = [
    pytest.mark.prometheus,
    pytest.mark.skipif(not PROGRAM, reason="LEVERFRAME_TEST_PROMETHEUS is not set"),
]

QUERIES = ServiceQueries(
    signals={
        "errors": SignalQuery(
            bad='http_requests_total{revision="{sha}",code=~"5.."}',
            total='http_requests_total{revision="{sha}"}',
            absent="zero",
        ),
        "slower than 250 ms": SignalQuery(
            good='latency_seconds_bucket{revision="{sha}",le="0.25"}',
            total='latency_seconds_count{revision="{sha}"}',
        ),
        "restarts": SignalQuery(bad='restarts_total{pod="{arm}"}', seconds='up{pod="{arm}"}'),
    }
)


@dataclass
class Exporter:
    """One pod's page of metrics, as a service of that revision would show it."""

    revision: str
    ok: int = 0
    failed: int = 0
    slow: int = 0
    restarts: int = 0
    broken: bool = False

    def page(self) -> str:
        labels = f'revision="{self.revision}"'
        all_ = self.ok + self.failed
        lines = [f'http_requests_total{{{labels},code="200"}} {self.ok}', f"restarts_total {self.restarts}"]
        if self.failed:  # born with the first failure, as client libraries do it
            lines.append(f'http_requests_total{{{labels},code="500"}} {self.failed}')
        for edge, count in (("0.25", all_ - self.slow), ("+Inf", all_)):
            lines.append(f'latency_seconds_bucket{{{labels},le="{edge}"}} {count}')
        lines += [f"latency_seconds_count{{{labels}}} {all_}", f"latency_seconds_sum{{{labels}}} 1"]
        return "\n".join(lines) + "\n"


class Pods:
    """The exporters, behind one port of each arm."""

    def __init__(self) -> None:
        self.url = ""
        self.of = {"stable": Exporter(OLD), "canary": Exporter(NEW)}
        self.servers = {name: self._serve(name) for name in self.of}

    def _serve(self, name: str) -> http.server.ThreadingHTTPServer:
        pods = self

        class Page(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                exporter = pods.of[name]
                body = exporter.page().encode()
                self.send_response(500 if exporter.broken else 200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        return server

    def scraped(self, *names: str) -> None:
        """Wait until the server has what the exporters show now, and a look at a whole second sees it."""
        wanted = time.time()
        until(lambda: min(self._scraped_at(name) for name in names or self.of) > wanted)
        latest = max(self._scraped_at(name) for name in names or self.of)
        until(lambda: math.floor(time.time()) > latest)

    def _scraped_at(self, name: str) -> float:
        """When the last scrape began, if it ended as it should: with a page, or failed where it is broken."""
        up = "0" if self.of[name].broken else "1"
        if self._asked(f'up{{pod="{name}"}}') != up:
            return 0.0
        return float(self._asked(f'timestamp(up{{pod="{name}"}})') or 0)

    def _asked(self, query: str) -> str | None:
        answer = httpx.get(f"{self.url}/api/v1/query", params={"query": query}, trust_env=False)
        found = answer.raise_for_status().json()["data"]["result"]
        return str(found[0]["value"][1]) if found else None


def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def pods() -> Iterator[Pods]:
    made = Pods()
    yield made
    for server in made.servers.values():
        server.shutdown()


@pytest.fixture(scope="module")
def metrics(pods: Pods, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusMetrics]:
    place = tmp_path_factory.mktemp("prometheus")
    (port,) = free_ports(1)
    pods.url = f"http://127.0.0.1:{port}"
    with serving(place, pods, port):
        environment = World.with_stable()
        environment.overlays["production"] = NEW
        arms = environment.arms["production"].model_copy(update={"canary": NEW, "percent": 5})
        environment.arms["production"] = arms
        api = PrometheusApi(url=pods.url)
        yield PrometheusMetrics(api, FakeEnvironments(environment), {"shop": QUERIES}, settled_seconds=0)


class serving:  # noqa: N801 - a context manager reads as a verb
    """The server as a child process."""

    def __init__(self, place: Path, pods: Pods, port: int) -> None:
        targets = "".join(
            f"      - targets: ['127.0.0.1:{server.server_port}']\n        labels: {{pod: {name}}}\n"
            for name, server in pods.servers.items()
        )
        (place / "prometheus.yml").write_text(
            "global: {scrape_interval: 2s, scrape_timeout: 2s}\nscrape_configs:\n"
            f"  - job_name: shop\n    static_configs:\n{targets}"
        )
        self._command = [
            PROGRAM,
            f"--config.file={place / 'prometheus.yml'}",
            f"--storage.tsdb.path={place / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        self._url = f"http://127.0.0.1:{port}/-/ready"

    def __enter__(self) -> None:
        self._process = subprocess.Popen(self._command)
        until(self._ready)

    def _ready(self) -> bool:
        assert self._process.poll() is None
        try:
            return httpx.get(self._url, trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)


def compared(before: HealthDocument, after: HealthDocument) -> dict[str, tuple[int, int, int, int]]:
    """Signal → the canary's bad and total, stable's bad and total between two looks of one block."""
    seen = between(before, after, canary=NEW, signals=QUERIES.signals).seen
    return {
        name: (one.canary.bad, one.canary.total, one.stable.bad, one.stable.total)
        for name, one in seen.items()
    }


def in_one_block(seconds: float) -> None:
    """The looks of a test belong to one quarter of an hour."""
    left = 900 - time.time() % 900
    if left < seconds:
        time.sleep(left + 1)


def test_what_the_exporters_count_is_what_the_gate_sees(pods: Pods, metrics: PrometheusMetrics) -> None:
    in_one_block(120)
    stable, canary = pods.of["stable"], pods.of["canary"]
    stable.ok, stable.failed, canary.ok = 5000, 40, 100
    pods.scraped()
    first = metrics.release_health("shop")
    assert first.blind == {}
    assert metrics.health().ok

    stable.ok += 90
    stable.failed += 1
    canary.ok += 7
    canary.failed = 3
    canary.slow = 2
    pods.scraped()
    second = metrics.release_health("shop")
    assert compared(first, second)["slower than 250 ms"] == (2, 10, 0, 91)
    errors = compared(first, second)["errors"]
    assert errors[2:] == (1, 91)
    # The canary's first error is met within two minutes of the server's start: it may be an old one.
    assert errors[:2] == (0, 7)

    canary.ok, canary.failed, canary.slow, canary.restarts = 4, 1, 0, 1  # the process was started again
    pods.scraped()
    third = metrics.release_health("shop")
    assert compared(second, third)["errors"] == (1, 5, 0, 0)
    assert compared(second, third)["restarts"][0] == 1

    canary.broken = True  # scrapes fail for a while, and the pod goes on
    canary.ok += 20
    pods.scraped()
    hidden = metrics.release_health("shop")
    assert compared(third, hidden)["errors"] == (0, 0, 0, 0)
    canary.broken = False
    canary.ok += 1
    pods.scraped()
    assert compared(hidden, metrics.release_health("shop"))["errors"] == (0, 21, 0, 0)


def test_instance_seconds_are_the_time_between_scrapes(pods: Pods, metrics: PrometheusMetrics) -> None:
    in_one_block(60)
    pods.scraped()
    before = metrics.release_health("shop")
    pods.scraped()
    pods.scraped()
    after = metrics.release_health("shop")
    _, canary, _, stable = compared(before, after)["restarts"]
    passed = (after.taken_at - before.taken_at).total_seconds()
    assert 0 < canary <= passed + 2
    assert abs(canary - stable) <= 2


@pytest.mark.parametrize(
    ("selector", "said"),
    [
        ('http_requests_total{revision="{sha}",nowhere="x"}', "no series"),
        ('http_requests_total{revision=~"({sha}"}', "answered 400"),
    ],
)
def test_a_wrong_selector_is_blind(metrics: PrometheusMetrics, selector: str, said: str) -> None:
    wrong = ServiceQueries(signals={"errors": SignalQuery(bad=selector, total=selector)})
    with pytest.raises(Unavailable, match=said):
        PrometheusMetrics(metrics._api, metrics._delivery, {"shop": wrong}).release_health("shop")


def test_a_server_that_is_not_there_is_blind() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        api = PrometheusApi(url=f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(Unavailable, match="does not answer"):
            api.alive()
