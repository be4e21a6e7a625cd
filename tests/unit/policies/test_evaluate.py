"""The evaluation: every rule is asked, the strictest decides, and each finding says what would help."""

from datetime import timedelta

import pytest

from leverframe.model.outcomes import Outcome
from leverframe.model.proposals import Measurement
from policies.decision import Finding, Verdict
from policies.documents import PolicySnapshot, parse
from policies.evaluate import evaluate
from policies.intent import Intent
from policies.rules import Autonomy
from policies.usage import Demotion, Pause, Usage, UsageDocument
from tests.fakes.asks import (
    BACK,
    ESCALATION,
    LEVERS,
    NOON,
    OFF,
    ON,
    PEOPLE,
    REVERT,
    ask,
    difference,
    document,
    judge,
    policy,
    use,
)

HOUR = timedelta(hours=1)


def rules(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.rule for finding in findings]


def files(**texts: str) -> PolicySnapshot:
    """Files by their names without `.yaml`; `/` is written `__`."""
    return parse({f"{name.replace('__', '/')}.yaml": text for name, text in texts.items()})


# The files that are there.


def test_without_a_policy_everything_is_denied_and_the_missing_files_are_named() -> None:
    evaluation = judge(PolicySnapshot.of(()), ask())
    assert evaluation.verdict is Verdict.DENY
    assert [(f.rule, f.source, f.remedy) for f in evaluation.findings] == [
        ("org", "org.yaml", "Write org.yaml and install it."),
        ("agents.sentry_spike", "agents/sentry_spike.yaml", "Write agents/sentry_spike.yaml and install it."),
    ]
    assert all(
        (f.observed, f.limit) == ("no such policy", "a policy is installed") for f in evaluation.findings
    )
    assert (evaluation.autonomy, evaluation.terms) == (Autonomy.OFF, None)


def test_an_agent_without_a_policy_of_its_own_is_denied() -> None:
    evaluation = judge(policy(), ask(agent="stranger"))
    assert rules(evaluation.findings) == ["agents.stranger"]
    assert (evaluation.verdict, evaluation.autonomy) == (Verdict.DENY, Autonomy.OFF)


def test_an_agent_without_the_organisations_policy_is_denied() -> None:
    evaluation = judge(files(agents__sentry_spike=document("agent")), ask())
    assert rules(evaluation.findings)[0] == "org"
    assert (evaluation.verdict, evaluation.autonomy) == (Verdict.DENY, Autonomy.OFF)


def test_a_file_of_another_repository_or_agent_says_nothing() -> None:
    off = document("repo", autonomy="off")
    other = policy(repos={"other": ""}).documents[-1]
    snapshot = PolicySnapshot.of([*policy().documents, other], policy().people)
    assert other.file == "repos/other.yaml"
    assert judge(snapshot, ask()).verdict is Verdict.ALLOW
    here = parse({"repos/shop.yaml": off}).documents
    stopped = PolicySnapshot.of([*policy().documents, *here], policy().people)
    assert judge(stopped, ask()).verdict is Verdict.DENY
    assert judge(stopped, ask(repository="other")).verdict is Verdict.ALLOW


def test_every_rule_is_asked_even_when_the_first_denies() -> None:
    more = (
        "storm: {max_affected_percent: 40}\nlineage: {max_depth: 0}\n"
        "freeze: [{id: gone, reason: Holidays, since: 2026-03-01T00:00:00Z, until: 2026-03-03T00:00:00Z}]\n"
        "cooldown: {same_subject: 2h}\n"
    )
    snapshot = policy(["{id: none, max: 0, window: 1h}"], autonomy="off", kill_switch=True, org=more)
    known = UsageDocument(pauses=(Pause(by="ada", reason="incident", since=NOON),))
    request = ask(effect=ON, lineage=["run/0"])
    evaluation = judge(snapshot, request, use(request, 30), known=known)
    assert rules(evaluation.findings) == [
        "ledger.pause",
        "org.kill_switch",
        "agents.sentry_spike.levers.flip_flag.direction.to_on",
        "org.autonomy",
        "org.levers.flip_flag.direction.to_on",
        "org.limits.none",
        "org.storm.max_affected_percent",
        "org.cooldown.same_subject",
        "org.freeze.gone",
        "org.lineage.max_depth",
    ]
    assert evaluation.verdict is Verdict.DENY
    assert evaluation.policy_digest == snapshot.digest
    assert all(finding.remedy.endswith(".") and finding.source for finding in evaluation.findings)


# Stops.


def test_a_kill_switch_denies_and_says_where_it_is_set() -> None:
    (finding,) = judge(policy(kill_switch=True), ask()).findings
    assert finding == Finding(
        rule="org.kill_switch",
        verdict=Verdict.DENY,
        observed="on",
        limit="off",
        remedy="Set `kill_switch: false` when the cause is gone.",
        source="org.yaml:4",
    )


