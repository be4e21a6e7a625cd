"""The admin door: artifacts in, states, weights and health documents out. JSON over loopback.

PUT  /artifacts/{service}/{sha}         {"digest", "path"}: unpack a built artifact
GET  /state/{service}/{environment}     a DeliveryState
GET  /reconciliation/{service}/{environment}   a Reconciliation
POST /reconcile/{service}               read the overlays now
POST /suspend/{service}/{environment}   {"reason"}: keep what runs; /resume/… follows the overlay again
POST /weight/{service}                  {"sha", "percent"}
POST /promote/{service}, /abort/{service}   {"sha"}
GET  /arms/{service}                    {"ports": {sha: port}}: where each instance answers, past the router
GET  /health/release/{service}          a HealthDocument
GET  /health/flag/{service}/{flag}      a FlagHealthDocument
GET  /health/live                       204

Every call is idempotent. Errors are `{"type", "detail"}`: 400 BadInput, 404 NotFound, 409 Conflict,
503 Unavailable. There is no login: the door listens on loopback only and refuses browsers.
"""

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast, get_args

from aiohttp import web
from pydantic import BaseModel, Field, ValidationError

from leverframe.delivery.reconciler import Reconciler
from leverframe.model.errors import BadInput, Conflict, LeverframeError, NotFound, Unavailable
from leverframe.model.frozen import Frozen, Sha
from leverframe.model.releases import Artifact, Environment

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
M = TypeVar("M", bound=BaseModel)

_STATUS: tuple[tuple[type[LeverframeError], int], ...] = (
    (NotFound, 404), (Conflict, 409), (Unavailable, 503), (BadInput, 400),
)  # fmt: skip
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


class Deployed(Frozen):
    """Body of PUT /artifacts: what `Artifact` has and the address lacks."""

    digest: str
    path: str


class Weight(Frozen):
    """Body of POST /weight."""

    sha: Sha
    percent: int = Field(ge=0, le=100)


class Suspended(Frozen):
    """Body of POST /suspend."""

    reason: str


class Named(Frozen):
    """Body of POST /promote and /abort."""

    sha: Sha


class Admin:
    """The handlers. Production is the only environment with weights."""

    def __init__(self, reconciler: Reconciler) -> None:
        self._reconciler = reconciler

    async def put_artifact(self, request: web.Request) -> web.Response:
        service = request.match_info["service"]
        self._reconciler.deployment(service, "production")
        body = await _read(request, Deployed)
        artifact = _valid(
            Artifact,
            {"service": service, "sha": request.match_info["sha"], "digest": body.digest, "path": body.path},
        )
        await asyncio.to_thread(self._reconciler.trees.unpack, artifact)
        self._reconciler.prune(service)
        return web.Response(status=204)

    async def get_state(self, request: web.Request) -> web.Response:
        return _json(self._reconciler.deployment(*_place(request)).state())

    async def get_reconciliation(self, request: web.Request) -> web.Response:
        return _json(self._reconciler.reconciliation(*_place(request)))

    async def post_reconcile(self, request: web.Request) -> web.Response:
        await self._reconciler.refresh(request.match_info["service"])
        return web.Response(status=204)

    async def post_suspend(self, request: web.Request) -> web.Response:
        self._reconciler.suspend(*_place(request), (await _read(request, Suspended)).reason)
        return web.Response(status=204)

    async def post_resume(self, request: web.Request) -> web.Response:
        self._reconciler.resume(*_place(request))
        return web.Response(status=204)

    async def post_weight(self, request: web.Request) -> web.Response:
        body = await _read(request, Weight)
        deployment = self._reconciler.deployment(request.match_info["service"], "production")
        return _json(deployment.set_weight(body.sha, body.percent))

    async def post_promote(self, request: web.Request) -> web.Response:
        body = await _read(request, Named)
        deployment = self._reconciler.deployment(request.match_info["service"], "production")
        return _json(deployment.promote(body.sha))

    async def post_abort(self, request: web.Request) -> web.Response:
        body = await _read(request, Named)
        service = request.match_info["service"]
        deployment = self._reconciler.deployment(service, "production")
        state = deployment.abort(body.sha)
        # If the overlay named the SHA a moment ago and nobody has looked yet, the next look must not
        # start it: look now and take it back again.
        with contextlib.suppress(Unavailable):
            await self._reconciler.refresh(service)
            state = deployment.abort(body.sha)
        return _json(state)

    async def get_arms(self, request: web.Request) -> web.Response:
        deployment = self._reconciler.deployment(request.match_info["service"], "production")
        return web.json_response({"ports": deployment.ports()})

    async def get_release_health(self, request: web.Request) -> web.Response:
        return _json(self._reconciler.health(request.match_info["service"]))

    async def get_flag_health(self, request: web.Request) -> web.Response:
        service, flag = request.match_info["service"], request.match_info["flag"]
        try:
            return _json(self._reconciler.flag_health(service, flag))
        except ValidationError as error:
            raise BadInput(f"{flag!r} is not a flag's name") from error

    async def get_live(self, _: web.Request) -> web.Response:
        return web.Response(status=204)


@web.middleware
async def _typed_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except LeverframeError as error:
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 422)
        return web.json_response({"type": type(error).__name__, "detail": str(error)}, status=status)


@web.middleware
async def _no_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A page in a browser on this machine, or a name that resolves to loopback, must not pull levers."""
    host = request.host.rpartition(":")[0] or request.host
    if host not in _LOOPBACK or "Origin" in request.headers:
        return web.json_response({"type": "Refused", "detail": "this door is for local programs"}, status=403)
    return await handler(request)


def _place(request: web.Request) -> tuple[str, Environment]:
    """Service and environment of the address. Raises NotFound."""
    environment = request.match_info["environment"]
    if environment not in get_args(Environment):
        raise NotFound(f"there is no environment {environment!r}")
    return request.match_info["service"], cast("Environment", environment)


async def _read(request: web.Request, model: type[M]) -> M:
    try:
        value = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise BadInput("the body is not JSON") from error
    return _valid(model, value)


def _valid(model: type[M], value: object) -> M:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors()]
        raise BadInput("; ".join(lines)) from error


def _json(value: BaseModel) -> web.Response:
    return web.Response(text=value.model_dump_json(), content_type="application/json")


def application(reconciler: Reconciler) -> web.Application:
    """The admin door over one reconciler."""
    admin = Admin(reconciler)
    app = web.Application(middlewares=[_no_browsers, _typed_errors], client_max_size=65_536)
    app.add_routes(
        [
            web.put("/artifacts/{service}/{sha}", admin.put_artifact),
            web.get("/state/{service}/{environment}", admin.get_state),
            web.get("/reconciliation/{service}/{environment}", admin.get_reconciliation),
            web.post("/reconcile/{service}", admin.post_reconcile),
            web.post("/suspend/{service}/{environment}", admin.post_suspend),
            web.post("/resume/{service}/{environment}", admin.post_resume),
            web.post("/weight/{service}", admin.post_weight),
            web.post("/promote/{service}", admin.post_promote),
            web.post("/abort/{service}", admin.post_abort),
            web.get("/arms/{service}", admin.get_arms),
            web.get("/health/release/{service}", admin.get_release_health),
            web.get("/health/flag/{service}/{flag}", admin.get_flag_health),
            web.get("/health/live", admin.get_live),
        ]
    )
    return app
