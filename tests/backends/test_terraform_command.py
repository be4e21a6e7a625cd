"""Infrastructure by the local program: the real one, wherever it can be made to do what is tested."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leverframe.model.errors import Refused, Unavailable
from tests.fakes.terraform_dev import MAIN, SHA, Dev, applied, beat, drifted, real_terraform

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


@pytest.mark.usefixtures("interruptible")
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


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_worker_asks_its_command_to_stop(dev: Dev) -> None:
    note, ready = dev.root / "asked", dev.root / "ready"
    program = dev.program(f"trap 'touch {note}; exit 1' INT; touch {ready}; sleep 60 & wait\n")

    def cancelled() -> None:
        if ready.exists():
            raise InterruptedError

    with pytest.raises(InterruptedError):
        applied(dev, binary=program, heartbeat=cancelled)
    assert note.exists()


@pytest.mark.usefixtures("interruptible")
def test_a_command_that_prints_too_much_is_stopped(dev: Dev, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("activities.backends.command_process._MOST_OUTPUT", 10_000)
    result = applied(dev, binary=dev.program("yes | head --bytes=20000\nexec sleep 60\n"))
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