@pytest.mark.parametrize(
    ("agent", "repository", "observed"),
    [
        (None, None, "everything is paused by ada: incident"),
        ("sentry_spike", None, "sentry_spike is paused by ada: incident"),
        (None, "shop", "shop is paused by ada: incident"),
        ("sentry_spike", "shop", "sentry_spike in shop is paused by ada: incident"),
        ("stranger", None, None),
        (None, "other", None),
        ("sentry_spike", "other", None),
    ],
)
def test_a_pause_stops_what_it_is_about(
    agent: str | None, repository: str | None, observed: str | None
) -> None:
    pause = Pause(by="ada", reason="incident", since=NOON, agent=agent, repository=repository)
    evaluation = judge(policy(), ask(), known=UsageDocument(pauses=(pause,)))
    assert [(f.rule, f.verdict, f.observed, f.source) for f in evaluation.findings] == (
        [("ledger.pause", Verdict.DENY, observed, "ledger")] if observed else []
    )
    assert {(f.limit, f.remedy) for f in evaluation.findings} <= {
        ("not paused", "Run `leverframe resume` when the cause is gone.")
    }


# Levels.


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
    evaluation = judge(policy(autonomy=autonomy), ask(effect=REVERT))
    assert evaluation.verdict is verdict
    assert evaluation.autonomy == autonomy
    assert rules(evaluation.findings) == ["org.autonomy"][: verdict > 0]
    assert all(
        (f.observed, f.limit, f.source) == (autonomy, "act", "org.yaml:3") for f in evaluation.findings
    )


def test_what_asks_people_and_what_denies_have_remedies_of_their_own() -> None:
    asks = judge(policy(autonomy="act_with_approval"), ask()).findings[0]
    denies = judge(policy(autonomy="observe"), ask()).findings[0]
    assert asks.remedy == "Ask a person to approve exactly this effect."
    assert denies.remedy == "Let a person do it by hand, or raise the level at org.yaml:3."


def test_a_lever_can_have_a_lower_level_than_its_document_but_not_a_higher() -> None:
    lower = LEVERS.replace("roll_back: {}", "roll_back: {autonomy: act_with_approval}")
    evaluation = judge(policy(levers=lower), ask(effect=BACK))
    assert (evaluation.verdict, evaluation.autonomy) == (Verdict.ESCALATE, Autonomy.ACT_WITH_APPROVAL)
    assert rules(evaluation.findings) == ["org.levers.roll_back.autonomy"]
    higher = LEVERS.replace("roll_back: {}", "roll_back: {autonomy: act}")
    evaluation = judge(policy(autonomy="propose", levers=higher), ask(effect=BACK))
    assert (evaluation.verdict, evaluation.autonomy) == (Verdict.DENY, Autonomy.PROPOSE)


def test_a_lever_that_is_not_listed_is_denied_by_each_file_that_leaves_it_out() -> None:
    levers = "levers: {roll_back: {}}"
    evaluation = judge(policy(levers=levers), ask(effect=OFF))
    (finding,) = evaluation.findings
    assert (finding.rule, finding.verdict) == ("org.levers.flip_flag", Verdict.DENY)
    assert (finding.observed, finding.limit) == ("flip_flag is not listed", "listed levers only")
    assert finding.remedy == "Add `flip_flag` to `levers` in org.yaml."
    assert finding.source == "org.yaml:5"
    assert evaluation.autonomy is Autonomy.OFF


def test_each_direction_of_a_flip_has_its_own_level_and_one_that_is_left_out_is_off() -> None:
    assert judge(policy(), ask(effect=OFF)).verdict is Verdict.ALLOW
    assert judge(policy(), ask(effect=ON)).autonomy is Autonomy.ACT_WITH_APPROVAL
    levers = LEVERS.replace(", to_on: act_with_approval", "")
    evaluation = judge(policy(levers=levers), ask(effect=ON))
    found = {finding.rule: finding.verdict for finding in evaluation.findings}
    assert found["org.levers.flip_flag.direction.to_on"] is Verdict.DENY
    assert evaluation.autonomy is Autonomy.OFF


def test_a_flip_that_names_no_direction_and_no_flag_is_denied() -> None:
    intent = Intent.of(ask()).model_copy(update={"flag": None, "direction": None})
    snapshot = policy()
    evaluation = evaluate(snapshot, intent, Usage(snapshot), NOON)
    assert rules(evaluation.findings) == [
        "agents.sentry_spike.levers.flip_flag.direction.missing",
        "org.levers.flip_flag.direction.missing",
        "agents.sentry_spike.levers.flip_flag.flags.allow",
        "org.levers.flip_flag.flags.allow",
    ]
    assert evaluation.verdict is Verdict.DENY
    assert evaluation.findings[-1].observed == "no flag is named"


