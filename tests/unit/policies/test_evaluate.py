"""The evaluation: every rule is asked, the strictest decides, and each finding says what would help."""

from datetime import timedelta

import pytest

from policies.decision import ReserveRequest, Verdict
from policies.documents import PolicySnapshot, parse
from policies.evaluate import Evaluation, evaluate
from policies.usage import Intent, Use
from tests.fakes.asks import BACK, NOON, OFF, ON, REVERT, ask, policy

HEAD = "version: 1\nlayer: {layer}\nautonomy: {autonomy}\nkill_switch: false\n"
LEVERS = "levers: {open_merge_request: {}, roll_back: {autonomy: act_with_approval}}\n"
ESCALATION = "escalation: {quorum: 1, expires_after: 1h}\n"


def said(snapshot: PolicySnapshot, request: ReserveRequest, *uses: Use) -> Evaluation:
    return evaluate(snapshot, Intent.of(request), uses, NOON)


def used(request: ReserveRequest, minutes_ago: int = 0, *, held: bool = False) -> Use:
    return Use(intent=Intent.of(request), at=NOON - timedelta(minutes=minutes_ago), held=held)


def files(autonomy: str = "act", *, levers: str = LEVERS, escalation: str = ESCALATION) -> dict[str, str]:
    org = HEAD.format(layer="org", autonomy=autonomy) + levers + escalation
    return {"org.yaml": org, "agents/sentry_spike.yaml": HEAD.format(layer="agent", autonomy="act") + LEVERS}


@pytest.mark.parametrize(
    ("autonomy", "verdict"),
    [
        ("off", Verdict.DENY),
        ("observe", Verdict.DENY),
        ("propose", Verdict.DENY),
        ("act_with_approval", Verdict.ESCALATE),
        ("act", Verdict.ALLOW),
    ],
)
def test_the_level_of_autonomy_decides_what_an_effect_needs(autonomy: str, verdict: Verdict) -> None:
    evaluation = said(parse(files(autonomy)), ask(effect=REVERT))
    assert evaluation.verdict is verdict
    assert [finding.rule for finding in evaluation.findings] == ["org.autonomy"][: verdict > 0]


def test_a_lever_can_have_a_lower_level_than_its_document() -> None:
    evaluation = said(parse(files()), ask(effect=BACK))
    assert evaluation.verdict is Verdict.ESCALATE
    assert {finding.rule for finding in evaluation.findings} == {
        "org.levers.roll_back.autonomy",
        "agents.sentry_spike.levers.roll_back.autonomy",
    }


def test_a_lever_that_is_not_listed_is_denied_by_each_file_that_leaves_it_out() -> None:
    evaluation = said(parse(files()), ask(effect=OFF))
    assert [(f.rule, f.verdict) for f in evaluation.findings] == [
        ("agents.sentry_spike.levers.flip_flag", Verdict.DENY),
        ("org.levers.flip_flag", Verdict.DENY),
    ]


def test_an_agent_without_a_policy_of_its_own_is_denied() -> None:
    evaluation = said(parse(files()), ask(effect=REVERT, agent="stranger"))
    assert [finding.rule for finding in evaluation.findings] == ["agents.stranger"]
    assert "agents/stranger.yaml" in evaluation.findings[0].remedy


def test_what_needs_people_is_denied_when_the_organisation_names_no_quorum() -> None:
    given = files("act_with_approval", escalation="")
    given["agents/sentry_spike.yaml"] += ESCALATION
    evaluation = said(parse(given), ask(effect=REVERT))
    assert evaluation.verdict is Verdict.DENY, "no other file can open that door"
    assert [finding.rule for finding in evaluation.findings] == ["org.autonomy", "org.escalation"]


@pytest.mark.parametrize(
    ("flags", "broken"),
    [
        ("{allow: ['new-*']}", []),
        ("{allow: ['old-*']}", ["allow"]),
        ("{}", ["allow"]),
        ("{allow: ['*'], deny: ['*checkout']}", ["deny"]),
        ("{deny: ['new-*']}", ["allow", "deny"]),
    ],
)
def test_a_flag_must_be_allowed_and_not_denied(flags: str, broken: list[str]) -> None:
    levers = f"levers: {{flip_flag: {{direction: {{to_off: act}}, flags: {flags}}}}}\n"
    snapshot = parse({"org.yaml": HEAD.format(layer="org", autonomy="act") + levers + ESCALATION})
    rules = [finding.rule for finding in said(snapshot, ask(effect=OFF)).findings]
    assert rules == ["agents.sentry_spike", *(f"org.levers.flip_flag.flags.{name}" for name in broken)]


