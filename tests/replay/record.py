"""Record the golden histories again, by hand: `make golden`, or `python -m tests.replay.record [name …]`.

Each history comes from a real execution on a real Temporal server, among the fakes that the workflow tests
use. It is scrubbed of its machine, replayed once, and written to `tests/replay/histories/<name>.json`.

Record only what is new, or what no running execution can have any more. A replay test that fails after a
change says that the change would break executions in flight: keep their way with `workflow.patched`, and
record the new way under a new name beside the old one.
"""

import asyncio
import getpass
import logging
import re
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from temporalio.client import Client, WorkflowHistory

from tests.fakes.servers import running_server
from tests.replay import golden
from tests.replay.deliveries import executions, release, release_anew, reports, rollout, train
from tests.replay.incidents import (
    approval,
    housekeeping,
    ledger,
    quarantine,
    remediation,
    restore,
    undo,
    watch,
)
from tests.replay.stage import Histories

SHORT = "limit.historyCount.suggestContinueAsNew=60"
"""Makes entities continue as new after so many events, so that their histories are small."""

Scenario = Callable[[Client, Path], Awaitable[Histories]]

SCENARIOS: tuple[tuple[str, tuple[Scenario, ...]], ...] = (
    (SHORT, (watch, ledger, rollout, release_anew)),
    (
        "",
        # `restore` before a run of `remediation` begins one of the same flag, which nobody waits for.
        (restore, remediation, quarantine, approval, housekeeping, train, reports, executions, undo, release),
    ),
)
"""By the server that they need."""


async def _write(name: str, history: WorkflowHistory, root: Path) -> None:
    """Scrub, check, replay, write."""
    document = golden.without_machine(history, root=root)
    told = golden.machine_words(document) + _own_words(golden.readable(document))
    if told:
        raise SystemExit(f"{name} names this machine: {', '.join(told)}")
    await golden.replayer().replay_workflow(golden.load(document))
    path = golden.FOLDER / f"{name}.json"
    path.write_text(golden.written(document))
    size = path.stat().st_size // 1024
    sys.stdout.write(f"{path.name}: {len(document['events'])} events, {size} KiB\n")


def _own_words(text: str) -> list[str]:
    """The names of this machine and its user that the text has."""
    own = {socket.gethostname(), getpass.getuser(), str(Path.home()), tempfile.gettempdir(), str(Path.cwd())}
    return [word for word in sorted(own) if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]


async def main(names: Sequence[str]) -> None:
    """Record all histories, or those of these names."""
    # What a scenario lets fail is logged with its traceback, which reads as if the recording had failed.
    logging.disable(logging.ERROR)
    golden.FOLDER.mkdir(exist_ok=True)
    unknown = set(names)
    for tuned, scenarios in SCENARIOS:
        async with await running_server(tuned=[tuned] if tuned else ()) as server:
            for scenario in scenarios:
                with tempfile.TemporaryDirectory() as folder:
                    for name, history in (await scenario(server.client, Path(folder))).items():
                        if not names or name in names:
                            await _write(name, history, Path(folder))
                            unknown.discard(name)
    if unknown:
        raise SystemExit(f"no scenario records {', '.join(sorted(unknown))}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
