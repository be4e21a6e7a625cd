"""What people read: sentences, the overview, and the check of policy files."""

from pathlib import Path

from leverframe.model.outcomes import Outcome
from policies import ledger
from policies.check import check
from policies.decision import Denied
from policies.explain import effect_words, overview_markdown, sentence
from policies.overview import overview
from policies.reservations import LedgerState, PauseRequest
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask, policy

HOURLY = "{id: hourly, scope: [agent, repo], max: 1, window: 1h}"
HEAD = "version: 1\nlayer: org\nautonomy: act\nkill_switch: false\n"


def test_a_finding_is_one_sentence_with_rule_place_numbers_and_remedy() -> None:
    state, _ = ledger.reserve(LedgerState(snapshot=policy([HOURLY])), ask(), NOON)
    _, decision = ledger.reserve(state, ask("run/2"), NOON)
    assert isinstance(decision, Denied)
    assert sentence(decision.findings[0]) == (
        "org.limits.hourly (org.yaml:8) denies: 2 in 1h with this one; required: "
        "at most 1 in 1h per agent, repo. Wait until 2026-03-02 13:00:00 UTC."
    )


def test_an_effect_is_named_by_its_verb() -> None:
    assert [effect_words(effect) for effect in (OFF, ON, BACK, REVERT)] == [
        "switch the flag new-checkout off for everybody",
        "switch the flag new-checkout on for everybody",
        f"roll shop back to {'b' * 12}",
        f"open a merge request in shop that reverts {'a' * 12}",
    ]


def test_the_overview_shows_the_room_left_and_what_is_open() -> None:
    state, _ = ledger.reserve(LedgerState(snapshot=policy([HOURLY])), ask(), NOON)
    told = overview("acme", state, NOON)
    assert [(row.rule, row.scope, row.used, row.max) for row in told.headroom] == [
        ("org.limits.hourly", "sentry_spike · shop", 1, 1)
    ]
    assert [row.id for row in told.open] == ["run/1"]
    state, _ = ledger.settle(state, "run/1", Outcome.LANDED, NOON)
    assert overview("acme", state, NOON).open == ()


def test_the_page_says_first_that_nothing_is_granted() -> None:
    assert "No policy is installed" in overview_markdown(overview("acme", LedgerState(), NOON))
    paused = ledger.pause(
        LedgerState(snapshot=policy()), PauseRequest(by="ada", reason="<!channel> [x](http://evil)"), NOON
    )
    page = overview_markdown(overview("acme", paused, NOON))
    assert "**Paused** by ada" in page
    assert "<!channel>" not in page
    assert "](http" not in page


def test_long_tables_end_with_what_is_left_out() -> None:
    state = LedgerState(snapshot=policy())
    for number in range(45):
        state, _ = ledger.reserve(state, ask(f"run/{number}"), NOON)
    assert "… and 5 more." in overview_markdown(overview("acme", state, NOON))


def test_the_shipped_policies_have_nothing_to_remark() -> None:
    root = Path(__file__).parents[3] / "policies/defaults"
    files = {path.relative_to(root).as_posix(): path.read_text() for path in root.rglob("*.yaml")}
    assert set(files) == {"org.yaml", "agents/sentry_spike.yaml"}
    assert check(files) == ()


def test_the_check_tells_errors_and_suspicious_rules_by_line() -> None:
    found = check(
        {
            "org.yaml": HEAD.replace("false", "true") + "levers:\n  flip_flag: {}\nlimits:\n"
            "  - {id: a, levers: [roll_back], max: 1, window: 1h, on_exceed: escalate}\n",
            "agents/x.yaml": "version: 1\nlayer: agent\nautonomy: act\nkill_switch: false\n"
            "levers:\n  roll_back: {}\n",
            "agents/y.yaml": "version: 2\n",
        }
    )
    lines = [f"{problem.severity} {problem}" for problem in found]
    assert lines[0] == "warning agents/x.yaml:6: roll_back is denied anyway: org.yaml does not list it"
    assert [line for line in lines if line.startswith("error")] == [
        line for line in lines if "agents/y.yaml" in line
    ]
    assert [line for line in lines if "org.yaml:" in line and "x.yaml" not in line] == [
        "warning org.yaml:1: nobody can be asked: without `escalation` what asks people is denied",
        "warning org.yaml:4: the kill switch is on",
        "warning org.yaml:6: no direction is allowed, so every flip is denied",
        "warning org.yaml:6: no flag is allowed, so every flip is denied",
        "warning org.yaml:8: the limit a counts only denied levers",
    ]


def test_a_missing_organisation_file_is_an_error() -> None:
    assert [str(problem) for problem in check({})] == [
        "org.yaml:1: the file is missing, so nothing is allowed"
    ]
