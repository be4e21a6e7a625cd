"""The gateway: the one door for events and webhooks. It verifies, stores and signals; it decides nothing."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Route
from temporalio.client import Client

from activities.delivery_ports import Delivery, Metrics
from activities.forms import Forms
from activities.inbox import Inbox
from activities.permit_ports import Permits
from activities.ports import Deployments
from activities.records_port import TestRecords
from activities.results_port import Reports
from leverframe.bootstrap import (
    build_delivery,
    build_deployments,
    build_forms,
    build_inbox,
    build_metrics,
    build_results,
)
from leverframe.client import connect
from leverframe.clusters import build_permits
from leverframe.gateway.counters import Counters
from leverframe.gateway.dora_pages import DoraPages
from leverframe.gateway.flagger import FlaggerDoor
from leverframe.gateway.flaky_pages import FlakyPages
from leverframe.gateway.flow_door import FlowDoor
from leverframe.gateway.github import GithubWebhook
from leverframe.gateway.gitlab import GitlabWebhook
from leverframe.gateway.health import HealthPages
from leverframe.gateway.inbox import CoalescingInbox, Pace
from leverframe.gateway.replies import Refusal, Replies
from leverframe.gateway.report_announcing import Announcer
from leverframe.gateway.report_door import ReportDoor
from leverframe.gateway.sentry_intake import EventDoor, SentryIntake
from leverframe.gateway.sentry_webhook import SentryWebhook
from leverframe.gateway.slack import SlackDoor
from leverframe.gateway.slack_pump import ClickPump
from leverframe.gateway.slack_socket import SlackSocket
from leverframe.gateway.train_pages import TrainPages
from leverframe.gateway.train_views import TrainViews
from leverframe.gateway.watches import Watches
from leverframe.model.errors import BadConfiguration, BadInput, Unavailable
from leverframe.settings import Settings
from leverframe.settings_gateway import GatewaySettings
from workflows.queues import HANDS

MAX_CONNECTIONS = 4000
"""Past it the server itself answers 503: each connection may hold one body in memory."""

DRAIN_SECONDS = 15


def build_app(
    settings: Settings,
    *,
    client: Client,
    store: Inbox,
    metrics: Metrics,
    deployments: Deployments,
    forms: Forms | None = None,
    counters: Counters | None = None,
    pace: Pace | None = None,
    trains: TrainViews | None = None,
    gate: tuple[Delivery, Permits] | None = None,
    flows: FlowDoor | None = None,
    reports: Reports | None = None,
    records: TestRecords | None = None,
    task_queue: str = HANDS,
    agents: Sequence[str] | None = None,
) -> Starlette:
    """Put the gateway together; its loops run between the application's start-up and shutdown.

    Args:
        settings: projects, keys, limits, repositories and enabled agents.
        client: the engine; a lazy one lets the gateway start while the engine is away.
        store: where accepted events are kept.
        metrics: source of the release health documents.
        deployments: what became of each release, for the delivery figures.
        forms: the chat whose people answer in forms; None when there is none.
        counters: to read them from outside.
        pace: to override what the settings say.
        trains: to override how fresh the trains' pages are.
        gate: what Flagger's questions are answered by; None when something else delivers.
        flows: what browsers tell of users' flows; None when none is declared.
        reports: where test reports are kept; None when nobody may send one.
        records: what is known of tests, for their pages; None when there are none.
        task_queue: where watches run.
        agents: to override which enabled agents watch errors.

    Raises:
        BadConfiguration: a project has no key, or a service is not declared.
    """
    _check_projects(settings)
    for service in settings.gateway.flows.declared:
        settings.repository_of(service)
    counters = counters or Counters()
    watches = Watches(
        settings, client, counters, task_queue=task_queue, agents=None if agents is None else tuple(agents)
    )
    announcer = Announcer(settings, reports, watches.tell, counters) if reports else None
    inbox = CoalescingInbox(store, watches.send, counters, pace or _pace(settings.gateway))
    door = EventDoor(inbox, counters)
    slack = _Slack(settings, forms, client, counters) if forms else None
    running: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        loops = [
            inbox.run(),
            *(slack.loops() if slack else []),
            *([announcer.run()] if announcer else []),
        ]
        running[:] = [asyncio.create_task(loop) for loop in loops]
        try:
            yield
        finally:
            for task in running:
                task.cancel()
            await asyncio.wait(running)

    def working() -> bool:
        return bool(running) and not any(task.done() for task in running)

    replies = Replies(counters)
    pages = HealthPages(
        settings=settings, client=client, store=store, metrics=metrics, counters=counters, working=working
    )
    return Starlette(
        routes=[
            *SentryIntake(settings.gateway, door, counters).routes(),
            *SentryWebhook(settings.gateway, door, watches, counters).routes(),
            *GithubWebhook(settings, client, counters).routes(),
            *GitlabWebhook(settings, client, counters).routes(),
            *(slack.door.routes() if slack else []),
            *(_flagger(settings, gate, counters).routes() if gate else []),
            *(flows.routes() if flows else []),
            *(_report_door(settings, reports, announcer, counters) if reports and announcer else []),
            *TrainPages(settings, trains or TrainViews(client, settings.repositories), counters).routes(),
            *DoraPages(deployments, counters).routes(),
            *(_flaky(settings, records, counters) if records else []),
            *pages.routes(),
        ],
        exception_handlers={
            Refusal: replies.refusal,
            BadInput: replies.bad_input,
            Unavailable: replies.unavailable,
            HTTPException: replies.http,
        },
        lifespan=lifespan,
    )


def _flagger(settings: Settings, gate: tuple[Delivery, Permits], counters: Counters) -> FlaggerDoor:
    if settings.gateway.flagger_secret is None:
        raise BadConfiguration("gateway.flagger_secret is not set: Flagger's questions would be refused")
    return FlaggerDoor(
        secret=settings.gateway.flagger_secret,
        services=frozenset(each.service.name for each in settings.repositories),
        delivery=gate[0],
        permits=gate[1],
        counters=counters,
    )


def _report_door(
    settings: Settings, reports: Reports, announcer: Announcer, counters: Counters
) -> list[Route]:
    for repository in settings.gateway.tests.tokens:
        settings.repository(repository)
    return ReportDoor(settings.gateway.tests, reports, counters, announcer.wake).routes()


def _flaky(settings: Settings, records: TestRecords, counters: Counters) -> list[Route]:
    return FlakyPages(records, [each.name for each in settings.repositories], counters).routes()


class _Slack:
    """The door for Slack and what works behind it."""

    def __init__(self, settings: Settings, forms: Forms, client: Client, counters: Counters) -> None:
        slack = settings.chat.slack
        self._pump = ClickPump(forms, client, team=slack.team)
        self.door = SlackDoor(
            team=slack.team,
            secret=slack.signing_secret,
            clicks=forms.clicks,
            counters=counters,
            max_bytes=settings.gateway.max_body_bytes,
            wake=self._pump.wake,
        )
        self._socket = (
            SlackSocket(self.door, counters, app_token=slack.app_token, api_url=slack.api_url)
            if slack.app_token
            else None
        )

    def loops(self) -> list[Coroutine[Any, Any, None]]:
        """What runs while the application does."""
        return [self._pump.run(), *([self._socket.run()] if self._socket else [])]


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, then answer what came in and stop. Starts without the engine, too.

    Raises:
        BadConfiguration: the settings can't be used.
        Unavailable: the store can't be opened.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    client = await connect(settings, lazy=True)
    counters = Counters()
    results = build_results(settings)
    app = build_app(
        settings,
        client=client,
        store=build_inbox(settings),
        metrics=build_metrics(settings),
        deployments=build_deployments(settings),
        forms=build_forms(settings),
        counters=counters,
        gate=_gate(settings),
        flows=_flows(settings, counters),
        # Without a token for jobs, too: it tells the watches of what cars and the forge have left.
        reports=results,
        records=results,
    )
    config = uvicorn.Config(
        app,
        host=settings.gateway.host,
        port=settings.gateway.port,
        http="httptools",
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
    await uvicorn.Server(config).serve()


def _gate(settings: Settings) -> tuple[Delivery, Permits] | None:
    if settings.delivery.backend != "flagger":
        return None
    return build_delivery(settings), build_permits(settings)


def _flows(settings: Settings, counters: Counters) -> FlowDoor | None:
    if not settings.gateway.flows.declared:
        return None
    return FlowDoor(settings.gateway.flows, build_delivery(settings), counters)


def _pace(settings: GatewaySettings) -> Pace:
    return Pace(coalesce=settings.coalesce_ms / 1000, max_pending=settings.max_pending_events)


def _check_projects(settings: Settings) -> None:
    gateway = settings.gateway
    for project, service in gateway.sentry_projects.items():
        settings.repository_of(service)
        if project not in gateway.sentry_keys:
            raise BadConfiguration(f"gateway.sentry_keys has no key for the Sentry project {project!r}")
        if not gateway.sentry_keys[project].get_secret_value():
            raise BadConfiguration(f"the key of the Sentry project {project!r} is empty")