@pytest.mark.parametrize(
    ("to", "verdict"),
    [
        (Autonomy.ACT, Verdict.ALLOW),
        (Autonomy.ACT_WITH_APPROVAL, Verdict.ESCALATE),
        (Autonomy.OBSERVE, Verdict.DENY),
    ],
)
def test_a_demotion_lowers_its_agent_and_nobody_else(to: Autonomy, verdict: Verdict) -> None:
    demotion = Demotion(agent="sentry_spike", to=to, since=NOON, reason="2 of 5 went badly")
    known = UsageDocument(demotions=(demotion,))
    evaluation = judge(policy(), ask(), known=known)
    assert (evaluation.verdict, evaluation.autonomy) == (verdict, to)
    assert [(f.rule, f.observed, f.source) for f in evaluation.findings] == [
        ("ledger.demotion", f"{to.value} since 2026-03-02 12:00:00 UTC: 2 of 5 went badly", "ledger")
    ][: verdict > 0]
    other = known.model_copy(update={"demotions": (demotion.model_copy(update={"agent": "other"}),)})
    assert judge(policy(), ask(), known=other).findings == ()


def test_a_demotion_names_the_command_that_lifts_it() -> None:
    demotion = Demotion(agent="sentry_spike", to=Autonomy.ACT_WITH_APPROVAL, since=NOON, reason="badly")
    (finding,) = judge(policy(), ask(), known=UsageDocument(demotions=(demotion,))).findings
    assert finding.remedy == (
        "Ask a person to approve exactly this effect, "
        "or run `leverframe policy promote --agent sentry_spike --reason …`."
    )


def test_in_a_shadow_levels_and_demotions_are_set_aside_and_every_other_rule_holds() -> None:
    demotion = Demotion(agent="sentry_spike", to=Autonomy.OFF, since=NOON, reason="badly")
    known = UsageDocument(demotions=(demotion,))
    observing = policy(["{id: one, max: 1, window: 1h}"], autonomy="observe")
    shadow = judge(observing, ask(effect=ON), known=known, as_if=Autonomy.ACT)
    assert (shadow.verdict, shadow.autonomy) == (Verdict.ALLOW, Autonomy.OFF)
    assert judge(observing, ask(), as_if=Autonomy.ACT).autonomy is Autonomy.OBSERVE
    full = judge(observing, ask(), use(ask()), as_if=Autonomy.ACT)
    assert rules(full.findings) == ["org.limits.one"]
    asked = judge(observing, ask(), as_if=Autonomy.ACT_WITH_APPROVAL)
    assert rules(asked.findings) == [
        "agents.sentry_spike.autonomy",
        "agents.sentry_spike.levers.flip_flag.direction.to_off",
        "org.autonomy",
        "org.levers.flip_flag.direction.to_off",
    ]


def test_in_a_shadow_what_a_file_leaves_out_stays_denied() -> None:
    levers = LEVERS.replace(", to_on: act_with_approval", "").replace("roll_back: {},", "")
    observing = policy(autonomy="observe", levers=levers)
    assert rules(judge(observing, ask(effect=ON), as_if=Autonomy.ACT).findings) == [
        "org.levers.flip_flag.direction.to_on"
    ]
    assert rules(judge(observing, ask(effect=BACK), as_if=Autonomy.ACT).findings) == ["org.levers.roll_back"]


# Flags and evidence.


@pytest.mark.parametrize(
    ("flags", "broken"),
    [
        ("{allow: ['new-*']}", []),
        ("{allow: ['old-*']}", ["allow"]),
        ("{allow: ['NEW-*']}", ["allow"]),
        ("{allow: ['old-*', 'new-checkout']}", []),
        ("{}", ["allow"]),
        ("{allow: ['*'], deny: ['*checkout']}", ["deny"]),
        ("{allow: ['*'], deny: ['*CHECKOUT']}", ["deny"]),
        ("{allow: ['*'], deny: ['[!A-Z]*']}", ["deny"]),
        ("{allow: ['*CHECKOUT']}", ["allow"]),
        ("{deny: ['old-*', 'new-*']}", ["allow", "deny"]),
    ],
)
def test_a_flag_must_be_allowed_letter_by_letter_and_denied_in_no_case(flags: str, broken: list[str]) -> None:
    levers = f"levers: {{flip_flag: {{direction: {{to_off: act}}, flags: {flags}}}}}"
    evaluation = judge(policy(levers=levers), ask(effect=OFF))
    assert rules(evaluation.findings) == [f"org.levers.flip_flag.flags.{name}" for name in broken]
    assert all(finding.verdict is Verdict.DENY for finding in evaluation.findings)


