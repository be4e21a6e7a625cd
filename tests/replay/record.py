"""Record the golden histories again, by hand: `make golden`, or `python -m tests.replay.record [name …]`.

Each history comes from a real execution on a real Temporal server, among the fakes that the workflow tests
use. It is scrubbed of its machine, replayed once, and written to `tests/replay/histories/<name>.json`.

Record only what is new, or what no running execution can have any more. A replay test that fails after a
change says that the change would break executions in flight: keep their way with `workflow.patched`, and
record the new way under a new name beside the old one.
"""

import asyncio
import getpass
import re
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from inspect import getmembers, ismethod
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowHistory
from temporalio.worker import Worker

from activities.audit import AuditActivities
from activities.forge_reports import FetchReports, ForgeReportActivities
from activities.ledger import LedgerDoor
from leverframe.model.flags import INTERNAL
from leverframe.model.ids import (
    approval_id,
    car_test_id,
    executions_id,
    housekeeping_id,
    ledger_id,
    report_fetch_id,
    run_id,
    undo_id,
    watch_id,
)
from leverframe.model.outcomes import Outcome
from leverframe.model.signals import SUITE, ErrorBatch, SecondCount
from leverframe.model.untrusted import Untrusted
from leverframe.worker import WORKFLOW_FAILURES, WORKFLOWS, workflow_runner
from policies.decision import Finding, Terms, Verdict
from policies.reservations import PauseRequest, Settlement
from tests.fakes.approval_world import ONCALL, PLATFORM
from tests.fakes.approval_world import question as asked_question
from tests.fakes.asks import ON, ask, policy
from tests.fakes.audit import MemoryAudit
from tests.fakes.car_reports import JUNIT, leave, telling
from tests.fakes.execution_world import ExecutionWorld, by_order
from tests.fakes.git_world import KUSTOMIZATION, OVERLAY
from tests.fakes.github import FakeGithub
from tests.fakes.github_artifacts import zipped
from tests.fakes.github_setup import declared, reports_on
from tests.fakes.house_world import house
from tests.fakes.quarantine_world import QuarantineWorld
from tests.fakes.quarantines import ruled
from tests.fakes.recovery import Recovering, undo_policy
from tests.fakes.release_world import NEW
from tests.fakes.release_world import World as ReleaseWorld
from tests.fakes.releases import Releases
from tests.fakes.remediation_world import BEGAN, DUE, LANDED, LIVE, PREVIOUS, World, error_facts
from tests.fakes.report_shelf import ReportShelf
from tests.fakes.rollout_world import FLAG as ROLLED_OUT
from tests.fakes.rollout_world import Rollouts, rollout_policy
from tests.fakes.runs import PatientRun
from tests.fakes.servers import running_server
from tests.fakes.train_world import Yard
from tests.replay import golden
from tests.unit.agents.flaky_tests.proposals import facts, flaky
from workflows.approval import ApprovalWorkflow
from workflows.messages import RunRequest, WatchStart
from workflows.queues import HANDS, SANDBOX
from workflows.release.helm import Order
from workflows.remediation import RemediationWorkflow
from workflows.report_fetch import ReportFetchWorkflow
from workflows.undo import UndoRequest, UndoWorkflow
from workflows.watch import WatchWorkflow

AGENT = "sentry_spike"
SUBJECT = "SHOP-1A2B3C4D5E6F"
SHORT = "limit.historyCount.suggestContinueAsNew=60"
"""Makes entities continue as new after so many events, so that their histories are small."""

ACTIVITY = "__temporal_activity_definition"
"""What the SDK's decorator leaves on a method."""

Histories = dict[str, WorkflowHistory]
Scenario = Callable[[Client, Path], Awaitable[Histories]]


