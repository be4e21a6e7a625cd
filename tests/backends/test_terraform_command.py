"""Infrastructure by the local program: the real one, wherever it can be made to do what is tested."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from activities.backends import terraform_command
from activities.backends.terraform_confinement import own_processes
from activities.backends.terraform_session import Ended, Means, Session
from activities.backends.terraform_tree import TreeRules
from leverframe.model.changes import CheckResult
from leverframe.model.errors import BadConfiguration, Refused, Unavailable
from tests.fakes.terraform_dev import MAIN, SHA, Dev, beat, real_terraform

ROOT = Path(__file__).resolve().parents[2]
LOCAL_EXEC = '  provisioner "local-exec" {\n    command = "exit 1"\n  }\n'


@pytest.fixture
def dev(tmp_path: Path) -> Dev:
    return Dev(tmp_path).with_workspace()


def applied(
    dev: Dev, *, seconds: int = 60, heartbeat: Callable[[], None] = beat, **options: object
) -> CheckResult:
    infrastructure = dev.infrastructure.model_copy(update={"timeout_seconds": seconds})
    return dev.terraform(**options).apply(infrastructure, tree=dev.tree, sha=SHA, heartbeat=heartbeat)


def until(there: Callable[[], bool], seconds: float = 60) -> None:
    """Wait for what another process does; fails after a generous while."""
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def drifted(dev: Dev, **options: object) -> tuple[str, ...]:
    return dev.terraform(**options).drift(dev.infrastructure, tree=dev.tree, sha=SHA, heartbeat=beat)


@real_terraform
def test_a_tree_is_applied_once_and_the_same_commit_again_changes_nothing(dev: Dev) -> None:
    beats: list[int] = []
    result = applied(dev, heartbeat=lambda: beats.append(1))
    assert (result.check, result.sha, result.outcome) == ("dev", SHA, "passed")
    assert result.summary == "applied to dev: 1 created"
    assert "terraform_data.bucket: Creation complete" in result.log
    assert dev.state() == {"terraform_data.bucket": "one"}
    assert beats
    before = (dev.states / "dev" / "terraform.tfstate").read_bytes()
    again = applied(dev)
    assert (again.outcome, again.summary) == ("passed", "nothing to change: dev is as the commit says")
    assert (dev.states / "dev" / "terraform.tfstate").read_bytes() == before


@real_terraform
def test_what_is_updated_and_destroyed_is_counted(dev: Dev) -> None:
    dev.write({"infra/more.tf": 'resource "terraform_data" "gone" {\n  count = 2\n  input = "x"\n}\n'})
    applied(dev)
    (dev.tree / "infra" / "more.tf").unlink()
    dev.write({"infra/main.tf": MAIN.replace('"one"', '"two"')})
    result = applied(dev)
    assert (result.outcome, result.summary) == ("passed", "applied to dev: 1 updated, 2 destroyed")
    assert dev.state() == {"terraform_data.bucket": "two"}


@real_terraform
def test_a_module_of_the_tree_is_applied_with_it(dev: Dev) -> None:
    dev.write(
        {
            "infra/more.tf": 'module "net" {\n  source = "../net"\n}\n',
            "net/main.tf": 'resource "terraform_data" "vpc" {\n  input = "net"\n}\n',
        }
    )
    assert applied(dev).summary == "applied to dev: 2 created"


@real_terraform
@pytest.mark.parametrize(
    ("text", "step"),
    [
        ('resource "terraform_data" "x" {\n  nonsense = 1\n}\n', "plan"),
        ('output "x" {\n  value = one(["a", "b"])\n}\n', "plan"),
        ('terraform {\n  required_version = "< 1.0"\n}\n', "init"),
    ],
)
def test_what_terraform_does_not_take_fails_with_its_words(dev: Dev, text: str, step: str) -> None:
    dev.write({"infra/more.tf": text})
    result = applied(dev)
    assert (result.outcome, result.summary) == ("failed", f"terraform {step} failed")
    assert "Error: " in result.log
    assert "\x1b" not in result.log
    assert dev.state() == {}


@real_terraform
def test_an_apply_that_fails_half_way_says_so_and_the_next_one_goes_on(dev: Dev) -> None:
    condition = 'condition = self.output != "one"\n      error_message = "no"'
    check = f"  lifecycle {{\n    postcondition {{\n      {condition}\n    }}\n  }}\n"
    dev.write({"infra/main.tf": MAIN.replace('"one"\n', f'"one"\n{check}')})
    failed = applied(dev)
    assert failed.summary == "terraform apply failed, perhaps after a part of it was done"
    assert failed.outcome == "failed"
    dev.write({"infra/main.tf": MAIN.replace('"one"', '"two"')})
    assert applied(dev).outcome == "passed"
    assert dev.state() == {"terraform_data.bucket": "two"}


@real_terraform
def test_a_lock_that_somebody_holds_proves_nothing_and_names_the_way_out(dev: Dev) -> None:
    applied(dev)
    dev.write({"infra/main.tf": MAIN.replace('"one"', '"two"')})
    with (dev.states / "dev" / "terraform.tfstate").open("r+") as state:
        fcntl.lockf(state, fcntl.LOCK_EX)
        result = applied(dev)
        assert drifted(dev) == ("terraform_data.bucket",), "looking needs no lock"
    assert (result.outcome, "force-unlock" in result.summary) == ("inconclusive", True)
    assert applied(dev).outcome == "passed"


@real_terraform
@pytest.mark.parametrize(
    ("before", "then"),
    [
        ("", "applied to dev: 1 created"),
        ('terraform "$@"; ', "nothing to change: dev is as the commit says"),
    ],
)
def test_a_run_that_is_killed_around_its_apply_is_planned_anew_and_goes_on(
    dev: Dev, before: str, then: str
) -> None:
    lost = applied(dev, binary=dev.program_before("apply", f"{before}kill -9 $$"))
    assert (lost.outcome, lost.summary) == ("inconclusive", "terraform apply was killed by signal 9")
    again = applied(dev)
    assert (again.outcome, again.summary) == ("passed", then)
    assert dev.state() == {"terraform_data.bucket": "one"}


@real_terraform
def test_an_apply_whose_worker_is_killed_ends_by_itself_and_is_found_done(dev: Dev) -> None:
    ready, go, done = (dev.root / name for name in ("ready", "go", "done"))
    wait = f"touch {ready}; while [ ! -e {go} ]; do sleep 0.02; done"
    program = dev.program_before("apply", f'{wait}; terraform "$@"; touch {done}; exit')
    code = (
        "import sys; from pathlib import Path; from tests.fakes.terraform_dev import Dev, SHA, beat; "
        "dev = Dev(Path(sys.argv[1])); dev.terraform(binary=sys.argv[2]).apply("
        "dev.infrastructure, tree=dev.tree, sha=SHA, heartbeat=beat)"
    )
    own = os.environ | {"TMPDIR": str(dev.root)}
    worker = subprocess.Popen([sys.executable, "-c", code, str(dev.root), program], cwd=ROOT, env=own)
    until(ready.exists)
    worker.kill()
    worker.wait()
    go.touch()
    until(done.exists)
    assert dev.state() == {"terraform_data.bucket": "one"}
    assert applied(dev).summary == "nothing to change: dev is as the commit says"


@real_terraform
def test_a_state_that_moves_after_the_plan_is_planned_again(dev: Dev) -> None:
    applied(dev)
    dev.write({"infra/main.tf": MAIN.replace('"one"', '"two"')})
    note = dev.root / "moved"
    other = f"terraform state rm -backup={dev.root}/old terraform_data.bucket"
    program = dev.program_before("apply", f"[ -e {note} ] || {{ touch {note}; {other}; }}")
    result = applied(dev, binary=program)
    assert (result.outcome, result.summary) == ("passed", "applied to dev: 1 created")


def test_a_state_that_never_stands_still_is_given_up(dev: Dev) -> None:
    stale = "echo 'Error: Saved plan is stale' >&2; exit 1"
    result = applied(dev, binary=dev.program_at("apply", stale))
    assert (result.outcome, "somebody else" in result.summary) == ("inconclusive", True)


def test_a_command_that_hangs_is_asked_to_stop_and_proves_nothing(dev: Dev) -> None:
    note = dev.root / "asked"
    hang = f"trap 'touch {note}; exit 1' INT; sleep 60 & wait"
    result = applied(dev, seconds=1, binary=dev.program_at("apply", hang))
    assert result.outcome == "inconclusive"
    assert result.summary == "terraform apply was stopped at its time limit"
    assert note.exists(), "it got SIGINT, on which Terraform writes its state"


def test_a_command_that_does_not_stop_when_asked_is_killed_with_all_it_started(dev: Dev) -> None:
    note = dev.root / "child"
    hang = f"trap '' INT; sleep 60 & echo $! > {note}; wait"
    program = dev.program_at("plan", hang)
    assert applied(dev, seconds=1, binary=program, stop_seconds=0.2).outcome == "inconclusive"
    status = Path(f"/proc/{note.read_text().strip()}/stat")
    assert not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z"


def test_an_interrupted_worker_asks_its_command_to_stop(dev: Dev) -> None:
    note, ready = dev.root / "asked", dev.root / "ready"
    program = dev.program(f"trap 'touch {note}; exit 1' INT; touch {ready}; sleep 60 & wait\n")

    def cancelled() -> None:
        if ready.exists():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        applied(dev, binary=program, heartbeat=cancelled)
    assert note.exists()


def test_a_command_that_prints_without_end_is_stopped(dev: Dev, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.backends.command_process._MOST_OUTPUT", 10_000)
    result = applied(dev, binary=dev.program("exec yes\n"))
    assert (result.outcome, result.summary) == (
        "inconclusive",
        "terraform init was stopped: it printed too much",
    )
    assert len(result.log) <= 8000


@pytest.mark.parametrize(
    ("told", "outcome"),
    [
        ("Error: Error acquiring the state lock\nConditionalCheckFailedException", "inconclusive"),
        ("Error: dial tcp 10.0.0.1:443: connect: connection refused", "inconclusive"),
        ("Error: Invalid count argument", "failed"),
    ],
)
def test_what_a_failure_proves_is_read_from_terraforms_words(dev: Dev, told: str, outcome: str) -> None:
    result = applied(dev, binary=dev.program(f"echo '{told}' >&2; exit 1\n"))
    assert (result.outcome, result.log.strip()) == (outcome, told)


@real_terraform
def test_a_workspace_is_never_made_by_us(tmp_path: Path) -> None:
    dev = Dev(tmp_path)
    result = applied(dev)
    assert (result.outcome, "terraform workspace new" in result.summary) == ("inconclusive", True)
    assert not dev.states.exists()


@real_terraform
def test_the_default_workspace_needs_no_choosing(dev: Dev) -> None:
    infrastructure = dev.infrastructure.model_copy(update={"workspace": "default"})
    result = dev.terraform().apply(infrastructure, tree=dev.tree, sha=SHA, heartbeat=beat)
    assert result.summary == "applied to dev: 1 created"
    assert (dev.root / "default.tfstate").exists()


@real_terraform
def test_a_state_that_would_be_lost_with_the_tree_is_refused(dev: Dev) -> None:
    result = applied(dev, backend_config={"path": "terraform.tfstate"})
    assert (result.outcome, "absolute workspace_dir" in result.summary) == ("failed", True)


@real_terraform
def test_values_of_the_state_backend_are_taken_as_they_are(dev: Dev) -> None:
    place = dev.root / "${path.module}%{x}"
    (place / "dev").mkdir(parents=True)
    assert applied(dev, backend_config={"workspace_dir": str(place)}).outcome == "passed"
    assert (place / "dev" / "terraform.tfstate").exists()


@real_terraform
def test_drift_is_what_differs_and_changes_nothing(dev: Dev) -> None:
    applied(dev)
    assert drifted(dev) == ()
    before = (dev.states / "dev" / "terraform.tfstate").read_bytes()
    more = 'resource "terraform_data" "a" {\n}\noutput "o" {\n  value = 1\n}\n'
    dev.write({"infra/main.tf": MAIN.replace('"one"', '"two"'), "infra/more.tf": more})
    assert drifted(dev) == ("output.o", "terraform_data.a", "terraform_data.bucket")
    assert (dev.states / "dev" / "terraform.tfstate").read_bytes() == before


@real_terraform
def test_drift_of_a_tree_that_can_not_be_planned_is_an_error(dev: Dev) -> None:
    dev.write({"infra/more.tf": 'resource "terraform_data" "x" {\n  nonsense = 1\n}\n'})
    with pytest.raises(Refused, match="nonsense"):
        drifted(dev)
    with pytest.raises(Unavailable, match="workspace new"):
        Dev(dev.root / "other").terraform().drift(
            dev.infrastructure, tree=Dev(dev.root / "other").tree, sha=SHA, heartbeat=beat
        )


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
