"""The way from the gateway into the engine: a signal becomes one signal-with-start per watching agent."""

import uuid
from datetime import timedelta

from opentelemetry import propagate, trace
from temporalio.api.common.v1 import Header, Payload, Payloads, WorkflowType
from temporalio.api.sdk.v1 import UserMetadata
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import SignalWithStartWorkflowExecutionRequest
from temporalio.client import Client
from temporalio.converter import PayloadConverter, encode_search_attributes
from temporalio.service import RPCError

from activities.inbox import StoredBatch
from agents.registry import agent
from leverframe.gateway.counters import Counters
from leverframe.model.errors import Unavailable
from leverframe.model.ids import watch_id
from leverframe.model.signals import ErrorBatch, Signal
from leverframe.settings import Settings
from workflows import attributes
from workflows.messages import WatchStart
from workflows.queues import HANDS

RPC_SECONDS = 5
_TRACE_HEADER = "_tracer-data"
"""Where `temporalio.contrib.opentelemetry` looks for the caller's trace context."""

_tracer = trace.get_tracer("leverframe.gateway")


class Watches:
    """Signals the watches of every enabled agent that watches signals of the kind."""

    def __init__(
        self,
        settings: Settings,
        client: Client,
        counters: Counters,
        *,
        task_queue: str = HANDS,
        agents: tuple[str, ...] | None = None,
    ) -> None:
        """`agents` overrides which of the enabled agents watch it, which the registry knows by its kind."""
        self._settings = settings
        self._client = client
        self._counters = counters
        self._task_queue = task_queue
        self._agents = agents

    async def send(self, batch: StoredBatch, *, escalating: bool = False) -> None:
        """Return when the engine has the batch for every agent. Idempotent by the batch's id.

        Raises:
            Unavailable: the engine did not take it.
            BadConfiguration: no declared repository builds the service any more.
        """
        repository = self._settings.repository_of(batch.service).name
        signal = ErrorBatch(
            id=batch.id,
            repository=repository,
            service=batch.service,
            subject=batch.subject,
            title=batch.title,
            counts=batch.counts,
            escalating=escalating,
            received_at=batch.received_at,
        )
        await self.tell(signal)

    async def tell(self, signal: Signal) -> None:
        """Return when the engine has the signal for every agent that watches its kind. Idempotent by its id.

        Raises:
            Unavailable: the engine did not take it.
        """
        for name in self._watching(signal):
            with _tracer.start_as_current_span(
                "leverframe.gateway.signal", attributes={"batch": signal.id, "events": signal.total}
            ):
                await self._signal(name, signal)

    def _watching(self, signal: Signal) -> tuple[str, ...]:
        if self._agents is not None:
            return self._agents
        return tuple(name for name in self._settings.agents if isinstance(signal, agent(name).watches))

    async def _signal(self, name: str, signal: Signal) -> None:
        request = await self._request(name, signal)
        try:
            await self._client.workflow_service.signal_with_start_workflow_execution(
                request, retry=False, timeout=timedelta(seconds=RPC_SECONDS)
            )
        except RPCError as error:
            self._counters.signal(acknowledged=False)
            raise Unavailable(f"the engine answered {error.status.name}") from error
        self._counters.signal(acknowledged=True)

    async def _request(self, name: str, signal: Signal) -> SignalWithStartWorkflowExecutionRequest:
        """Built by hand, since the SDK's own call makes a new request id each time."""
        start = WatchStart(
            agent=name,
            repository=signal.repository,
            service=signal.service,
            subject=signal.subject,
            tuning=self._settings.agents.get(name, {}),
            ui_url=self._settings.temporal.ui_url,
        )
        workflow_id = watch_id(name, signal.service, signal.subject)
        summary = f"{name} watches {signal.subject}: {signal.title.for_markdown(100)}"
        encode = self._client.data_converter.encode
        request = SignalWithStartWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_id=workflow_id,
            workflow_type=WorkflowType(name="WatchWorkflow"),
            task_queue=TaskQueue(name=self._task_queue),
            input=Payloads(payloads=await encode([start])),
            signal_name="observe",
            signal_input=Payloads(payloads=await encode([signal])),
            identity=self._client.identity,
            request_id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"{workflow_id}#{signal.id}")),
            user_metadata=UserMetadata(summary=(await encode([summary]))[0]),
            header=Header(fields=_trace_context()),
        )
        about = attributes.about(agent=name, repository=signal.repository, subject=signal.subject)
        encode_search_attributes(about, request.search_attributes)
        return request


def _trace_context() -> dict[str, Payload]:
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    if not carrier:
        return {}
    return {_TRACE_HEADER: PayloadConverter.default.to_payloads([carrier])[0]}
