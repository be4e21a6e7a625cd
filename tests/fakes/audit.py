"""An audit log in memory that checks its chain, and a worker whose ledger writes to it."""

import threading
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import uuid4

from temporalio.client import Client
from temporalio.worker import Worker

from activities.audit import AuditActivities
from activities.ledger import LedgerDoor
from activities.ports import AuditLog, Health
from leverframe.model.errors import Conflict, NotFound, Unavailable
from policies.audit import Head, Record, broken_at
from policies.documents import PolicySnapshot
from tests.fakes.workers import unversioned
from workflows.policy_ledger import PolicyLedgerWorkflow


@dataclass
class MemoryAudit:
    """The logs of all organisations; `down` makes it answer nobody."""

    records: dict[str, list[Record]] = field(default_factory=dict)
    policies: dict[tuple[str, str], PolicySnapshot] = field(default_factory=dict)
    down: bool = False
    sizes: list[int] = field(default_factory=list)
    """How many records came with each append."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def append(self, organisation: str, records: Sequence[Record]) -> None:
        self._answer()
        with self._lock:
            kept = self.records.setdefault(organisation, [])
            self.sizes.append(len(records))
            for record in records:
                if record.sequence <= len(kept):
                    if kept[record.sequence - 1] != record:
                        raise Conflict(f"another record {record.sequence}")
                    continue
                after = kept[-1].as_head() if kept else Head()
                if (broken := broken_at([record], after)) is not None:
                    raise Conflict(f"record {broken[0]}: {broken[1]}")
                kept.append(record)

    def read(self, organisation: str, *, after: int = 0, limit: int = 1000) -> list[Record]:
        self._answer()
        return self.records.get(organisation, [])[after : after + limit]

    def head(self, organisation: str) -> Head:
        kept = self.read(organisation, limit=1_000_000)
        return kept[-1].as_head() if kept else Head()

    def keep_snapshot(self, organisation: str, snapshot: PolicySnapshot) -> None:
        self._answer()
        self.policies.setdefault((organisation, snapshot.digest), snapshot)

    def snapshot(self, organisation: str, policy_digest: str) -> PolicySnapshot:
        self._answer()
        try:
            return self.policies[organisation, policy_digest]
        except KeyError:
            raise NotFound(f"no policy {policy_digest}") from None

    def health(self) -> Health:
        return Health(ok=not self.down, detail="in memory")

    def _answer(self) -> None:
        if self.down:
            raise Unavailable("the store did not answer")


@asynccontextmanager
async def ledger_worker(
    client: Client, log: AuditLog, *, organisation: str = "", queue: str = "", cached: int = 100
) -> AsyncIterator[LedgerDoor]:
    """A worker for one organisation's ledger, on a queue of its own unless one is named, and the door to it.

    `cached`: 0 makes the worker rebuild the ledger from its history for every task.
    """
    organisation = organisation or f"org-{uuid4().hex[:8]}"
    queue = queue or organisation
    with ThreadPoolExecutor(2) as threads:
        async with Worker(
            client,
            task_queue=queue,
            workflows=[PolicyLedgerWorkflow],
            activities=[AuditActivities(log).append, AuditActivities(log).end],
            activity_executor=threads,
            max_cached_workflows=cached,
            workflow_runner=unversioned(),
            sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
        ):
            yield LedgerDoor(client, organisation, task_queue=queue)
