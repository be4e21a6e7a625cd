"""What the doctor says of the policy: red for each way in which it could quietly not hold."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from leverframe.cli.doctor import Finding
from leverframe.cli.policy_health import (
    MOST_UNWRITTEN,
    NEWS_FOR,
    approvers,
    audit_finding,
    files_against_ledger,
    housekeeping,
    memory,
    policy_findings,
)
from leverframe.settings import PolicySettings, Settings
from policies.audit import Head
from policies.overview import LedgerOverview, overview
from policies.reservations import LedgerState, RefusedPolicy
from tests.fakes.asks import PEOPLE, policy
from workflows.housekeeping import Tidied
from workflows.timetable import Chore, Done

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
HEAD = Head(sequence=7, hash="a" * 64)
POLICY = policy()
SETTINGS = Settings(home=Path("/nowhere"))


def standing(**more: Any) -> LedgerOverview:
    """A ledger that runs the policy and has written seven records."""
    known = overview("acme", LedgerState(snapshot=POLICY), NOW)
    return known.model_copy(update={"audit_head": HEAD, **more})


def test_files_that_the_ledger_runs_are_green() -> None:
    assert files_against_ledger(POLICY, standing()).colour == "green"


def test_files_that_the_ledger_does_not_run_are_red() -> None:
    found = files_against_ledger(policy(autonomy="observe"), standing())
    assert found.colour == "red"
    assert POLICY.digest[:12] in found.detail
    assert "policy reload" in found.remedy


def test_a_refused_policy_is_red_with_each_file_and_line() -> None:
    problems = ("org.yaml:3: autonomy: what is this", "people.yaml:9: who is this")
    refused = RefusedPolicy(revision="r2", problems=problems, since=NOW)
    found = files_against_ledger(POLICY, standing(refused_policy=refused))
    assert found.colour == "red"
    assert all(problem in found.detail for problem in problems)


def test_files_that_are_wrong_are_red_and_say_what_the_ledger_keeps(tmp_path: Path) -> None:
    (tmp_path / "org.yaml").write_text("version: 1\nnosuch: 2\n")
    settings = Settings(home=tmp_path, policies=PolicySettings(directory=str(tmp_path)))
    [found] = policy_findings(settings, standing())
    assert found.colour == "red"
    assert "org.yaml:2: " in found.detail
    assert f"keeps {POLICY.digest[:12]}" in found.detail


def test_people_who_may_approve_are_green() -> None:
    assert approvers(POLICY, SETTINGS).colour == "green"


def test_groups_without_people_are_red() -> None:
    nobody = PEOPLE[: PEOPLE.index("groups:")] + "groups: {sre-oncall: [], sre-leads: []}\n"
    found = approvers(policy(people=nobody), SETTINGS)
    assert found.colour == "red"
    assert "sentry_spike" in found.detail
    assert "people.yaml" in found.remedy


def test_a_quorum_that_nobody_can_reach_is_red() -> None:
    alone = "escalation: {approvers: [sre-oncall], quorum: 3, expires_after: 1h}"
    assert approvers(policy(escalation=alone), SETTINGS).colour == "red"


@pytest.mark.parametrize(
    ("before", "after", "unwritten", "colour"),
    [
        (HEAD, HEAD, 0, "green"),
        (Head(), HEAD, 7, "green"),
        (Head(sequence=5, hash="b" * 64), Head(sequence=9, hash="c" * 64), 2, "green"),
        (Head(sequence=9, hash="c" * 64), Head(sequence=9, hash="c" * 64), 0, "red"),
        (Head(sequence=5, hash="b" * 64), Head(sequence=5, hash="b" * 64), 0, "red"),
        (Head(sequence=7, hash="b" * 64), HEAD, 0, "red"),
        (HEAD, HEAD, MOST_UNWRITTEN, "red"),
    ],
)
def test_the_stores_log_may_be_behind_by_what_is_on_its_way_and_is_never_another(
    before: Head, after: Head, unwritten: int, colour: str
) -> None:
    assert audit_finding(before, standing(unwritten=unwritten), after).colour == colour


def test_a_log_that_cannot_be_read_is_red() -> None:
    gone = Finding(part="audit log", colour="red", detail="the store does not answer")
    assert audit_finding(HEAD, standing(), gone) == gone


def test_a_ledger_that_began_anew_is_red_until_people_had_time_to_look_and_is_told_after_that() -> None:
    assert memory(standing(), NOW).colour == "green"
    anew = standing(began_anew=NOW)
    found = memory(anew, NOW)
    assert found.colour == "red"
    assert "began anew at 2026-11-23 12:00 UTC" in found.detail
    assert "leverframe audit export" in found.remedy
    later = memory(anew, NOW + NEWS_FOR)
    assert (later.colour, later.detail) == ("green", found.detail)


def test_a_chore_that_fails_is_red_and_a_refused_policy_is_told_elsewhere() -> None:
    refused = Tidied(done={Chore.RELOAD: Done(at=NOW, said="refused", failed=True)})
    assert housekeeping(refused).colour == "green"
    failing = Tidied(done={Chore.DIGEST: Done(at=NOW, said="Slack is down", failed=True)})
    assert housekeeping(failing).colour == "red"
    assert "Slack is down" in housekeeping(failing).detail
