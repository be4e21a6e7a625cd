"""Family 10: addresses in event text lead nowhere. Nothing that is sent to us makes us call anybody."""

import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.backends.metrics_http import HttpMetrics
from leverframe.model.errors import Unavailable
from tests.fakes.hostile_road import Ground, carried_through

ELSEWHERE = ("169.254.169.254", "10.0.0.7", "metadata.google.internal", "rebind.example", "evil.example")
"""Where a forged event would like us to look: the cloud's metadata, the inner network, names that rebind."""


@dataclass
class Trap:
    """An inner service that nobody has a reason to call, and every address that this process does call."""

    url: str = ""
    calls: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def watch(self, event: str, arguments: tuple[object, ...]) -> None:
        """An audit hook of the interpreter: names that are looked up and addresses that are connected to."""
        if event in ("socket.connect", "socket.getaddrinfo"):
            self.asked.append(str(arguments))


@pytest.fixture(scope="module")
def trap() -> Iterator[Trap]:
    caught = Trap()

    class Inner(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            caught.calls.append(self.path)
            if self.path.startswith("/moved"):
                self.send_response(302)
                self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            else:
                self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: pytest's output is for failures."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Inner) as server:
        caught.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        sys.addaudithook(caught.watch)
        yield caught
        server.shutdown()


@pytest.mark.asyncio(loop_scope="module")
async def test_no_address_in_an_event_is_ever_looked_up_or_called(
    skipping: WorkflowEnvironment, tmp_path: Path, trap: Trap
) -> None:
    addresses = " ".join(f"http://{host}/latest/meta-data/" for host in ELSEWHERE)
    text = f"{trap.url}/secret {addresses} file:///etc/passwd git://evil.example/x ssh://evil.example/x"
    (tmp_path / "ground").mkdir()
    async with carried_through(skipping.client, Ground.laid(tmp_path / "ground"), tmp_path, text) as told:
        assert told.report.outcome is not None, "the run has seen the text and come to its end"
    assert trap.calls == []
    assert [call for call in trap.asked if any(host in call for host in ELSEWHERE)] == []


def test_a_health_document_that_moves_to_another_address_is_not_followed(trap: Trap) -> None:
    before = len(trap.asked)
    with pytest.raises(Unavailable, match="302"):
        HttpMetrics(url_template=f"{trap.url}/moved/{{service}}").release_health("shop")
    assert trap.calls[-1] == "/moved/shop"
    assert [call for call in trap.asked[before:] if "169.254" in call] == []


def test_the_hook_would_see_such_a_call(trap: Trap) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram:
        datagram.connect(("169.254.169.254", 9))
    assert "169.254.169.254" in trap.asked[-1]
