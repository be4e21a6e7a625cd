"""The road of a hostile text: in by the gateway, through a whole run on real git and flags, to every page."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from activities.backends.changes_store import ChangesStore
from activities.backends.chat_store import StoreChat
from activities.backends.flags_flagd import FlagdFlags
from activities.backends.track_git import GitTrack
from activities.chat import ChatActivities, Shown
from activities.flags import FlagActivities
from activities.forge import ForgeActivities
from activities.investigate import InvestigateActivities
from activities.train import CarFacts, TrainActivities
from leverframe.gateway.grouping import group
from leverframe.gateway.sentry_event import read_event
from leverframe.model.changes import Change
from leverframe.model.facts import ErrorFacts, ErrorFactsRequest
from leverframe.model.ids import run_id, watch_id
from leverframe.model.outcomes import RunReport
from policies.question import Question
from tests.fakes.asks import policy
from tests.fakes.gateway import envelope, gateway
from tests.fakes.git_world import DEV_OVERLAY, FIRST_SHA, KUSTOMIZATION, OVERLAY, GitWorld
from tests.fakes.remediation_world import DUE, World
from tests.fakes.rides import composed
from tests.fakes.workers import unversioned
from workflows.approval import ApprovalWorkflow
from workflows.messages import RunRequest
from workflows.queues import HANDS, SANDBOX
from workflows.remediation import RemediationWorkflow

AGENT, UI = "sentry_spike", "http://ui.example"
FLAG, OFF_FLAG, NO_KILL = "new-pricing", "secret-flag", "no-kill"
WORKFLOW_FILE = ".github/workflows/ci.yml"


@dataclass(frozen=True, kw_only=True)
class Told:
    """What one text led to, wherever it is shown."""

    home: Path
    suspect: str
    subject: str
    facts: ErrorFacts
    report: RunReport
    page: str
    questions: tuple[str, ...]
    """The pages of what people were asked, in the Temporal UI."""
    summaries: tuple[str, ...]
    """One-liners in the Temporal UI, which reads Markdown in them."""
    change: Change
    messages: tuple[str, str]
    """Of the revert's commit and of its car's."""
    car: CarFacts
    new_refs: set[str]
    flags: dict[str, bool]

    @property
    def pages(self) -> tuple[str, ...]:
        """Everything that is read as Markdown."""
        return (self.page, *self.questions, self.change.body)


class RealShop(World):
    """The world of a run with real git, changes, flags, store and questions; people say yes."""

    def __post_init__(self, policy: Any) -> None:
        super().__post_init__(policy)
        self.real: Sequence[Callable[..., Any]] = ()
        self.chat: ChatActivities | None = None

    @property
    def hands(self) -> Sequence[Callable[..., Any]]:
        """The real activities in the places of the remembered ones."""
        names = {_name(real) for real in self.real}
        return (*self.real, *(one for one in super().hands if _name(one) not in names))

    @activity.defn
    async def ask(self, question: Question, group: str) -> Shown:
        """Ask for real, then vote."""
        assert self.chat is not None
        await asyncio.to_thread(self.chat.ask, question, group)
        return await super().ask(question, group)


def hostile_event(text: str, number: int, live: str) -> dict[str, object]:
    """An event with this text wherever a sender may write, beside one frame and one flag that are true."""
    hostile = {
        "filename": text, "abs_path": text, "module": text, "function": text, "context_line": text,
        "lineno": 2, "in_app": True, "vars": {text[:50]: text},
    }  # fmt: skip
    crash = hostile | {"filename": "shop/pricing.py"}
    return {
        "event_id": f"{number:032x}",
        "platform": text,
        "release": text if number == 1 else f"shop@{live}",
        "environment": text,
        "transaction": text,
        "logger": text,
        "server_name": text,
        "tags": {text[:50]: text},
        "user": {"username": text},
        "logentry": {"message": text, "formatted": text},
        "exception": {"values": [{"type": text, "value": text, "stacktrace": {"frames": [hostile, crash]}}]},
        "contexts": {
            "flags": {
                "values": [
                    {"flag": name, "result": True} for name in (text, f"{FLAG}\n", OFF_FLAG, NO_KILL, FLAG)
                ]
            }
        },
    }


@dataclass(frozen=True)
class Ground:
    """The one repository that all texts are told about, and its flags before anything happened."""

    home: Path
    world: GitWorld
    suspect: str

    @classmethod
    def laid(cls, home: Path) -> "Ground":
        """A shop whose live release broke a line."""
        world = GitWorld(home)
        world.commit("main", {"shop/pricing.py": "one\ntwo\nthree\n", WORKFLOW_FILE: "on: push\n"})
        before = KUSTOMIZATION.replace(FIRST_SHA, world.git("rev-parse", "main"))
        world.commit("main", {OVERLAY: before, DEV_OVERLAY: before})
        suspect = world.commit("main", {"shop/pricing.py": "one\nbroken\nthree\n"})
        live = KUSTOMIZATION.replace(FIRST_SHA, suspect)
        world.commit("main", {OVERLAY: live, DEV_OVERLAY: live})
        return cls(home, world, suspect)

    def refs(self) -> set[str]:
        """The branches and tags of the remote."""
        return set(self.world.git("for-each-ref", "--format=%(refname)", "refs/heads", "refs/tags").split())

    def message(self, sha: str) -> str:
        """A commit's whole message."""
        return self.world.git("log", "--max-count=1", "--format=%B", sha)


