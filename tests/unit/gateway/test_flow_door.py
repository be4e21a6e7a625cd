"""What browsers tell of users' flows becomes one signal of the gate."""

import asyncio
import hmac
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
from temporalio.client import Client

from activities.backends.metrics_http import HttpMetrics
from activities.backends.metrics_joined import JoinedMetrics
from leverframe.gateway.flow_counts import KEPT, FlowCounts
from leverframe.model.flows import FlowEvent
from leverframe.model.releases import ERRORS, Count, HealthDocument, SignalCounts
from leverframe.model.topology import GateRules, SignalRules
from tests.fakes.flow_pages import (
    CANARY,
    ORIGIN,
    SECONDS,
    STABLE,
    Pages,
    completed,
    sendings,
    signed,
    started,
)
from tests.fakes.gateway import StillMetrics, gateway, served
from workflows.release.exposures import between
from workflows.release.gate_state import Poll
from workflows.release.judge import begin, observe

FLOWS = "abandoned checkout"
SECRET = "a-secret-of-the-shop"


class Router(StillMetrics):
    """Requests of both arms, none of which fails."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = 0

    def release_health(self, service: str) -> HealthDocument:
        self.requests += 10_000
        arms = {STABLE: Count(total=self.requests), CANARY: Count(total=self.requests // 20)}
        now = datetime(2026, 3, 2, tzinfo=UTC)
        return HealthDocument(
            service=service,
            taken_at=now,
            stable=STABLE,
            canary=CANARY,
            canary_percent=5,
            signals={ERRORS: SignalCounts(since=now, arms=arms)},
        )


async def test_a_canary_whose_users_give_up_is_red_though_no_request_fails(tmp_path: Path) -> None:
    pages = Pages(starts_a_second=1000)
    rules, number = GateRules(cold_seconds=0, burst_seconds=0), 0
    state = begin(rules, {ERRORS: SignalRules(), FLOWS: SignalRules(must_clear=False)}, steps=4)
    client = await Client.connect("127.0.0.1:1", lazy=True)
    async with gateway(tmp_path, client, flows=pages.door) as door, served(door.app) as address:
        flows = HttpMetrics(url_template=address + "/health/flows/{service}")
        metrics = JoinedMetrics({"http": Router(), "flows": flows}, {"shop": (ERRORS, FLOWS)})
        before = await asyncio.to_thread(metrics.release_health, "shop")
        for look in range(12):
            for sha, times, given_up in ((STABLE, 40, 4), (CANARY, 20, 18)):
                ids = range(number, number + times)
                number += times
                events = [started(one, sha) for one in ids] + [completed(one, sha) for one in ids[given_up:]]
                for part in (events[:50], events[50:]):
                    if part:
                        sent = await door.http.post("/rum/shop", json=part, headers={"Origin": ORIGIN})
                        assert sent.json()["counted"] == len(part)
            pages.now += SECONDS
            after = await asyncio.to_thread(metrics.release_health, "shop")
            found = between(before, after, canary=CANARY, signals=(ERRORS, FLOWS))
            assert found.seen[FLOWS].canary == Count(bad=18, total=20)
            assert found.seen[FLOWS].stable == Count(bad=4, total=40)
            before = after
            poll = Poll(at=after.taken_at + timedelta(seconds=look), weight=5, signals=found.seen)
            state, judgement = observe(rules, state, poll, None)
    assert judgement.finding == "red"
    assert FLOWS in judgement.explanation


async def test_a_flow_counts_once_its_time_is_over_and_for_the_page_that_began_it() -> None:
    pages = Pages()
    answer = await pages.send([started(1), started(2, CANARY), started(1, CANARY), completed(2)])
    assert answer.json() == {"counted": 3, "refused": {}}
    pages.now = SECONDS - 1
    assert await pages.counts() == {STABLE: (0, 0), CANARY: (0, 0)}
    pages.now = SECONDS
    assert await pages.counts() == {STABLE: (1, 1), CANARY: (0, 1)}
    # Told again, or told too late, it changes nothing.
    assert (await pages.send([started(1), completed(1)])).json() == {"counted": 0, "refused": {}}
    pages.now = 3 * SECONDS
    assert await pages.counts() == {STABLE: (1, 1), CANARY: (0, 1)}
    assert pages.counters.value("flow_events_total", outcome="duplicate") == 3


async def test_a_service_that_signs_its_pages_is_believed_alone() -> None:
    pages = Pages(secret=SECRET)
    mine = signed(SECRET, started(1, CANARY))
    line = f"shop\ncheckout\n{CANARY}\n{1:016d}".encode()
    assert mine["signature"] == hmac.new(SECRET.encode(), line, sha256).hexdigest()
    assert (await pages.send([mine, completed(1, CANARY)])).json()["counted"] == 2
    for forged in (
        started(2, CANARY),
        mine | {"id": "2" * 16},
        mine | {"sha": STABLE},
        signed("another-secret-of-somebody", started(2)),
        signed(SECRET, started(2), service="blog"),
    ):
        assert "unsigned (1)" in (await pages.send([forged])).text


async def test_nobody_saying_what_runs_counts_nothing_and_is_asked_now_and_then_only() -> None:
    pages = Pages()
    pages.arms.away = True
    answers = await sendings(*(pages.send([started(number)]) for number in range(20)))
    assert {answer.status_code for answer in answers} == {503}
    assert pages.arms.asked == 1
    away = await pages.http.get("/health/flows/shop")
    assert (away.status_code, "the cluster does not answer" in away.text) == (503, True)
    first = Pages()
    first.arms.stable = None
    assert "no stable release yet" in (await first.http.get("/health/flows/shop")).text


@pytest.mark.parametrize("sha", [STABLE, CANARY])
def test_counts_of_the_oldest_revisions_are_forgotten(sha: str) -> None:
    counts = FlowCounts({"checkout": 1.0}, starts_a_second=1000)
    for number in range(KEPT + 1):
        revision = sha if number == 0 else f"{number:040x}"
        counts.hear(FlowEvent.model_validate(started(number, revision)), float(number))
    assert counts.of(sha, 100.0)["checkout"] == Count()
    assert counts.of(f"{KEPT:040x}", 100.0)["checkout"] == Count(bad=1, total=1)