@asynccontextmanager
async def working(
    client: Client, world: World | None = None, workflows: Sequence[type] = WORKFLOWS
) -> AsyncIterator[None]:
    """Workers as in production, over the fakes of this world."""
    log = AuditActivities(MemoryAudit())
    audit = [method for _, method in getmembers(log, ismethod) if hasattr(method, ACTIVITY)]
    async with AsyncExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(4))
        hands = Worker(
            client,
            task_queue=HANDS,
            workflows=workflows,
            activities=[*(world.hands if world else ()), *audit],
            activity_executor=threads,
            workflow_runner=workflow_runner(build_id=""),
            workflow_failure_exception_types=WORKFLOW_FAILURES,
        )
        await stack.enter_async_context(hands)
        if world:
            sandbox = Worker(client, task_queue=SANDBOX, activities=[world.run_probes])
            await stack.enter_async_context(sandbox)
        yield


async def watch(client: Client, root: Path) -> Histories:
    """A watch starts a run, continues as new while it goes on, and hears of its end in its next life."""
    id_ = watch_id(AGENT, "shop", SUBJECT)
    run = run_id(AGENT, "shop", SUBJECT, 1)
    async with working(client, workflows=[WatchWorkflow, PatientRun]):
        start = WatchStart(agent=AGENT, repository="shop", service="shop", subject=SUBJECT)
        handle = await client.start_workflow(WatchWorkflow.run, start, id=id_, task_queue=HANDS)
        first, sent = (await handle.describe()).run_id, 0
        while (current := (await handle.describe()).run_id) == first:
            await handle.signal(WatchWorkflow.observe, _batch(sent, escalating=sent == 0))
            # Batch 3 comes twice: it is counted once.
            await handle.signal(WatchWorkflow.observe, _batch(min(sent, 3)))
            sent += 1
        await client.get_workflow_handle(run).signal("settle")
        await client.get_workflow_handle(run).result()
        await handle.signal(WatchWorkflow.observe, _batch(sent))
        await _until(handle, "snapshot", lambda found: found["active_run"] is None)
    return {
        "watch_continued": await _history(client, id_, first),
        "watch_carried_on": await _history(client, id_, current),
    }


async def ledger(client: Client, root: Path) -> Histories:
    """Every command of the ledger, a refusal of each kind, and a life after continue-as-new."""
    door, asked = LedgerDoor(client, "acme", task_queue=HANDS), PauseRequest(by="ada", reason="an incident")
    async with working(client):
        await door.install(policy(["{id: one, scope: [subject], max: 1, hold: until_settled}"]))
        await door.reserve(ask("run/1"))
        first = (await client.get_workflow_handle(ledger_id("acme")).describe()).run_id
        await door.reserve(ask("run/2"))
        await door.commit("run/1")
        await door.settle(Settlement(reservation="run/1", outcome=Outcome.LANDED))
        await door.reserve(ask("run/3", ON))
        await door.pause(asked)
        await door.reserve(ask("run/4"))
        await door.resume(asked)
        await door.reserve(ask("run/5"))
        await door.release("run/5")
        handle = client.get_workflow_handle(ledger_id("acme"))
        while (current := (await handle.describe()).run_id) == first:
            await door.reserve(ask("run/1"))
        await door.reserve(ask("run/1"))
        await door.reserve(ask("run/6"))
    return {
        "ledger_continued": await _history(client, handle.id, first),
        "ledger_carried_on": await _history(client, handle.id, current),
    }


async def remediation(client: Client, root: Path) -> Histories:
    """The whole ladder, heard by its watch; what policy denies; what people answer; the other levers."""
    landed = await _run(client, World(client), "SHOP-LANDED", watched=True)
    asked = await _run(client, World(client, policy(autonomy="act_with_approval")), "SHOP-ASKED")
    refused = await _run(client, World(client, vote="no"), "SHOP-REFUSED")
    return {
        "remediation_landed": await _history(client, landed),
        "approval_approved": await _history(client, approval_id(landed, 2)),
        "remediation_escalated": await _history(client, asked),
        "remediation_refused": await _history(client, refused),
        "approval_rejected": await _history(client, approval_id(refused, 2)),
    } | {
        f"remediation_{name}": await _history(client, await _run(client, world, f"SHOP-{name.upper()}"))
        for name, world in {
            "denied": World(client, policy(kill_switch=True)),
            "ejected": World(client, car="check_failed"),
            "rolled_back": World(client, facts=error_facts(flag_on=False), release="rolled_back"),
            "no_action": World(client, facts=error_facts(flag_on=False).model_copy(update={"frames": ()})),
            "second_rung": World(
                client, facts=error_facts(released=True), errors_since=5, healed_by_roll_back=True
            ),
        }.items()
    }


