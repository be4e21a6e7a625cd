"""`leverframe up`, `worker`, `gateway` and `router`: the long-running processes."""

import asyncio
from typing import Annotated, Literal

import typer

from leverframe import settings as settings_file
from leverframe.cli.output import say
from leverframe.settings import Settings


def up() -> None:
    """Run everything on this machine: engine, router, gateway and workers. Ctrl-C stops it."""
    settings = _begin("up")
    from leverframe.bootstrap import load_policy  # noqa: PLC0415 - load when they are used
    from leverframe.embedded import Fleet  # noqa: PLC0415
    from leverframe.model.errors import BadConfiguration  # noqa: PLC0415

    if not settings.repositories:
        raise BadConfiguration("no repository is declared: begin with leverframe.example.toml")
    load_policy(settings)

    async def run() -> None:
        await Fleet(settings, say).run()

    asyncio.run(run())


def worker(
    queue: Annotated[
        Literal["hands", "sandbox", "build", "all"],
        typer.Option(
            help="hands holds credentials; sandbox runs repository code and holds none; build runs builds."
        ),
    ] = "all",
) -> None:
    """Run workflows and activities against the engine. SIGTERM drains."""
    settings = _begin(f"worker-{queue}")
    from leverframe import worker as workers  # noqa: PLC0415 - the workflows load in workers only

    asyncio.run(workers.run(settings, queue))


def gateway() -> None:
    """Serve the door for events and webhooks. SIGTERM answers what came in, then stops."""
    settings = _begin("gateway")
    from leverframe.gateway.app import serve  # noqa: PLC0415 - load when it is used

    serve(settings)


def router() -> None:
    """Run the local delivery: the weighted router, its services, and the reconciler."""
    settings = _begin("router")
    from leverframe.delivery.serve import serve  # noqa: PLC0415 - load when it is used

    serve(settings)


def _begin(process: str) -> Settings:
    """Settings, telemetry, and the check that our packages are ours. Raises BadConfiguration."""
    from leverframe import telemetry  # noqa: PLC0415 - `--help` does not need it
    from leverframe.bootstrap import assert_own_roots  # noqa: PLC0415

    settings = settings_file.load()
    telemetry.start(settings, process=process)
    assert_own_roots()
    return settings
