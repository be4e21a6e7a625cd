"""A world for rollouts of flags: flagd's own file, users whose requests are counted, the ledger, people."""

import json
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.backends.flags_flagd import FlagdFlags
from activities.flag_rollout import FlagRolloutActivities
from activities.ports import Health
from leverframe.model.errors import Unavailable
from leverframe.model.flags import (
    INTERNAL,
    FlagHealthDocument,
    InternalUsers,
    Part,
    VariantCounts,
    Whole,
)
from leverframe.model.ids import restore_id, rollout_id
from leverframe.model.topology import GateRules, RolloutPlan, RolloutStep
from policies.documents import PolicySnapshot, parse
from tests.fakes.asks import ESCALATION, PEOPLE, document
from tests.fakes.remediation_world import World as People
from tests.fakes.workers import unversioned
from workflows.approval import ApprovalWorkflow
from workflows.flag_restore import FlagRestoreWorkflow, RestoreReport, RestoreRequest
from workflows.flag_rollout.story import RolloutProgress, RolloutStart
from workflows.flag_rollout.workflow import FlagRolloutWorkflow
from workflows.queues import HANDS
from workflows.release.helm import Order
from workflows.remediation import RemediationWorkflow

FLAG = "new-pricing"
STAFF = InternalUsers(keys=("ada",))
T0 = datetime(2026, 1, 1, tzinfo=UTC)
SWITCH = {"state": "ENABLED", "variants": {"on": True, "off": False}, "defaultVariant": "off"}


def plan(*percents: int, poll: float = 0.02, page_after: float = 600) -> RolloutPlan:
    """Internal users, then these; a gate that asks for strong evidence and so may decide after few looks."""
    steps = tuple(
        RolloutStep(percent=percent, min_requests=20, min_seconds=20, page_after_seconds=page_after)
        for percent in (0, *percents)
    )
    gate = GateRules(alpha=2e-6, at_once=0.5, cold_seconds=0, burst_seconds=0)
    return RolloutPlan(steps=steps, poll_seconds=poll, gate=gate)


def rollout_policy(level: str = "act") -> PolicySnapshot:
    """A permissive organisation, and this level for what rollouts ask for."""
    org = document("org") + ESCALATION + "\n"
    agent = document("agent")
    org, agent = (text.replace("to_on: act_with_approval", f"to_on: {level}") for text in (org, agent))
    return parse(
        {
            "org.yaml": org,
            **{f"agents/{name}.yaml": agent for name in ("flag_rollout", "flag_restore", "sentry_spike")},
            "people.yaml": PEOPLE,
        }
    )


@dataclass
class Users:
    """The port FlagMetrics: between two looks ten seconds pass, and 1,000 requests come."""

    flags: FlagdFlags
    error_ppm: Callable[[str], int] = lambda variant: 1000
    """Of requests under a variant."""
    on_look: Callable[[int], None] = lambda look: None
    blind_looks: int = 0
    away: bool = False
    """No request comes."""
    looks: int = 0
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Requests, and failed ones in millionths, so that small rates don't vanish."""

    def flag_health(self, service: str, flag: str) -> FlagHealthDocument:
        self.looks += 1
        self.on_look(self.looks)
        if self.blind_looks:
            self.blind_looks -= 1
            raise Unavailable("the metrics are gone")
        for variant, requests in {} if self.away else self._visits(flag):
            had, failed = self.counts.get(variant, (0, 0))
            self.counts[variant] = (had + requests, failed + requests * self.error_ppm(variant))
        return FlagHealthDocument(
            service=service,
            flag=flag,
            counting_since=T0,
            taken_at=T0 + timedelta(seconds=10 * self.looks),
            variants=tuple(
                VariantCounts(variant=name, requests=requests, errors=millionths // 1_000_000)
                for name, (requests, millionths) in self.counts.items()
            ),
        )

    def _visits(self, flag: str) -> list[tuple[str, int]]:
        match self.flags.read(flag).audience:
            case Part(percent=percent):
                return [(INTERNAL, 50), ("on", 10 * percent), ("off", 1000 - 10 * percent)]
            case Whole(on=on):
                return [("on" if on else "off", 1000)]
            case _:
                return []

    def health(self) -> Health:
        return Health(ok=True, detail="fake")


class Rollouts:
    """Starts rollouts among these users; tests turn the dials of `users` and `people`."""

    def __init__(self, client: Client, folder: Path, policy: PolicySnapshot | None = None) -> None:
        self._client = client
        self.path = folder / "flags.json"
        self.path.write_text(json.dumps({"flags": {FLAG: SWITCH, "other": SWITCH}}))
        self.flags = FlagdFlags(self.path, STAFF)
        self.users = Users(self.flags)
        self.people = People(client, policy or rollout_policy(), flags=self.flags)
        self._activities = FlagRolloutActivities(self.flags, self.users, STAFF, users=100)

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        """A worker that does everything, as on a laptop."""
        mine = self._activities
        with ThreadPoolExecutor(4) as threads:
            async with Worker(
                self._client,
                task_queue=HANDS,
                workflows=[FlagRolloutWorkflow, FlagRestoreWorkflow, RemediationWorkflow, ApprovalWorkflow],
                activities=[
                    *(mine.read_flag, mine.expose_flag, mine.verify_audience, mine.look_at_flag),
                    *self.people.hands,
                ],
                activity_executor=threads,
                workflow_runner=unversioned(),
            ):
                yield
        self.flags.close()

    async def start(
        self, *percents: int, **given: Any
    ) -> WorkflowHandle[FlagRolloutWorkflow, RolloutProgress]:
        """Start a rollout with these steps after the internal one."""
        return await self._client.start_workflow(
            FlagRolloutWorkflow.run,
            RolloutStart(
                repository="shop",
                service="shop",
                flag=FLAG,
                plan=plan(*percents, **given),
                by=Order(person="eve", reason="large carts are too dear"),
            ),
            id=rollout_id("shop", FLAG),
            task_queue=HANDS,
        )

    async def restore(
        self, *, after: timedelta, switched_by: str, on: bool = True
    ) -> WorkflowHandle[FlagRestoreWorkflow, RestoreReport]:
        """Have the flag switched back."""
        return await self._client.start_workflow(
            FlagRestoreWorkflow.run,
            RestoreRequest(
                repository="shop",
                service="shop",
                flag=FLAG,
                on=on,
                switched_by=switched_by,
                at=datetime.now(UTC) + after,
                by=Order(person="eve", reason="the incident is over"),
            ),
            id=restore_id("shop", FLAG),
            task_queue=HANDS,
        )

    async def outcome(self, *percents: int, **given: Any) -> RolloutProgress:
        """A whole rollout, with a worker of its own."""
        async with self.worker():
            handle = await self.start(*percents, **given)
            return await handle.result()
