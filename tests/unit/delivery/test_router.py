"""The router, when the canary takes a request and breaks the connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from leverframe.delivery.instances import Instance
from leverframe.delivery.router import Route, Router, application, client_session

STABLE, CANARY = "a" * 40, "b" * 40


class Running:
    """What the router needs of an instance that runs."""

    was_healthy = True

    def __init__(self, sha: str, port: int) -> None:
        self.sha, self.port = sha, port

    def enter(self) -> None: ...

    def leave(self) -> None: ...


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Take the request, then close without a word, as a process does that is killed."""
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()


async def served(request: web.Request) -> web.Response:
    return web.Response(text=f"stable: {request.method}")


@asynccontextmanager
async def routed() -> AsyncIterator[tuple[Route, aiohttp.ClientSession, str]]:
    """A route whose canary gets every request, a client, and the address."""
    stable_app = web.Application()
    stable_app.router.add_route("*", "/{path:.*}", served)
    canary = await asyncio.start_server(break_off, "127.0.0.1", 0)
    async with canary, TestServer(stable_app) as stable, client_session() as http:
        route = Route(seed="shop")
        route.stable = cast("Instance", Running(STABLE, stable.port or 0))
        route.canary = cast("Instance", Running(CANARY, canary.sockets[0].getsockname()[1]))
        route.percent = 100
        async with TestServer(application(Router({"shop": route}, http))) as router:
            yield route, http, str(router.make_url("/"))


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
async def test_what_changes_nothing_is_asked_of_stable_when_the_canary_breaks_off(method: str) -> None:
    async with routed() as (route, http, url), http.request(method, url) as answer:
        assert answer.status == 200
        assert await answer.text() == ("" if method == "HEAD" else f"stable: {method}")
        assert route.counts.signals(CANARY)["errors"].bad == 1
        assert route.counts.signals(STABLE)["errors"].bad == 0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
async def test_what_may_have_changed_something_is_never_sent_twice(method: str) -> None:
    async with routed() as (route, http, url), http.request(method, url) as answer:
        assert answer.status == 502
        assert "broke the connection" in await answer.text()
        assert route.counts.signals(CANARY)["errors"].bad == 1
        assert route.counts.signals(STABLE)["errors"].total == 0
