"""A car on its way through dev: real git, and a Terraform and a dev with a memory; once all of it is real."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import typer
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from activities.backends.terraform_none import NoTerraform
from activities.backends.track_git import GitTrack
from activities.infrastructure import InfrastructureActivities, InfrastructureRequest
from activities.ports import Health
from activities.train_ports import Terraform
from leverframe.cli import infrastructure as command
from leverframe.cli.exits import Exit
from leverframe.model.changes import CheckResult
from leverframe.model.errors import Unavailable
from leverframe.model.releases import Artifact, DeliveryState, Environment
from leverframe.model.topology import Infrastructure, Probe, Repository
from leverframe.settings import Settings, TerraformSettings
from tests.fakes.git_world import GitWorld
from tests.fakes.terraform_dev import MAIN, Dev, real_terraform

A = "a" * 40
PLACE = Infrastructure(paths=("infra/**",), directory="infra", healthy_within_seconds=60)


class DevService:
    """The port Delivery for dev: what it says at each look, and for ever after the last."""

    def __init__(self, *looks: str) -> None:
        self._looks = list(looks) or ["well"]
        self._now = ""
        self.looked = 0

    def state(self, service: str, environment: Environment) -> DeliveryState:
        assert (service, environment) == ("shop", "dev")
        self.looked += 1
        look = self._looks.pop(0) if len(self._looks) > 1 else self._looks[0]
        self._now = look
        if look == "lost":
            raise Unavailable("the router does not answer")
        stable = None if look == "empty" else A
        return DeliveryState(
            environment="dev", wanted=A, stable=stable, canary=None, ready=look != "starting", detail=look
        )

    def probe(self, service: str, environment: Environment, probes: Sequence[Probe]) -> list[str]:
        return ["checkout: POST /checkout answered 500"] if self._now == "broken" else []

    def __getattr__(self, name: str) -> object:
        raise AssertionError(f"the check of an infrastructure car has no business with {name}")


class Applied:
    """The port Terraform: remembers the trees that it was given."""

    def __init__(self, outcome: str = "passed") -> None:
        self.outcome = outcome
        self.trees: list[tuple[str, dict[str, str]]] = []

    def apply(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> CheckResult:
        heartbeat()
        files = {str(path.relative_to(tree)): path.read_text() for path in tree.rglob("*.tf")}
        self.trees.append((sha, files))
        return CheckResult.model_validate(
            {"check": "x", "sha": sha, "outcome": self.outcome, "seconds": 0, "summary": "said", "log": "log"}
        )

    def drift(
        self, infrastructure: Infrastructure, *, tree: Path, sha: str, heartbeat: Callable[[], None]
    ) -> tuple[str, ...]:
        return ("terraform_data.a",)

    def health(self) -> Health:
        return Health(ok=True, detail="remembers")


@pytest.fixture
def declared(shop: Repository) -> Repository:
    return shop.model_copy(update={"infrastructure": PLACE})


def activities(
    declared: Repository, track: GitTrack, root: Path, terraform: Terraform, dev: DevService
) -> InfrastructureActivities:
    return InfrastructureActivities(
        terraform,
        dev,  # type: ignore[arg-type]
        track,
        {"shop": declared},
        root / "one" / "artifacts",
        poll_seconds=0.01,
    )


class Way:
    """One car, and what its check says."""

    def __init__(self, world: GitWorld, declared: Repository, track: GitTrack, root: Path) -> None:
        self.sha = world.commit("main", {"infra/main.tf": MAIN}, message="infrastructure")
        self.artifact: Artifact = track.export(declared, self.sha)
        self.made = (declared, track, root)

    def impatient(self) -> "Way":
        """Dev has no time at all to become healthy."""
        declared, track, root = self.made
        place = PLACE.model_copy(update={"healthy_within_seconds": 0})
        self.made = (declared.model_copy(update={"infrastructure": place}), track, root)
        return self

    def check(self, terraform: Terraform, dev: DevService, **changes: object) -> CheckResult:
        request = InfrastructureRequest(repository="shop", sha=self.sha, artifact=self.artifact)
        made = activities(*self.made, terraform, dev)
        return ActivityEnvironment().run(made.apply_to_dev, request.model_copy(update=changes))

    def heal(self, terraform: Terraform, dev: DevService, sha: str) -> CheckResult:
        return ActivityEnvironment().run(activities(*self.made, terraform, dev).heal_dev, "shop", sha)


@pytest.fixture
def way(world: GitWorld, declared: Repository, track: GitTrack, tmp_path: Path) -> Way:
    return Way(world, declared, track, tmp_path)


def test_a_car_is_green_once_it_is_applied_and_dev_is_healthy(way: Way) -> None:
    terraform, dev = Applied(), DevService("well", "starting", "broken", "well")
    result = way.check(terraform, dev)
    assert (result.check, result.sha, result.outcome) == ("dev", way.sha, "passed")
    assert result.summary == "said; dev is healthy"
    assert result.log == "log"
    assert terraform.trees == [(way.sha, {"infra/main.tf": MAIN})]


def test_one_healthy_look_is_not_enough(way: Way) -> None:
    dev = DevService("well", "well", "broken", "well")
    assert way.check(Applied(), dev).outcome == "passed"
    assert dev.looked == 5


@pytest.mark.parametrize("outcome", ["failed", "inconclusive"])
def test_what_terraform_does_not_take_is_the_result_and_dev_is_not_waited_for(way: Way, outcome: str) -> None:
    dev = DevService()
    result = way.check(Applied(outcome), dev)
    assert (result.check, result.outcome, result.summary) == ("dev", outcome, "said")
    assert dev.looked == 1, "before the apply"


@pytest.mark.parametrize(
    ("looks", "outcome", "said"),
    [
        (("well", "broken"), "failed", "checkout: POST /checkout answered 500"),
        (("well", "starting"), "failed", "dev is not ready: starting"),
        (("broken", "broken"), "inconclusive", "nor was it seen healthy before"),
        (("empty", "empty"), "inconclusive", "dev is not ready"),
        (("lost", "broken"), "inconclusive", "nor was it seen healthy before"),
        (("well", "lost"), "inconclusive", "the router does not answer"),
    ],
)
def test_an_unhealthy_dev_is_the_cars_fault_only_if_dev_was_healthy_before(
    way: Way, looks: tuple[str, ...], outcome: str, said: str
) -> None:
    result = way.impatient().check(Applied(), DevService(*looks))
    assert (result.outcome, said in result.summary) == (outcome, True)
    assert "not healthy within 0 s" in result.summary


def test_a_car_that_heals_a_broken_dev_is_green(way: Way) -> None:
    assert way.check(Applied(), DevService("broken", "well")).outcome == "passed"


def test_the_tip_is_applied_again_after_a_car_was_taken_off(way: Way, world: GitWorld) -> None:
    terraform = Applied()
    tip = world.git("rev-parse", "main~1")
    assert way.heal(terraform, DevService(), tip).sha == tip
    way.heal(terraform, DevService(), way.sha)
    assert terraform.trees == [(tip, {}), (way.sha, {"infra/main.tf": MAIN})]


def test_an_artifact_that_is_not_what_was_built_never_meets_terraform(way: Way, tmp_path: Path) -> None:
    terraform = Applied()
    with pytest.raises(ApplicationError) as caught:
        way.check(terraform, DevService(), sha=A)
    assert (caught.value.type, caught.value.non_retryable) == ("Conflict", True)
    (tmp_path / "one" / "artifacts" / way.artifact.path).write_bytes(b"something else")
    with pytest.raises(ApplicationError, match="not what was built"):
        way.check(terraform, DevService())
    assert terraform.trees == []


def test_without_a_declaration_or_without_terraform_it_is_said_what_to_set(
    way: Way, shop: Repository, track: GitTrack, tmp_path: Path
) -> None:
    undeclared = activities(shop, track, tmp_path, Applied(), DevService())
    with pytest.raises(ApplicationError, match="declares no infrastructure"):
        ActivityEnvironment().run(undeclared.heal_dev, "shop", way.sha)
    none = NoTerraform(declared={"shop": PLACE})
    with pytest.raises(ApplicationError, match=r"set terraform\.backend"):
        way.check(none, DevService())
    assert (none.health().ok, NoTerraform(declared={}).health().ok) == (False, True)


@real_terraform
def test_a_car_is_applied_compared_and_taken_back_with_the_real_terraform(
    way: Way, world: GitWorld, tmp_path: Path
) -> None:
    dev = Dev(tmp_path / "dev").with_workspace()
    terraform = dev.terraform()
    assert way.check(terraform, DevService()).outcome == "passed"
    head = world.commit("car", {"infra/main.tf": MAIN.replace('"one"', '"two"')})
    declared, track, _ = way.made
    car = {"sha": head, "artifact": track.export(declared, head)}
    assert way.check(terraform, DevService(), **car).summary.startswith("applied to dev: 1 updated")
    assert dev.state() == {"terraform_data.bucket": "two"}
    report = activities(*way.made, terraform, DevService()).drift_of("shop")
    assert (report.sha, report.addresses, report.none) == (way.sha, ("terraform_data.bucket",), False)
    assert way.heal(terraform, DevService(), way.sha).outcome == "passed"
    assert dev.state() == {"terraform_data.bucket": "one"}


@real_terraform
def test_the_command_says_what_drifted_and_its_exit_code_says_whether(
    way: Way,
    declared: Repository,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    dev = Dev(tmp_path / "dev").with_workspace()
    terraform = TerraformSettings(backend="command", backend_config={"workspace_dir": "{home}/../dev/states"})
    settings = Settings(home=tmp_path / "home", repositories=(declared,), terraform=terraform)
    monkeypatch.setattr(command, "load", lambda: settings)
    with pytest.raises(typer.Exit) as ended:
        command.drift(as_json=True)
    assert ended.value.exit_code == Exit.FAILED
    assert json.loads(capsys.readouterr().out)["addresses"] == ["terraform_data.bucket"]
    with pytest.raises(typer.Exit):
        command.drift()
    assert "terraform_data.bucket" in capsys.readouterr().out
    assert way.check(dev.terraform(), DevService()).outcome == "passed"
    command.drift("shop")
    assert capsys.readouterr().out == f"dev is what {way.sha[:12]} says\n"
