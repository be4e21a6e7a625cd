"""The pulse of long activities, and how soon the engine misses a worker that was killed."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest
from temporalio import activity
from temporalio.api.enums.v1 import EventType
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment

from activities.failures import typed_failures
from activities.forge import ForgeActivities
from activities.pulse import MISSED_AFTER, heartbeat_timeout, with_pulse
from activities.train import TrainActivities
from tests.fakes.train_world import Yard


def test_an_activity_with_a_pulse_heartbeats_while_it_is_busy() -> None:
    beaten = threading.Event()

    @activity.defn
    @typed_failures
    @with_pulse
    def work() -> bool:
        return beaten.wait(20)

    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *_: beaten.set()
    assert environment.run(work)


def test_only_what_has_a_pulse_may_be_missed_by_it() -> None:
    assert heartbeat_timeout(TrainActivities.compose) == MISSED_AFTER
    assert heartbeat_timeout(ForgeActivities.checks) is None


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
