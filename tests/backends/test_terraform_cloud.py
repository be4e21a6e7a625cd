"""Infrastructure by Terraform Cloud's runs, on an API with a memory and with faults."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.backends.terraform_cloud import TerraformCloud
from leverframe.model.changes import CheckResult
from leverframe.model.errors import BadConfiguration, Refused, Unavailable
from leverframe.model.topology import Infrastructure
from tests.fakes.terraform_cloud import ORGANISATION, TOKEN, URL, FakeCloud, Fault
from tests.fakes.terraform_dev import MAIN, SHA

OTHER = "b" * 40
PLACE = Infrastructure(paths=("infra/**",), directory="infra", timeout_seconds=20)
IN_A_HURRY = PLACE.model_copy(update={"timeout_seconds": 0})


@pytest.fixture
def cloud() -> FakeCloud:
    return FakeCloud()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    place = tmp_path / "tree" / "infra"
    place.mkdir(parents=True)
    (place / "main.tf").write_text(MAIN)
    (place / ".terraform" / "providers").mkdir(parents=True)
    (place / ".terraform" / "providers" / "evil").write_text("a program")
    return tmp_path / "tree"


def port(cloud: FakeCloud, *, token: str = TOKEN) -> TerraformCloud:
    return TerraformCloud(
        url=URL,
        organisation=ORGANISATION,
        token=SecretStr(token),
        declared={"shop": PLACE},
        poll_seconds=0.001,
        transport=cloud.transport(),
    )


def applied(
    cloud: FakeCloud, tree: Path, *, sha: str = SHA, infrastructure: Infrastructure = PLACE
) -> CheckResult:
    return port(cloud).apply(infrastructure, tree=tree, sha=sha, heartbeat=lambda: None)


def test_a_tree_is_uploaded_planned_confirmed_and_applied(cloud: FakeCloud, tree: Path) -> None:
    beats: list[int] = []
    result = port(cloud).apply(PLACE, tree=tree, sha=SHA, heartbeat=lambda: beats.append(1))
    assert (result.check, result.sha, result.outcome) == ("dev", SHA, "passed")
    assert result.summary == "applied to dev: 2 created, 1 destroyed"
    (run,) = cloud.runs.values()
    assert (run.status, run.message) == ("applied", f"Leverframe applies {SHA}")
    assert cloud.workspace.tree == run.configuration.digest
    assert beats


def test_only_the_tree_is_uploaded_never_what_terraform_or_git_keeps_in_it(
    cloud: FakeCloud, tree: Path
) -> None:
    (tree / ".git").mkdir()
    (tree / ".git" / "config").write_text("secret")
    applied(cloud, tree)
    (configuration,) = cloud.configurations.values()
    assert configuration.files == {"infra/main.tf": MAIN.encode()}


def test_the_same_commit_again_changes_nothing(cloud: FakeCloud, tree: Path) -> None:
    applied(cloud, tree)
    again = applied(cloud, tree)
    assert (again.outcome, again.summary) == ("passed", "nothing to change: dev is as the commit says")
    assert [run.status for run in cloud.runs.values()] == ["applied", "planned_and_finished"]


def test_a_run_whose_creation_was_answered_by_nobody_is_found_again(cloud: FakeCloud, tree: Path) -> None:
    cloud.faults.append(Fault("POST", "/runs$", status=502, applied=True))
    with pytest.raises(Unavailable):
        applied(cloud, tree)
    assert applied(cloud, tree).outcome == "passed"
    assert [run.status for run in cloud.runs.values()] == ["applied"]


@pytest.mark.parametrize(("status", "done"), [(0, True), (0, False), (500, True), (500, False), (429, False)])
def test_a_confirmation_whose_answer_is_lost_confirms_once(
    cloud: FakeCloud, tree: Path, status: int, done: bool
) -> None:
    cloud.faults.append(Fault("POST", "/actions/apply$", status=status, applied=done))
    assert applied(cloud, tree).outcome == "passed"
    assert [run.status for run in cloud.runs.values()] == ["applied"]


def test_looks_that_fail_for_a_while_do_not_end_the_wait(cloud: FakeCloud, tree: Path) -> None:
    cloud.faults += [Fault("GET", r"/runs/run-\d+$", status=503) for _ in range(3)]
    assert applied(cloud, tree).outcome == "passed"


def test_a_rate_limit_before_there_is_a_run_says_how_long_to_stay_away(cloud: FakeCloud, tree: Path) -> None:
    cloud.faults.append(Fault("GET", "/workspaces/dev$", status=429, headers={"retry-after": "17"}))
    with pytest.raises(Unavailable) as caught:
        applied(cloud, tree)
    assert caught.value.wait is not None
    assert caught.value.wait.total_seconds() == 17


@pytest.mark.parametrize("part", ["plan", "apply"])
def test_a_run_that_errs_fails_with_the_end_of_its_log(cloud: FakeCloud, tree: Path, part: str) -> None:
    cloud.fails, cloud.log = part, "Error: Unsupported argument\x1b[31m"
    result = applied(cloud, tree)
    assert result.outcome == "failed"
    assert result.summary.startswith(f"terraform {part} failed")
    assert result.log == "Error: Unsupported argument"


@pytest.mark.parametrize("log", ["Error acquiring the state lock", "dial tcp: connection refused"])
def test_a_lock_or_a_lost_connection_in_a_run_proves_nothing(cloud: FakeCloud, tree: Path, log: str) -> None:
    cloud.fails, cloud.log = "apply", log
    assert applied(cloud, tree).outcome == "inconclusive"


@pytest.mark.parametrize("status", ["discarded", "canceled"])
def test_a_run_that_a_person_takes_back_proves_nothing(cloud: FakeCloud, tree: Path, status: str) -> None:
    run = cloud.queue(f"Leverframe applies {SHA}")
    cloud.stuck_at = "pending"

    def person() -> None:
        run.status = status

    result = port(cloud).apply(PLACE, tree=tree, sha=SHA, heartbeat=person)
    assert (result.outcome, status in result.summary) == ("inconclusive", True)


def test_a_policy_that_does_not_pass_fails_and_lets_the_workspace_go(cloud: FakeCloud, tree: Path) -> None:
    cloud.fails = "policy"
    result = applied(cloud, tree)
    assert (result.outcome, "policy" in result.summary) == ("failed", True)
    assert [run.status for run in cloud.runs.values()] == ["discarded"]


@pytest.mark.parametrize(
    ("status", "left"), [("pending", "discarded"), ("planning", "canceled"), ("applying", "applying")]
)
def test_at_the_time_limit_a_run_is_taken_back_unless_it_changes_dev_already(
    cloud: FakeCloud, tree: Path, status: str, left: str
) -> None:
    run = cloud.queue(f"Leverframe applies {SHA}", status=status)
    cloud.stuck_at = status
    result = applied(cloud, tree, infrastructure=IN_A_HURRY)
    assert (result.outcome, run.status) == ("inconclusive", left)


def test_a_run_of_a_car_that_is_gone_makes_way(cloud: FakeCloud, tree: Path) -> None:
    gone = cloud.queue(f"Leverframe applies {OTHER}", status="planned")
    assert applied(cloud, tree).outcome == "passed"
    assert gone.status == "discarded"


def test_a_run_of_a_car_that_is_gone_is_left_to_end_once_it_changes_dev(cloud: FakeCloud, tree: Path) -> None:
    gone = cloud.queue(f"Leverframe applies {OTHER}", status="applying")
    assert applied(cloud, tree, infrastructure=IN_A_HURRY).outcome == "inconclusive"
    assert gone.status == "applying"


def test_a_run_of_somebody_else_is_waited_for_and_never_touched(cloud: FakeCloud, tree: Path) -> None:
    theirs = cloud.queue("Mallory tries something", status="planned")
    result = applied(cloud, tree, infrastructure=PLACE.model_copy(update={"timeout_seconds": 0.05}))
    assert (result.outcome, theirs.status) == ("inconclusive", "planned")


def test_a_lock_that_a_person_holds_is_said_at_once(cloud: FakeCloud, tree: Path) -> None:
    cloud.workspace.locked_by = "users"
    result = applied(cloud, tree)
    assert (result.outcome, cloud.runs) == ("inconclusive", {})
    assert "a person holds the lock" in result.summary


def test_a_tree_that_would_run_a_command_is_not_uploaded(cloud: FakeCloud, tree: Path) -> None:
    with (tree / "infra" / "main.tf").open("a") as file:
        file.write('resource "terraform_data" "x" {\n  provisioner "local-exec" {\n  }\n}\n')
    assert applied(cloud, tree).outcome == "failed"
    assert cloud.requests == []


@pytest.mark.parametrize(
    ("attribute", "value", "said"),
    [
        ("name", "production", "no workspace 'dev'"),
        ("directory", "elsewhere", "working directory"),
        ("directory", None, "working directory"),
        ("mode", "local", "execution mode"),
        ("may", False, "may not apply"),
    ],
)
def test_a_workspace_that_is_not_this_dev_is_named_by_apply_and_doctor(
    cloud: FakeCloud, tree: Path, attribute: str, value: object, said: str
) -> None:
    setattr(cloud.workspace, attribute, value)
    with pytest.raises(BadConfiguration, match=said):
        applied(cloud, tree)
    health = port(cloud).health()
    assert not health.ok
    assert said in health.detail


def test_a_token_that_is_not_accepted_is_a_wrong_setting_and_is_not_shown(
    cloud: FakeCloud, tree: Path
) -> None:
    with pytest.raises(BadConfiguration, match=r"check terraform\.cloud\.token") as caught:
        port(cloud, token="wrong-token").apply(PLACE, tree=tree, sha=SHA, heartbeat=lambda: None)
    assert "wrong-token" not in str(caught.value)


def test_doctor_names_the_workspace_that_it_reached(cloud: FakeCloud) -> None:
    health = port(cloud).health()
    assert (health.ok, health.detail) == (True, "organisation acme: dev")


def test_drift_is_what_a_speculative_plan_would_change(cloud: FakeCloud, tree: Path) -> None:
    cloud.drifted = ("aws_s3_bucket.b\x1b[2J", "aws_instance.a")
    found = port(cloud).drift(PLACE, tree=tree, sha=SHA, heartbeat=lambda: None)
    assert found == ("aws_instance.a", "aws_s3_bucket.b")
    (run,) = cloud.runs.values()
    assert (run.plan_only, cloud.workspace.tree) == (True, "")


def test_drift_is_told_in_numbers_when_the_token_may_not_read_plans(cloud: FakeCloud, tree: Path) -> None:
    cloud.may_read_plans = False
    (sentence,) = port(cloud).drift(PLACE, tree=tree, sha=SHA, heartbeat=lambda: None)
    assert sentence.startswith("2 created, 1 destroyed")


def test_drift_of_a_tree_that_can_not_be_planned_is_an_error(cloud: FakeCloud, tree: Path) -> None:
    cloud.fails, cloud.log = "plan", "Error: Unsupported argument"
    with pytest.raises(Refused, match="Unsupported argument"):
        port(cloud).drift(PLACE, tree=tree, sha=SHA, heartbeat=lambda: None)


def test_without_an_organisation_or_a_token_nothing_is_built() -> None:
    with pytest.raises(BadConfiguration, match="give organisation and token"):
        TerraformCloud(url=URL, organisation="", token=SecretStr(TOKEN), declared={})
