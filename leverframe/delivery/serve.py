"""`leverframe router`: the process of the local delivery. It and its services outlive the worker."""

import asyncio
import contextlib
import signal
from urllib.parse import urlsplit

import structlog
from aiohttp import web

from leverframe.delivery import admin, router
from leverframe.delivery.reconciler import Reconciler
from leverframe.delivery.router import Router
from leverframe.model.errors import BadConfiguration
from leverframe.model.releases import Environment
from leverframe.settings import Settings

log = structlog.get_logger(__name__)

LOOPBACK = "127.0.0.1"


def serve(settings: Settings) -> None:
    """Run until SIGTERM or SIGINT, then stop the services.

    Raises:
        BadConfiguration: the admin address is not on loopback, a port is taken, nothing is declared, or
            the state file is unreadable.
    """
    asyncio.run(run(settings, stop=None))


async def run(settings: Settings, *, stop: asyncio.Event | None) -> None:
    """The same inside a running loop: until `stop` is set, or a signal arrives when it is None."""
    admin_port = _admin_port(settings.delivery.admin_url)
    if not settings.repositories:
        raise BadConfiguration("no repository is declared, so there is nothing to deliver")
    if stop is None:
        stop = _stopped_by_signal()
    async with contextlib.AsyncExitStack() as stack:
        http = await stack.enter_async_context(router.client_session())
        reconciler = Reconciler(
            repositories=settings.repositories,
            home=settings.home / "delivery",
            artifacts=settings.artifacts,
            variables={name: settings.place(value) for name, value in settings.delivery.environment.items()},
            http=http,
        )
        stack.push_async_callback(reconciler.close)  # once the doors are shut again
        # The doors open before anything starts: a second router fails here, before it touches a process.
        ports: tuple[tuple[int, Environment], ...] = (
            (settings.delivery.production_port, "production"),
            (settings.delivery.dev_port, "dev"),
        )
        for port, environment in ports:
            routes = {
                name: deployment.route
                for (name, where), deployment in reconciler.deployments.items()
                if where == environment
            }
            await _listen(stack, router.application(Router(routes, http)), port)
        await _listen(stack, admin.application(reconciler), admin_port)
        log.info("router.listening", admin=admin_port, production=ports[0][0], dev=ports[1][0])
        await _until(stop, reconciler)


async def _until(stop: asyncio.Event, reconciler: Reconciler) -> None:
    """Reconcile until told to stop; a reconciler that breaks ends the process with its error."""
    following = asyncio.create_task(reconciler.run())
    stopping = asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if following in done:
        following.result()


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, port: int) -> None:
    """Bodies pass through as they are: nothing is decompressed on the way."""
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=2)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    try:
        await web.TCPSite(runner, LOOPBACK, port).start()
    except OSError as error:
        raise BadConfiguration(f"port {port} can't be opened: {error.strerror or error}") from error


def _admin_port(url: str) -> int:
    address = urlsplit(url)
    if address.scheme != "http" or address.hostname not in {LOOPBACK, "localhost"} or not address.port:
        raise BadConfiguration(f"delivery.admin_url must be http://{LOOPBACK}:<port>, not {url}")
    return address.port


def _stopped_by_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for signal_ in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signal_, stop.set)
    return stop