def test_each_direction_of_a_flip_has_its_own_level_and_none_is_off() -> None:
    assert said(policy(), ask(effect=OFF)).verdict is Verdict.ALLOW
    assert said(policy(), ask(effect=ON)).verdict is Verdict.ESCALATE
    levers = "levers: {flip_flag: {direction: {to_off: act}, flags: {allow: ['*']}}}\n"
    snapshot = parse(files(levers=levers))
    rules = {finding.rule: finding.verdict for finding in said(snapshot, ask(effect=ON)).findings}
    assert rules["org.levers.flip_flag.direction.to_on"] is Verdict.DENY


def test_a_full_window_is_denied_with_the_instant_at_which_waiting_is_over() -> None:
    snapshot = policy(["{id: flips, scope: [agent, repo], levers: [flip_flag], max: 2, window: 1h}"])
    first, second = used(ask(subject="A"), 50), used(ask(effect=ON, subject="B"), 10)
    evaluation = said(snapshot, ask(), first, second)
    (finding,) = evaluation.findings
    assert finding.rule == "org.limits.flips"
    assert (finding.observed, finding.limit) == ("3 in 1h with this one", "at most 2 in 1h per agent, repo")
    assert finding.retry_at == NOON + timedelta(minutes=10)
    assert finding.remedy == "Wait until 2026-03-02 12:10:00 UTC."
    assert finding.source == "org.yaml:8"
    assert said(snapshot, ask(repository="other"), first, second).verdict is Verdict.ALLOW
    assert said(snapshot, ask(effect=REVERT), first, second).verdict is Verdict.ALLOW


def test_an_unsettled_effect_holds_its_subject_and_a_settled_one_does_not() -> None:
    snapshot = policy(["{id: one, scope: [subject], max: 1, hold: until_settled}"])
    assert said(snapshot, ask(), used(ask(), held=True)).verdict is Verdict.DENY
    assert said(snapshot, ask(), used(ask(), held=False)).verdict is Verdict.ALLOW
    assert said(snapshot, ask(), used(ask(subject="OTHER"), held=True)).verdict is Verdict.ALLOW


def test_zero_is_zero_and_only_the_word_is_unlimited() -> None:
    assert said(policy(["{id: none, max: 0, window: 1h}"]), ask()).verdict is Verdict.DENY
    many = [used(ask(), held=True) for _ in range(50)]
    assert said(policy(["{id: any, max: unlimited, window: 1h}"]), ask(), *many).verdict is Verdict.ALLOW


def test_every_rule_is_asked_even_when_the_first_denies() -> None:
    snapshot = policy(["{id: none, max: 0, window: 1h}"], autonomy="off", kill_switch=True)
    rules = [finding.rule for finding in said(snapshot, ask(effect=ON)).findings]
    assert rules == [
        "agents.sentry_spike.levers.flip_flag.direction.to_on",
        "org.kill_switch",
        "org.autonomy",
        "org.levers.flip_flag.direction.to_on",
        "org.limits.none",
    ]


def test_a_limit_of_one_repository_counts_and_binds_only_there() -> None:
    repo = (
        HEAD.format(layer="repo", autonomy="act")
        + LEVERS
        + "limits: [{id: one, max: 1, window: 1d}]\nescalation: {quorum: 2, expires_after: 2h}\n"
    )
    snapshot = parse(files() | {"repos/shop.yaml": repo})
    elsewhere = used(ask(effect=REVERT, repository="other"))
    here = used(ask(effect=REVERT))
    assert said(snapshot, ask(effect=REVERT), elsewhere).verdict is Verdict.ALLOW
    assert said(snapshot, ask(effect=REVERT), here).verdict is Verdict.DENY
    assert said(snapshot, ask(effect=REVERT, repository="other"), here, elsewhere).verdict is Verdict.ALLOW


def test_the_largest_quorum_and_the_shortest_time_of_all_files_hold() -> None:
    repo = HEAD.format(layer="repo", autonomy="act") + LEVERS + "escalation: {quorum: 2, expires_after: 2h}\n"
    terms = said(parse(files() | {"repos/shop.yaml": repo}), ask(effect=BACK)).terms
    assert terms is not None
    assert (terms.quorum, terms.expires_after) == (2, timedelta(hours=1))
