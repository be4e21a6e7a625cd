"""Scenarios of agents, and of what people are asked and want undone."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from temporalio.client import Client

from activities.backends.results_store import ResultsStore
from activities.ledger import LedgerDoor
from activities.records_port import QuarantineSeen
from agents.flaky_tests.quarantine_file import rendered
from leverframe.model.ids import (
    approval_id,
    housekeeping_id,
    ledger_id,
    run_id,
    undo_id,
    watch_id,
)
from leverframe.model.outcomes import Outcome
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.signals import SUITE, ErrorBatch, SecondCount
from leverframe.model.untrusted import Untrusted
from policies.decision import Finding, Terms, Verdict
from policies.reservations import PauseRequest, Settlement
from tests.fakes.approval_world import ONCALL, PLATFORM
from tests.fakes.approval_world import question as asked_question
from tests.fakes.asks import ON, ask, policy
from tests.fakes.house_world import house
from tests.fakes.quarantine_world import QuarantineWorld
from tests.fakes.quarantines import ruled
from tests.fakes.recovery import Recovering, undo_policy
from tests.fakes.remediation_world import BEGAN, DUE, LANDED, LIVE, PREVIOUS, World, error_facts
from tests.fakes.rollout_world import FLAG as ROLLED_OUT
from tests.fakes.rollout_world import Rollouts, rollout_policy
from tests.fakes.runs import PatientRun
from tests.fakes.stores import store_at
from tests.replay.stage import Histories, history, until, working
from tests.unit.agents.flaky_tests.proposals import CAPS, entry, facts, flaky
from workflows.approval import ApprovalWorkflow
from workflows.messages import RunRequest, WatchStart
from workflows.queues import HANDS
from workflows.release.helm import Order
from workflows.remediation import RemediationWorkflow
from workflows.undo import UndoRequest, UndoWorkflow
from workflows.watch import WatchWorkflow

AGENT = "sentry_spike"
SUBJECT = "SHOP-1A2B3C4D5E6F"
_TODAY = datetime.now(UTC).date()


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
        await until(handle, "snapshot", lambda found: found["active_run"] is None)
    return {
        "watch_continued": await history(client, id_, first),
        "watch_carried_on": await history(client, id_, current),
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
        "ledger_continued": await history(client, handle.id, first),
        "ledger_carried_on": await history(client, handle.id, current),
    }


async def remediation(client: Client, root: Path) -> Histories:
    """The whole ladder, heard by its watch; what policy denies; what people answer; the other levers."""
    landed = await _run(client, World(client), "SHOP-LANDED", watched=True)
    asked = await _run(client, World(client, policy(autonomy="act_with_approval")), "SHOP-ASKED")
    refused = await _run(client, World(client, vote="no"), "SHOP-REFUSED")
    return {
        "remediation_landed": await history(client, landed),
        "approval_approved": await history(client, approval_id(landed, 2)),
        "remediation_escalated": await history(client, asked),
        "remediation_refused": await history(client, refused),
        "approval_rejected": await history(client, approval_id(refused, 2)),
    } | {
        f"remediation_{name}": await history(client, await _run(client, world, f"SHOP-{name.upper()}"))
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
    """Runs of the other agent: people are asked, the change lands, and the landed file is looked at; once for
    a test that enters, once for a quarantine that goes on.
    """
    world = QuarantineWorld(client, ruled(), suite=facts(flaky("pays", strength=20_000)))
    run = await _run(client, world, SUITE, agent="flaky_tests")
    found = {"remediation_quarantined": await history(client, run)}
    soon = entry("pays", since=_TODAY - timedelta(days=28), expires=_TODAY + timedelta(days=2))
    caps = CAPS.model_copy(update={"renewals": True})
    suite = facts(flaky("pays"), file=QuarantineFile(entries=(soon,)), caps=caps)
    run = await _run(client, QuarantineWorld(client, ruled(), suite=suite), "SUITE2", agent="flaky_tests")
    return found | {"remediation_renewed": await history(client, run)}


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
    return {"approval_expired": await history(client, "approval/run/1/0")}


async def housekeeping(client: Client, root: Path) -> Histories:
    """A policy that is put in force, one that is refused, a reservation whose run is gone, and the watch of a
    suite whose quarantine expires soon.
    """
    store = store_at(root / "store.db")
    soon = entry("pays", since=_TODAY - timedelta(days=28), expires=_TODAY + timedelta(days=2))
    seen = QuarantineSeen(
        sha="a" * 40, content=rendered(QuarantineFile(entries=(soon,))), read_at=datetime.now(UTC)
    )
    ResultsStore(store).see_quarantine("shop", seen)
    store.dispose()
    async with house(client, root, name="acme", watching=["flaky_tests"]) as home:
        await home.tidy()
        await home.door.reserve(ask("run/gone/1"))
        await home.door.commit("run/gone/1")
        home.source.write(org="version: 2\n")
        for _ in range(2):
            await home.tidy()
        tidied = await history(client, housekeeping_id("acme"))
    return {"housekeeping_woken": tidied}


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