async def quarantine(client: Client, root: Path) -> Histories:
    """A run of the other agent: people are asked, the change lands, and the landed file is looked at."""
    world = QuarantineWorld(client, ruled(), suite=facts(flaky("pays", strength=20_000)))
    run = await _run(client, world, SUITE, agent="flaky_tests")
    return {"remediation_quarantined": await _history(client, run)}


async def approval(client: Client, root: Path) -> Histories:
    """A question that nobody answers."""
    finding = Finding(
        rule="org.levers.flip_flag.direction.to_off",
        verdict=Verdict.ESCALATE,
        observed="act_with_approval",
        limit="act",
        remedy="Ask a person.",
        source="org.yaml:11",
    )
    # The server's clock is real here: a reminder, the second group, and the end within three seconds.
    terms = Terms(
        chain=(ONCALL, PLATFORM),
        quorum=1,
        remind_after=timedelta(seconds=1),
        escalate_after=timedelta(seconds=2),
        expires_after=timedelta(seconds=3),
    )
    question = asked_question().model_copy(update={"findings": (finding,), "terms": terms})
    async with working(client, World(client, vote="silence")):
        await client.execute_workflow(ApprovalWorkflow.run, question, id="approval/run/1/0", task_queue=HANDS)
    return {"approval_expired": await _history(client, "approval/run/1/0")}


async def housekeeping(client: Client, root: Path) -> Histories:
    """A policy that is put in force, one that is refused, and a reservation whose run is gone."""
    async with house(client, root, name="acme") as home:
        await home.tidy()
        await home.door.reserve(ask("run/gone/1"))
        await home.door.commit("run/gone/1")
        home.source.write(org="version: 2\n")
        for _ in range(2):
            await home.tidy()
        history = await _history(client, housekeeping_id("acme"))
    return {"housekeeping_executions": history}


async def train(client: Client, root: Path) -> Histories:
    """Cars that land, with a release and without; a car that is red twice, one in conflict, a flake."""
    landed = Yard(client, _folder(root, "landed"), name="shop")
    async with landed.hands(cached=10), landed.jail():
        await landed.ride(landed.propose("work", {"new.py": "x\n"}))
        tested = client.get_workflow_handle(car_test_id("shop", landed.tip(), 1))
        overlay = KUSTOMIZATION.replace("a" * 40, "b" * 40)
        await landed.ride(landed.propose("overlay", {OVERLAY: overlay}))
        landed.sandbox.script = ["failed", "passed"]
        await landed.ride(landed.propose("flaky", {"flaky.py": "x\n"}))
    ejected = Yard(client, _folder(root, "ejected"), name="other")
    async with ejected.hands(cached=10), ejected.jail():
        ejected.sandbox.script = ["failed", "failed"]
        await ejected.ride(ejected.propose("red", {"red.py": "x\n"}))
        conflicting = ejected.propose("conflict", {"app.py": "mine\n"})
        ejected.world.commit("main", {"app.py": "theirs\n"})
        await ejected.ride(conflicting)
    found = {
        "train_landed": await landed.train.fetch_history(),
        "train_ejected": await ejected.train.fetch_history(),
        "car_tested": await tested.fetch_history(),
    }
    for yard in (landed, ejected):
        await yard.close()
    return found


