"""The router: a reverse proxy that sends a share of production's requests to the canary and counts.

One app per environment. Bodies are read whole and bounded; there is no streaming, no WebSocket and no
stickiness. Connection-level headers are dropped as RFC 9110 §7.6.1 asks of an intermediary.
"""

import time
from collections.abc import Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from leverframe.delivery.counts import FLAGS_HEADER, Counts
from leverframe.delivery.instances import Instance
from leverframe.delivery.split import Split

MAX_BODY_BYTES = 16 * 1024 * 1024
"""Longest request or response body that is carried; a longer one is refused (413, 502)."""
UPSTREAM_SECONDS = 30
KEEP_ALIVE_SECONDS = 2.0
"""Shorter than servers keep idle connections, so that we never send into one that is just closing."""

_SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that may be sent again though nobody knows how far the first one came (RFC 9110 §9.2)."""

_HOP_BY_HOP = frozenset(
    {
        "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
        "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip


class Route:
    """Where the requests of one service in one environment go now. Changed by its deployment."""

    def __init__(self, *, seed: str) -> None:
        self.stable: Instance | None = None
        self.canary: Instance | None = None
        self.percent = 0
        self.counts = Counts()
        self._split = Split(seed)

    def choose(self) -> Instance | None:
        """The instance for the next request: the canary for its share, once it has been healthy."""
        canary = self.canary
        if canary is not None and canary.was_healthy and self._split.canary(self.percent):
            return canary
        return self.stable


class _TooLong(Exception):
    """The response's body is longer than the router carries."""


class Router:
    """Forwards requests over kept-alive connections and counts each by the SHA that should answer it."""

    def __init__(self, routes: Mapping[str, Route], http: aiohttp.ClientSession) -> None:
        self._routes = routes
        self._http = http

    async def handle(self, request: web.Request) -> web.Response:
        """Forward one request; 503 when nothing runs, 502 and 504 when its instance fails."""
        route = self._route(request)
        body = await request.read() if request.body_exists else None
        headers = _end_to_end(request.headers)
        headers.add("X-Forwarded-For", request.remote or "unknown")
        instance = route.choose()
        if instance is None or not instance.was_healthy:
            return _problem(503, "nothing runs here yet")
        return await self._forward(route, instance, request, headers, body)

    def _route(self, request: web.Request) -> Route:
        """By the host's first label when several services are declared; a single one gets everything."""
        if len(self._routes) == 1:
            return next(iter(self._routes.values()))
        label = request.host.partition(":")[0].partition(".")[0]
        if label not in self._routes:
            raise web.HTTPNotFound(
                text=f"no service is named by the host; declared: {', '.join(self._routes)}\n"
            )
        return self._routes[label]

    async def _forward(
        self,
        route: Route,
        instance: Instance,
        request: web.Request,
        headers: CIMultiDict[str],
        body: bytes | None,
    ) -> web.Response:
        began = time.perf_counter()
        instance.enter()
        again = False
        try:
            response = await self._send(instance, request, headers, body)
        except aiohttp.ClientConnectorError:
            again = True
            response = _problem(502, "the service refuses connections")
        except TimeoutError:
            response = _problem(504, f"the service did not answer within {UPSTREAM_SECONDS} seconds")
        except _TooLong:
            response = _problem(502, f"the service's answer is longer than {MAX_BODY_BYTES} bytes")
        except (aiohttp.ClientError, OSError):
            again = request.method in _SAFE
            response = _problem(502, "the service broke the connection")
        finally:
            instance.leave()
        milliseconds = (time.perf_counter() - began) * 1000
        flags = ",".join(response.headers.popall(FLAGS_HEADER, ()))  # for us, not for users
        route.counts.record(
            instance.sha, failed=response.status >= 500, milliseconds=milliseconds, flags=flags
        )
        if again and instance is route.canary and route.stable is not None:
            # It never reached the canary, or did nothing there: the error counts, and the user gets stable's
            # answer.
            return await self._forward(route, route.stable, request, headers, body)
        return response

    async def _send(
        self, instance: Instance, request: web.Request, headers: CIMultiDict[str], body: bytes | None
    ) -> web.Response:
        url = URL.build(
            scheme="http",
            host="127.0.0.1",
            port=instance.port,
            path=request.rel_url.raw_path or "/",
            query_string=request.rel_url.raw_query_string,
            encoded=True,
        )
        async with self._http.request(
            request.method, url, headers=headers, data=body, allow_redirects=False
        ) as upstream:
            answer = _end_to_end(upstream.headers)
            if request.method != "HEAD":
                answer.popall("Content-Length", None)
            return web.Response(
                status=upstream.status, reason=upstream.reason, headers=answer, body=await _body(upstream)
            )


async def _body(upstream: aiohttp.ClientResponse) -> bytes:
    if (upstream.content_length or 0) > MAX_BODY_BYTES:
        raise _TooLong
    chunks, size = [], 0
    async for chunk in upstream.content.iter_any():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _TooLong
        chunks.append(chunk)
    return b"".join(chunks)


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    """The headers without those that belong to one connection, named or listed in `Connection`."""
    dropped = _HOP_BY_HOP
    if "Connection" in headers:
        listed = ",".join(headers.getall("Connection"))
        dropped = dropped | {name.strip().lower() for name in listed.split(",")}
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in dropped)


def _problem(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=f"{text}\n")


def client_session() -> aiohttp.ClientSession:
    """A session that adds nothing of its own: no cookies, no decompression, no environment proxies."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_SECONDS),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=UPSTREAM_SECONDS),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )


def application(router: Router) -> web.Application:
    """Every method and path goes to the router."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", router.handle)
    return app
