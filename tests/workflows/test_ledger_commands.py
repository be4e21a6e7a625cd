"""`leverframe ledger`, `pause` and `resume` against a real server: what a person sees and can do."""

import asyncio
import getpass
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from temporalio.client import Client
from temporalio.testing import WorkflowEnvironment

from activities.ledger import LedgerDoor
from leverframe.cli.exits import Exit
from leverframe.model.outcomes import Outcome
from policies.decision import Allowed, Denied
from policies.overview import LedgerOverview
from policies.reservations import PauseRequest, SettledBy, Settlement
from tests.fakes.asks import ask, policy
from tests.fakes.audit import MemoryAudit, ledger_worker
from tests.fakes.desk import Desk
from tests.fakes.remediation_world import SHOP
from workflows.queues import HANDS

pytestmark = pytest.mark.asyncio(loop_scope="module")

ONE_UNSETTLED = "{id: one, scope: [subject], max: 1, hold: until_settled}"
LANDED = Settlement(reservation="run/1", outcome=Outcome.LANDED)


class Terminal:
    """A person's terminal, whose settings name the server and an organisation of its own."""

    def __init__(self, client: Client, desk: Desk, organisation: str) -> None:
        self.desk = desk
        self.door = LedgerDoor(client, organisation, task_queue=HANDS)
        desk.at(client)
        desk.set(ORGANISATION=organisation)

    async def types(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error of `leverframe …`."""
        return await asyncio.to_thread(self.desk.run, *words)


@pytest_asyncio.fixture(loop_scope="module")
async def terminal(
    env: WorkflowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Terminal]:
    organisation = tmp_path.name.replace("_", "-")
    found = Terminal(env.client, Desk(monkeypatch, tmp_path, SHOP, noun="ledger"), organisation)
    async with ledger_worker(env.client, MemoryAudit(), organisation=organisation, queue=HANDS):
        await found.door.install(policy([ONE_UNSETTLED]))
        await found.door.reserve(ask("run/1"))
        await found.door.commit("run/1")
        yield found


async def test_a_person_sees_what_holds_a_place_its_state_and_the_pause(terminal: Terminal) -> None:
    await terminal.door.pause(PauseRequest(by="ada", reason="incident"))
    _, told, _ = await terminal.types("ledger", "show")
    code, document, _ = await terminal.types("ledger", "show", "--json")
    found = LedgerOverview.model_validate_json(document)
    assert code == Exit.OK
    assert [(entry.id, entry.phase) for entry in found.open] == [("run/1", "committed")]
    assert [(row.rule, row.used, row.max) for row in found.headroom] == [("org.limits.one", 1, 1)]
    assert "by ada: incident" in told
    assert "committed" in told
    assert "AGE" in told


async def test_a_person_settles_what_no_run_can_and_its_place_is_free(terminal: Terminal) -> None:
    assert isinstance(await terminal.door.reserve(ask("run/2")), Denied)
    code, out, complaint = await terminal.types(
        "ledger", "settle", "run/1", "failed", "--reason", "its run was terminated", "--json"
    )
    assert (code, complaint) == (Exit.OK, "")
    told = json.loads(out)
    assert (told["phase"], told["outcome"]) == ("settled", "failed")
    person = SettledBy(by=getpass.getuser(), reason="its run was terminated")
    assert (await terminal.door.settle(LANDED)).settled_by == person, "it is recorded"
    assert isinstance(await terminal.door.reserve(ask("run/3")), Allowed)


async def test_what_has_ended_already_is_not_ended_in_another_way(terminal: Terminal) -> None:
    await terminal.door.settle(LANDED)
    code, out, complaint = await terminal.types(
        "ledger", "settle", "run/1", "failed", "--reason", "so I think"
    )
    assert (code, out) == (Exit.REFUSED, "")
    assert "run/1 was settled as landed before" in complaint


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("run/9", "failed", "--reason", "gone"), Exit.NOT_FOUND, "does not know the reservation run/9"),
        (("run/1", "failed", "--reason", ""), Exit.BAD_INPUT, "reason: "),
        (("run/1", "vanished", "--reason", "gone"), Exit.BAD_INPUT, "vanished"),
    ],
)
async def test_what_cannot_be_settled_is_told_in_words_and_a_code(
    terminal: Terminal, words: tuple[str, ...], code: Exit, complaint: str
) -> None:
    done, out, told = await terminal.types("ledger", "settle", *words)
    assert (done, out) == (code, "")
    assert complaint in told
    assert "Traceback" not in told


async def test_a_person_stops_one_agent_sees_which_run_waits_for_it_and_lets_it_go_on(
    terminal: Terminal,
) -> None:
    stop = ("--agent", "sentry_spike", "--reason", "it looks wrong", "--json")
    code, out, complaint = await terminal.types("pause", *stop)
    assert (code, complaint) == (Exit.OK, "")
    [pause] = json.loads(out)["pauses"]
    assert (pause["agent"], pause["repository"], pause["by"]) == ("sentry_spike", None, getpass.getuser())
    decision = await terminal.door.reserve(ask("watch/run/7/1", subject="SHOP-2"))
    assert isinstance(decision, Denied)
    assert decision.paused
    _, told, _ = await terminal.types("ledger", "show")
    assert "watch/run/7" in told

    await terminal.types("resume", "--reason", "another scope", "--json")
    again = await terminal.door.reserve(ask("watch/run/7/1", subject="SHOP-2"))
    assert isinstance(again, Denied), "the pause of another scope stays"
    await terminal.types("resume", *stop)
    assert isinstance(await terminal.door.reserve(ask("watch/run/7/1", subject="SHOP-2")), Allowed)
