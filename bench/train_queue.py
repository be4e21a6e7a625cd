"""How many changes a second one train lands through its real workflow, as a ratio to bare pushes.

A thousand changes wait on one train while it is held; then it is thawed, and the time to the last receipt
counts. Everything is real but the checks, which answer at once: the dev server with the command line of
`leverframe up`, one worker, the planner, git on a bare repository. The baseline pushes cars of the same
changes in a repository with as many branches, one after the other, each with its receipt in one atomic push
with a lease, as the train does, and nothing else.

Fails when a run of the train or the state that it hands to the next one grows without bound.

    .venv/bin/python bench/train_queue.py [--changes 1000] [--bare 100] [--runners 4]
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
os.environ["LEVERFRAME_TEST_SANDBOXED"] = "1"  # as the product's workers

from temporalio.client import Client  # noqa: E402 - after the path is set

from activities.backends.track_git import GitTrack  # noqa: E402
from activities.backends.track_receipts import landed_ref  # noqa: E402
from leverframe.client import connect  # noqa: E402
from leverframe.engine import server_command  # noqa: E402
from leverframe.model.changes import Car, Change, ChangeSpec  # noqa: E402
from leverframe.model.errors import Unavailable  # noqa: E402
from leverframe.model.topology import TrainRules  # noqa: E402
from leverframe.settings import Settings  # noqa: E402
from tests.fakes.git_world import AT, GitWorld  # noqa: E402
from tests.fakes.train_world import ADA, Yard  # noqa: E402
from workflows.merge_train.messages import FreezeRequest, ThawRequest  # noqa: E402
from workflows.merge_train.workflow import MAX_EVENTS, MergeTrainWorkflow  # noqa: E402

AT_ONCE = 50
"""Requests under way; the server is set to take four times as many."""
MOST_STATE = 2_000_000
"""Bytes: what one message of the server may hold."""
MOST_EVENTS = 4 * MAX_EVENTS
"""A run ends at the first pause past its trigger; what comes in between is bounded, too."""


@dataclass(frozen=True)
class Size:
    """What the runs of the train came to."""

    runs: int
    events: int
    """Of the longest run."""
    history: int
    """Bytes of the largest run."""
    state: int
    """Bytes of the largest state that a run was handed."""


@asynccontextmanager
async def engine(home: Path) -> AsyncIterator[Client]:
    """The dev server as `leverframe up` starts it, and a client."""
    with socket.socket() as one, socket.socket() as two:
        for each in (one, two):
            each.bind(("127.0.0.1", 0))
        port, page = one.getsockname()[1], two.getsockname()[1]
    settings = Settings.model_validate(
        {
            "home": home,
            "temporal": {"address": f"127.0.0.1:{port}", "ui_url": f"http://127.0.0.1:{page}"},
        }
    )
    with (home / "engine.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(*server_command(settings), stdout=log, stderr=log)
    try:
        yield await _answers(settings)
    finally:
        process.terminate()
        await process.wait()


async def _answers(settings: Settings) -> Client:
    for _ in range(300):
        try:
            return await connect(settings)
        except Unavailable:
            await asyncio.sleep(0.1)
    return await connect(settings)


def branches(world: GitWorld, count: int) -> list[tuple[str, str]]:
    """So many branches with one commit each, made at once: names and heads."""
    told = []
    for number in range(count):
        text = f"change {number}\n"
        told += [
            f"commit refs/heads/work-{number}",
            f"mark :{number + 1}",
            f"committer Ada <ada@example.com> {int(AT.timestamp())} +0000",
            f"data {len(text)}\n{text}",
            "from refs/heads/main^0",
            f"M 100644 inline new/{number}.py\ndata {len(text)}\n{text}",
        ]
    told += [f"get-mark :{number + 1}" for number in range(count)]
    heads = world.plumb("fast-import", "--quiet", stdin="\n".join([*told, ""])).split()
    return [(f"work-{number}", head) for number, head in enumerate(heads)]


def bare(root: Path, count: int, of: int) -> float:
    """Pushes a second of the first prepared cars with their receipts, one after the other.

    `of` branches lie in the repository, as in that of the train: git looks at all of them in each push.
    """
    world = GitWorld(root)
    repository = world.repository
    changes = [
        world.change(head, number=number + 1, branch=branch)
        for number, (branch, head) in enumerate(branches(world, of))
    ]
    track = GitTrack(mirrors=root / "mirrors", artifacts=root / "artifacts")
    stack = [(change, AT) for change in changes[:count]]
    made = track.compose_stack(repository, changes=stack, base=track.tip(repository), method="merge")
    cars = [car for car in made if isinstance(car, Car)]
    mirror = next(path.parent for path in (root / "mirrors").rglob("HEAD"))

    def git(*arguments: str, said: str = "") -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=mirror, input=said, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    blobs = [git("hash-object", "-w", "--stdin", said=car.model_dump_json()) for car in cars]
    began = time.perf_counter()
    for number, (car, blob) in enumerate(zip(cars, blobs, strict=True), 1):
        receipt = landed_ref("main", number)
        leases = (f"--force-with-lease=refs/heads/main:{car.base}", f"--force-with-lease={receipt}:")
        moved = (f"{car.sha}:refs/heads/main", f"{blob}:{receipt}")
        git("push", "--quiet", "--atomic", *leases, str(world.remote), *moved)
    return len(cars) / (time.perf_counter() - began)


async def enqueued(yard: Yard, changes: Sequence[Change]) -> float:
    """Requests answered a second, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(change: Change) -> None:
        async with room:
            await yard.enqueue(change)

    began = time.perf_counter()
    await asyncio.gather(*(one(change) for change in changes))
    return len(changes) / (time.perf_counter() - began)


