"""The pulse of long activities, and how soon the engine misses a worker that was killed."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities import pulse
from activities.forge import ForgeActivities
from activities.missed_reports import MissedReports
from activities.pulse import MISSED_AFTER, Heart, heartbeat_timeout, with_async_pulse
from activities.train import TrainActivities
from tests.fakes.train_world import Yard


def test_an_activity_with_a_pulse_heartbeats_while_it_is_busy() -> None:
    beaten, heart = threading.Semaphore(0), Heart(0.01)

    def work() -> bool:
        with heart.beating():
            return all(beaten.acquire(timeout=20) for _ in range(3))

    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beaten.release()
    assert environment.run(work)


def test_the_hearts_of_others_go_on_when_one_can_not_be_told() -> None:
    heart, told, may_end = Heart(0.01), threading.Event(), threading.Event()

    def broken(*_: object) -> None:
        raise RuntimeError("the activity is over")

    def first() -> bool:
        with heart.beating():
            return may_end.wait(20)

    def second() -> bool:
        with heart.beating():
            return told.wait(20)

    one, two = ActivityEnvironment(), ActivityEnvironment()
    one.on_heartbeat, two.on_heartbeat = broken, lambda *_: told.set()
    with ThreadPoolExecutor(2) as threads:
        busy = threads.submit(one.run, first)
        assert threads.submit(two.run, second).result(20)
        may_end.set()
        assert busy.result(20)


def test_only_what_has_a_pulse_may_be_missed_by_it() -> None:
    assert heartbeat_timeout(TrainActivities.compose) == MISSED_AFTER
    assert heartbeat_timeout(ForgeActivities.checks) is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_coroutine_heartbeats_while_it_waits_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "BEAT_SECONDS", 0.01)
    beaten = asyncio.Semaphore(0)

    @with_async_pulse
    async def work() -> bool:
        async with asyncio.timeout(20):
            for _ in range(3):
                await beaten.acquire()
        return True

    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beaten.release()
    assert await environment.run(work)
    assert await with_async_pulse(asyncio.sleep)(0, True), "outside of an activity, too"
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if "_beat" in repr(task)] == []
    assert heartbeat_timeout(MissedReports.begin_fetches) == MISSED_AFTER


@pytest.mark.asyncio(loop_scope="module")
async def test_a_worker_killed_while_the_train_works_is_missed_within_a_minute(
    env: WorkflowEnvironment, tmp_path: Path
) -> None:
    yard = Yard(env.client, tmp_path)
    async with yard.hands(cached=50), yard.jail():
        await yard.ride(yard.propose("work", {"new.py": "x\n"}))
    silences: dict[str, timedelta] = {}
    async for event in yard.train.fetch_history_events():
        if event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
            asked = event.activity_task_scheduled_event_attributes
            times = (asked.heartbeat_timeout.ToTimedelta(), asked.start_to_close_timeout.ToTimedelta())
            silences[asked.activity_type.name] = min(time for time in times if time)
    await yard.close()
    assert {"look_at_target", "compose_cars", "land_cars", "settle_change"} <= silences.keys()
    assert {name: time for name, time in silences.items() if time > timedelta(minutes=1)} == {}
