"""A fleet whose hands die: SIGKILL right after an effect of a release, before the engine hears of it.

`python -m tests.fakes.mortal leverframe up` is `leverframe up` with such hands. While there is a
file `<home>/mortal` they die once for each call of each release, a call being an activity with its arguments.
What they died of is in `<home>/deaths/`. Nothing of the product knows of this.
"""

import os
import pkgutil
import signal
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

import activities.backends
from leverframe import __main__ as command
from leverframe import embedded, worker
from leverframe.model.ids import short_hash
from leverframe.settings import Settings, load
from tests.fakes.workers import unversioned
from workflows.release import asking, calls

MISSED_AFTER = timedelta(seconds=3)
"""How soon the engine misses these hands; the real ones have twenty seconds, or thirty without a pulse."""


class Deaths(Interceptor):
    """Kills its own process where a release has an effect for the first time."""

    def __init__(self, home: Path) -> None:
        self.mortal, self.deaths = home / "mortal", home / "deaths"

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:
        return _Mortal(next, self)

    def after(self, workflow_id: str, call: str, arguments: Sequence[object]) -> None:
        """A call was done. Returns only if the hands are not mortal, or have died of this one before."""
        if not workflow_id.startswith("release/") or not self.mortal.exists():
            return
        sha = workflow_id.rpartition("/")[2]
        self.deaths.mkdir(exist_ok=True)
        note = self.deaths / f"{sha}.{call}.{short_hash(*map(repr, arguments))}"
        try:
            note.touch(exist_ok=False)
        except FileExistsError:
            return
        os.kill(os.getpid(), signal.SIGKILL)


class _Mortal(ActivityInboundInterceptor):
    def __init__(self, next: ActivityInboundInterceptor, deaths: Deaths) -> None:
        super().__init__(next)
        self._deaths = deaths

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:
        answer = await super().execute_activity(input)
        info = activity.info()
        self._deaths.after(info.workflow_id or "", info.activity_type, input.args)
        return answer


def died_of(home: Path, sha: str) -> set[str]:
    """The activities of a release after which its hands died."""
    return {note.name.split(".")[1] for note in (home / "deaths").glob(f"{sha}.*")}


def _learn() -> None:
    """Load what the hands use, so that each life begins with it."""
    for package in (activities, activities.backends):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            import_module(module.name)


def live_again_and_again() -> None:
    """One life after the other, each a fork of this process, in which all is loaded; until told to stop."""
    life = 0
    told = False

    def stop(number: int, frame: object) -> None:
        nonlocal told
        told = True
        os.kill(life, signal.SIGTERM)

    while not told:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        life = os.fork()
        if life == 0:
            command.main()
        signal.signal(signal.SIGTERM, stop)
        os.waitpid(life, 0)


def _hands_are_mortal(settings: Settings) -> dict[str, tuple[str, ...]]:
    parts = _COMMANDS(settings)
    return {**parts, "hands": (sys.executable, "-m", "tests.fakes.mortal", *parts["hands"][2:])}


_COMMANDS = embedded.commands


def main() -> None:
    """`leverframe …` with mortal hands."""
    sys.argv.pop(1)
    if sys.argv[1] == "up":
        embedded.commands = _hands_are_mortal
        command.main()
    calls.ANSWER = calls.HEARTBEAT = MISSED_AFTER
    asking.heartbeat_timeout = lambda method: MISSED_AFTER
    worker.STICKY = timedelta(seconds=0.5)
    worker.workflow_runner = lambda build_id: unversioned()
    _learn()
    worker.Worker = partial(Worker, interceptors=[Deaths(load().home)])
    live_again_and_again()


if __name__ == "__main__":
    main()