def test_a_flag_that_may_not_be_flipped_is_named_beside_the_patterns() -> None:
    levers = (
        "levers:\n  flip_flag:\n    direction: {to_off: act}\n    flags:\n"
        "      allow: ['old-*', 'x']\n      deny: ['new-*', 'a', '*out']"
    )
    allow, deny = judge(policy(levers=levers), ask(effect=OFF)).findings
    assert (allow.observed, allow.limit, allow.source) == ("new-checkout", "old-*, x", "org.yaml:9")
    assert allow.remedy == "Let a person flip it, or add it to `flags.allow` at org.yaml:9."
    assert (deny.observed, deny.limit, deny.source) == ("new-checkout", "not new-*, *out", "org.yaml:10")
    assert deny.remedy == "Let a person flip it, or narrow `flags.deny` at org.yaml:10."
    nothing = judge(policy(levers="levers: {flip_flag: {direction: {to_off: act}}}"), ask()).findings[0]
    assert nothing.limit == "no flag"


@pytest.mark.parametrize(
    ("observed", "said"),
    [
        ([], "not measured"),
        ([19], "19 people"),
        ([20], None),
        ([30, 19, 40], "19 people"),
        ([30, 20], None),
    ],
)
def test_evidence_must_be_there_and_enough_and_its_smallest_figure_counts(
    observed: list[int], said: str | None
) -> None:
    levers = LEVERS.replace("roll_back: {}", "roll_back: {min_evidence: {users: 20}}")
    evidence = [Measurement(name="users", observed=each, threshold=1, unit="people") for each in observed]
    evidence.append(Measurement(name="errors", observed=5, threshold=1, unit="events"))
    evaluation = judge(policy(levers=levers), ask(effect=BACK, evidence=evidence))
    assert [(f.rule, f.verdict, f.observed, f.limit) for f in evaluation.findings] == (
        [("org.levers.roll_back.min_evidence.users", Verdict.DENY, said, "at least 20")] if said else []
    )
    assert all(
        f.remedy == "Wait for more evidence, or lower `min_evidence` at org.yaml:5."
        and f.source == "org.yaml:5"
        for f in evaluation.findings
    )
    assert judge(policy(levers=levers), ask(effect=OFF)).verdict is Verdict.ALLOW, "of that lever only"


# What the other rules add.


def test_a_merge_request_needs_a_difference_and_is_judged_by_it() -> None:
    assert judge(policy(), ask(effect=REVERT)).verdict is Verdict.ALLOW
    assert rules(judge(policy(), ask(effect=REVERT, difference=None)).findings) == ["protected.difference"]
    caught = judge(policy(), ask(effect=REVERT, difference=difference(".github/workflows/ci.yml")))
    assert caught.verdict is Verdict.DENY
    assert all(finding.rule.startswith("protected.") for finding in caught.findings)
    narrow = LEVERS.replace("'**'", "'docs/**'")
    assert rules(judge(policy(levers=narrow), ask(effect=REVERT)).findings) == [
        "org.levers.open_merge_request.paths.allow"
    ]


def test_a_merge_request_without_allowed_paths_or_a_cap_anywhere_is_denied() -> None:
    open_ended = document("agent").replace(LEVERS, "levers: {open_merge_request: {}}")
    org = f"{document('org').replace(LEVERS, 'levers: {open_merge_request: {}}')}{ESCALATION}\n"
    snapshot = parse({"org.yaml": org, "agents/sentry_spike.yaml": open_ended, "people.yaml": PEOPLE})
    assert rules(judge(snapshot, ask(effect=REVERT)).findings) == [
        "org.levers.open_merge_request.paths.allow",
        "org.levers.open_merge_request.diff",
    ]


def test_a_breaker_looks_at_the_agents_outcomes() -> None:
    snapshot = policy(org="breaker: {bad: 1, of_last: 2, open_for: 1h}\n")
    failed = use(ask(), 5, outcome=Outcome.FAILED)
    assert rules(judge(snapshot, ask(), failed).findings) == ["org.breaker"]
    assert judge(snapshot, ask(), failed.model_copy(update={"agent": "other"})).findings == ()


def test_a_usage_that_is_indexed_for_another_policy_is_indexed_again() -> None:
    loose, tight = policy(), policy(["{id: one, max: 1, window: 1h}"])
    usage = Usage(loose, UsageDocument(uses=(use(ask()),)))
    assert rules(evaluate(tight, Intent.of(ask()), usage, NOON).findings) == ["org.limits.one"]
    assert evaluate(loose, Intent.of(ask()), usage, NOON).findings == ()
