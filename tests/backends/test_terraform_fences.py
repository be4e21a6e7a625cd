"""What the local program sees of its worker, and what a tree can't make it do; by the real Terraform."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.backends import terraform_command
from activities.backends.terraform_confinement import own_processes
from activities.backends.terraform_session import Ended, Means, Session
from activities.backends.terraform_tree import TreeRules
from leverframe.model.errors import BadConfiguration
from tests.fakes.terraform_dev import Dev, applied, beat, real_terraform

ROOT = Path(__file__).resolve().parents[2]
LOCAL_EXEC = '  provisioner "local-exec" {\n    command = "exit 1"\n  }\n'


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    return Dev(tmp_path).with_workspace()


def until(there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what another process does; fails after a generous while."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_terraform_gets_the_named_variables_and_no_other(dev: Dev, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_colour", "blue")
    monkeypatch.setenv("LEVERFRAME_CHANGES__GITHUB__TOKEN", "our-token")
    monkeypatch.setenv("TF_CLI_ARGS_plan", "-destroy")
    program = dev.program_at("plan", f"env > {dev.root}/seen")
    assert applied(dev, binary=program, pass_environment=("TF_VAR_colour", "NOT_SET")).outcome == "passed"
    seen = dict(line.split("=", 1) for line in (dev.root / "seen").read_text().splitlines())
    assert seen.keys() - {"PWD", "_", "SHLVL", "OLDPWD"} == {
        *("PATH", "HOME", "TMPDIR", "LC_ALL", "TZ", "TF_VAR_colour"),
        *("TF_IN_AUTOMATION", "TF_INPUT", "TF_DATA_DIR", "TF_CLI_CONFIG_FILE", "CHECKPOINT_DISABLE"),
    }
    assert seen["TF_VAR_colour"] == "blue"
    assert seen["TF_IN_AUTOMATION"] == "1"


@real_terraform
def test_passed_values_are_not_in_the_log(dev: Dev, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TF_VAR_colour", "a-secret-colour")
    dev.write({"infra/more.tf": 'resource "terraform_data" "c" {\n  count = var.colour\n}\n'})
    result = applied(dev, pass_environment=("TF_VAR_colour",))
    assert result.outcome == "failed"
    assert "a-secret-colour" not in result.log
    assert "***" in result.log


@real_terraform
@pytest.mark.parametrize("confined", [True, False])
def test_the_language_of_the_tree_does_not_see_the_worker_that_runs_it(dev: Dev, confined: bool) -> None:
    """Where the machine allows no namespaces this can't hold, and `doctor` says so."""
    if confined and not own_processes():
        pytest.skip("this machine allows no process namespace")
    seen = f'fileexists("/proc/{os.getpid()}/environ") ? "seen" : "hidden"'
    dev.write({"infra/more.tf": f'resource "terraform_data" "worker" {{\n  input = {seen}\n}}\n'})
    assert applied(dev, confined=confined).outcome == "passed"
    assert dev.state()["terraform_data.worker"] == ("hidden" if confined else "seen")


@pytest.mark.usefixtures("interruptible")
def test_a_confined_command_is_asked_to_stop_like_any_other(dev: Dev) -> None:
    note = dev.root / "asked"
    program = dev.program_at("apply", f"trap 'touch {note}; exit 1' INT; sleep 60 & wait")
    result = applied(dev, seconds=1, binary=program, confined=True)
    assert (result.outcome, note.exists()) == ("inconclusive", True)


@real_terraform
def test_what_the_tree_brings_of_terraforms_own_files_does_not_count(dev: Dev) -> None:
    dev.write(
        {
            "infra/.terraform/environment": "production",
            "infra/.terraform/terraform.tfstate": '{"version": 3, "backend": {"type": "http"}}',
            "infra/.terraformrc": "provider_installation {\n  direct {}\n}\n",
            "infra/terraform.tfvars": 'colour = "blue"\n',
        }
    )
    assert applied(dev).outcome == "passed"
    assert dev.state() == {"terraform_data.bucket": "one"}