FLAGS = {
    name: {
        "state": "ENABLED",
        "defaultVariant": variant,
        "variants": {"on": True, "off": False},
        "metadata": {"kill": kill},
    }
    for name, variant, kill in ((FLAG, "on", True), (OFF_FLAG, "off", True), (NO_KILL, "on", False))
}


@asynccontextmanager
async def carried_through(client: Client, ground: Ground, home: Path, text: str) -> AsyncIterator[Told]:
    """The text from the door to the end of the run that it caused; workers live as long as the block."""
    (home / "flags.json").write_text(json.dumps({"flags": FLAGS}))
    before = await asyncio.to_thread(ground.refs)
    events = [hostile_event(text, number, ground.suspect) for number in range(1, 8)]
    subject = group(read_event(json.loads(json.dumps(events[0]).replace("\\ud83d", "?"))), "shop").subject
    async with AsyncExitStack() as stack:
        door = await stack.enter_async_context(
            gateway(home, client, task_queue="nobody", max_body_bytes=4_000_000)
        )
        replies = await asyncio.gather(*(door.send(envelope(event)) for event in events))
        assert [reply.status_code for reply in replies] == [200] * len(events)
        repositories = {"shop": ground.world.repository}
        changes = ChangesStore(door.engine)
        track = GitTrack(mirrors=ground.home / "mirrors", artifacts=home / "artifacts")
        backend = FlagdFlags(home / "flags.json")
        stack.callback(backend.close)
        flag_activities = FlagActivities(backend)
        forge = ForgeActivities(changes, track, repositories)
        train = TrainActivities(changes, track, repositories)
        investigate = InvestigateActivities(door.store, track, changes, backend, repositories)
        shop = RealShop(client, policy(autonomy="act_with_approval"))
        shop.voter = "login:grace"  # Ada wrote the broken line, so she has no vote
        shop.chat = ChatActivities({"terminal": StoreChat(door.engine)})
        shop.real = (
            investigate.gather, investigate.count_since, forge.preview, forge.revert, forge.roll_back,
            flag_activities.flip, flag_activities.verify_flag, shop.chat.close,
        )  # fmt: skip
        await stack.enter_async_context(working(shop))
        run, since = run_id(AGENT, "shop", subject, 1), datetime.now(UTC) - timedelta(minutes=1)
        request = RunRequest(
            agent=AGENT, repository="shop", service="shop", subject=subject,
            due=DUE.model_copy(update={"since": since}), detected_at=datetime.now(UTC),
            watch="watch/nobody", ui_url=UI,
        )  # fmt: skip
        handle = await client.start_workflow(RemediationWorkflow.run, request, id=run, task_queue=HANDS)
        report = await handle.result()
        wanted = ErrorFactsRequest(repository="shop", service="shop", subject=subject, since=since)
        change = changes.list_changes("shop")[0]
        car = await asyncio.to_thread(composed, train, change, change.opened_at)
        yield Told(
            home=home,
            suspect=ground.suspect,
            subject=subject,
            facts=await asyncio.to_thread(investigate.gather, wanted),
            report=report,
            page=await details(client, run),
            questions=tuple(
                [
                    await details(client, asked.question.approval)
                    for asked in StoreChat(door.engine).posted(open_only=False)
                ]
            ),
            summaries=await summaries(client, run, watch_id(AGENT, "shop", subject)),
            change=change,
            messages=(ground.message(change.head), ground.message(car.sha)),
            car=car,
            new_refs=await asyncio.to_thread(ground.refs) - before,
            flags={state.flag: state.on for state in backend.list()},
        )


@asynccontextmanager
async def working(shop: RealShop) -> AsyncIterator[None]:
    """The run's two workers."""
    with ThreadPoolExecutor(4) as threads:
        hands = Worker(
            shop.client,
            task_queue=HANDS,
            workflows=[RemediationWorkflow, ApprovalWorkflow],
            activities=shop.hands,
            activity_executor=threads,
            workflow_runner=unversioned(),
        )
        async with hands, Worker(shop.client, task_queue=SANDBOX, activities=[shop.run_probes]):
            yield


async def details(client: Client, workflow: str) -> str:
    """The page of a workflow in the Temporal UI."""
    page: str = (
        await client.get_workflow_handle(workflow).query("__temporal_workflow_metadata")
    ).current_details
    return page


async def summaries(client: Client, run: str, watch: str) -> tuple[str, ...]:
    """The fixed one-line summaries of executions, activities and timers."""
    found = [await (await client.get_workflow_handle(watch).describe()).static_summary()]
    async for event in client.get_workflow_handle(run).fetch_history_events():
        if event.user_metadata.HasField("summary"):
            found += await client.data_converter.decode([event.user_metadata.summary])
    return tuple(summary for summary in found if summary)


def _name(method: Callable[..., Any]) -> str:
    name: str = getattr(method, "__temporal_activity_definition").name
    return name
