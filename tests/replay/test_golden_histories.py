"""Executions that older versions began go on under this one: their histories replay without a difference.

A failure here after a change of a workflow means that runs in flight would break: see `tests.replay.record`.
"""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.workflow import NondeterminismError

from leverframe.worker import WORKFLOWS
from tests.replay import golden

FILES = {path.stem: path for path in golden.files()}

COMMANDS = (
    "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED",
    "EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    "EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED",
)

every_history = pytest.mark.parametrize("path", FILES.values(), ids=FILES.keys())


def read(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@every_history
async def test_a_recorded_history_replays(path: Path) -> None:
    await golden.replayer().replay_workflow(golden.load(read(path)))


def test_every_workflow_that_a_worker_runs_has_a_golden_history() -> None:
    released = {workflow.__temporal_workflow_definition.name for workflow in WORKFLOWS}  # type: ignore[attr-defined]  # set by `workflow.defn`
    assert {golden.workflow_of(read(path)) for path in FILES.values()} == released


@every_history
def test_a_golden_history_names_no_machine(path: Path) -> None:
    assert golden.machine_words(read(path)) == []


@every_history
async def test_a_history_that_did_something_else_does_not_replay(path: Path) -> None:
    changed = copy.deepcopy(read(path))
    assert change_a_command(changed["events"])
    with pytest.raises(NondeterminismError):
        await golden.replayer().replay_workflow(golden.load(changed))


def change_a_command(events: list[dict[str, Any]]) -> bool:
    """Make the first command another one: an activity instead of a timer, a timer instead of the rest."""
    timer = {"timerStartedEventAttributes": {"timerId": "1", "startToFireTimeout": "1s"}}
    activity = {
        "activityTaskScheduledEventAttributes": {"activityId": "1", "activityType": {"name": "before"}}
    }
    for at, event in enumerate(events):
        of_event = {name: event[name] for name in ("eventId", "eventTime")}
        if event["eventType"] == "EVENT_TYPE_TIMER_STARTED":
            events[at] = of_event | {"eventType": "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"} | activity
            return True
        if event["eventType"] in COMMANDS:
            events[at] = of_event | {"eventType": "EVENT_TYPE_TIMER_STARTED"} | timer
            return True
    return False


@pytest.mark.parametrize(
    "told",
    [
        {"identity": "7@build-host"},
        {"name": "4711@build-host-x"},
        {"path": "/home/ada/shop.git"},
        {"url": "file:///srv/git/shop.git"},
        {"url": "http://127.0.0.1:8233"},
        {"metadata": {}, "data": "Ii90bXAvc2hvcC5naXQi"},
    ],
    ids=str,
)
def test_what_names_a_machine_is_seen(told: dict[str, Any]) -> None:
    assert golden.machine_words({"events": [told]})
