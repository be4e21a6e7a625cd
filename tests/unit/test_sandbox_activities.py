"""Sandbox activities: only declared commands and probes run, and only on the artifact that was built."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.ports import Health, ProbeResult, ReportsPlace
from activities.sandbox import CheckRequest, ProbeRequest, SandboxActivities
from leverframe.demo.shop_repository import shop_repository
from leverframe.model.changes import CheckResult
from leverframe.model.checks import Check
from leverframe.model.topology import Probe, Repository
from tests.fakes.trees import SHA, artifact_of, write_tar

SHOP = shop_repository("shop.git")


class Recorder:
    """A Sandbox that runs nothing, beats once and remembers what it was asked."""

    def __init__(self) -> None:
        self.checked: list[tuple[Check, Path]] = []
        self.places: list[ReportsPlace | None] = []
        self.probed: list[tuple[list[str], dict[str, bool]]] = []

    def run_check(
        self,
        check: Check,
        *,
        artifact: Path,
        sha: str,
        heartbeat: Callable[[], None],
        reports: ReportsPlace | None = None,
    ) -> CheckResult:
        heartbeat()
        self.places.append(reports)
        self.checked.append((check, artifact))
        return CheckResult(check=check.name, sha=sha, outcome="passed", seconds=0.1, summary="passed")

    def run_probes(
        self,
        repository: Repository,
        probes: Sequence[Probe],
        *,
        artifact: Path,
        sha: str,
        flags: dict[str, bool],
        heartbeat: Callable[[], None],
    ) -> list[ProbeResult]:
        heartbeat()
        self.probed.append(([probe.name for probe in probes], flags))
        return [
            ProbeResult(probe=probe.name, status=500 if index else 200, detail="")
            for index, probe in enumerate(probes)
        ]

    def health(self) -> Health:
        return Health(ok=True, detail="runs nothing")


@pytest.fixture
def sandbox() -> Recorder:
    return Recorder()


@pytest.fixture
def artifacts(tmp_path: Path) -> Path:
    directory = tmp_path / "artifacts"
    directory.mkdir()
    write_tar(directory / "shop.tar", {"a.txt": "a"})
    return directory


@pytest.fixture
def activities(sandbox: Recorder, artifacts: Path) -> SandboxActivities:
    return SandboxActivities(sandbox, {"shop": SHOP}, artifacts, artifacts.parent / "reports")


def check_request(artifacts: Path, **changes: object) -> CheckRequest:
    request = CheckRequest(
        repository="shop", sha=SHA, check="tests", artifact=artifact_of(artifacts / "shop.tar")
    )
    return request.model_copy(update=changes)


def test_a_declared_check_runs_on_the_artifact(
    activities: SandboxActivities, sandbox: Recorder, artifacts: Path
) -> None:
    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    result = environment.run(activities.run_check, check_request(artifacts))
    assert result.outcome == "passed"
    assert sandbox.checked == [(SHOP.checks[0], artifacts / "shop.tar")]
    assert len(beats) == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"check": "rm"}, "BadConfiguration"),
        ({"repository": "other"}, "BadConfiguration"),
        ({"sha": "b" * 40}, "Conflict"),
    ],
)
def test_what_is_not_declared_or_does_not_match_is_refused(
    activities: SandboxActivities, sandbox: Recorder, artifacts: Path, changes: dict[str, object], kind: str
) -> None:
    with pytest.raises(ApplicationError) as caught:
        ActivityEnvironment().run(activities.run_check, check_request(artifacts, **changes))
    assert (caught.value.type, caught.value.non_retryable) == (kind, True)
    assert sandbox.checked == []


@pytest.mark.parametrize(("path", "kind"), [("gone.tar", "NotFound"), ("../shop.tar", "Refused")])
def test_an_artifact_outside_the_directory_or_gone_is_not_run(
    activities: SandboxActivities, sandbox: Recorder, artifacts: Path, path: str, kind: str
) -> None:
    request = check_request(artifacts)
    moved = request.artifact.model_copy(update={"path": path})
    with pytest.raises(ApplicationError) as caught:
        ActivityEnvironment().run(activities.run_check, check_request(artifacts, artifact=moved))
    assert caught.value.type == kind
    assert sandbox.checked == []


def test_an_artifact_that_was_changed_since_its_build_is_not_run(
    activities: SandboxActivities, sandbox: Recorder, artifacts: Path
) -> None:
    request = check_request(artifacts)
    write_tar(artifacts / "shop.tar", {"a.txt": "something else"})
    with pytest.raises(ApplicationError, match="digest differs"):
        ActivityEnvironment().run(activities.run_check, request)
    assert sandbox.checked == []


def test_named_probes_are_sent_with_the_flags(
    activities: SandboxActivities, sandbox: Recorder, artifacts: Path
) -> None:
    request = ProbeRequest(
        repository="shop",
        sha=SHA,
        artifact=artifact_of(artifacts / "shop.tar"),
        flags={"new-pricing": True},
        probes=("order", "checkout"),
    )
    outcomes = ActivityEnvironment().run(activities.run_probes, request)
    assert sandbox.probed == [(["order", "checkout"], {"new-pricing": True})]
    assert [(outcome.probe, outcome.status, outcome.ok) for outcome in outcomes] == [
        ("order", 200, True),
        ("checkout", 500, False),
    ]


def test_without_names_every_declared_probe_is_sent(
    activities: SandboxActivities, sandbox: Recorder, artifacts: Path
) -> None:
    request = ProbeRequest(repository="shop", sha=SHA, artifact=artifact_of(artifacts / "shop.tar"))
    ActivityEnvironment().run(activities.run_probes, request)
    assert sandbox.probed[0][0] == [probe.name for probe in SHOP.service.probes]


def test_an_undeclared_probe_is_refused(activities: SandboxActivities, artifacts: Path) -> None:
    request = ProbeRequest(
        repository="shop", sha=SHA, artifact=artifact_of(artifacts / "shop.tar"), probes=("admin",)
    )
    with pytest.raises(ApplicationError, match="declares no probe admin"):
        ActivityEnvironment().run(activities.run_probes, request)
