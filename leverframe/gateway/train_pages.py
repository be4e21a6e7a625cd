"""The trains' pages: what rides, what waits and how it went, for whoever may reach the gateway.

They only read. Every page is made on the server and works without scripts; `train.js` looks at
`view.json` now and then, and takes the page anew when the train has changed.
"""

import asyncio
import hashlib
from datetime import UTC, datetime
from importlib.resources import files
from types import MappingProxyType
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from leverframe.gateway import train_html
from leverframe.gateway.counters import Counters
from leverframe.gateway.replies import RETRY_AFTER_SECONDS, Refusal
from leverframe.gateway.train_html import Place
from leverframe.gateway.train_views import TrainViews
from leverframe.model.errors import Unavailable
from leverframe.model.topology import Repository
from leverframe.settings import Settings
from workflows.merge_train.view import TrainView

HEADERS = MappingProxyType(
    {
        # Scripts and styles are files of ours, whatever a name or a title may hold.
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
)

NEVER_KEPT = MappingProxyType({**HEADERS, "Cache-Control": "no-store"})

ASSETS = MappingProxyType(
    {"train.css": "text/css", "train.js": "text/javascript", "train.svg": "image/svg+xml"}
)
"""Files beside this one → their media types."""


class TrainPages:
    """The read-only pages of the trains."""

    def __init__(self, settings: Settings, views: TrainViews, counters: Counters) -> None:
        self._views = views
        self._counters = counters
        temporal = settings.temporal
        self._ui = f"{temporal.ui_url.rstrip('/')}/namespaces/{quote(temporal.namespace)}/workflows/"

    def routes(self) -> list[Route]:
        """All of them answer GET. A target may have slashes in its name, a repository has none."""
        return [
            Route("/trains", self.index),
            *(Route(f"/trains/{name}", self.asset) for name in ASSETS),
            Route("/trains/{repository}/{target:path}/view.json", self.view),
            Route("/trains/{repository}/{target:path}", self.train),
        ]

    async def index(self, request: Request) -> Response:
        """Every declared train."""
        declared = tuple(self._views.declared.values())
        found = await asyncio.gather(*(self._or_why_not(each) for each in declared))
        return self._html(train_html.index(list(zip(declared, found, strict=True)), self._place()))

    async def train(self, request: Request) -> Response:
        """One train; 404 for one that is not declared, 503 while it can't be asked."""
        repository = self._declared(request)
        if repository is None:
            self._counters.refused("route")
            said = (
                "No repository with this name and target branch is declared. The list names those that are."
            )
            return self._html(train_html.problem("There is no such train", said), 404)
        try:
            shown = await self._views.of(repository)
        except Unavailable as error:
            self._counters.unavailable()
            at = train_html.address(repository.name, repository.target)
            said = f"The train of {repository.name} can't be asked now: {error}. It goes on meanwhile."
            body = train_html.problem("The train does not answer", said, view=f"{at}/view.json")
            return self._html(body, 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        _, version = _json(shown)
        return self._html(train_html.train(shown, repository.target, self._place(), version=version))

    async def view(self, request: Request) -> Response:
        """The same as JSON; 304 for whoever has it already."""
        repository = self._declared(request)
        if repository is None:
            raise Refusal(404, "route", "no repository with this name and target branch is declared")
        body, version = _json(await self._views.of(repository))
        headers = {**NEVER_KEPT, "Cache-Control": "no-cache", "ETag": f'"{version}"'}
        if request.headers.get("If-None-Match") == headers["ETag"]:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type="application/json")

    async def asset(self, request: Request) -> Response:
        """A file of ours."""
        name = request.url.path.rpartition("/")[2]
        content = files("leverframe.gateway").joinpath("pages", name).read_bytes()
        headers = {**HEADERS, "Cache-Control": "no-cache"}
        return Response(content, headers=headers, media_type=ASSETS[name])

    async def _or_why_not(self, repository: Repository) -> TrainView | str:
        try:
            return await self._views.of(repository)
        except Unavailable as error:
            return f"does not answer: {error}"

    def _declared(self, request: Request) -> Repository | None:
        asked = request.path_params["repository"], request.path_params["target"]
        return self._views.declared.get(asked)

    def _place(self) -> Place:
        return Place(ui=self._ui, now=datetime.now(UTC))

    @staticmethod
    def _html(document: str, status: int = 200, more: dict[str, str] | None = None) -> Response:
        return HTMLResponse(document, status, {**NEVER_KEPT, **(more or {})})


def _json(shown: TrainView) -> tuple[bytes, str]:
    """The view as JSON, and a name for exactly this view."""
    body = shown.model_dump_json().encode()
    return body, hashlib.sha256(body).hexdigest()[:24]