async def reports(client: Client, root: Path) -> Histories:
    """A run of the forge's CI whose reports are fetched, and a car whose check leaves some."""
    github = FakeGithub()
    github.runs.attempt(8841, 1, "a" * 40, began=BEGAN)
    github.runs.upload(8841, "tests", zipped({"junit.xml": JUNIT}), at=BEGAN)
    forge = ForgeReportActivities(reports_on(github, "*"), ReportShelf(), {"shop": declared("shop")})
    with ThreadPoolExecutor(4) as threads:
        async with Worker(
            client,
            task_queue=HANDS,
            workflows=[ReportFetchWorkflow],
            activities=[forge.fetch_reports],
            activity_executor=threads,
            workflow_runner=workflow_runner(build_id=""),
        ):
            id_ = report_fetch_id("shop", "8841.1")
            request = FetchReports(repository="shop", run="8841.1")
            await client.execute_workflow(ReportFetchWorkflow.run, request, id=id_, task_queue=HANDS)
    yard = Yard(client, _folder(root, "telling"), name="telling", declare=telling)
    yard.sandbox.during = lambda request: leave(yard.left_reports, request)
    async with yard.hands(cached=10), yard.jail():
        await yard.ride(yard.propose("work", {"new.py": "x\n"}))
        car = client.get_workflow_handle(car_test_id("telling", yard.tip(), 1))
        await car.result()
        await yard.end()
    await yard.close()
    return {"reports_fetched": await _history(client, id_), "car_with_reports": await car.fetch_history()}


async def executions(client: Client, root: Path) -> Histories:
    """A recheck that passes, the probes that quarantine the test, and a commit that git does not have."""
    world = ExecutionWorld(client, root, a_day=2_000, name="shop")
    world.sandbox, world.git.forks = by_order, {f"{2:040x}"}
    for run in (1, 2):
        world.told({f"tests/test_a.py::test_{run}": "F"}, run=run)
    world.fold()
    async with world.working():
        await world.executed()
    return {"executions": await _history(client, executions_id("shop"))}


async def release(client: Client, root: Path) -> Histories:
    """A release that climbs to the top, and one that is taken back at a quarter of the traffic."""
    worlds = {
        "release_landed": ReleaseWorld.with_stable(),
        "release_rolled_back": ReleaseWorld.with_stable(
            error_ppm=lambda sha, percent: 150_000 if sha == NEW and percent >= 25 else 1000
        ),
    }
    found = {}
    for name, world in worlds.items():
        releases = Releases(world, client)
        async with releases.worker():
            handle = await releases.start()
            await handle.result()
        found[name] = await handle.fetch_history()
    return found


async def rollout(client: Client, root: Path) -> Histories:
    """A flag that comes to everybody, by people's leave, in several histories; one that harms users."""
    landed = Rollouts(client, _folder(root, "landed"), rollout_policy("act_with_approval"))
    async with landed.worker():
        handle = await landed.start(5, 100)
        first = (await handle.describe()).run_id
        await handle.result()
        last = (await client.get_workflow_handle(handle.id).describe()).run_id
    found = {
        "rollout_continued": await _history(client, handle.id, first),
        "rollout_landed": await _history(client, handle.id, last),
    }
    harmful = Rollouts(client, _folder(root, "harmful"))
    harmful.users.error_ppm = lambda variant: 300_000 if variant == INTERNAL else 1000
    async with harmful.worker():
        handle = await harmful.start(5, 100)
        await handle.result()
    return found | {"rollout_rolled_back": await _history(client, handle.id)}


async def restore(client: Client, root: Path) -> Histories:
    """A flag that is switched back after a moment, by people's leave; one that somebody changed."""
    rollouts = Rollouts(client, root, rollout_policy("act_with_approval"))
    rollouts.flags.set(ROLLED_OUT, True, key="launch", reason="launch")
    rollouts.flags.set(ROLLED_OUT, False, key="kill", reason="incident")
    found = {}
    async with rollouts.worker():
        for name, switched_by in (("restore_superseded", "somebody else"), ("restore_approved", "kill")):
            handle = await rollouts.restore(after=timedelta(milliseconds=300), switched_by=switched_by)
            await handle.result()
            found[name] = await handle.fetch_history()
    return found