async def landed(yard: Yard, count: int) -> float:
    """Landings a second from now to the last one."""
    await yard.train.execute_update(MergeTrainWorkflow.thaw, ThawRequest(owner="ada", reason="measure"))
    began, seen = time.perf_counter(), 0
    while seen < count:
        await asyncio.sleep(0.2)
        told = yard.world.git("for-each-ref", "--format=.", landed_ref("main", 0).rpartition("/")[0])
        seen = len(told.split())
        if yard.told:
            raise SystemExit(f"{seen} of {count} landed; people were told: {yard.told}")
    return count / (time.perf_counter() - began)


async def sizes(yard: Yard) -> Size:
    """Looks at every run of the train."""
    runs, events, history, state = 0, 0, 0, 0
    async for run in yard.client.list_workflows(f"WorkflowId = '{yard.train.id}'"):
        handle = yard.client.get_workflow_handle(run.id, run_id=run.run_id)
        info = (await handle.describe()).raw_description.workflow_execution_info
        async for first in handle.fetch_history_events(page_size=1):
            handed = first.workflow_execution_started_event_attributes.input.payloads
            state = max(state, sum(len(payload.data) for payload in handed))
            break
        runs, events = runs + 1, max(events, info.history_length)
        history = max(history, info.history_size_bytes)
    return Size(runs, events, history, state)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--bare", type=int, default=100, help="pushes of the baseline")
    parser.add_argument("--runners", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        for name in ("bare", "yard", "engine"):
            (Path(home) / name).mkdir()
        base = bare(Path(home) / "bare", min(options.bare, options.changes), options.changes)
        print(f"bare: {base:.1f} pushes a second")
        async with engine(Path(home) / "engine") as client:
            rules = TrainRules(track="built_in", runners=options.runners)
            yard = Yard(
                client,
                Path(home) / "yard",
                declare=lambda repository: repository.model_copy(update={"train": rules}),
            )
            async with yard.hands(cached=1000), yard.jail():
                rates = await carried(yard, options.changes)
                size = await sizes(yard)
            await yard.close()
    print(f"enqueued: {rates[0]:.1f} a second; landed: {rates[1]:.2f} a second")
    print(f"landed to bare: {rates[1] / base:.3f}")
    print(
        f"{size.runs - 1} times continued as new; the longest run {size.events} events, the largest ", end=""
    )
    print(f"{size.history / 1e6:.2f} MB; the largest state {size.state / 1e6:.2f} MB")
    if size.state > MOST_STATE or size.events > MOST_EVENTS:
        raise SystemExit(f"not bounded: more than {MOST_STATE} bytes or {MOST_EVENTS} events")


async def carried(yard: Yard, count: int) -> tuple[float, float]:
    """Requests and landings a second."""
    changes = [
        yard.changes.open_change(
            ChangeSpec(repository=yard.name, branch=branch, head=head, title=f"Do {branch}", author=ADA)
        )
        for branch, head in branches(yard.world, count)
    ]
    await yard.enqueue(changes[0])
    hold = FreezeRequest(mode="hold_landing", owner="ada", reason="measure")
    await yard.train.execute_update(MergeTrainWorkflow.freeze, hold)
    asked = await enqueued(yard, changes)
    done = sum(receipt.change == changes[0].id for receipt in yard.track.receipts(yard.world.repository))
    return asked, await landed(yard, count) * (count - done) / count


if __name__ == "__main__":
    asyncio.run(main())
