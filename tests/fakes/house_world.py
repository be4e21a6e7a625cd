"""An organisation at home: the real ledger and the real housekeeping, with policies and flags of our own."""

import json
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import cast
from uuid import uuid4

from temporalio.client import Client
from temporalio.worker import Worker

from activities.allowances import Allowances
from activities.audit import AuditActivities
from activities.backends.audit_store import StoreAudit
from activities.backends.changes_store import ChangesStore
from activities.backends.flags_flagd import FlagdFlags
from activities.backends.results_store import ResultsStore
from activities.chat import ChatActivities
from activities.executing import ExecutionActivities
from activities.flaky_digest import FlakyDigest
from activities.flaky_expiry import FlakyExpiry
from activities.ledger import LedgerActivities, LedgerDoor
from activities.look import LookActivities
from activities.missed_reports import MissedReports
from activities.policies import PolicyActivities
from activities.ports import Chat, Health, PolicyFiles, PolicySource
from activities.reconcile import ReconcileActivities
from activities.report import ReportActivities
from activities.test_results import ResultActivities
from leverframe.housekeeping import rhythm_of, tidy
from leverframe.model.errors import LeverframeError
from leverframe.model.ids import ledger_id
from leverframe.settings import PolicySettings, Settings
from policies.overview import LedgerOverview
from policies.reservations import LedgerStart, LedgerState
from tests.fakes.asks import ESCALATION, PEOPLE, document
from tests.fakes.stores import store_at
from tests.fakes.tracks import track_at
from tests.fakes.workers import unversioned
from workflows.housekeeping import HousekeepingWorkflow, Tidied
from workflows.policy_ledger import PolicyLedgerWorkflow
from workflows.watch import WatchWorkflow

FLAG = "new-checkout"


def policy_files(org: str = "", *, autonomy: str = "act") -> dict[str, str]:
    """A permissive policy; `org` is more lines for the organisation's file."""
    return {
        "org.yaml": f"{document('org', autonomy=autonomy)}{ESCALATION}\n{org}",
        "agents/sentry_spike.yaml": document("agent"),
        "people.yaml": PEOPLE,
    }


@dataclass
class Source:
    """A `PolicySource` whose files a test changes."""

    files: dict[str, str] = field(default_factory=policy_files)
    revision: int = 1
    trouble: LeverframeError | None = None

    def read(self) -> PolicyFiles:
        if self.trouble is not None:
            raise self.trouble
        return PolicyFiles(revision=f"r{self.revision}", files=dict(self.files))

    def write(self, **files: str) -> None:
        """A new revision with these files; `org` is org.yaml."""
        self.revision += 1
        self.files = {**self.files, **{f"{name}.yaml": text for name, text in files.items()}}

    def health(self) -> Health:
        return Health(ok=True, detail="in memory")


@dataclass
class Notices:
    """The part of a `Chat` that asks nothing."""

    told: dict[str, str] = field(default_factory=dict)
    digests: list[str] = field(default_factory=list)

    def digest(self, day: str) -> int:
        self.digests.append(day)
        return 0

    def tell(self, key: str, *, text: str) -> None:
        self.told.setdefault(key, text)


@dataclass
class House:
    """One organisation, and what can be seen of it."""

    client: Client
    settings: Settings
    door: LedgerDoor
    source: Source
    notices: Notices
    flags: FlagdFlags

    async def tidy(self) -> Tidied:
        """What a worker does at its start."""
        organisation = self.settings.organisation
        return await tidy(self.client, organisation, rhythm=rhythm_of(self.settings), queue=organisation)

    async def overview(self) -> LedgerOverview:
        return await self.door.overview()

    def switch(self, on: bool, *, by: str) -> None:
        """Somebody switches the flag: a reservation, or a person."""
        self.flags.set(FLAG, on, key=by, reason="test")

    async def start_ledger(self, state: LedgerState) -> None:
        """A ledger that knows this already."""
        organisation = self.settings.organisation
        start = LedgerStart.of(organisation, state)
        await self.client.start_workflow(
            PolicyLedgerWorkflow.run, start, id=ledger_id(organisation), task_queue=organisation
        )


@asynccontextmanager
async def house(
    client: Client,
    home: Path,
    policies_from: PolicySource | None = None,
    *,
    name: str = "",
    watching: Sequence[str] = (),
) -> AsyncIterator[House]:
    """An organisation with a worker of its own; nothing has been tidied yet.

    Its policies come from `source`, unless they come from elsewhere. `watching`: agents that look at tests.
    """
    organisation = name or f"org-{uuid4().hex[:8]}"
    settings = Settings(organisation=organisation, home=home, policies=PolicySettings(reload_seconds=3600))
    definition = {"state": "ENABLED", "defaultVariant": "on", "variants": {"on": True, "off": False}}
    (home / "flags.json").write_text(json.dumps({"flags": {FLAG: definition}}))
    flags, notices, source = FlagdFlags(home / "flags.json"), Notices(), Source()
    store = store_at(home / "store.db")
    door = LedgerDoor(client, organisation, task_queue=organisation, answer_within=timedelta(seconds=5))
    audit = StoreAudit(store)
    track = track_at(home)
    look = LookActivities(
        changes=ChangesStore(store), track=track, flags=flags, repositories={}, client=client
    )
    ledger, policies = LedgerActivities(door), PolicyActivities(policies_from or source, door)
    reconcile, chats = ReconcileActivities(door, look), ChatActivities({"memory": cast(Chat, notices)})
    results = ResultsStore(store)
    tests = ResultActivities(results, track, {})
    expiry = FlakyExpiry(results, {"shop": "shop"}, agents=watching)
    executing = ExecutionActivities(
        results, tests, track, {}, allowances=Allowances(policies_from or source, {}), client=client
    )
    with ThreadPoolExecutor(8) as executor:
        async with Worker(
            client,
            task_queue=organisation,
            workflows=[PolicyLedgerWorkflow, HousekeepingWorkflow, WatchWorkflow],
            activities=[
                AuditActivities(audit).append,
                AuditActivities(audit).end,
                ledger.settle,
                ledger.score,
                policies.reload,
                look.look,
                reconcile.stranded,
                reconcile.unscored,
                ReportActivities(audit, organisation, FlakyDigest(results, ["shop"]).sections).weekly,
                *(expiry.expired, expiry.expiring),
                MissedReports(None, {}, client).begin_fetches,
                tests.tend_results,
                executing.begin_executions,
                chats.digest,
                chats.tell,
            ],
            activity_executor=executor,
            workflow_runner=unversioned(),
        ):
            yield House(client, settings, door, source, notices, flags)
    store.dispose()