async def undo(client: Client, root: Path) -> Histories:
    """Production pointed forward again, a landed change reverted, and one that never landed."""
    found = {}
    for name, back_to in (("forward", PREVIOUS), ("reverted", None), ("refused", None)):
        world = Recovering(client, undo_policy())
        world.landings.land("shop/9", LANDED, overlay={LIVE: PREVIOUS} if back_to else {})
        world.landings.state = "ejected" if name == "refused" else "landed"
        request = UndoRequest(
            repository="shop",
            service="shop",
            subject=f"SHOP-{name.upper()}",
            run=run_id(AGENT, "shop", f"SHOP-{name.upper()}", 1),
            change="shop/9",
            back_to=back_to,
            by=Order(person="eve", reason="it was the network"),
            ui_url="http://ui",
        )
        async with working(client, world):
            handle = await client.start_workflow(
                UndoWorkflow.run, request, id=undo_id(f"{request.run}/1"), task_queue=HANDS
            )
            await handle.result()
        found[f"undo_{name}"] = await handle.fetch_history()
    return found


async def release_anew(client: Client, root: Path) -> Histories:
    """A release that takes longer than a history: the first one, and the last, which goes on from it."""
    releases = Releases(ReleaseWorld.with_stable(), client)
    async with releases.worker():
        handle = await releases.start()
        await handle.result()
        first = await _history(client, handle.id, handle.first_execution_run_id)
    return {"release_continued": first, "release_carried_on": await _history(client, handle.id)}


SCENARIOS: tuple[tuple[str, tuple[Scenario, ...]], ...] = (
    (SHORT, (watch, ledger, rollout, release_anew)),
    (
        "",
        # `restore` before a run of `remediation` begins one of the same flag, which nobody waits for.
        (restore, remediation, quarantine, approval, housekeeping, train, reports, executions, undo, release),
    ),
)
"""By the server that they need."""


async def _run(
    client: Client, world: World, subject: str, *, watched: bool = False, agent: str = AGENT
) -> str:
    """One whole run among these fakes; its id."""
    id_, watch = run_id(agent, "shop", subject, 1), watch_id(agent, "shop", subject)
    request = RunRequest(
        agent=agent,
        repository="shop",
        service="shop",
        subject=subject,
        due=DUE,
        detected_at=BEGAN + timedelta(seconds=8),
        watch=watch,
        ui_url="http://ui",
    )
    async with working(client, world):
        if watched:
            known = WatchStart(
                agent=AGENT, repository="shop", service="shop", subject=subject, runs=1,
                active_run=id_, active_since=datetime.now(UTC),
            )  # fmt: skip
            await client.start_workflow(WatchWorkflow.run, known, id=watch, task_queue=HANDS)
        await client.execute_workflow(RemediationWorkflow.run, request, id=id_, task_queue=HANDS)
    return id_


def _batch(number: int, *, escalating: bool = False) -> ErrorBatch:
    now = datetime.now(UTC)
    return ErrorBatch(
        id=f"batch-{number}",
        repository="shop",
        service="shop",
        subject=SUBJECT,
        title=Untrusted("KeyError: 'tea'"),
        counts=(SecondCount(second=int(now.timestamp()), count=2),),
        escalating=escalating,
        received_at=now,
    )


async def _until(handle: WorkflowHandle[Any, Any], query: str, wanted: Callable[[Any], bool]) -> None:
    async with asyncio.timeout(60):
        while not wanted(await handle.query(query)):  # noqa: ASYNC110 - a query has no event
            await asyncio.sleep(0.02)


async def _history(client: Client, id_: str, run: str | None = None) -> WorkflowHistory:
    return await client.get_workflow_handle(id_, run_id=run).fetch_history()


def _folder(root: Path, name: str) -> Path:
    folder = root / name
    folder.mkdir()
    return folder


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
