"""Pictures by the machine's own Chromium, driven by Playwright (an optional extra).

Each picture has a browser and a profile of its own, which are gone afterwards. The page is code under
release: it gets no credential and no variable of ours, no name resolves for it but the service's, and every
request to another origin is broken off.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from activities.ports import Backend, Health
from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.model.eyes import Viewport

if TYPE_CHECKING:
    from playwright.sync_api import Route

MOST_BYTES = 40_000_000
"""Of one picture: more than an uncompressed window."""

_QUIET = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
)


class ChromiumEyes:
    """The port `Eyes`. Safe to share between threads: nothing is kept between two pictures."""

    on = True

    def __init__(self, *, program: str, sandbox: bool, seconds: int) -> None:
        self._program = program
        self._sandbox = sandbox
        self._milliseconds = seconds * 1000

    def picture(self, origin: str, path: str, viewport: Viewport) -> bytes:
        """Open the page, wait until it and its fonts are there, and take the window as it is.

        Raises:
            Unavailable: it did not come in time, or with a status of 400 or more.
        """
        from playwright.sync_api import Error  # noqa: PLC0415 - an optional extra

        try:
            with self._page(origin, viewport) as page:
                answer = page.goto(f"{origin}{path}", wait_until="load")
                if answer is None or answer.status >= 400:
                    raise Unavailable(f"it was answered {answer.status if answer else 'with nothing'}")
                page.wait_for_function("document.fonts.status === 'loaded'")
                content: bytes = page.screenshot(
                    type="png", animations="disabled", caret="hide", scale="css", full_page=False
                )
        except Error as error:
            raise Unavailable(f"the browser gave no picture: {_first_line(error)}") from error
        if len(content) > MOST_BYTES:
            raise Unavailable(f"the picture has {len(content)} bytes")
        return content

    @contextmanager
    def _page(self, origin: str, viewport: Viewport) -> Iterator[Any]:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - an optional extra

        host = urlsplit(origin).hostname or ""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=self._program,
                chromium_sandbox=self._sandbox,
                args=[*_QUIET, f"--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE {host}"],
                env={"PATH": os.environ.get("PATH", ""), "LANG": "C.UTF-8"},
                timeout=self._milliseconds,
            )
            try:
                context = browser.new_context(
                    viewport={"width": viewport.width, "height": viewport.height},
                    device_scale_factor=1,
                    reduced_motion="reduce",
                    locale="en-US",
                    timezone_id="UTC",
                    accept_downloads=False,
                    service_workers="block",
                )
                context.set_default_timeout(self._milliseconds)
                context.route("**/*", lambda route: _only(origin, route))
                context.route_web_socket("**/*", lambda socket: socket.close())
                yield context.new_page()
            finally:
                browser.close()

    def health(self) -> Health:
        """Whether Playwright and the browser are there."""
        try:
            import playwright  # noqa: F401, PLC0415 - an optional extra
        except ImportError:
            remedy = "install the packages of requirements/browser.txt where the sandbox worker runs"
            return Health(ok=False, detail="Playwright is not installed", remedy=remedy)
        if not Path(self._program).is_file():
            remedy = "install chromium, or name it in eyes.chromium"
            return Health(ok=False, detail=f"there is no {self._program}", remedy=remedy)
        shielded = "" if self._sandbox else ", without its own sandbox"
        return Health(ok=True, detail=f"looks with {self._program}{shielded}")


def _only(origin: str, route: "Route") -> None:
    """Let a request to the service itself through, and nothing else."""
    asked, allowed = urlsplit(route.request.url), urlsplit(origin)
    if (asked.scheme, asked.netloc) == (allowed.scheme, allowed.netloc):
        route.continue_()
    else:
        route.abort("blockedbyclient")


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:300]


def build(*, program: str, sandbox: bool, seconds: int) -> ChromiumEyes:
    """Raises BadConfiguration without a program."""
    if not program:
        raise BadConfiguration('eyes.backend = "chromium" needs eyes.chromium, the program')
    return ChromiumEyes(program=program, sandbox=sandbox, seconds=seconds)


BACKEND = Backend(kind="eyes", name="chromium", scopes=(), build=build)
