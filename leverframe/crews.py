"""What the workers of each task queue can do: the activities, put together from the backends."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.client import Client

from leverframe.bootstrap import (
    build_arms,
    build_delivery,
    build_eyes,
    build_ports,
    build_sandbox,
    build_terraform,
    by_name,
)
from leverframe.builders import build_builders
from leverframe.forges import (
    build_checks,
    build_forge_reports,
    build_issues,
    build_pages,
    build_queue,
    build_track,
)
from leverframe.settings import Settings

if TYPE_CHECKING:
    from activities.infrastructure import InfrastructureActivities
    from activities.test_results import Keeping

Activity = Callable[..., object]


def hands_activities(settings: Settings, client: Client) -> list[Activity]:
    """What the hands queue can do: all that needs a credential, and nothing that runs repository code."""
    from activities.allowances import Allowances  # noqa: PLC0415 - the activities load in workers only
    from activities.artifact_keeping import ArtifactKeeping  # noqa: PLC0415
    from activities.audit import AuditActivities  # noqa: PLC0415
    from activities.build import BuildActivities  # noqa: PLC0415
    from activities.car_reports import CarReportActivities  # noqa: PLC0415
    from activities.chat import ChatActivities  # noqa: PLC0415
    from activities.delivery import DeliveryActivities  # noqa: PLC0415
    from activities.deployments import DeploymentActivities  # noqa: PLC0415
    from activities.engine import EngineActivities  # noqa: PLC0415
    from activities.executing import ExecutionActivities  # noqa: PLC0415
    from activities.flag_rollout import FlagRolloutActivities  # noqa: PLC0415
    from activities.flags import FlagActivities  # noqa: PLC0415
    from activities.flaky_digest import FlakyDigest  # noqa: PLC0415
    from activities.flaky_expiry import FlakyExpiry  # noqa: PLC0415
    from activities.flaky_facts import FlakyFactsGatherer  # noqa: PLC0415
    from activities.forge import ForgeActivities  # noqa: PLC0415
    from activities.forge_checks import ForgeCheckActivities  # noqa: PLC0415
    from activities.forge_reports import ForgeReportActivities  # noqa: PLC0415
    from activities.infrastructure import InfrastructureActivities  # noqa: PLC0415
    from activities.investigate import InvestigateActivities  # noqa: PLC0415
    from activities.ledger import LedgerActivities, LedgerDoor  # noqa: PLC0415
    from activities.look import LookActivities  # noqa: PLC0415
    from activities.marking import MarkActivities  # noqa: PLC0415
    from activities.missed_reports import MissedReports  # noqa: PLC0415
    from activities.native import NativeActivities  # noqa: PLC0415
    from activities.policies import PolicyActivities  # noqa: PLC0415
    from activities.quarantining import QuarantineActivities  # noqa: PLC0415
    from activities.reconcile import ReconcileActivities  # noqa: PLC0415
    from activities.report import ReportActivities  # noqa: PLC0415
    from activities.test_results import ResultActivities  # noqa: PLC0415
    from activities.train import TrainActivities  # noqa: PLC0415
    from activities.undo import UndoActivities  # noqa: PLC0415
    from agents.registry import agent  # noqa: PLC0415
    from leverframe.model.signals import ReportArrived  # noqa: PLC0415

    ports = build_ports(settings)
    declared = by_name(settings)
    ledger = LedgerDoor(client, settings.organisation)
    look = LookActivities(
        changes=ports.changes, track=ports.track, flags=ports.flags, repositories=declared, client=client
    )
    allowances = Allowances(ports.policy_source, declared)
    issues, forge_reports = build_issues(settings), build_forge_reports(settings)
    results = ResultActivities(
        ports.results,
        ports.track,
        declared,
        keeping_of(settings),
        allowances,
        issues=issues,
        artifacts=ArtifactKeeping(ports.builds, declared, settings.artifacts),
    )
    facts = FlakyFactsGatherer(ports.results, results, ports.track, ports.changes, declared, issues=issues)
    return _methods(
        ForgeActivities(
            ports.changes, ports.track, declared, ports.builds, ports.deployments, jobs=ports.results
        ),
        BuildActivities(ports.track, ports.builds, declared, build_builders(settings, apart=False)),
        MarkActivities(ports.track, ports.changes, ports.notes, declared, build_pages(settings)),
        TrainActivities(ports.changes, ports.track, declared),
        UndoActivities(ports.changes, ports.track, declared),
        ForgeCheckActivities(ports.track, declared, build_checks(settings)),
        NativeActivities(ports.changes, ports.track, declared, queue=build_queue(settings)),
        FlagActivities(ports.flags),
        FlagRolloutActivities(ports.flags, ports.flag_metrics, settings.flags.internal),
        DeliveryActivities(
            ports.delivery, ports.gitops, ports.metrics, declared, overlay_sha=ports.track.overlay_sha
        ),
        DeploymentActivities(ports.deployments, ports.changes, ports.track, declared),
        InfrastructureActivities(ports.terraform, ports.delivery, ports.track, declared, settings.artifacts),
        InvestigateActivities(
            ports.errors,
            ports.track,
            ports.changes,
            ports.flags,
            declared,
            policies=ports.policy_source,
            tests=facts,
        ),
        QuarantineActivities(ports.changes, ports.track, declared, ports.results, issues),
        results,
        ExecutionActivities(
            ports.results, results, ports.track, declared, allowances=allowances, client=client
        ),
        CarReportActivities(ports.results, declared, settings.left_reports),
        ForgeReportActivities(forge_reports, ports.results, declared),
        MissedReports(forge_reports, declared, client),
        LedgerActivities(ledger),
        PolicyActivities(ports.policy_source, ledger),
        look,
        ReconcileActivities(ledger, look),
        ReportActivities(ports.audit, settings.organisation, FlakyDigest(ports.results, declared).sections),
        FlakyExpiry(
            ports.results,
            {name: repository.service.name for name, repository in declared.items()},
            agents=[name for name in settings.agents if agent(name).watches is ReportArrived],
            ui_url=settings.temporal.ui_url,
        ),
        AuditActivities(ports.audit),
        ChatActivities(ports.chats, settings.temporal.ui_url),
        EngineActivities(client),
    )


def keeping_of(settings: Settings) -> "Keeping":
    """How long results of tests wait, and how long they are kept."""
    from activities.test_results import Keeping  # noqa: PLC0415 - the activities load in workers only

    chosen = settings.tests
    return Keeping(
        settle=timedelta(minutes=chosen.settle_minutes),
        detail=timedelta(days=chosen.detail_days),
        rollup=timedelta(days=chosen.rollup_days),
    )


def sandbox_activities(settings: Settings) -> list[Activity]:
    """What the sandbox queue can do, without credentials: run repository code in the jail, see its pages."""
    from activities.eyes import EyesActivities  # noqa: PLC0415 - the activities load in workers only
    from activities.sandbox import SandboxActivities  # noqa: PLC0415 - the activities load in workers only

    sandbox = build_sandbox(settings)
    declared = by_name(settings)
    return _methods(
        SandboxActivities(sandbox, declared, settings.artifacts, settings.left_reports),
        EyesActivities(build_eyes(settings), build_arms(settings), declared, settings.home / "pictures"),
    )


def build_activities(settings: Settings) -> list[Activity]:
    """What the build queue can do: run the declared build commands. Builds no other port."""
    from activities.build import BuildApartActivities  # noqa: PLC0415 - the activities load in workers only

    return _methods(BuildApartActivities(by_name(settings), build_builders(settings, apart=True)))


def build_infrastructure(settings: Settings) -> "InfrastructureActivities":
    """Dev of the declared repositories, for a command that looks at it. Raises BadConfiguration."""
    from activities.infrastructure import InfrastructureActivities  # noqa: PLC0415 - loads when it is used

    return InfrastructureActivities(
        build_terraform(settings),
        build_delivery(settings),
        build_track(settings),
        by_name(settings),
        settings.artifacts,
    )


def _methods(*holders: object) -> list[Activity]:
    """The methods that are declared as activities."""
    return [
        method
        for holder in holders
        for _, method in inspect.getmembers(holder, inspect.ismethod)
        if hasattr(method, "__temporal_activity_definition")
    ]
