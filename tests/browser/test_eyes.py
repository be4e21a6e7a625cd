"""The eyes-on check with the machine's Chromium: two small services, and what a page tries on its way."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from activities.backends.eyes_chromium import ChromiumEyes
from activities.eyes import EyesActivities
from activities.eyes_port import Arm
from activities.pictures import compare
from activities.ports import Health
from leverframe.model.errors import Unavailable
from leverframe.model.eyes import EyesPlan, EyesRequest, Viewport
from tests.browser.conftest import CHROMIUM, PICTURES
from tests.fakes.release_world import NEW, OLD, repository

pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(120),
    pytest.mark.skipif(not CHROMIUM, reason="LEVERFRAME_TEST_BROWSER is not set"),
]

WINDOW = Viewport(width=800, height=500)

PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Shop</title>
<style>
  body {{ font: 16px/1.5 sans-serif; margin: 2rem; }}
  .buy {{ background: {colour}; color: #fff; padding: .6rem 1.2rem; border-radius: .5rem; }}
  .buy {{ display: inline-block; }}
  .spin {{ width: 20px; height: 20px; background: #999; animation: turn 1s infinite linear; }}
  @keyframes turn {{ to {{ transform: translateX(300px) rotate(360deg); }} }}
</style>
<h1>The cart</h1><p>Two teapots, one kettle. It comes to 74,50 €.</p>
<p class="buy">{label}</p><div class="spin"></div>{more}</html>"""

STABLE = PAGE.format(colour="#1d4fd7", label="Buy now", more="")
CANARY = PAGE.format(colour="#a61b1b", label="Buy now", more="")
RESTLESS = PAGE.format(
    colour="#1d4fd7",
    label="Buy now",
    more="<style>body { background: hsl(calc(ODD * 180) 80% 60%) }</style>",
)


class Site:
    """One arm: what it answers, and what it was asked."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                page = pages.get(self.path)
                self.send_response(200 if page is not None else 500)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                odd = str(site.asked.count(self.path) % 2)
                self.wfile.write((page or "broken").replace("ODD", odd).encode())

            def log_message(self, *told: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.origin = f"http://127.0.0.1:{self.server.server_port}"


@contextmanager
def serving(**pages: str) -> Iterator[Site]:
    """`cart="…"` answers `/cart`."""
    site = Site({f"/{name}": page for name, page in pages.items()})
    thread = threading.Thread(target=site.server.serve_forever, daemon=True)
    thread.start()
    yield site
    site.server.shutdown()
    site.server.server_close()


@pytest.fixture(scope="module")
def eyes() -> ChromiumEyes:
    """Without Chromium's own sandbox: the tests may run as root."""
    return ChromiumEyes(program=CHROMIUM, sandbox=False, seconds=30)


class Sites:
    """The port `ArmAddresses` over two sites."""

    def __init__(self, stable: Site, canary: Site) -> None:
        self._origins = {"stable": stable.origin, "canary": canary.origin}

    def origin(self, service: str, arm: Arm, sha: str) -> str:
        return self._origins[arm]

    def health(self) -> Health:
        return Health(ok=True, detail="two sites")


def test_a_button_of_another_colour_is_seen_an_animation_is_not_and_a_restless_page_says_nothing(
    eyes: ChromiumEyes, tmp_path: Path
) -> None:
    shop = repository()
    plan = EyesPlan(pages=("/cart", "/same", "/restless", "/gone"), viewports=(WINDOW,))
    shop = shop.model_copy(update={"service": shop.service.model_copy(update={"eyes": plan})})
    root = Path(PICTURES) / "eyes" if PICTURES else tmp_path
    with (
        serving(cart=STABLE, same=STABLE, restless=RESTLESS) as stable,
        serving(cart=CANARY, same=STABLE, restless=RESTLESS) as canary,
    ):
        acts = EyesActivities(eyes, Sites(stable, canary), {"shop": shop}, root)
        found = acts.look(EyesRequest(repository="shop", stable=OLD, canary=NEW))
    assert [look.finding for look in found.looks] == ["differs", "same", "unstable", "unseen"]
    cart, same, _, gone = found.looks
    assert 2_000 < cart.differing_ppm < 30_000, "the button alone"
    assert (cart.noise_ppm, same.differing_ppm) == (0, 0)
    assert gone.detail == "it was answered 500"
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in cart.pictures)


def test_two_pictures_of_one_page_are_the_same_to_the_pixel(eyes: ChromiumEyes) -> None:
    with serving(cart=STABLE) as site:
        one, two = (eyes.picture(site.origin, "/cart", WINDOW) for _ in range(2))
    assert compare(one, two).ppm == 0


def test_a_page_reaches_nothing_but_its_own_service(eyes: ChromiumEyes) -> None:
    """Another port of this machine, by image, fetch, frame, socket and address: none of them is asked."""
    with serving(x="<p>secret</p>") as other:
        more = f"""<img src="{other.origin}/img"><iframe src="{other.origin}/frame"></iframe>
        <img src="http://localhost:{other.server.server_port}/name"><img src="http://example.com/out">
        <script>fetch("{other.origin}/fetch", {{mode: "no-cors"}}).catch(() => 0);
        new WebSocket("{other.origin.replace("http", "ws")}/socket");
        navigator.sendBeacon("{other.origin}/beacon", "x");</script>"""
        with serving(cart=PAGE.format(colour="#000", label="x", more=more)) as site:
            eyes.picture(site.origin, "/cart", WINDOW)
            assert "/cart" in site.asked
        assert other.asked == []


def test_a_page_that_never_ends_is_given_up(eyes: ChromiumEyes) -> None:
    hasty = ChromiumEyes(program=CHROMIUM, sandbox=False, seconds=2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        origin = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(Unavailable, match="gave no picture"):
            hasty.picture(origin, "/", WINDOW)


def test_a_browser_that_can_not_start_is_told_as_such() -> None:
    with pytest.raises(Unavailable, match="gave no picture"):
        ChromiumEyes(program="/bin/true", sandbox=False, seconds=5).picture("http://127.0.0.1:1", "/", WINDOW)