def test_a_tree_that_would_run_a_command_never_meets_terraform(dev: Dev) -> None:
    note = dev.root / "ran"
    dev.write({"infra/x.tf": 'resource "terraform_data" "x" {\n  provisioner "local-exec" {\n  }\n}\n'})
    result = applied(dev, binary=dev.program(f"touch {note}\n"))
    assert (result.outcome, result.summary) == (
        "failed",
        "the tree may not be applied: infra/x.tf:2 has a provisioner, which would run a command with dev's"
        " credentials",
    )
    assert not note.exists()


@real_terraform
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('data "external" "x" {\n  program = ["touch", "/nowhere"]\n}\n', "terraform init failed"),
        ('module "x" {\n  source = "git::file:///nowhere"\n}\n', "terraform init failed"),
        (
            f'resource "terraform_data" "x" {{\n{LOCAL_EXEC}}}\n',
            "terraform_data.x would run a command",
        ),
        (
            'module "m" {\n  source = "../m"\n}\n',
            "module.m.terraform_data.y would run a command",
        ),
    ],
)
def test_terraform_itself_is_the_second_fence_should_our_reading_miss_something(
    dev: Dev, monkeypatch: pytest.MonkeyPatch, text: str, said: str
) -> None:
    """As if our parser and Terraform's differed: the first fence sees nothing."""
    monkeypatch.setattr(terraform_command, "refusals", lambda *_: [])
    dev.write(
        {
            "infra/more.tf": text,
            "m/main.tf": f'resource "terraform_data" "y" {{\n{LOCAL_EXEC}}}\n',
        }
    )
    result = applied(dev)
    assert (result.outcome, said in result.summary) == ("failed", True)
    assert dev.state() == {}


@real_terraform
def test_a_remote_module_that_was_fetched_all_the_same_is_not_planned(dev: Dev) -> None:
    elsewhere = dev.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "main.tf").write_text('resource "terraform_data" "z" {\n}\n')
    dev.write({"infra/more.tf": f'module "z" {{\n  source = "{elsewhere}"\n}}\n'})
    means = Means(binary="terraform", rules=TreeRules(), plugins=dev.root / "providers")
    session = Session(means, place=dev.tree / "infra", work=dev.root / "work", seconds=30, heartbeat=beat)
    with pytest.raises(Ended, match="not allowed") as caught:
        session.init()
    assert caught.value.outcome == "failed"


@real_terraform
def test_another_state_backend_than_the_settings_name_is_refused_by_what_terraform_says(dev: Dev) -> None:
    rules = TreeRules(state_backend="s3")
    means = Means(binary="terraform", rules=rules, plugins=dev.root / "providers")
    session = Session(means, place=dev.tree / "infra", work=dev.root / "work", seconds=30, heartbeat=beat)
    session.init()
    with pytest.raises(Ended, match="kept in 'local', not in 's3'"):
        session.select("dev")


def test_doctor_names_the_program_its_version_and_variables_that_are_not_set(
    dev: Dev, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = dev.program("""echo '{"terraform_version": "1.11.4"}'\n""")
    health = dev.terraform(binary=program).health()
    assert health.ok
    assert f"version 1.11.4 at {program}" in health.detail
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    health = dev.terraform(binary=program, pass_environment=("AWS_PROFILE",)).health()
    assert (health.ok, "not set here: AWS_PROFILE" in health.detail) == (False, True)
    assert not dev.terraform(binary=dev.program("echo something\n")).health().ok
    assert not dev.terraform(binary="no-such-program").health().ok


def test_without_terraform_nothing_is_tried(dev: Dev) -> None:
    with pytest.raises(BadConfiguration, match="there is no no-such-program on this machine"):
        applied(dev, binary="no-such-program")
