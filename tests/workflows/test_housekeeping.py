"""Housekeeping on a real server, beside the real ledger: policies change, runs die, people forget."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from temporalio.testing import WorkflowEnvironment

from activities.backends.results_store import ResultsStore
from activities.look import Sighted
from activities.policy_files import snapshot_of
from activities.reconcile import AT_ONCE
from activities.records_port import QuarantineSeen
from agents.flaky_tests.quarantine_file import rendered
from leverframe.model.errors import Unavailable
from leverframe.model.ids import housekeeping_id, watch_id
from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import FlipFlag
from leverframe.model.quarantine import QuarantineFile
from leverframe.model.signals import SUITE
from leverframe.model.untrusted import Untrusted
from policies.decision import Allowed, Denied
from policies.ledger import Ledger
from policies.reservations import LedgerState, Settlement
from tests.fakes.asks import OFF, ask
from tests.fakes.flaky_suite import FLAKY, entry
from tests.fakes.house_world import House, house, policy_files
from tests.fakes.result_reports import tell
from tests.fakes.stores import store_at
from workflows.housekeeping import CERTAIN, HOUSEKEEPING, RECONCILER, HousekeepingStart, settled_as
from workflows.messages import WatchStart
from workflows.timetable import Chore, Done

pytestmark = pytest.mark.asyncio(loop_scope="module")

BROKEN = "version: 1\nlayer: org\nautonomy: everything\n"


async def reserve(home: House, reservation: str, *, commit: bool = True) -> None:
    """An agent may switch the flag off, and says that it does so now."""
    assert isinstance(await home.door.reserve(ask(reservation, OFF)), Allowed)
    if commit:
        assert (await home.door.commit(reservation)).kind == "committed"


async def ended(home: House, reservation: str) -> tuple[Outcome | None, str]:
    """How a reservation was settled, and by whom: the first word stands."""
    standing = await home.door.settle(Settlement(reservation=reservation, outcome=Outcome.SUPERSEDED))
    return standing.outcome, standing.settled_by.by if standing.settled_by else ""


async def test_the_first_tidying_puts_the_policy_in_force(env: WorkflowEnvironment, tmp_path: Path) -> None:
    async with house(env.client, tmp_path) as home:
        assert isinstance(await home.door.reserve(ask("run/0/1")), Denied)
        tidied = await home.tidy()
        assert isinstance(await home.door.reserve(ask("run/1/1")), Allowed)
    assert {chore for chore, done in tidied.done.items() if not done.failed} == set(Chore) - {Chore.REPORT}
    assert home.notices.told == {}


async def test_a_changed_file_is_in_force_without_a_restart_and_the_same_again_changes_nothing(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        await home.tidy()
        before = await home.overview()
        home.source.write(org=policy_files(autonomy="observe")["org.yaml"])
        await home.tidy()
        changed = await home.overview()
        again = (await home.tidy()).done[Chore.RELOAD]
    assert changed.policy_digest != before.policy_digest
    assert again.said == f"policy {changed.policy_digest[:12]} is in force"


async def test_a_bad_document_keeps_the_old_policy_is_told_once_and_is_forgotten_when_corrected(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        await home.tidy()
        good = await home.overview()
        home.source.write(org=BROKEN)
        for _ in range(2):
            tidied = await home.tidy()
        bad = await home.overview()
        assert bad.policy_digest == good.policy_digest
        assert bad.refused_policy is not None
        assert bad.refused_policy.revision == "r2"
        assert any(problem.startswith("org.yaml:3: ") for problem in bad.refused_policy.problems)
        assert tidied.done[Chore.RELOAD].failed
        [(key, text)] = home.notices.told.items()
        assert key.startswith("policy-refused/")
        assert "org.yaml:3: " in text
        assert isinstance(await home.door.reserve(ask("run/1/1")), Allowed), "the old policy holds"

        home.source.write(org=policy_files("lineage: {max_depth: 1}\n")["org.yaml"])
        assert not (await home.tidy()).done[Chore.RELOAD].failed
        cured = await home.overview()
    assert cured.refused_policy is None
    assert cured.policy_digest != good.policy_digest


async def test_a_source_that_does_not_answer_changes_nothing_and_stops_no_other_chore(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        await home.tidy()
        before = await home.overview()
        await reserve(home, "run/dead/1")
        home.switch(False, by="run/dead/1")
        home.source.trouble = Unavailable("git does not answer")
        tidied = await home.tidy()
        after = await home.overview()
        assert (await ended(home, "run/dead/1"))[0] is Outcome.LANDED
    assert tidied.done[Chore.RELOAD].failed
    assert "git does not answer" in tidied.done[Chore.RELOAD].said
    assert (after.policy_digest, after.refused_policy) == (before.policy_digest, None)


async def test_a_committed_effect_of_a_dead_run_is_settled_by_what_the_world_says(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        await home.tidy()
        await reserve(home, "run/dead/1")
        home.switch(False, by="run/dead/1")
        await home.tidy()
        assert await ended(home, "run/dead/1") == (Outcome.LANDED, RECONCILER)
        assert (await home.overview()).holding == 0


async def test_an_effect_that_did_not_happen_has_failed_once_the_world_has_said_so_twice(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        await home.tidy()
        await reserve(home, "run/dead/1")
        await home.tidy()
        assert (await home.overview()).holding == 1, "a dying run's last act may still arrive"
        await home.tidy()
        assert await ended(home, "run/dead/1") == (Outcome.FAILED, RECONCILER)


async def test_a_run_that_goes_on_settles_its_own_reservation(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        run = f"run/alive/{uuid4().hex}"
        await env.client.start_workflow("RemediationWorkflow", id=run, task_queue="nobody")
        await home.tidy()
        await reserve(home, f"{run}/1")
        await reserve(home, "run/reserved/1", commit=False)
        home.switch(False, by=f"{run}/1")
        for _ in range(2):
            await home.tidy()
        assert (await home.overview()).holding == 2
        await env.client.get_workflow_handle(run).terminate()
        await home.tidy()
        assert [entry.id for entry in (await home.overview()).open] == ["run/reserved/1"]


async def test_an_observed_agent_is_scored_by_what_people_did_within_the_day(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        home.source.write(org=policy_files(autonomy="observe")["org.yaml"])
        snapshot = snapshot_of(home.source.read())
        yesterday = Ledger(LedgerState())
        yesterday.install(snapshot, datetime.now(UTC) - timedelta(hours=26))
        asked = yesterday.reserve(ask("run/1/1", OFF), datetime.now(UTC) - timedelta(hours=25))
        assert isinstance(asked, Denied)
        assert asked.would == "allow"
        await home.start_ledger(yesterday.state)
        assert isinstance(await home.door.reserve(ask("run/2/1", OFF, subject="SHOP-2")), Denied)
        home.switch(False, by="ada 2026-11-22")
        await home.tidy()
        [tally] = (await home.overview()).shadow
    assert (tally.asked, tally.scored, tally.matched) == (2, 1, 1), "the second has its day yet"


async def test_observations_that_nobody_can_score_keep_no_other_from_being_scored(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        home.source.write(org=policy_files(autonomy="observe")["org.yaml"])
        yesterday, when = Ledger(LedgerState()), datetime.now(UTC) - timedelta(hours=25)
        yesterday.install(snapshot_of(home.source.read()), when - timedelta(hours=1))
        gone = FlipFlag(flag="gone", on=False)
        for number in range(AT_ONCE):
            yesterday.reserve(ask(f"run/{number}/1", gone, subject=f"SHOP-{number}"), when)
        yesterday.reserve(ask("run/there/1", OFF, subject="SHOP-there"), when + timedelta(minutes=1))
        await home.start_ledger(yesterday.state)
        home.switch(False, by="ada 2026-11-22")
        await home.tidy()
        [first] = (await home.overview()).shadow
        await home.tidy()
        [second] = (await home.overview()).shadow
    assert (first.asked, first.scored, second.scored, second.matched) == (AT_ONCE + 1, 0, 1, 1)


async def test_todays_digest_is_asked_for_once_however_often_one_tidies(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        for _ in range(3):
            await home.tidy()
    assert len(home.notices.digests) == 1


async def test_people_are_told_of_an_expired_quarantine_once(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    today, store = datetime.now(UTC).date(), store_at(tmp_path / "store.db")
    ended = entry(FLAKY, since=today - timedelta(days=30), expires=today - timedelta(days=1))
    seen = rendered(QuarantineFile(entries=(ended,)))
    ResultsStore(store).see_quarantine(
        "shop", QuarantineSeen(sha="a" * 40, content=seen, read_at=datetime.now(UTC))
    )
    store.dispose()
    async with house(env.client, tmp_path) as home:
        said = (await home.tidy()).done[Chore.DIGEST].said
        await home.tidy()
        ((key, text),) = home.notices.told.items()
    assert said.endswith("; 1 notices of expired quarantines")
    assert key == f"quarantine-expired/shop/{ended.expires}"
    assert f"{FLAKY}, @acme/payments, quarantined since {ended.since}" in text


async def test_the_watch_of_an_idle_suite_is_woken_before_its_quarantines_expire(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    """It has ended long ago, and no report comes; the next day it is running, and told as well."""
    today, store = datetime.now(UTC).date(), store_at(tmp_path / "store.db")
    soon = entry(FLAKY, since=today - timedelta(days=28), expires=today + timedelta(days=2))
    seen = rendered(QuarantineFile(entries=(soon,)))
    ResultsStore(store).see_quarantine(
        "shop", QuarantineSeen(sha="a" * 40, content=seen, read_at=datetime.now(UTC))
    )
    store.dispose()
    watch = env.client.get_workflow_handle(watch_id("flaky_tests", "shop", SUITE))
    name = f"org-{uuid4().hex[:8]}"
    async with house(env.client, tmp_path, watching=["flaky_tests"], name=name) as home:
        said = (await home.tidy()).done[Chore.DIGEST].said
        first = await watch.query("snapshot", result_type=WatchStart)
        await env.client.get_workflow_handle(housekeeping_id(name)).terminate()
        await home.tidy()
        again = await watch.query("snapshot", result_type=WatchStart)
        await watch.terminate()
    assert said.endswith("; quarantines expire in 1 repositories")
    assert home.notices.told == {}
    assert first.seen == again.seen == (f"expiring/shop/{today}",), "it is told once a day"
    assert (first.batches, first.repository) == (1, "shop")
    assert first.title.stored() == f"quarantines of 1 tests of shop expire, from {soon.expires} on"


async def test_the_weekly_report_tells_people_of_flaky_tests_once(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    """From reports in the store to the chat, on the first Monday after the last report."""
    flaky, store = "tests/test_pay.py::test_<!channel>_pays", store_at(tmp_path / "store.db")
    tell(ResultsStore(store), [{flaky: "F." if number % 2 else "."} for number in range(8)])
    store.dispose()
    name = f"org-{uuid4().hex[:8]}"
    last = Done(at=datetime.now(UTC) - timedelta(days=8), said="nothing to report")
    async with house(env.client, tmp_path, name=name) as home:
        start = HousekeepingStart(organisation=name, done={Chore.REPORT: last})
        await env.client.start_workflow(HOUSEKEEPING, start, id=housekeeping_id(name), task_queue=name)
        done = (await home.tidy()).done[Chore.REPORT]
        assert not done.failed
        assert done.said.startswith("told people about week")
        await home.tidy()
        ((key, text),) = home.notices.told.items()
    assert key.startswith("report/")
    assert "flaky tests of shop, this week" in text
    assert f"oldest quarantine: {Untrusted(flaky).for_terminal(160)}" in text


async def test_a_fresh_run_remembers_what_was_done_told_and_looked_at(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    async with house(env.client, tmp_path) as home:
        await home.tidy()
        home.source.write(org=BROKEN)
        handle = env.client.get_workflow_handle(housekeeping_id(home.settings.organisation))
        first = (await handle.describe()).run_id
        for _ in range(60):
            await asyncio.gather(home.tidy(), home.tidy())
            if (await handle.describe()).run_id != first:
                break
        assert (await handle.describe()).run_id != first, "history stays short"
        tidied = await home.tidy()
    assert tidied.done[Chore.RELOAD].failed
    assert len(home.notices.told) == len(home.notices.digests) == 1


@pytest.mark.parametrize(
    ("happened", "outcome", "committed", "times", "ends"),
    [
        ("yes", Outcome.LANDED, True, 1, Outcome.LANDED),
        ("yes", Outcome.ROLLED_BACK, True, 1, Outcome.ROLLED_BACK),
        ("yes", Outcome.SUPERSEDED, False, 1, Outcome.SUPERSEDED),
        ("no", Outcome.FAILED, True, 1, None),
        ("no", Outcome.FAILED, True, CERTAIN, Outcome.FAILED),
        ("no", Outcome.FAILED, False, CERTAIN, Outcome.EXPIRED),
        ("yes", Outcome.FAILED, False, 1, Outcome.FAILED),
        ("no", Outcome.REJECTED, True, CERTAIN, Outcome.REJECTED),
        ("unknown", None, True, 99, None),
    ],
)
async def test_what_is_not_certain_is_not_settled_and_what_never_began_is_nobodys_failure(
    happened: str, outcome: Outcome | None, committed: bool, times: int, ends: Outcome | None
) -> None:
    sighted = Sighted.model_validate(
        {"happened": happened, "by_reservation": False, "outcome": outcome, "detail": "seen"}
    )
    assert settled_as(sighted, committed=committed, times=times) is ends
