"""`leverframe demo`: the whole story with real parts, on this machine."""

import asyncio
from typing import Annotated

import typer


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running at the end.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Stop what an earlier --keep left running.")] = False,
) -> None:
    """Tell the story: a spike, a flag killed, a fix landed through train and canary."""
    from rich.console import Console  # noqa: PLC0415 - the demo loads when it is told

    from leverframe.cli.session import load  # noqa: PLC0415
    from leverframe.demo import story  # noqa: PLC0415

    settings = load()
    if stop:
        story.stop(settings)
    else:
        asyncio.run(story.run(settings, Console(), keep=keep))
