"""Golden histories: what real executions left behind, kept to be replayed by every later version.

A file holds Temporal's own JSON of one history, without what only the machine it came from knows.
"""

import base64
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from leverframe.worker import WORKFLOW_FAILURES, WORKFLOWS, workflow_runner

FOLDER = Path(__file__).parent / "histories"

_NEEDLESS = frozenset(
    {"identity", "requestId", "taskId", "workerVersion", "binaryChecksum", "meteringMetadata", "stackTrace"}
)
"""Fields that a replay does not read, and that name a machine or differ in every recording."""

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

_MACHINE = re.compile(
    r"""(?x)
      (?<![\w.:/*]) / (?!health\b|checkout\b|namespaces/) [A-Za-z][\w.-]*   # an absolute path, but our routes
    | \b file:/
    | \b [A-Za-z]:\\\\                                                       # a path with a drive
    | \b \d+ @ [\w.-]+                                                       # process@host
    | \b \d{1,3} (?: \. \d{1,3}){3} \b | \[? ::1 \b | \b localhost \b        # an address
    """
)


def files() -> list[Path]:
    """Every golden history, by name."""
    return sorted(FOLDER.glob("*.json"))


def load(document: Mapping[str, Any]) -> WorkflowHistory:
    """The history of a file's content."""
    return WorkflowHistory.from_json(started(document)["workflowId"], dict(document))


def started(document: Mapping[str, Any]) -> dict[str, Any]:
    """What the first event says of the execution."""
    attributes: dict[str, Any] = document["events"][0]["workflowExecutionStartedEventAttributes"]
    return attributes


def workflow_of(document: Mapping[str, Any]) -> str:
    """The workflow's name."""
    name: str = started(document)["workflowType"]["name"]
    return name


def replayer() -> Replayer:
    """Replays as a worker runs: same workflows, sandbox, converter and failures."""
    return Replayer(
        workflows=WORKFLOWS,
        workflow_runner=workflow_runner(build_id=""),
        data_converter=pydantic_data_converter,
        workflow_failure_exception_types=WORKFLOW_FAILURES,
    )


def without_machine(history: WorkflowHistory, *, root: Path) -> dict[str, Any]:
    """The history as it is kept: paths below `root` relative, ids numbered, and nothing of the machine."""
    scrubbed = json.dumps(_scrubbed(json.loads(history.to_json()), str(root)))
    numbers: dict[str, str] = {}

    def numbered(found: re.Match[str]) -> str:
        return numbers.setdefault(found.group(), f"00000000-0000-4000-8000-{len(numbers) + 1:012}")

    text = _UUID.sub(numbered, scrubbed)
    for found in numbers:
        # The beginning of a run's id names what the run asked for.
        text = re.sub(rf"(?<=/){found[:8]}(?=[/\"])", "0" * 8, text)
    document: dict[str, Any] = json.loads(text)
    return document


def written(document: Mapping[str, Any]) -> str:
    """A file's content: an event a line."""
    events = ",\n".join(json.dumps(event, separators=(",", ":")) for event in document["events"])
    return f'{{"events": [\n{events}\n]}}\n'


def machine_words(document: Mapping[str, Any]) -> list[str]:
    """What in a history may name a machine: paths, hosts, addresses, in payloads as well."""
    text = readable(document)
    return [found.group() for found in _MACHINE.finditer(text)] + [
        f"a field {name}" for name in sorted(_NEEDLESS) if f'"{name}"' in text
    ]


def readable(document: Mapping[str, Any]) -> str:
    """The whole history as text, payloads decoded."""
    return json.dumps(_readable(document), ensure_ascii=False)


def _scrubbed(value: Any, root: str) -> Any:
    if isinstance(value, list):
        return [_scrubbed(item, root) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("kind") == "TASK_QUEUE_KIND_STICKY":
        # A worker's own queue is named after its host; the queue behind it is the workflow's.
        return {"name": value["normalName"], "kind": "TASK_QUEUE_KIND_NORMAL"}
    if "data" in value and "metadata" in value:
        plain = base64.b64decode(value["data"]).replace(root.encode(), b".")
        return value | {"data": base64.b64encode(plain).decode()}
    return {name: _scrubbed(item, root) for name, item in value.items() if name not in _NEEDLESS}


def _readable(value: Any) -> Any:
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "data" in value and "metadata" in value:
        return base64.b64decode(value["data"]).decode()
    return {name: _readable(item) for name, item in value.items()}
